//! Who is asking: Frappe's sessions, credentials and CSRF, and their formats.
//!
//! [`Authenticator`] is the way in; [`auth`] says what is judged, in which order, and
//! what it costs. Everything here reads what Frappe wrote and writes the time only
//! of a session that is in use (`refresh`, `table_sessions`).
//!
//! | module | job |
//! |---|---|
//! | [`auth`] | the judgement |
//! | [`login`] | what is asked and answered |
//! | [`credentials`] | cookie and `Authorization` header, as they come |
//! | [`sliding_cookie`] | the cookie, as it goes |
//! | `session` | a session: formats, age, CSRF token |
//! | `table_sessions` | sessions that Redis forgot |
//! | `refresh` | sliding expiry |
//! | `accounts` | the user's row and the owner of an API key |
//! | `roles` | whether a user has a role |
//! | [`settings`] | System Settings |
//! | `overrides` | what apps and scripts put in the way |
//! | [`pyrepr`] | the table's text of a session, read as plain data |
//! | `believed` | readings with an age; one look-up for a crowd |

mod accounts;
pub mod auth;
mod believed;
pub mod credentials;
pub mod login;
mod overrides;
pub mod pyrepr;
mod refresh;
mod roles;
mod rows;
mod session;
pub mod settings;
pub mod sliding_cookie;
mod stop;
mod table_sessions;

pub use auth::Authenticator;
pub use credentials::sid_cookie;
pub use login::{AuthContext, Login, LoginRequest, Via};
pub use overrides::Overrides;
pub use refresh::SessionRefresh;
pub use roles::SYSTEM_MANAGER;
pub use settings::{SystemSettings, read_settings};
pub use sliding_cookie::SlidingCookie;

#[cfg(test)]
pub(crate) mod fixtures;
