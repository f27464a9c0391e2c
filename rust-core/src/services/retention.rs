//! Archived rows past their retention: flagged after three years, deleted when an
//! administrator says so. In bounded chunks, between which the database rests.

use chrono::{Months, NaiveDateTime};
use serde::{Deserialize, Serialize};

use super::archive::{self, Pace};
use super::work::{self, Kind, Progress, Run, Tell};
use super::{Site, seasons};
use crate::store::archive::{self as store, Piece};
use crate::types::{Season, UtcMicros};
use crate::{Error, Result, failpoint};

/// Years after which an archived row may be deleted.
pub const YEARS: u32 = 3;

/// What flagging came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flagged {
    /// Rows that were flagged now.
    pub flagged_count: u64,
}

/// What deleting came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deleted {
    /// Rows that were deleted.
    pub deleted_count: u64,
}

/// Flags rows that were archived more than three years ago as eligible for deletion.
///
/// # Errors
/// `Unavailable` if this runs already, the database is away, or a row is held for seconds:
/// call again, it goes on.
pub async fn flag_eligible_for_deletion(site: &Site, tell: &Tell) -> Result<Flagged> {
    let before = end_of_retention(site).await?;
    let mut run = begin(site).await?;
    let mut flagged_count = 0;
    for season in store::seasons_with_rows(&site.db).await? {
        let total = store::candidates(&site.db, &season, Some(before)).await?;
        if total == 0 {
            continue;
        }
        let count = walk(site, &mut run, "flagging", total, tell, |step| {
            let season = season.clone();
            Box::pin(async move {
                let after = step.after.as_deref();
                store::flag_piece(step.run.held(), &season, after, step.rows, before).await
            })
        });
        flagged_count += count.await?;
    }
    run.end().await;
    tracing::info!(
        site = site.config.site,
        flagged_count,
        "SRSArchiver flagged rows that may be deleted"
    );
    Ok(Flagged { flagged_count })
}

/// How many rows [`flag_eligible_for_deletion`] would flag.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn flaggable(site: &Site) -> Result<u64> {
    let before = end_of_retention(site).await?;
    let mut total = 0;
    for season in store::seasons_with_rows(&site.db).await? {
        total += store::candidates(&site.db, &season, Some(before)).await?;
    }
    Ok(total)
}

/// Whatever was archived before then, the site's wall time, may be deleted.
async fn end_of_retention(site: &Site) -> Result<NaiveDateTime> {
    let now = UtcMicros::now();
    Ok(years_before(site.zone(now).await?.to_wall(now)))
}

/// How many rows [`delete_eligible_records`] would delete.
///
/// # Errors
/// `NotFound` for an unknown season; `Unavailable` if the database is away.
pub async fn eligible(site: &Site, season: Option<&str>) -> Result<u64> {
    let mut total = 0;
    for season in which(site, season).await? {
        total += store::candidates(&site.db, &season, None).await?;
    }
    Ok(total)
}

/// Deletes flagged rows for good, of one season or of all; only if `confirm` is given.
///
/// # Errors
/// `InvalidInput` without confirmation; `NotFound` for an unknown season; `Unavailable` as
/// for [`flag_eligible_for_deletion`].
pub async fn delete_eligible_records(
    site: &Site,
    season: Option<&str>,
    confirm: bool,
    tell: &Tell,
) -> Result<Deleted> {
    if !confirm {
        return Err(Error::invalid(
            "confirm: deleted rows are gone for good; confirm it",
        ));
    }
    let seasons = which(site, season).await?;
    let mut run = begin(site).await?;
    let mut deleted_count = 0;
    for season in seasons {
        let total = store::candidates(&site.db, &season, None).await?;
        if total == 0 {
            continue;
        }
        let count = walk(site, &mut run, "deleting", total, tell, |step| {
            let season = season.clone();
            Box::pin(async move {
                let after = step.after.as_deref();
                store::delete_piece(step.run.held(), &season, after, step.rows).await
            })
        });
        let count = count.await?;
        tracing::warn!(
            site = site.config.site,
            season = season.as_str(),
            count,
            "SRSArchiver deleted archived rows for good"
        );
        deleted_count += count;
    }
    run.end().await;
    let text = format!("{deleted_count} archived rows past their retention were deleted");
    if deleted_count > 0 {
        super::report::log_under(site, archive::ERROR_TITLE, &text).await?;
    }
    work::remember(site, Kind::Retention, None, &Deleted { deleted_count }).await?;
    Ok(Deleted { deleted_count })
}

async fn begin(site: &Site) -> Result<Run> {
    let mut run = Run::begin(site, Kind::Retention, None).await?;
    store::prepare(run.held()).await?;
    Ok(run)
}

/// The season that was named, or all that the archive has.
async fn which(site: &Site, season: Option<&str>) -> Result<Vec<Season>> {
    let Some(name) = season else {
        return store::seasons_with_rows(&site.db).await;
    };
    let row = seasons::named(site, name, UtcMicros::now()).await?;
    Ok(vec![row.name.clone()])
}

/// One chunk to be done.
struct Step<'a> {
    run: &'a mut Run,
    after: Option<String>,
    rows: u32,
}

type Pieces<'a> = std::pin::Pin<Box<dyn Future<Output = Result<Piece>> + Send + 'a>>;

/// Goes through a season's rows, chunk by chunk; how many were changed.
async fn walk(
    site: &Site,
    run: &mut Run,
    phase: &'static str,
    total: u64,
    tell: &Tell,
    mut piece: impl for<'a> FnMut(Step<'a>) -> Pieces<'a>,
) -> Result<u64> {
    let (mut done, mut after) = (0, None);
    let mut pace = Pace::new();
    loop {
        let rows = pace.begin();
        let step = Step {
            run: &mut *run,
            after,
            rows,
        };
        let found = piece(step).await?;
        done += found.changed;
        tell(Progress::new(phase, done, total));
        failpoint::hit(&site.config.site, "retention_piece").await?;
        if found.until.is_none() || done >= total && phase == "deleting" {
            return Ok(done);
        }
        after = found.until;
        pace.rest().await;
    }
}

fn years_before(wall: NaiveDateTime) -> NaiveDateTime {
    wall.checked_sub_months(Months::new(12 * YEARS))
        .unwrap_or(wall)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_years_are_three_years() {
        let at = |text: &str| crate::site_time::parse_wall(text).unwrap();
        assert_eq!(
            years_before(at("2026-11-25 10:00:00")),
            at("2023-11-25 10:00:00")
        );
        assert_eq!(
            years_before(at("2028-02-29 10:00:00")),
            at("2025-02-28 10:00:00")
        );
    }
}
