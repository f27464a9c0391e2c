//! A season of many students, on servers of its own.

use anyhow::Result;
use memora_tests::servers::MariaDbOptions;
use memora_tests::{Student, TestSite};
use mysql_async::prelude::Queryable;

use crate::SEASON;

/// How large a season is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Students.
    pub students: usize,
    /// Tracked questions of each.
    pub questions: usize,
    /// Those of them that are due.
    pub due: usize,
    /// `innodb_buffer_pool_size` in MiB.
    pub buffer_pool_mb: u32,
}

/// Servers, a site, students with API keys and sessions, and their rows.
///
/// # Errors
/// If a server fails.
pub async fn furnish(size: Size) -> Result<(TestSite, Vec<Student>)> {
    furnish_each(
        &vec![size.questions; size.students],
        size.due,
        size.buffer_pool_mb,
    )
    .await
}

/// As [`furnish`], a student for each count of `questions`. Their sessions were extended within
/// the last ten minutes, some just now and some that long ago, as those of people who are there.
///
/// # Errors
/// If a server fails.
pub async fn furnish_each(
    questions: &[usize],
    due: usize,
    buffer_pool_mb: u32,
) -> Result<(TestSite, Vec<Student>)> {
    let test = TestSite::builder()
        .own_mariadb_with(MariaDbOptions {
            buffer_pool_mb,
            log_file_mb: 512,
            ..MariaDbOptions::default()
        })
        .own_cache()
        .own_queue()
        .try_build()
        .await?;
    test.add_season(SEASON).await;
    let names: Vec<String> = (0..questions.len())
        .map(|n| format!("student-{n:06}@example.com"))
        .collect();
    let mut root = test.mariadb.root().await?;
    // Nothing of this is to outlive a crash.
    let sync = |n| format!("SET GLOBAL innodb_flush_log_at_trx_commit = {n}");
    root.query_drop(sync(0)).await?;
    let players: Vec<&str> = names.iter().map(String::as_str).collect();
    test.add_questions_to_each(&players, SEASON, questions, due)
        .await;
    // After the rows, which may take minutes.
    let ago = |n| chrono::Duration::seconds((n * 7919 % 600) as i64);
    let students = test.add_students_seen(&names, ago).await;
    root.query_drop(sync(1)).await?;
    test.exec("ANALYZE TABLE `tabPlayer Memory Tracker`", ())
        .await;
    Ok((test, students))
}
