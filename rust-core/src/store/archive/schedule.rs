//! A student's archived rows.

use mysql_async::prelude::Queryable;
use mysql_async::{Row, Value};
use serde::Serialize;

use crate::Result;
use crate::servers::mariadb::MariaDb;
use crate::site_time::{SiteZone, iso_wall};
use crate::store::rows;
use crate::types::{Player, Season};

/// A question as it was when its season was archived. Times: the site's wall time, ISO 8601.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ArchivedQuestion {
    /// Its id.
    pub question_id: String,
    /// Memory stability, 0 to 4.
    pub stability: f64,
    /// When it would have been due.
    pub next_review_date: Option<String>,
    /// When it was last reviewed.
    pub last_review_date: Option<String>,
    /// Game Subject.
    pub subject: Option<String>,
    /// Game Topic.
    pub topic: Option<String>,
    /// When it was archived.
    pub archived_at: Option<String>,
    /// Whether an administrator may delete it.
    pub eligible_for_deletion: bool,
}

/// The student's questions in the order of their ids, those after `after`, `limit` at most.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn of_student(
    db: &MariaDb,
    player: &Player,
    season: &Season,
    after: &str,
    limit: u32,
) -> Result<Vec<ArchivedQuestion>> {
    let mut conn = db.conn().await?;
    let params = (player.as_str(), season.as_str(), after, limit);
    let found: Vec<Row> = conn.exec(include_str!("of_student.sql"), params).await?;
    found
        .into_iter()
        .map(|mut row| question(&mut row))
        .collect()
}

fn question(row: &mut Row) -> Result<ArchivedQuestion> {
    // Shown as they are stored; the zone is only for what is not.
    let state = rows::state(row, 0, SiteZone::UTC)?;
    let wall = |value: Option<Value>| match value {
        Some(value @ Value::Date(..)) => mysql_async::from_value_opt(value).ok().map(iso_wall),
        _ => None,
    };
    Ok(ArchivedQuestion {
        question_id: state.question.as_str().to_owned(),
        stability: state.stability.to_f64(),
        subject: state.subject,
        topic: state.topic,
        next_review_date: wall(row.take(7)),
        last_review_date: wall(row.take(8)),
        archived_at: wall(row.take(9)),
        eligible_for_deletion: rows::column(row, 10)?,
    })
}
