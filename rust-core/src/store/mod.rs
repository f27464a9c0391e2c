//! The record: every SQL statement, in its own file beside the code that runs it.
//!
//! Parameters are always bound; what DDL cannot bind goes through
//! [`partitions`]' one literal function. Seasons, players and questions are data.

pub mod apply;
pub mod archive;
pub mod error_log;
pub mod journal;
pub mod links;
pub mod load;
pub mod migrate;
pub mod partitions;
pub mod players;
pub mod purge;
pub mod question_info;
pub(crate) mod rows;
pub mod seasons;
pub mod server;
pub mod state;
