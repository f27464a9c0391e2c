//! Subject and topic of new questions, which only apps in Python know.

use std::collections::HashMap;

use super::Site;
use super::apply::NewQuestions;
use crate::{Error, Result};

/// Subject and topic of a question, each if known.
pub type Info = (Option<String>, Option<String>);

/// Those of `ids` whose row has neither subject nor topic, in stored spelling.
///
/// # Errors
/// `InvalidInput` for a name that cannot be, or more than 1,000 ids; `NotFound` for an
/// unknown season; `Unavailable` if the database is away.
pub async fn questions_without_info(
    site: &Site,
    user: &str,
    season: &str,
    ids: &[String],
) -> Result<Vec<String>> {
    let _ = (site, user, season, ids);
    Err(Error::internal("not built yet"))
}

/// Gives rows without subject and topic theirs, in table and cache; how many rows
/// changed. Due times and versions stay.
///
/// # Errors
/// As [`questions_without_info`]; `InvalidInput` also for a subject or topic that does
/// not exist, and nothing has changed; `Unavailable` also if the cache is away: the rows
/// are then as they were.
pub async fn fill_question_info(
    site: &Site,
    user: &str,
    season: &str,
    info: &HashMap<String, Info>,
) -> Result<u64> {
    let _ = (site, user, season, info);
    Err(Error::internal("not built yet"))
}

/// Asks Python, by a job, for what apps know of new questions.
pub(super) async fn ask(site: &Site, new: Vec<NewQuestions>) {
    let _ = (site, new);
}
