//! Where the archiving of a season stands, as it is noted in the database. Processes that
//! serve students look for `state` in it (`store/seasons/seasons.sql`).

use chrono::NaiveDateTime;
use serde::{Deserialize, Serialize};

use super::Method;
use crate::site_time::{iso_wall, parse_wall};
use crate::store::archive::{ARCHIVE, Sum, new_table_name};
use crate::types::Season;
use crate::{Error, Result};

/// What is to become of the season.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// It is on its way into the archive: reads are refused.
    Archiving,
    /// It is there.
    Archived,
    /// It is on its way back.
    Restoring,
}

impl State {
    /// In a word for people; `None` where no rows move.
    pub(super) fn moving(self) -> Option<&'static str> {
        match self {
            Self::Archiving => Some("archiving"),
            Self::Archived => None,
            Self::Restoring => Some("restoring"),
        }
    }
}

/// What was done last; the order of the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    Announced,
    Detached,
    Shaped,
    Attached,
    Verified,
    Dropped,
    Marked,
    Done,
}

impl Phase {
    /// What is being done after it, for people.
    pub(super) fn doing(self) -> &'static str {
        match self {
            Self::Announced => "detaching",
            Self::Detached => "moving",
            Self::Shaped => "attaching",
            Self::Attached => "verifying",
            Self::Verified => "dropping",
            Self::Dropped => "marking",
            Self::Marked => "late rows and cache",
            Self::Done => "done",
        }
    }
}

/// See the module's documentation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Note {
    pub(super) state: State,
    pub(super) phase: Phase,
    pub(super) method: Method,
    /// The table that the season's rows are in meanwhile.
    pub(super) detached: String,
    /// The table that they are copied into.
    pub(super) copy: String,
    /// The table that late rows are in meanwhile.
    pub(super) late: String,
    /// `archived_at` of the rows: wall time of the site.
    pub(super) archived_at: String,
    /// Rows that were detached.
    pub(super) rows: u64,
    /// Rows that were copied or merged so far.
    pub(super) done: u64,
    /// Key of the last of them, where they are merged.
    pub(super) position: Option<String>,
    /// What the detached rows sum up to.
    pub(super) sum: Option<Sum>,
    /// Late rows that were merged.
    pub(super) late_rows: u64,
    /// Why it stopped, if it cannot go on by itself.
    pub(super) failure: Option<String>,
}

impl Note {
    pub(super) fn new(state: State, season: &Season, method: Method, now: NaiveDateTime) -> Self {
        Self {
            state,
            phase: Phase::Announced,
            method,
            detached: new_table_name(season, "detached"),
            copy: new_table_name(season, "copy"),
            late: new_table_name(season, "late"),
            archived_at: iso_wall(now),
            rows: 0,
            done: 0,
            position: None,
            sum: None,
            late_rows: 0,
            failure: None,
        }
    }

    /// Where the season's rows are until they are verified.
    pub(super) fn table(&self) -> &str {
        match self.method {
            Method::Convert => ARCHIVE,
            Method::Copy | Method::Merge => &self.detached,
        }
    }

    pub(super) fn at(&self) -> Result<NaiveDateTime> {
        parse_wall(&self.archived_at)
            .ok_or_else(|| Error::internal("The note of an archiving has no time"))
    }
}
