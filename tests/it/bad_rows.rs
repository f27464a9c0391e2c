//! Rows that no scheduler would write: old data, other programs, an administrator's hand.

use memora_core::failpoint;
use memora_core::services::apply;
use memora_tests::questions::question_id;
use mysql_async::prelude::Queryable;

use crate::story::{
    apply_all, count, forget, is_complete, read, row, site_with, submit, waiting, warm,
};

#[tokio::test]
async fn a_row_without_a_sensible_date_hides_nothing_and_is_mended_by_an_answer() {
    for (column, date, due) in [
        ("next_review_date", "0000-00-00 00:00:00", 10),
        ("next_review_date", "2020-00-00 00:00:00", 10),
        ("next_review_date", "0001-01-01 00:00:00", 10),
        ("next_review_date", "1000-01-01 00:00:00", 10),
        ("next_review_date", "9999-12-31 23:59:59.999999", 9),
        ("last_review_date", "0000-00-00 00:00:00", 10),
        ("last_review_date", "0001-01-01 00:00:00", 10),
        ("last_review_date", "9999-12-31 23:59:59.999999", 10),
    ] {
        let what = format!("{column} {date}");
        let test = site_with(10, 10).await;
        let mut conn = test.db.get_conn().await.unwrap();
        conn.query_drop("SET sql_mode = ''").await.unwrap();
        let sql = format!(
            "UPDATE `tabPlayer Memory Tracker` SET {column} = '{date}' WHERE question_id = ?"
        );
        conn.exec_drop(sql, (question_id(1),)).await.unwrap();
        drop(conn);

        let site = test.site().await;
        let cold = read(&site).await;
        assert_eq!(cold.total_due, due, "{what}");
        forget(&test).await;
        warm(&site).await;
        assert!(is_complete(&site, None).await, "{what}: cached");
        assert_eq!(read(&site).await, cold, "{what}");
        submit(&site, "s-1", &[&question_id(1)]).await;
        assert_eq!(read(&site).await.total_due, 9, "{what}");
        apply_all(&test, &site).await;
        forget(&test).await;
        assert_eq!(read(&test.site().await).await.total_due, 9, "{what}");
        assert!(row(&test, &question_id(1)).await.unwrap().1 > 0, "{what}");
    }
}

#[tokio::test]
async fn a_submit_that_makes_the_worker_panic_waits_and_the_worker_lives() {
    let test = site_with(3, 3).await;
    let site = test.site().await;
    submit(&site, "a", &[&question_id(0)]).await;
    let work = waiting(&test).await;
    {
        let _panicking = failpoint::panic(&test.name, "apply_upserted");
        assert!(apply::apply(&site, &work, "test").await.remove(0).is_err());
    }
    let waiting = "SELECT COUNT(*) FROM memora_srs_journal WHERE applied_at IS NULL \
                   AND state = 'failed' AND next_try_at IS NOT NULL AND error IS NOT NULL";
    assert_eq!(count(&test, waiting).await, 1);
    // Its transaction left no lock and no half a row behind.
    apply::apply(&site, &work, "test").await.remove(0).unwrap();
    let log = "SELECT COUNT(*) FROM memora_srs_review_log";
    assert_eq!(count(&test, log).await, 1);
}
