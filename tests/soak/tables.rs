//! What the tables hold, read as an operator reads them: over the socket, past all proxies.

use std::time::Duration;

use anyhow::{Context, Result};
use chrono::{NaiveDateTime, TimeZone};
use memora_core::types::Stability;
use memora_tests::soak::Evidence;
use memora_tests::soak::evidence::{Journaled, Logged, State, Tables, Tracked};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};
use tokio::time::{Instant, sleep};

use crate::recorder::Recorder;
use crate::stage::Stage;

/// How long the journal may take to be worked off after the last fault: failed rows wait
/// a few minutes for their next turn.
const DRAIN: Duration = Duration::from_secs(300);

/// Waits until everything is applied; how many submits are not.
pub(crate) async fn drain(stage: &Stage) -> Result<u64> {
    let deadline = Instant::now() + DRAIN;
    loop {
        let mut conn = connect(stage).await?;
        let open: Option<u64> = conn
            .query_first("SELECT COUNT(*) FROM memora_srs_journal WHERE applied_at IS NULL")
            .await?;
        conn.disconnect().await?;
        let elsewhere = unjournaled(stage).await?;
        let open = open.unwrap_or(0) + elsewhere;
        if open == 0 || Instant::now() > deadline {
            return Ok(open);
        }
        stage.look_after().await?;
        sleep(Duration::from_millis(500)).await;
    }
}

/// Submits that wait on the queue Redis for their journal row.
async fn unjournaled(stage: &Stage) -> Result<u64> {
    let mut redis = stage.site.queue.connection().await;
    let keys: Vec<Vec<u8>> = redis::cmd("KEYS")
        .arg("rq:memora:unj:*")
        .query_async(&mut redis)
        .await?;
    Ok(keys.len() as u64)
}

/// The tracker.
pub(crate) async fn tracker(stage: &Stage) -> Result<Vec<Tracked>> {
    let mut conn = connect(stage).await?;
    let rows: Vec<(String, String, i64, NaiveDateTime, String, Option<String>)> = conn
        .query(
            "SELECT player, question_id, review_version, next_review_date, \
             CAST(stability AS CHAR), subject FROM `tabPlayer Memory Tracker`",
        )
        .await?;
    conn.disconnect().await?;
    let zone = stage.site.zone;
    let rows = rows.into_iter().map(|row| {
        let (player, question, version, wall, stability, subject) = row;
        let due = zone.from_local_datetime(&wall).earliest();
        let due = due.context("a wall time that does not exist")?;
        Ok(Tracked {
            player,
            question,
            state: State {
                version,
                due: due.timestamp_micros(),
                stability: nanos(&stability)?,
            },
            subject,
        })
    });
    rows.collect()
}

/// Everything that the checker needs. The recorder is empty afterwards.
pub(crate) async fn evidence(
    stage: &Stage,
    recorder: &Recorder,
    start: Vec<Tracked>,
) -> Result<Evidence> {
    let (submits, reads, faults) = recorder.take();
    let rows = tracker(stage).await?;
    let mut conn = connect(stage).await?;
    let tables = Tables {
        rows,
        log: log(&mut conn).await?,
        journal: journal(&mut conn).await?,
        applied: conn
            .query(
                "SELECT CAST(player AS CHAR), CAST(submission_id AS CHAR), COALESCE(worker, '') \
                 FROM memora_srs_audit WHERE result = 'applied'",
            )
            .await?,
    };
    conn.disconnect().await?;
    Ok(Evidence {
        start,
        submits,
        reads,
        faults,
        skews: stage.skews(),
        tables,
    })
}

async fn log(conn: &mut Conn) -> Result<Vec<Logged>> {
    let rows: Vec<Row> = conn
        .query(
            "SELECT CAST(player AS CHAR), CAST(submission_id AS CHAR), seq, \
             CAST(question AS CHAR), quality, version_before, review_version, due_after, \
             CAST(stability_after AS CHAR) FROM memora_srs_review_log",
        )
        .await?;
    let rows = rows.into_iter().map(|row| {
        type Columns = (
            String,
            String,
            usize,
            String,
            u8,
            Option<i64>,
            i64,
            NaiveDateTime,
            String,
        );
        let columns: Columns = mysql_async::from_row_opt(row)?;
        let (player, submission, seq, question, quality, base, version, due, stability) = columns;
        Ok(Logged {
            player,
            submission,
            seq,
            question,
            quality,
            base,
            after: State {
                version,
                due: due.and_utc().timestamp_micros(),
                stability: nanos(&stability)?,
            },
        })
    });
    rows.collect()
}

async fn journal(conn: &mut Conn) -> Result<Vec<Journaled>> {
    type Columns = (String, String, NaiveDateTime, Option<NaiveDateTime>);
    let rows: Vec<Columns> = conn
        .query(
            "SELECT CAST(player AS CHAR), CAST(submission_id AS CHAR), created_at, applied_at \
             FROM memora_srs_journal",
        )
        .await?;
    let micros = |at: NaiveDateTime| at.and_utc().timestamp_micros();
    let rows = rows
        .into_iter()
        .map(|(player, submission, created, applied)| Journaled {
            player,
            submission,
            created: micros(created),
            applied: applied.map(micros),
        });
    Ok(rows.collect())
}

async fn connect(stage: &Stage) -> Result<Conn> {
    let mut conn = stage.site.mariadb.root().await?;
    conn.query_drop(format!("USE `{}`", stage.site.db_name))
        .await?;
    Ok(conn)
}

fn nanos(stability: &str) -> Result<i64> {
    let number: f64 = stability.parse().context("a stability")?;
    Ok(Stability::from_f64(number).nanos())
}
