//! The operations, built from the parts. Only here two servers meet.
//!
//! Every door calls these functions and translates; a rule that two doors share lives
//! here or below.

pub mod apply;
pub mod fill;
pub mod partitions;
pub mod players;
mod prior;
pub mod read;
pub mod request;
pub mod schedule;
pub mod schema;
mod seasons;
pub mod site;
pub mod sites;
pub mod submit;
pub mod worker;

pub use site::Site;
pub use sites::{Limits, Sites};
