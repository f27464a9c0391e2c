//! The operations, built from the parts. Only here two servers meet.
//!
//! Every door calls these functions and translates; a rule that two doors share lives
//! here or below.

mod answers;
pub mod apply;
pub mod archive;
pub mod bounded;
pub mod clear;
pub mod fill;
pub mod gauges;
mod group_commit;
#[cfg(feature = "guard")]
pub mod guard;
mod handoff;
pub mod housekeeping;
pub mod journal;
pub mod partitions;
pub mod persist;
pub mod players;
mod prior;
pub mod purge;
pub mod question_info;
mod raw;
pub mod read;
pub mod rebuild;
pub mod reconcile;
mod record;
pub mod recovery;
mod report;
pub mod request;
pub mod retention;
pub mod safe_mode;
pub mod schedule;
pub mod schema;
mod seasons;
pub mod site;
pub mod sites;
pub mod submit;
pub mod sweep;
pub mod unjournaled;
pub mod upkeep;
mod who;
pub mod work;
pub mod worker;

pub use site::Site;
pub use sites::{Limits, Sites};
