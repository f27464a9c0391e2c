//! Users who are renamed while a season is on its way.

use memora_core::services::archive::Method;
use memora_core::services::players;
use memora_core::types::Player;
use memora_core::{ErrorKind, failpoint};
use mysql_async::prelude::Queryable;

use super::*;

const NEW: &str = "anna@example.com";

async fn names(test: &TestSite, table: &str) -> Vec<(String, u64)> {
    let sql = format!("SELECT player, COUNT(*) FROM `{table}` GROUP BY player ORDER BY player");
    test.query(&sql, ()).await
}

/// What Frappe does when it renames a User, after the hook.
async fn renames(conn: &mut mysql_async::Conn) {
    let user = "UPDATE tabUser SET name = ? WHERE name = ?";
    conn.exec_drop(user, (NEW, ANN)).await.unwrap();
    for table in [TRACKER, ARCHIVE] {
        let sql = format!("UPDATE `{table}` SET player = ? WHERE player = ?");
        conn.exec_drop(sql, (NEW, ANN)).await.unwrap();
    }
}

#[tokio::test]
async fn nobody_is_renamed_while_a_season_moves() {
    let test = site().await;
    let site = test.site().await;
    players::check_rename(&site).await.unwrap();
    let refused = async |what: &str| {
        let refused = players::check_rename(&site).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unavailable, "{what}");
        assert!(refused.message().contains(OLD), "{what}: {refused}");
    };
    for step in 1..=4 {
        let point = failpoint::fail(&test.name, &format!("archive_step_{step}"));
        archive(&site, OLD, Method::Copy).await.unwrap_err();
        drop(point);
        refused("stopped").await;
    }
    archive(&site, OLD, Method::Copy).await.unwrap();
    players::check_rename(&site).await.unwrap();
    let point = failpoint::fail(&test.name, "archive_step_3");
    restore(&site, OLD).await.unwrap_err();
    drop(point);
    refused("restoring").await;
    restore(&site, OLD).await.unwrap();
    players::check_rename(&site).await.unwrap();
}

/// A renaming that was allowed ends before the rows leave the tracker.
#[tokio::test]
async fn a_season_waits_for_a_renaming_under_way() {
    for method in [Method::Convert, Method::Copy] {
        let test = site().await;
        let site = test.site().await;
        let mut frappe = test.db.get_conn().await.unwrap();
        frappe.query_drop("START TRANSACTION").await.unwrap();
        // As the hook does.
        let look = format!("SELECT name FROM `{TRACKER}` WHERE player = ? LIMIT 1");
        let _: Option<String> = frappe.exec_first(look, (ANN,)).await.unwrap();
        players::check_rename(&site).await.unwrap();
        let point = failpoint::pause(&test.name, "archive_step_1");
        let archiving = tokio::spawn({
            let site = site.clone();
            async move { archive(&site, OLD, method).await }
        });
        // Announced: from here on it is after the rows.
        point.reached().await;
        drop(point);
        renames(&mut frappe).await;
        assert!(!archiving.is_finished());
        frappe.query_drop("COMMIT").await.unwrap();
        archiving.await.unwrap().unwrap();
        let expected = [(NEW.to_owned(), ROWS as u64 - 20), (BOB.to_owned(), 20)];
        assert_eq!(names(&test, ARCHIVE).await, expected);
        assert_eq!(names(&test, TRACKER).await, [(NEW.to_owned(), 7)]);
    }
}

/// What a worker wrote while Frappe renamed may be archived by the time it is moved.
#[tokio::test]
async fn rows_of_the_old_name_follow_into_the_archive() {
    let test = site().await;
    let site = test.site().await;
    let mut frappe = test.db.get_conn().await.unwrap();
    renames(&mut frappe).await;
    let late = format!("UPDATE `{TRACKER}` SET player = ? WHERE season = ? AND player = ? LIMIT 3");
    assert_eq!(test.exec(&late, (ANN, OLD, NEW)).await, 3);
    // One of a question that the new name has, and an older state of it.
    let older = format!(
        "INSERT INTO `{TRACKER}` (name, player, season, question_id, stability) SELECT 'older', \
         ?, season, question_id, 0 FROM `{TRACKER}` WHERE season = ? AND player = ? LIMIT 1"
    );
    assert_eq!(test.exec(&older, (ANN, OLD, NEW)).await, 1);
    let (ann, new) = (Player::stored(ANN), Player::stored(NEW));
    let point = failpoint::pause(&test.name, "archive_sums");
    let archiving = tokio::spawn({
        let site = site.clone();
        async move { archive(&site, OLD, Method::Convert).await }
    });
    point.reached().await;
    // Not now: what is summed up must not change.
    let moved = players::rename(&site, &ann, &new).await.unwrap();
    assert_eq!((moved.tracker_rows, moved.archived_rows), (0, 0));
    drop(point);
    archiving.await.unwrap().unwrap();
    let moved = players::rename(&site, &ann, &new).await.unwrap();
    assert_eq!((moved.tracker_rows, moved.archived_rows), (0, 4));
    let expected = [(NEW.to_owned(), ROWS as u64 - 20), (BOB.to_owned(), 20)];
    assert_eq!(names(&test, ARCHIVE).await, expected);
    let kept = format!("SELECT COUNT(*) FROM `{ARCHIVE}` WHERE name = 'older' OR stability = 0");
    assert_eq!(count(&test, &kept).await, 0);
    let again = players::rename(&site, &ann, &new).await.unwrap();
    assert_eq!(again.archived_rows, 0);
}
