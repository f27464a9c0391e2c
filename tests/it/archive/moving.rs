//! Whole moves, there and back.

use memora_core::ErrorKind;
use memora_core::services::archive::{
    Method, get_archive_status, get_archived_schedule, plan, process_auto_archive,
};
use memora_core::services::{fill, work};
use memora_core::types::{Player, Season};
use serde_json::json;

use super::*;
use crate::story::{ann, try_read};

const METHODS: [Method; 2] = [Method::Convert, Method::Copy];

#[tokio::test]
async fn a_season_moves_with_every_row() {
    for method in METHODS {
        let test = site().await;
        let site = test.site().await;
        let before = rows(&test, TRACKER, OLD).await;
        let others = rows(&test, TRACKER, SEASON).await;
        let report = archive(&site, OLD, method).await.unwrap();
        assert_eq!(
            (report.records_archived, report.method),
            (ROWS as u64, method)
        );
        assert_eq!((report.resumed, report.late_merged), (false, 0));
        assert_archived(&test, OLD, &before).await;
        assert_eq!(rows(&test, TRACKER, SEASON).await, others);
        let (dates, flags): (u64, u64) = test
            .query_one(
                &format!(
                    "SELECT COUNT(DISTINCT archived_at), SUM(eligible_for_deletion) FROM `{ARCHIVE}`"
                ),
                (),
            )
            .await
            .unwrap();
        assert_eq!((dates, flags), (1, 0));
        let when = "SELECT COUNT(*) FROM `tabArchived Memory Tracker` AS a JOIN `tabGame Subscription \
                    Season` AS s ON s.name = a.season AND s.archived_on = a.archived_at";
        assert_eq!(count(&test, when).await, ROWS as u64);
        let status = get_archive_status(&site, OLD).await.unwrap();
        assert_eq!(
            (status.state, status.records_archived),
            ("archived", ROWS as u64)
        );
        assert!(status.archived_at.is_some() && status.progress.is_none());
        let history: Vec<Report> = work::history(&site, work::Kind::Archive).await.unwrap();
        assert_eq!(history, [report]);
        // The schema is what a migration would make of it.
        let again =
            memora_core::services::schema::plan(&site, memora_core::types::UtcMicros::now());
        assert!(again.await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn it_comes_back_as_it_was() {
    for method in METHODS {
        let test = site().await;
        let site = test.site().await;
        let before = rows(&test, TRACKER, OLD).await;
        archive(&site, OLD, method).await.unwrap();
        let report = restore(&site, OLD).await.unwrap();
        assert_eq!(
            (report.records_restored, report.resumed),
            (ROWS as u64, false)
        );
        assert_eq!(rows(&test, TRACKER, OLD).await, before);
        assert_eq!(rows(&test, ARCHIVE, OLD).await, Vec::<String>::new());
        assert_eq!(marks(&test, OLD).await, (false, true));
        assert_eq!(
            get_archive_status(&site, OLD).await.unwrap().state,
            "inactive"
        );
        let refused = restore(&site, OLD).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        // And goes again.
        archive(&site, OLD, method).await.unwrap();
        assert_archived(&test, OLD, &before).await;
    }
}

#[tokio::test]
async fn fields_that_a_site_added_move_too() {
    for method in METHODS {
        let test = site().await;
        let site = test.site().await;
        test.exec(
            &format!(
                "ALTER TABLE `{TRACKER}` ADD COLUMN `cust``om, x` text DEFAULT 'd' AFTER player, \
                 ADD COLUMN twice int GENERATED ALWAYS AS (idx * 2) VIRTUAL, \
                 ADD COLUMN hint varchar(20) CHARACTER SET latin1 NOT NULL DEFAULT 'é'"
            ),
            (),
        )
        .await;
        test.exec(
            &format!("ALTER TABLE `{ARCHIVE}` ADD COLUMN reason varchar(140) DEFAULT 'old' FIRST"),
            (),
        )
        .await;
        test.exec(
            &format!("UPDATE `{TRACKER}` SET `cust``om, x` = CONCAT('é', name), idx = 3"),
            (),
        )
        .await;
        let before = rows(&test, TRACKER, OLD).await;
        archive(&site, OLD, method).await.unwrap();
        assert_archived(&test, OLD, &before).await;
        let kept = format!(
            "SELECT COUNT(*) FROM `{ARCHIVE}` WHERE `cust``om, x` = CONCAT('é', name) \
             AND twice = 6 AND hint = 'é' AND reason = 'old'"
        );
        assert_eq!(count(&test, &kept).await, ROWS as u64, "{method:?}");
        restore(&site, OLD).await.unwrap();
        let kept = format!(
            "SELECT COUNT(*) FROM `{TRACKER}` WHERE `cust``om, x` = CONCAT('é', name) AND season = '{OLD}'"
        );
        assert_eq!(count(&test, &kept).await, ROWS as u64, "{method:?}");
    }
}

#[tokio::test]
async fn any_name_is_a_seasons_name() {
    let test = TestSite::new().await;
    let site = test.site().await;
    let names = [
        "it's \\ \"x\" `y`".to_owned(),
        format!("{}😀", "x".repeat(139)),
        "😀".repeat(140),
        "موسم:*?[a]".to_owned(),
    ];
    for (name, method) in names.iter().zip(METHODS.into_iter().cycle()) {
        add_old(&test, name).await;
        let before = rows(&test, TRACKER, name).await;
        archive(&site, name, method).await.unwrap();
        assert_archived(&test, name, &before).await;
    }
    restore(&site, &names[0]).await.unwrap();
    assert_eq!(rows(&test, TRACKER, &names[0]).await.len(), ROWS);
    // Any spelling that MariaDB takes for the same.
    add_old(&test, "Été").await;
    let report = archive(&site, "ete", Method::Convert).await.unwrap();
    assert_eq!(
        (report.season.as_str(), report.records_archived),
        ("Été", ROWS as u64)
    );
}

#[tokio::test]
async fn the_season_of_the_last_partition_moves_too() {
    for method in METHODS {
        let test = TestSite::new().await;
        let site = test.site().await;
        let last = "SEASON-DEFAULT";
        test.add_questions(ANN, last, ROWS, Due::All).await;
        let before = rows(&test, TRACKER, last).await;
        let report = archive(&site, last, method).await.unwrap();
        assert_eq!(report.records_archived, ROWS as u64);
        assert_eq!(rows(&test, ARCHIVE, last).await, before);
        assert_eq!(rows(&test, TRACKER, last).await, Vec::<String>::new());
        assert_eq!(leftovers(&test).await, Vec::<String>::new());
        restore(&site, last).await.unwrap();
        assert_eq!(rows(&test, TRACKER, last).await, before);
        assert_eq!(rows(&test, ARCHIVE, last).await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_season_without_rows_or_partition_is_archived_as_well() {
    for method in METHODS {
        let test = site().await;
        let site = test.site().await;
        test.exec(&format!("DELETE FROM `{TRACKER}` WHERE season = ?"), (OLD,))
            .await;
        assert_eq!(
            archive(&site, OLD, method).await.unwrap().records_archived,
            0
        );
        assert_archived(&test, OLD, &[]).await;
        restore(&site, OLD).await.unwrap();
        assert!(has_partition(&test, OLD).await);
        test.exec(
            "INSERT INTO `tabGame Subscription Season` (name, season_name) VALUES ('NONE', 'NONE')",
            (),
        )
        .await;
        assert_eq!(
            archive(&site, "NONE", method)
                .await
                .unwrap()
                .records_archived,
            0
        );
        assert_archived(&test, "NONE", &[]).await;
    }
}

#[tokio::test]
async fn only_the_seasons_own_schedules_leave_the_cache() {
    let test = site().await;
    let site = test.site().await;
    let others = ["x:SEASON-2025", "SEASON-2025*", "SEASON-202?"];
    for other in others {
        test.add_season(other).await;
    }
    for season in [OLD, SEASON, others[0], others[1], others[2]] {
        fill::run(&site, &ann(), &Season::stored(season), &[])
            .await
            .unwrap();
    }
    let bob = Player::stored(BOB);
    fill::run(&site, &bob, &Season::stored(OLD), &[])
        .await
        .unwrap();
    let report = archive(&site, OLD, Method::Convert).await.unwrap();
    assert_eq!(report.cache_keys_deleted, 2);
    for season in [SEASON, others[0], others[1], others[2]] {
        let season = Season::stored(season);
        let there = site.cache.invalidate(&ann(), &season).await;
        assert!(there.unwrap(), "{season}");
    }
}

#[tokio::test]
async fn students_read_that_it_is_archived() {
    let test = site().await;
    let site = test.site().await;
    let request = json!({"season": OLD, "limit": 5});
    assert_eq!(
        try_read(&site, request.clone()).await.unwrap().total_due,
        10
    );
    archive(&site, OLD, Method::Convert).await.unwrap();
    let fresh = test.site().await;
    let refused = try_read(&fresh, request).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    assert_eq!(
        refused.message(),
        "Season SEASON-2025 has ended and is archived"
    );
    // What is left is for statistics.
    let page = get_archived_schedule(&site, &ann(), OLD, "", 20)
        .await
        .unwrap();
    assert_eq!(page.len(), 20);
    let last = page.last().unwrap().question_id.clone();
    let rest = get_archived_schedule(&site, &ann(), OLD, &last, 20)
        .await
        .unwrap();
    assert_eq!(rest.len(), ROWS - 20 - 20);
    assert!(
        rest.iter()
            .all(|q| q.question_id > last && q.archived_at.is_some())
    );
    let none = get_archived_schedule(&site, &ann(), SEASON, "", 20)
        .await
        .unwrap();
    assert_eq!(none, []);
}

#[tokio::test]
async fn rows_that_the_archive_has_already_are_merged_with() {
    for method in METHODS {
        let test = site().await;
        let site = test.site().await;
        archive(&site, OLD, method).await.unwrap();
        let archived = rows(&test, ARCHIVE, OLD).await;
        // Somebody opens the season again without its rows, and two answers come: one newer
        // than what the archive has, and one of a question that it has not.
        test.exec(
            "UPDATE `tabGame Subscription Season` SET archived_on = NULL",
            (),
        )
        .await;
        let made = memora_core::services::partitions::create(&site, OLD, true);
        assert!(made.await.unwrap());
        test.add_questions(ANN, OLD, 1, Due::None).await;
        test.add_questions("cid@example.com", OLD, 3, Due::None)
            .await;
        test.exec(
            &format!("UPDATE `{TRACKER}` SET review_version = 5, stability = 3.5 WHERE season = ?"),
            (OLD,),
        )
        .await;
        let report = archive(&site, OLD, method).await.unwrap();
        assert_eq!((report.method, report.records_archived), (Method::Merge, 4));
        let now = rows(&test, ARCHIVE, OLD).await;
        assert_eq!(now.len(), archived.len() + 3);
        let newer = format!("SELECT COUNT(*) FROM `{ARCHIVE}` WHERE stability = 3.5");
        assert_eq!(count(&test, &newer).await, 4);
        assert_eq!(leftovers(&test).await, Vec::<String>::new());
        assert!(!has_partition(&test, OLD).await);
    }
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    let test = site().await;
    let site = test.site().await;
    let before = rows(&test, TRACKER, OLD).await;
    let planned = plan(&site, OLD, Some(Method::Copy)).await.unwrap();
    assert_eq!((planned.rows, planned.method), (ROWS as u64, Method::Copy));
    assert_eq!((planned.problems.len(), planned.resumes_at), (0, None));
    assert!(planned.estimate_s > 0.0);
    let planned = plan(&site, SEASON, None).await.unwrap();
    assert!(planned.problems[0].contains("is active"), "{planned:?}");
    assert_eq!(rows(&test, TRACKER, OLD).await, before);
    assert_eq!(
        get_archive_status(&site, OLD).await.unwrap().state,
        "inactive"
    );
    let unknown = plan(&site, "nope", None).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn all_seasons_that_ask_for_it_and_are_over_go_in_one_run() {
    let test = site().await;
    let site = test.site().await;
    for (season, auto, end) in [
        (OLD, 1, "2025-12-31"),
        ("A-BROKEN", 1, "2025-12-31"),
        ("B-OVER", 1, "2026-01-01"),
        ("C-NOT-ASKED", 0, "2025-12-31"),
        ("D-NOT-OVER", 1, "2999-12-31"),
        (SEASON, 1, "2025-12-31"),
    ] {
        if !season.starts_with("SEASON") {
            add_old(&test, season).await;
        }
        test.exec(
            "UPDATE `tabGame Subscription Season` SET auto_archive = ?, end_date = ? WHERE name = ?",
            (auto, end, season),
        )
        .await;
    }
    // What cannot be applied is in the way.
    test.exec(
        "INSERT INTO memora_srs_journal (player, submission_id, attempt, fingerprint, season, \
         payload, state) VALUES ('ann', 'bad', '', '', 'A-BROKEN', 'no JSON', 'failed')",
        (),
    )
    .await;
    let report = process_auto_archive(&site, &|_| {}).await.unwrap();
    assert_eq!(report.archived, ["B-OVER", OLD]);
    assert_eq!(report.skipped, ["D-NOT-OVER", SEASON]);
    assert_eq!(report.failed.len(), 1);
    assert_eq!(report.failed[0].season, "A-BROKEN");
    assert!(
        report.failed[0].error.contains("journal list"),
        "{report:?}"
    );
    let again = process_auto_archive(&site, &|_| {}).await.unwrap();
    assert_eq!((again.archived.len(), again.failed.len()), (0, 1));
}
