//! The record: every SQL statement but those of logins ([`crate::frappe`]). One of more than a
//! line or two, or that needs to be explained, has a file of its own beside the code that runs
//! it; what is put together from parts (DDL, lists of rows) is in the code.
//!
//! Parameters are always bound; what DDL cannot bind goes through
//! [`partitions`]' one literal function. Seasons, players and questions are data.
//!
//! | module | job |
//! |---|---|
//! | [`load`] | a student's states, and many students' |
//! | [`journal`] | what makes a submit durable; claims of sweepers; an operator's view |
//! | [`apply`] | journal rows into the tracker |
//! | [`seasons`], [`links`], [`question_info`] | seasons; stored spellings; subject and topic |
//! | [`partitions`], [`archive`] | partitions; a season's rows into the archive and back |
//! | [`migrate`] | the schema |
//! | [`players`] | students renamed, merged, deleted |
//! | [`state`] | where long work stands, and who is at it |
//! | [`purge`], [`error_log`], [`server`], [`scratch`] | retention; Frappe's Error Log; settings of the server; a check's own season |
//! | `rows`, `catalogue`, `refusals` | columns to values; asking `information_schema`; what errors mean |

pub mod apply;
pub mod archive;
mod catalogue;
pub mod error_log;
pub mod journal;
pub mod links;
pub mod load;
pub mod migrate;
pub mod partitions;
pub mod players;
pub mod purge;
pub mod question_info;
pub(crate) mod refusals;
pub(crate) mod rows;
pub mod scratch;
pub mod seasons;
pub mod server;
pub mod state;
