//! Ways to pure functions that are called for every request, for `benches/guard`, which
//! counts their instructions and allocations. Nothing else uses them, and no released
//! program has them.

use mysql_async::Value;

use super::answers::Answers;
use super::prior::Prior;
use super::read::{self, ReviewSession};
use super::request::Response;
use crate::Result;
use crate::batch::{Batch, Item, Submission};
use crate::config::SrsConfig;
use crate::schedule_cache::{self, DuePage, Lookup, details};
use crate::site_time::SiteZone;
use crate::store::apply::{Context, write};
use crate::store::{journal, load, rows};
use crate::types::{QuestionState, UtcMicros};

/// What the cache's reply to a read says.
///
/// # Errors
/// `Internal` for a reply of another script.
pub fn due_page(reply: redis::Value) -> Result<Lookup<DuePage>> {
    schedule_cache::read_due(reply)
}

/// The answer with these questions.
pub fn review_session(page: DuePage, zone: SiteZone, season: &str) -> ReviewSession {
    let questions = page.questions.into_iter();
    ReviewSession {
        questions: questions
            .map(|state| read::due_question(state, zone))
            .collect(),
        total_due: page.total,
        is_degraded: false,
        season: season.to_owned(),
    }
}

/// What answers to questions in these states lead to.
pub fn answers(
    srs: &SrsConfig,
    states: &[QuestionState],
    responses: &[Response],
    zone: SiteZone,
    now: UtcMicros,
) -> Vec<Item> {
    let prior = Prior::cached(states);
    let mut answers = Answers::new(srs, &prior, zone, now);
    for response in responses {
        answers.answer(response);
    }
    answers.into_items()
}

/// The parameters of the journal's INSERT.
///
/// # Errors
/// `Internal` if the batch cannot be written.
pub fn journal_row(submission: &Submission) -> Result<Vec<Value>> {
    journal::insert_params(submission)
}

/// Reads the payload of a journal row.
///
/// # Errors
/// `Internal` if it cannot be read.
pub fn journal_payload(payload: &[u8]) -> Result<Batch> {
    rows::batch(payload)
}

/// All rows of a student with unapplied batches laid over them.
pub fn merge(rows: Vec<QuestionState>, over: &[Batch]) -> Vec<QuestionState> {
    load::merge(rows, load::latest(over))
}

/// A page of due rows with unapplied batches laid over it; `under` are the rows of the
/// batches' questions.
pub fn lay_over(
    page: Vec<QuestionState>,
    under: &[QuestionState],
    over: &[Batch],
    now: UtcMicros,
) -> load::DuePage {
    let (counted, limit) = (page.len() as u64, page.len());
    load::lay_over(page, counted, under, load::latest(over), None, now, limit)
}

/// The cache's details of a whole schedule.
pub fn details(states: &[QuestionState]) -> Vec<(Vec<u8>, Vec<u8>)> {
    details::build(states, &[], "token")
}

/// The statements that write the states of these rows to the tracker.
pub fn upsert(rows: &[Submission], context: &Context<'_>) -> Vec<(String, Vec<Value>)> {
    let (sql, values) = write::upsert_rows(rows, context);
    write::pieces(&sql, write::UPSERT_COLUMNS, values).collect()
}
