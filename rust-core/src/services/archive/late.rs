//! Rows that were written for a season while it was archived, or after: workers make a
//! partition anew for them. It is detached as the season's was, and merged.

use super::Method;
use super::drain;
use super::run::Archiving;
use crate::store::archive::{self as store, Direction, new_table_name};
use crate::{Error, ErrorKind, Result};

/// Partitions made anew that one run takes.
const ROUNDS: u32 = 10;

/// Merges all that is there; more may come at any time, and is for the next run.
pub(super) async fn merge(archiving: &mut Archiving<'_>) -> Result<()> {
    drain::drain(archiving.site, &archiving.season).await?;
    let convert =
        archiving.note.method != Method::Copy && store::can_convert(archiving.run.held()).await?;
    for _ in 0..ROUNDS {
        let season = archiving.season.clone();
        let (held, late) = (archiving.run.held(), archiving.note.late.clone());
        let begun = store::exists(held, &late).await?;
        if !begun && !store::late_rows_wait(held, &season).await? {
            return Ok(());
        }
        // The table's name is on record before there is a table.
        archiving.save().await?;
        let held = archiving.run.held();
        let there = store::detach_late(held, &season, &late, convert).await?;
        archiving.step().await?;
        if !there {
            return Ok(());
        }
        merge_table(archiving, &late).await?;
        store::drop_own(archiving.run.held(), &late).await?;
        archiving.step().await?;
        archiving.note.late = new_table_name(&season, "late");
    }
    Ok(())
}

async fn merge_table(archiving: &mut Archiving<'_>, late: &str) -> Result<()> {
    let rows = store::rows_of(archiving.run.held(), late).await?;
    archiving.note.position = None;
    let done = std::mem::take(&mut archiving.note.done);
    archiving.merge(late, Direction::Archive).await?;
    archiving.note.position = None;
    archiving.note.done = done;
    let missing = archiving.not_merged(late, Direction::Archive).await?;
    if missing > 0 {
        let message = format!(
            "{missing} late rows of {} have not come into the archive; they stay in table {late}",
            archiving.season
        );
        archiving.note.failure = Some(message.clone());
        archiving.save().await?;
        return Err(Error::new(ErrorKind::Conflict, message));
    }
    archiving.note.late_rows += rows;
    Ok(())
}
