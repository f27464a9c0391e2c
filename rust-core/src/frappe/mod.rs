//! Who is asking: Frappe's sessions, credentials and CSRF, and their formats.

pub mod pickle;
pub mod pyrepr;
pub mod value;

#[cfg(test)]
mod fixtures;
