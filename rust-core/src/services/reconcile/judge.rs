//! What a question's two sides say of each other.

use crate::schedule_cache::Seen;
use crate::types::QuestionState;

/// How the cache differs from the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    TooOld,
    TooNew,
    Missing,
    Ghost,
    Details,
    Subjects,
}

impl Kind {
    /// Whether the record knows more than the cache, rather than the other way round.
    pub(super) fn is_behind(self) -> bool {
        matches!(self, Self::TooOld | Self::Missing)
    }

    /// Whether a worker explains it that has computed an answer and shown it, and not
    /// committed yet.
    pub(super) fn may_be_ahead(self) -> bool {
        matches!(self, Self::TooNew | Self::Ghost | Self::Details)
    }

    /// Whether a write that is in the journal and not in the table yet explains it: the
    /// submit, or its worker, is about to show it.
    pub(super) fn may_be_on_its_way(self) -> bool {
        self.is_behind() || self == Self::Details
    }
}

/// How `seen` differs from `record`, if it does.
///
/// A member without a valid record of details is no discrepancy while its due time is
/// right: whoever reads it looks the rest up, and a hash that Redis has evicted would make
/// one of every question.
pub(super) fn judge(record: Option<&QuestionState>, seen: &Seen) -> Option<Kind> {
    let sets = seen.wrong_sets.then_some(Kind::Subjects);
    let record = match (record, seen.is_there()) {
        (None, false) => return sets,
        (None, true) => return Some(Kind::Ghost),
        (Some(_), false) => return Some(Kind::Missing),
        (Some(record), true) => record.as_cached(),
    };
    let Some(cached) = &seen.state else {
        return match seen.due() {
            Some(due) if due == record.due => sets,
            Some(due) if due < record.due => Some(Kind::TooOld),
            _ => Some(Kind::TooNew),
        };
    };
    if *cached == record {
        return sets;
    }
    if (cached.version, cached.due) == (record.version, record.due) {
        return Some(Kind::Details);
    }
    Some(match record.beats(cached) {
        true => Kind::TooOld,
        false => Kind::TooNew,
    })
}
