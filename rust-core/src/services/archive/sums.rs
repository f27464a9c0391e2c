//! Summing up a season's rows, in several ranges at once.

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};

use crate::servers::mariadb::MariaDb;
use crate::services::work::{Progress, Tell};
use crate::store::archive::{self as store, Range, Sum};
use crate::types::Season;
use crate::{Result, failpoint};

/// Rows of a range.
const ROWS: u32 = 250_000;
/// Ranges at once, where the server does nothing else for us.
const AT_ONCE: usize = 2;

/// Sums up the season's rows in `table`, of about `total`; one range at a time where nobody
/// is told, because the server is busy with the indexes then, and students want something
/// of a small machine, too.
///
/// # Errors
/// `Unavailable` if the database is away.
pub(super) async fn sum(
    db: &MariaDb,
    scope: &str,
    (table, season): (&str, &Season),
    total: u64,
    tell: Option<&Tell>,
) -> Result<Sum> {
    failpoint::hit(scope, "archive_sums").await?;
    let ranges = store::ranges(db, table, season, ROWS).await?;
    let parts: Vec<BoxFuture<'_, Result<Sum>>> = ranges
        .into_iter()
        .map(|range| part(db, table, season, range).boxed())
        .collect();
    let mut parts = stream::iter(parts).buffer_unordered(if tell.is_some() { AT_ONCE } else { 1 });
    let mut all = Sum::default();
    while let Some(part) = parts.try_next().await? {
        all += part;
        if let Some(tell) = tell {
            tell(Progress::new("verifying", all.rows, total));
        }
    }
    Ok(all)
}

async fn part(db: &MariaDb, table: &str, season: &Season, range: Range) -> Result<Sum> {
    let mut conn = db.conn().await?;
    store::sum(&mut conn, table, season, &range).await
}
