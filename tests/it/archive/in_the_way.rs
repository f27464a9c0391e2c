//! What must not be archived, and who is in the way.

use std::time::Duration;

use memora_core::services::archive::{Method, get_archive_status};
use memora_core::services::fill;
use memora_core::types::Season;
use memora_core::{ErrorKind, failpoint};
use memora_tests::wait;
use mysql_async::prelude::Queryable;
use serde_json::json;

use super::*;
use crate::story::try_read;

#[tokio::test]
async fn only_inactive_seasons_that_exist_are_archived() {
    let test = site().await;
    let site = test.site().await;
    for (season, kind, says) in [
        (SEASON, ErrorKind::InvalidInput, "is active"),
        ("nope", ErrorKind::NotFound, "does not exist"),
        (" ", ErrorKind::InvalidInput, "season"),
    ] {
        let refused = archive(&site, season, Method::Convert).await.unwrap_err();
        assert_eq!(refused.kind(), kind);
        assert!(refused.message().contains(says), "{refused}");
    }
    assert_eq!(rows(&test, TRACKER, SEASON).await.len(), 7);
    let refused = restore(&site, OLD).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_season_that_was_closed_a_moment_ago_waits_until_all_know_it() {
    let test = TestSite::builder()
        .config("srs_season_cache_s", json!(2))
        .build()
        .await;
    furnish(&test, OLD).await;
    let site = test.site().await;
    let now = test.wall(chrono::Utc::now());
    test.exec(
        "UPDATE `tabGame Subscription Season` SET modified = ? WHERE name = ?",
        (now, OLD),
    )
    .await;
    let began = std::time::Instant::now();
    archive(&site, OLD, Method::Convert).await.unwrap();
    assert!(began.elapsed() > Duration::from_secs(1));
}

#[tokio::test]
async fn a_season_that_is_opened_meanwhile_stays_open() {
    let test = site().await;
    let site = test.site().await;
    let point = failpoint::pause(&test.name, "archive_step_1");
    let archiving = tokio::spawn({
        let site = site.clone();
        async move { archive(&site, OLD, Method::Convert).await }
    });
    point.reached().await;
    test.exec(
        "UPDATE `tabGame Subscription Season` SET is_active = 1 WHERE name = ?",
        (OLD,),
    )
    .await;
    drop(point);
    let refused = archiving.await.unwrap().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    assert_eq!(rows(&test, TRACKER, OLD).await.len(), ROWS);
    let status = get_archive_status(&site, OLD).await.unwrap();
    assert_eq!(status.state, "active");
    let read = try_read(&test.site().await, json!({"season": OLD})).await;
    assert_eq!(read.unwrap().total_due, 10);
}

#[tokio::test]
async fn reads_are_refused_from_the_announcement_on() {
    let test = site().await;
    let site = test.site().await;
    // One process has read the season before: it believes so for ten seconds. Its schedules
    // are not in the cache any more.
    let believing = test.site().await;
    let request = json!({"season": OLD, "limit": 5});
    try_read(&believing, request.clone()).await.unwrap();
    let (ann, old) = (crate::story::ann(), Season::stored(OLD));
    wait::until("the fill that the read began is over", || async {
        believing
            .cache
            .invalidate(&ann, &old)
            .await
            .unwrap()
            .then_some(())
    })
    .await;
    let point = failpoint::pause(&test.name, "archive_step_2");
    let archiving = tokio::spawn({
        let site = site.clone();
        async move { archive(&site, OLD, Method::Convert).await }
    });
    point.reached().await;
    let fresh = test.site().await;
    // Detached: who believes that the season is there finds no rows, and must not say so.
    for process in [&fresh, &believing] {
        let refused = try_read(process, request.clone()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        assert_eq!(refused.message(), "Season SEASON-2025 is being archived");
    }
    let filled = fill::run(&believing, &ann, &old, &[]).await;
    assert_eq!(filled.unwrap(), fill::Filled::Overtaken);
    let status = get_archive_status(&site, OLD).await.unwrap();
    assert_eq!(status.state, "archiving");
    assert!(status.progress.unwrap().running);
    drop(point);
    archiving.await.unwrap().unwrap();
}

#[tokio::test]
async fn of_two_runs_of_one_season_one_says_so_and_other_seasons_go_on() {
    let test = site().await;
    add_old(&test, "OTHER").await;
    let point = failpoint::pause(&test.name, "archive_step_2");
    let first = tokio::spawn({
        let site = test.site().await;
        async move { archive(&site, OLD, Method::Convert).await }
    });
    point.reached().await;
    let site = test.site().await;
    let refused = archive(&site, OLD, Method::Convert).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert_eq!(
        refused.message(),
        "Another archive of SEASON-2025 is under way"
    );
    let other = tokio::spawn({
        let site = test.site().await;
        async move { archive(&site, "OTHER", Method::Copy).await }
    });
    point.reached().await;
    drop(point);
    first.await.unwrap().unwrap();
    assert_eq!(other.await.unwrap().unwrap().records_archived, ROWS as u64);
    assert_eq!(rows(&test, ARCHIVE, OLD).await.len(), ROWS);
}

#[tokio::test]
async fn readers_go_on_while_an_archiving_waits_for_a_long_transaction() {
    for method in [Method::Convert, Method::Copy] {
        let test = site().await;
        let mut holder = test.db.get_conn().await.unwrap();
        holder.query_drop("START TRANSACTION").await.unwrap();
        let look = format!("SELECT COUNT(*) FROM `{TRACKER}`");
        holder.query_drop(&look).await.unwrap();
        let archiving = tokio::spawn({
            let site = test.site().await;
            async move { archive(&site, OLD, method).await }
        });
        wait::until("it is announced", || async {
            let sql = "SELECT 1 FROM memora_srs_state WHERE name = 'archive:SEASON-2025'";
            test.query_one::<u8>(sql, ()).await
        })
        .await;
        // An ALTER that waited would hold these up for as long.
        let reads = async {
            for _ in 0..200 {
                let _: Vec<u64> = test.query(&look, ()).await;
            }
        };
        tokio::time::timeout(wait::PATIENCE, reads)
            .await
            .expect("reads beside a waiting archiving");
        assert!(!archiving.is_finished());
        assert_eq!(rows(&test, TRACKER, OLD).await.len(), ROWS);
        holder.query_drop("COMMIT").await.unwrap();
        archiving.await.unwrap().unwrap();
        assert_eq!(rows(&test, ARCHIVE, OLD).await.len(), ROWS);
    }
}

#[tokio::test]
async fn rows_that_do_not_agree_keep_everything_and_say_so() {
    for method in [Method::Convert, Method::Copy] {
        let test = site().await;
        let site = test.site().await;
        let before = rows(&test, TRACKER, OLD).await;
        // Stopped just before the archive's rows are summed up: those before are the second.
        let point = failpoint::pause(&test.name, "archive_sums");
        let archiving = tokio::spawn({
            let site = site.clone();
            async move { archive(&site, OLD, method).await }
        });
        point.reached().await;
        point.release();
        point.reached().await;
        let damage = format!("UPDATE `{ARCHIVE}` SET stability = stability + 0.5 LIMIT 1");
        assert_eq!(test.exec(&damage, ()).await, 1);
        drop(point);
        let refused = archiving.await.unwrap().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict);
        assert!(
            refused.message().contains("Nothing was dropped"),
            "{refused}"
        );
        let status = get_archive_status(&site, OLD).await.unwrap();
        assert_eq!(status.state, "archiving");
        assert!(
            status
                .progress
                .unwrap()
                .failure
                .unwrap()
                .contains("checksum")
        );
        let told = "SELECT COUNT(*) FROM `tabError Log` WHERE method = 'SRSArchiver'";
        assert_eq!(count(&test, told).await, 1);
        let kept = leftovers(&test).await;
        assert_eq!(
            kept.iter().any(|t| t.contains("detached")),
            method == Method::Copy
        );
        // Once it is mended, it goes on.
        let mend = format!("UPDATE `{ARCHIVE}` SET stability = stability - 0.5 WHERE name = ?");
        let now = rows(&test, ARCHIVE, OLD).await;
        let damaged = now.iter().find(|row| !before.contains(row)).unwrap();
        let name = damaged.split('|').next().unwrap();
        test.exec(&mend, (name,)).await;
        assert!(archive(&site, OLD, method).await.unwrap().resumed);
        assert_archived(&test, OLD, &before).await;
    }
}

/// Archives by copy, with `damage` done to the archive before it is verified; what is said.
async fn damaged(site: &Arc<Site>, test: &TestSite, damage: &[&str]) -> String {
    let point = failpoint::pause(&test.name, "archive_sums");
    let archiving = tokio::spawn({
        let site = site.clone();
        async move { archive(&site, OLD, Method::Copy).await }
    });
    point.reached().await;
    point.release();
    point.reached().await;
    let tables = leftovers(test).await;
    let detached = tables.iter().find(|t| t.contains("detached")).unwrap();
    for damage in damage {
        let sql = damage.replace("{detached}", detached);
        assert_eq!(test.exec(&sql, ()).await, 1, "{sql}");
    }
    drop(point);
    let refused = archiving.await.unwrap().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    refused.message().to_owned()
}

#[tokio::test]
async fn a_copy_that_went_wrong_is_made_anew_by_the_next_run() {
    for damage in [
        format!("UPDATE `{ARCHIVE}` SET stability = stability + 0.5 LIMIT 1"),
        format!("DELETE FROM `{ARCHIVE}` LIMIT 1"),
        format!(
            "INSERT INTO `{ARCHIVE}` (name, player, season, question_id) \
             VALUES ('stray', '{BOB}', '{OLD}', 'stray')"
        ),
    ] {
        let test = site().await;
        let site = test.site().await;
        let before = rows(&test, TRACKER, OLD).await;
        let said = damaged(&site, &test, &[&damage]).await;
        assert!(said.contains("archive it again"), "{said}");
        let report = archive(&site, OLD, Method::Copy).await.unwrap();
        assert!(report.resumed);
        assert_eq!(report.records_archived, ROWS as u64);
        assert_archived(&test, OLD, &before).await;
    }
}

#[tokio::test]
async fn nothing_is_dropped_where_the_detached_rows_are_not_what_they_were() {
    let test = site().await;
    let site = test.site().await;
    let change = format!("UPDATE `{ARCHIVE}` SET stability = stability + 0.5 LIMIT 1");
    let both = [
        &*change,
        "UPDATE `{detached}` SET stability = stability + 0.25 LIMIT 1",
    ];
    damaged(&site, &test, &both).await;
    for _ in 0..2 {
        let refused = archive(&site, OLD, Method::Copy).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict);
        let detached = leftovers(&test).await;
        let detached = detached.iter().find(|t| t.contains("detached")).unwrap();
        assert!(refused.message().contains(detached), "{refused}");
        assert_eq!(rows(&test, ARCHIVE, OLD).await.len(), ROWS);
        assert_eq!(rows(&test, detached, OLD).await.len(), ROWS);
    }
}

#[tokio::test]
async fn a_conversion_that_the_server_gives_up_half_way_is_done_again() {
    let test = TestSite::builder().own_mariadb().build().await;
    furnish(&test, OLD).await;
    let site = test.site().await;
    let before = rows(&test, TRACKER, OLD).await;
    // The server's own statistics, which DDL changes too, are held by somebody.
    let mut holder = test.mariadb.root().await.unwrap();
    let hold = "SELECT COUNT(*) FROM mysql.innodb_table_stats FOR UPDATE";
    holder.query_drop("START TRANSACTION").await.unwrap();
    holder.query_drop(hold).await.unwrap();
    // As such a conversion leaves it: a name, and no table. Where the server gave up before
    // it had made the name, once more.
    let convert = format!(
        "ALTER TABLE `{TRACKER}` NOWAIT CONVERT PARTITION {} TO TABLE memora_srs_half",
        partition_of(&test, OLD).await
    );
    let half = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() \
                AND table_name = 'memora_srs_half'";
    wait::until("a conversion leaves a half", || async {
        let mut conn = test.db.get_conn().await.unwrap();
        conn.query_drop(&convert).await.unwrap_err();
        (count(&test, half).await == 1).then_some(())
    })
    .await;
    holder.query_drop("ROLLBACK").await.unwrap();
    // A run that died there.
    let point = failpoint::fail(&test.name, "archive_step_1");
    archive(&site, OLD, Method::Convert).await.unwrap_err();
    drop(point);
    test.exec(
        "UPDATE memora_srs_state SET value = JSON_SET(value, '$.detached', 'memora_srs_half') \
         WHERE name = 'archive:SEASON-2025'",
        (),
    )
    .await;
    archive(&site, OLD, Method::Convert).await.unwrap();
    assert_archived(&test, OLD, &before).await;
    assert_eq!(count(&test, half).await, 0);
}

async fn partition_of(test: &TestSite, season: &str) -> String {
    let site = test.site().await;
    let stats = memora_core::services::partitions::stats(&site, Some(season)).await;
    stats.unwrap().remove(0).partition_name
}
