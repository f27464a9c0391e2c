//! Raw answers: acknowledged while the state before them could not be had in time, and
//! computed by whoever applies them first.
//!
//! Computed as all answers without a state are ([`super::persist`]): on top of what is on
//! record at that moment, as of the time when they were given. What comes of it goes into
//! the journal row, under the row's lock and only while the row is still raw: from then on
//! it is a batch like any other, and applying it again changes nothing.
//!
//! An answer about a new question was not checked against the limits when it was taken.
//! One that may not come is left out, and an operator finds it in the Error Log.

use std::time::Duration;

use super::answers::Answers;
use super::prior::{self, Asked, Prior};
use super::request::Response;
use super::{Site, report, seasons};
use crate::batch::{Batch, Item, Submission};
use crate::servers::mariadb::MariaDb;
use crate::site_time::SiteZone;
use crate::store::journal;
use crate::types::{QuestionId, UtcMicros};
use crate::{Error, Result};

/// How long writing one row may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether some of these are still to be computed.
pub(super) fn is_left(rows: &[Submission]) -> bool {
    rows.iter().any(|row| row.batch.has_raw())
}

/// Computes the raw answers of these rows, in the order in which they were given.
///
/// # Errors
/// `Unavailable` if the database is away, `NotFound` for a season that does not exist.
pub(super) async fn settle(site: &Site, rows: &[Submission]) -> Result<()> {
    let mut raw: Vec<&Submission> = rows.iter().filter(|row| row.batch.has_raw()).collect();
    raw.sort_by_key(|row| row.batch.at);
    for row in raw {
        let batch = compute(site, row).await?;
        let refused = batch.refused.len();
        let written = journal::compute(&site.db, row, &batch);
        let ours = MariaDb::within(PATIENCE, written).await?;
        if ours && refused > row.batch.refused.len() {
            let message = format!("{refused} answers about new questions were left out");
            let what = row.key.submission.as_str();
            report::not_applied(site, what, &Error::invalid(message)).await;
        }
    }
    Ok(())
}

async fn compute(site: &Site, row: &Submission) -> Result<Batch> {
    let now = UtcMicros::now();
    let zone = site.zone(now).await?;
    let season = seasons::named(site, row.season.as_str(), now).await?;
    let items = row.batch.items.iter();
    let ids: Vec<&str> = items
        .filter(|item| item.raw)
        .map(|item| item.question_id.as_str())
        .collect();
    let asked = Asked {
        player: &row.key.player,
        season: &season,
        zone,
        answered: &ids,
    };
    let (prior, beyond) = prior::find_all(site, asked).await?;
    Ok(batch(site, row, zone, &prior, &beyond.questions))
}

fn batch(
    site: &Site,
    row: &Submission,
    zone: SiteZone,
    prior: &Prior,
    beyond: &[QuestionId],
) -> Batch {
    let given = UtcMicros(row.batch.at);
    let mut answers = Answers::new(&site.config.srs, prior, zone, given);
    let mut refused = row.batch.refused.clone();
    for item in &row.batch.items {
        if !item.raw {
            answers.keep(item.clone());
        } else if beyond.contains(&prior.stored(&item.question_id)) {
            refused.push(item.clone());
        } else {
            answers.answer(&response(item));
        }
    }
    let mut batch = Batch::new(row.batch.door, row.batch.at, answers.into_items());
    batch.refused = refused;
    batch
}

fn response(item: &Item) -> Response {
    Response {
        question_id: item.question_id.clone(),
        quality: item.quality.unwrap_or_default(),
        response_time_ms: item.response_time_ms,
    }
}
