//! Flagging and deleting archived rows.

use memora_core::ErrorKind;
use memora_core::services::archive::{Method, get_archive_status};
use memora_core::services::retention::{
    delete_eligible_records, eligible, flag_eligible_for_deletion,
};

use super::*;

/// Two archived seasons, half of whose rows were archived long ago.
async fn archived() -> TestSite {
    let test = site().await;
    let site = test.site().await;
    add_old(&test, "OTHER").await;
    for season in [OLD, "OTHER"] {
        archive(&site, season, Method::Convert).await.unwrap();
    }
    test.exec(
        &format!(
            "UPDATE `{ARCHIVE}` SET archived_at = NOW() - INTERVAL 3 YEAR - INTERVAL 2 DAY \
             WHERE player = '{BOB}'"
        ),
        (),
    )
    .await;
    test.exec(
        &format!(
            "UPDATE `{ARCHIVE}` SET archived_at = NOW() - INTERVAL 3 YEAR + INTERVAL 2 DAY \
             WHERE player = '{ANN}'"
        ),
        (),
    )
    .await;
    test
}

#[tokio::test]
async fn rows_are_flagged_after_three_years_and_deleted_when_confirmed() {
    let test = archived().await;
    let site = test.site().await;
    let none = delete_eligible_records(&site, None, true, &|_| {}).await;
    assert_eq!(none.unwrap().deleted_count, 0);
    let flagged = flag_eligible_for_deletion(&site, &|_| {}).await.unwrap();
    assert_eq!(flagged.flagged_count, 40);
    let again = flag_eligible_for_deletion(&site, &|_| {}).await.unwrap();
    assert_eq!(again.flagged_count, 0);
    let flags = format!(
        "SELECT COUNT(*) FROM `{ARCHIVE}` WHERE eligible_for_deletion = 1 AND player = '{BOB}'"
    );
    assert_eq!(count(&test, &flags).await, 40);
    let status = get_archive_status(&site, OLD).await.unwrap();
    assert_eq!(status.eligible_for_deletion, 20);

    let refused = delete_eligible_records(&site, None, false, &|_| {}).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
    let unknown = delete_eligible_records(&site, Some("nope"), true, &|_| {}).await;
    assert_eq!(unknown.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(eligible(&site, None).await.unwrap(), 40);
    assert_eq!(eligible(&site, Some("other")).await.unwrap(), 20);

    let deleted = delete_eligible_records(&site, Some("other"), true, &|_| {}).await;
    assert_eq!(deleted.unwrap().deleted_count, 20);
    assert_eq!(rows(&test, ARCHIVE, "OTHER").await.len(), ROWS - 20);
    assert_eq!(rows(&test, ARCHIVE, OLD).await.len(), ROWS);
    let deleted = delete_eligible_records(&site, None, true, &|_| {}).await;
    assert_eq!(deleted.unwrap().deleted_count, 20);
    assert_eq!(count(&test, &flags).await, 0);
    assert_eq!(rows(&test, ARCHIVE, OLD).await.len(), ROWS - 20);
    let told = "SELECT COUNT(*) FROM `tabError Log` WHERE method = 'SRSArchiver'";
    assert_eq!(count(&test, told).await, 2);
}

#[tokio::test]
async fn many_rows_go_in_chunks() {
    let test = archived().await;
    let site = test.site().await;
    test.add_questions("cid@example.com", SEASON, 3000, Due::None)
        .await;
    test.exec(
        &format!(
            "INSERT INTO `{ARCHIVE}` (name, player, season, question_id, archived_at) SELECT \
             name, player, '{OLD}', question_id, '2020-01-01' FROM `{TRACKER}` WHERE season = ? \
             AND player = 'cid@example.com'"
        ),
        (SEASON,),
    )
    .await;
    let told = std::sync::Mutex::new(Vec::new());
    let told = Arc::new(told);
    let heard = told.clone();
    let tell = move |p: memora_core::services::work::Progress| {
        heard.lock().unwrap().push((p.phase, p.done, p.total));
    };
    let flagged = flag_eligible_for_deletion(&site, &tell).await.unwrap();
    assert_eq!(flagged.flagged_count, 3040);
    let pieces = told.lock().unwrap().len();
    assert!(pieces > 2, "{pieces}");
    let deleted = delete_eligible_records(&site, Some(OLD), true, &tell).await;
    assert_eq!(deleted.unwrap().deleted_count, 3020);
    let last = *told.lock().unwrap().last().unwrap();
    assert_eq!(last, ("deleting", 3020, 3020));
}
