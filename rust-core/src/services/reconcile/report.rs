//! What a run found, and who is told.

use serde::{Deserialize, Serialize};

use super::judge::Kind;
use crate::queue::Requeued;
use crate::services::Site;
use crate::store::error_log;
use crate::types::UtcMicros;
use crate::{Error, Result};

/// What operators search logs and Frappe's Error Log for.
const TITLE: &str = "SRS Reconciliation";
/// Above this share of discrepancies administrators are told.
const ALERT_RATE: f64 = 0.001;
/// With fewer items compared a share says nothing.
const ALERT_COMPARED: u64 = 1000;

/// What a run found.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Report {
    /// Items that were to be compared; of a full run those that were.
    pub sample_size: u64,
    /// Items on which cache and record disagree.
    pub discrepancies_found: u64,
    /// Their share of the compared ones, 0 to 1.
    pub discrepancy_rate: f64,
    /// Those that this run has put right.
    pub auto_corrected: u64,
    /// Whether administrators are told: a share above 0.1 % of at least 1,000.
    pub alert_triggered: bool,
    /// Items compared.
    pub compared: u64,
    /// Rows that the cache lacks.
    pub missing: u64,
    /// Cached questions without a row.
    pub ghosts: u64,
    /// How long it took.
    pub seconds: f64,
    /// Students of whom something was compared.
    pub students: u64,
    /// Items that differ because a write is on its way; no discrepancies.
    pub in_flight: u64,
    /// Discrepancies by kind.
    pub kinds: Kinds,
    /// The season that was asked for.
    pub season: Option<String>,
    /// The student that was asked for.
    pub student: Option<String>,
    /// Whether everything was compared.
    pub full: bool,
    /// Whether nothing was to be put right.
    pub dry_run: bool,
    /// When it began: UTC, ISO 8601.
    pub started_at: String,
}

/// Discrepancies by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Kinds {
    /// The cache has an older state than the table.
    pub too_old: u64,
    /// The cache has a newer state than table and unapplied writes.
    pub too_new: u64,
    /// The table has a row that the cache lacks.
    pub missing: u64,
    /// The cache has a question without a row.
    pub ghosts: u64,
    /// Of the same version, with another stability, last review, subject or topic.
    pub details: u64,
    /// The schedule of a single subject is wrong.
    pub subjects: u64,
}

impl Report {
    pub(super) fn found(&mut self, kind: Kind) {
        let kinds = &mut self.kinds;
        let count = match kind {
            Kind::TooOld => &mut kinds.too_old,
            Kind::TooNew => &mut kinds.too_new,
            Kind::Missing => &mut kinds.missing,
            Kind::Ghost => &mut kinds.ghosts,
            Kind::Details => &mut kinds.details,
            Kind::Subjects => &mut kinds.subjects,
        };
        *count += 1;
        self.discrepancies_found += 1;
        (self.missing, self.ghosts) = (kinds.missing, kinds.ghosts);
    }

    /// Sums up.
    pub(super) fn close(&mut self, seconds: f64) {
        self.seconds = (seconds * 1000.0).round() / 1000.0;
        if self.full {
            self.sample_size = self.compared;
        }
        if self.compared > 0 {
            let rate = self.discrepancies_found as f64 / self.compared as f64;
            // So that it is the same again when the history is read.
            self.discrepancy_rate = (rate * 1e9).round() / 1e9;
        }
        self.alert_triggered =
            self.compared >= ALERT_COMPARED && self.discrepancy_rate > ALERT_RATE;
    }

    fn text(&self) -> String {
        let of = match (&self.season, &self.student) {
            (Some(season), Some(student)) => format!(" of {student} in {season}"),
            (Some(season), None) => format!(" of {season}"),
            (None, _) => String::new(),
        };
        let Kinds {
            too_old,
            too_new,
            missing,
            ghosts,
            details,
            subjects,
        } = self.kinds;
        format!(
            "{} of {} compared items{of} were wrong in the cache ({:.2} %), {} are corrected: \
             {too_old} too old, {too_new} too new, {missing} missing, {ghosts} without a row, \
             {details} with wrong details, {subjects} wrong under their subject.",
            self.discrepancies_found,
            self.compared,
            self.discrepancy_rate * 100.0,
            self.auto_corrected,
        )
    }
}

/// Writes the log line; after an alert also Frappe's Error Log, and has administrators told
/// by mail. What cannot be told is in the log and in the history.
pub(super) async fn tell(site: &Site, report: &Report) {
    let name = &site.config.site;
    if !report.alert_triggered {
        tracing::info!(
            site = name,
            compared = report.compared,
            discrepancies = report.discrepancies_found,
            corrected = report.auto_corrected,
            in_flight = report.in_flight,
            "{TITLE}"
        );
        return;
    }
    let text = report.text();
    tracing::error!(site = name, "{TITLE}: {text}");
    let (logged, mailed) = tokio::join!(log(site, &text), mail(site, report));
    for untold in [logged, mailed].into_iter().filter_map(Result::err) {
        tracing::warn!(site = name, error = ?untold, "{TITLE}: administrators are not all told");
    }
}

async fn log(site: &Site, text: &str) -> Result<()> {
    let now = UtcMicros::now();
    let wall = site.zone(now).await?.to_wall(now);
    error_log::write(&site.db, TITLE, text, wall).await
}

/// Queues the job that sends the mail.
async fn mail(site: &Site, report: &Report) -> Result<()> {
    let value = serde_json::to_value(report)
        .map_err(|e| Error::internal("A report cannot be written as JSON").with_source(e))?;
    let queued = site
        .producer
        .tell_of_discrepancies(&value, UtcMicros::now())
        .await?;
    match queued {
        Requeued::Queued | Requeued::StillThere => Ok(()),
        Requeued::HeldBack => Err(Error::unavailable(
            "The queue is too long for a notice",
            std::time::Duration::from_secs(10),
        )),
    }
}
