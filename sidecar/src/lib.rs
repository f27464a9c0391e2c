//! `memora-srs`: the engine behind hyper, the native queue worker and the admin command
//! line.
//!
//! The sidecar answers the app's methods of students and administrators on Frappe's own URLs
//! and is Frappe as far as a client can see. Whatever it cannot judge exactly as Frappe would,
//! it declines (status 421 with `X-Memora-Decline: <reason>`), before anything is done; the
//! web server in front then hands the same request to Frappe.
//!
//! # One request
//!
//! | step | file |
//! |---|---|
//! | connection, limits, shutdown | [`server`] |
//! | request id, log line, panics | `middleware` |
//! | path and method → operation | `router` |
//! | which site | `site` |
//! | body and query → arguments, as Frappe reads them | `extract`, `json` |
//! | who is asking | `login` |
//! | parse, serve, respond | `handlers` |
//! | the request's name for Frappe's monitor | `monitor` |
//! | the operations page | `page` |
//! | envelope, JSON and cookies, as Frappe writes them | `respond`, `json` |
//! | what operators measure, on an address of its own | `metrics` |
//! | error → status | `error`, the only place |

pub mod cli;
mod commands;
mod error;
mod extract;
mod failure;
#[cfg(feature = "guard")]
pub mod guard;
mod handlers;
mod json;
mod login;
mod metrics;
mod middleware;
mod monitor;
mod one_line;
mod page;
mod respond;
mod router;
pub mod server;
mod site;
