//! `get_review_session`: which questions is this student due to review?
//!
//! 1. The season: the one asked for, else the active one.
//! 2. The cache: one round trip. A complete schedule answers, and nothing else happens.
//! 3. Otherwise the table answers at once, with what is not applied yet laid over it, and
//!    a fill follows in the background.
//! 4. In Safe Mode, or where a command failed, the table answers under the same bound, with
//!    fewer questions, and the answer says so.
//! 5. A student whose schedule in the cache may lack something ([`super::recovery`]) is
//!    answered by the table, too, and no fill follows.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::record::{self, OnRecord};
use super::recovery::Trust;
pub use super::request::ReviewRequest;
use super::{Site, fill, safe_mode, seasons};
use crate::schedule_cache::Lookup;
use crate::servers::mariadb::MariaDb;
use crate::site_time::SiteZone;
use crate::store::load::{DuePage, Whose};
use crate::store::seasons::SeasonRow;
use crate::types::{Player, QuestionState, UtcMicros};
use crate::{Error, ErrorKind, Result};

/// Questions of one answer without the cache, at most.
const DEGRADED_LIMIT: usize = 10;
/// When to come back if neither server answers.
const BOTH_AWAY: Duration = Duration::from_secs(5);
/// How long a read may take in all, the turn on MariaDB included. What it gives up then
/// holds no turn and no connection: whoever comes next is not kept waiting by who has left.
const PATIENCE: Duration = Duration::from_secs(2);

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReviewSession {
    /// Due questions, most overdue first.
    pub questions: Vec<DueQuestion>,
    /// How many are due in all; may exceed the number of questions returned.
    pub total_due: u64,
    /// Whether this was answered without the cache, within limits.
    pub is_degraded: bool,
    /// The season, or "" when none is active.
    pub season: String,
}

/// One due question.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DueQuestion {
    /// Its id.
    pub question_id: String,
    /// The part of the id before the last colon.
    pub stage_id: String,
    /// Memory stability, 0 to 4.
    pub stability: f64,
    /// Site wall time, `YYYY-MM-DDTHH:MM:SS[.ffffff]`.
    pub next_review_date: String,
    /// Game Subject.
    pub subject: Option<String>,
    /// Game Topic.
    pub topic: Option<String>,
}

/// Answers which questions `player` is due to review.
///
/// # Errors
/// `InvalidInput` for an archived season, `NotFound` for an unknown one, `RateLimited` for a
/// student who reads too often while Redis is away, `Unavailable` when neither cache nor table
/// can answer in time.
pub async fn get_review_session(
    site: &Arc<Site>,
    player: &Player,
    request: &ReviewRequest,
    now: UtcMicros,
) -> Result<ReviewSession> {
    in_time(site, answer(site, player, request, now, true))
        .await
        .map_err(|error| site.in_outage(error))
}

async fn in_time(
    site: &Site,
    answer: impl Future<Output = Result<ReviewSession>>,
) -> Result<ReviewSession> {
    // What is believed from before is not waited for at its expense.
    MariaDb::within(PATIENCE + 2 * site.moment(), answer).await
}

async fn answer(
    site: &Arc<Site>,
    player: &Player,
    request: &ReviewRequest,
    now: UtcMicros,
    from_cache: bool,
) -> Result<ReviewSession> {
    let season = match &request.season {
        Some(name) => Some(seasons::asked(site, name, now).await?),
        None => seasons::active(site, now).await?,
    };
    let Some(season) = season else {
        return Ok(ReviewSession {
            questions: Vec::new(),
            total_due: 0,
            is_degraded: false,
            season: String::new(),
        });
    };
    let (subject, cached) = match &request.subject {
        Some(asked) => match seasons::subject(site, asked).await? {
            Some(stored) => (Some(stored), true),
            None => (Some(asked.clone()), false),
        },
        None => (None, true),
    };
    let zone = site.zone(now).await?;
    let page = Page {
        site,
        player,
        season: &season,
        subject,
        cached: from_cache && cached && season.enable_redis,
        limit: request.limit as usize,
        now,
    };
    let (questions, total_due, is_degraded) = page.find(zone).await?;
    Ok(ReviewSession {
        questions: questions
            .into_iter()
            .map(|state| due_question(state, zone))
            .collect(),
        total_due,
        is_degraded,
        season: season.name.as_str().to_owned(),
    })
}

/// Answers as [`get_review_session`] does while Redis is away: from the table and the
/// journal alone, and says so. Counts nothing and is not limited: for callers in Python.
///
/// # Errors
/// As [`get_review_session`], but never `RateLimited`.
pub async fn get_reviews_safe_mode(
    site: &Arc<Site>,
    player: &Player,
    request: &ReviewRequest,
    now: UtcMicros,
) -> Result<ReviewSession> {
    let session = in_time(site, answer(site, player, request, now, false)).await?;
    Ok(ReviewSession {
        is_degraded: true,
        ..session
    })
}

/// The name of the season that is active now.
///
/// # Errors
/// `Unavailable` if it was never read and the database is away.
pub async fn active_season(site: &Site, now: UtcMicros) -> Result<Option<String>> {
    let season = seasons::active(site, now).await?;
    Ok(season.map(|season| season.name.as_str().to_owned()))
}

/// What is looked for.
struct Page<'a> {
    site: &'a Arc<Site>,
    player: &'a Player,
    season: &'a SeasonRow,
    subject: Option<String>,
    /// Whether the cache may answer, and be filled. Not for a subject that does not exist:
    /// anybody can think of another one each time, and each would cost a fill.
    cached: bool,
    limit: usize,
    now: UtcMicros,
}

impl Page<'_> {
    /// Questions, total, degraded.
    async fn find(&self, zone: SiteZone) -> Result<(Vec<QuestionState>, u64, bool)> {
        let season = &self.season.name;
        let trust = match self.cached {
            true => self.site.recovery.trust(self.player, season).await,
            false => Trust::Table,
        };
        match trust {
            Trust::Cache => {}
            Trust::Table => {
                let page = self.table_page(zone, self.limit).await?;
                return Ok((page.found.questions, page.found.total, page.doubtful));
            }
            Trust::SafeMode => return self.degraded(zone).await,
        }
        let subject = self.subject.as_deref();
        let cached = self
            .site
            .cache
            .due(self.player, season, subject, self.now, self.limit)
            .await;
        match cached {
            Ok(Lookup::Complete(page)) => {
                safe_mode::healthy(self.site).await;
                Ok((page.questions, page.total, false))
            }
            Ok(Lookup::Incomplete) => {
                let page = self.table_page(zone, self.limit).await?;
                fill::in_background(self.site, self.player, season, self.subject.clone());
                Ok((page.found.questions, page.found.total, page.doubtful))
            }
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                tracing::warn!(
                    site = self.site.config.site,
                    ?error,
                    "Reading without the cache"
                );
                self.degraded(zone).await
            }
            Err(error) => Err(error),
        }
    }

    /// Without the cache: a few of the most urgent questions, under the limits of Safe Mode.
    async fn degraded(&self, zone: SiteZone) -> Result<(Vec<QuestionState>, u64, bool)> {
        Box::pin(safe_mode::admit(self.site, self.player)).await?;
        let limit = self.limit.min(DEGRADED_LIMIT);
        let page = self.table_page(zone, limit).await.map_err(both_away)?;
        Ok((page.found.questions, page.found.total, true))
    }

    async fn table_page(&self, zone: SiteZone, limit: usize) -> Result<OnRecord<DuePage>> {
        // Most reads do not come here: what this needs is no part of their futures, which
        // are made and moved for every request.
        Box::pin(self.on_record(zone, limit)).await
    }

    async fn on_record(&self, zone: SiteZone, limit: usize) -> Result<OnRecord<DuePage>> {
        let whose = Whose {
            player: self.player,
            season: &self.season.name,
            zone,
            site: &self.site.config.site,
        };
        let _reading = self.site.fills.reading();
        let _turn = self.site.load_turn().await?;
        let page = record::due(self.site, whose, self.subject.as_deref(), self.now, limit).await?;
        if !self.season.is_active {
            seasons::not_archived(self.site, &self.season.name).await?;
        }
        Ok(page)
    }
}

/// What a read that the table cannot answer either says.
fn both_away(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Unavailable => error.with_retry_after(BOTH_AWAY),
        _ => error,
    }
}

pub(super) fn due_question(state: QuestionState, zone: SiteZone) -> DueQuestion {
    DueQuestion {
        stage_id: state.question.stage().to_owned(),
        question_id: state.question.into_string(),
        stability: state.stability.to_f64(),
        next_review_date: zone.iso(state.due),
        subject: state.subject,
        topic: state.topic,
    }
}
