//! The operations, built from the parts. Only here two servers meet.
//!
//! Every door calls these functions and translates; a rule that two doors share lives
//! here or below.
//!
//! | for | files |
//! |---|---|
//! | a site, and what it is opened from | [`site`], [`sites`] |
//! | a read | [`request`], [`read`], `seasons`, `record`; [`overrides`] and [`bounded`] for its door |
//! | a submit | [`request`], [`submit`], `prior`, `answers`, `handoff`, `group_commit` |
//! | a submit without its journal row | [`unjournaled`] |
//! | into the table | [`worker`], [`persist`], [`apply`], `raw`, [`sweep`], [`question_info`], `report` |
//! | schedules in the cache | [`fill`], [`schedule`], [`rebuild`], [`clear`], [`reconcile`] |
//! | while Redis is away | [`safe_mode`], [`recovery`] |
//! | seasons | [`partitions`], [`schema`], [`archive`], [`retention`]; [`work`] for all that takes long |
//! | students renamed or deleted | [`players`], `who` |
//! | processes that stay | [`housekeeping`] (sweeps, [`purge`]), [`upkeep`] (what has no journal row), [`presence`] |
//! | administrators and operators | [`administer`], [`journal`], [`status`], [`check`], [`overview`], [`readiness`], [`backlog`] |
//! | numbers | [`gauges`], [`exposition`], [`snapshot`] |

pub mod administer;
mod answers;
pub mod apply;
pub mod archive;
pub mod backlog;
pub mod bounded;
pub mod check;
pub mod clear;
pub mod exposition;
pub mod fill;
pub mod gauges;
mod group_commit;
#[cfg(feature = "guard")]
pub mod guard;
mod handoff;
pub mod housekeeping;
pub mod journal;
pub mod overrides;
pub mod overview;
pub mod partitions;
pub mod persist;
pub mod players;
pub mod presence;
mod prior;
pub mod purge;
pub mod question_info;
mod raw;
pub mod read;
pub mod readiness;
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
pub mod snapshot;
pub mod status;
pub mod submit;
pub mod sweep;
pub mod unjournaled;
pub mod upkeep;
mod who;
pub mod work;
pub mod worker;

pub use site::Site;
pub use sites::{Limits, Sites};
