//! Partitions for seasons of any name, made by many at once.

use memora_core::ErrorKind;
use memora_core::failpoint;
use memora_core::store::partitions::{all, ensure, exists, is_missing};
use memora_core::types::Season;
use memora_tests::wait;
use mysql_async::prelude::Queryable;

use super::*;

/// Adds a row; what the server says.
async fn insert(site: &TestSite, name: &str, season: &str) -> mysql_async::Result<()> {
    let mut conn = site.db.get_conn().await.unwrap();
    conn.exec_drop(
        format!(
            "INSERT INTO `{TRACKER}` (name, player, season, question_id) VALUES (?, 'ann', ?, ?)"
        ),
        (name, season, name),
    )
    .await
}

async fn listed(db: &MariaDb) -> Vec<String> {
    let mut seasons: Vec<String> = all(db)
        .await
        .unwrap()
        .iter()
        .map(|p| p.season().unwrap().to_owned())
        .collect();
    seasons.sort();
    seasons
}

#[tokio::test]
async fn any_season_name_is_data() {
    let site = TestSite::new().await;
    let db = engine(&site);
    let names = [
        "SEASON-2026".to_owned(),
        "it's".to_owned(),
        "back\\slash".to_owned(),
        "trailing\\".to_owned(),
        "quote\\'; DROP TABLE tabUser; -- ".trim().to_owned(),
        "\"double\" `tick` %s {x} ? :name".to_owned(),
        "'), PARTITION p_x VALUES IN ('y".to_owned(),
        "season 😀 emoji".to_owned(),
        "موسم ٢٠٢٦".to_owned(),
        "a-b".to_owned(),
        "a/b".to_owned(),
        "a_b".to_owned(),
        "default".to_owned(),
        "NULL".to_owned(),
        "DEFAULT.".to_owned(),
        "0x41".to_owned(),
        "x".repeat(140),
        format!("{}y", "x".repeat(139)),
        format!("{}z", "ü€".repeat(69)),
        "😀".repeat(140),
    ];
    for name in &names {
        let season = Season::stored(name);
        assert!(!exists(&db, &season).await.unwrap(), "{name}");
        let missing = insert(&site, "early", name).await.unwrap_err();
        assert!(is_missing(&missing), "{name}: {missing}");
        assert!(ensure(&db, &season).await.unwrap(), "{name}");
        assert!(!ensure(&db, &season).await.unwrap(), "{name}");
        assert!(exists(&db, &season).await.unwrap(), "{name}");
    }
    for (i, name) in names.iter().enumerate() {
        insert(&site, &format!("row{i}"), name).await.unwrap();
        let found: Vec<String> = site
            .query(
                &format!("SELECT name FROM `{TRACKER}` WHERE season = ?"),
                (name,),
            )
            .await;
        assert_eq!(found, [format!("row{i}")], "{name}");
    }
    let mut expected = names.to_vec();
    expected.push("SEASON-DEFAULT".to_owned());
    expected.sort();
    assert_eq!(listed(&db).await, expected);
    // The migration reads them back too.
    assert!(!run(&site).await.unwrap().changed());

    for bad in ["", " a", "a\n", &"x".repeat(141)] {
        let refused = ensure(&db, &Season::stored(bad)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{bad:?}");
    }
}

#[tokio::test]
async fn names_that_mariadb_takes_for_one_are_one_partition() {
    let site = TestSite::new().await;
    let db = engine(&site);
    assert!(ensure(&db, &Season::stored("S1é")).await.unwrap());
    for same in ["S1é", "s1é", "S1E"] {
        assert!(!ensure(&db, &Season::stored(same)).await.unwrap(), "{same}");
    }
    assert!(exists(&db, &Season::stored("s1e ")).await.unwrap());
    insert(&site, "row", "s1e ").await.unwrap();
    assert_eq!(listed(&db).await, ["S1é", "SEASON-DEFAULT"]);
}

#[tokio::test]
async fn a_partition_is_noted_on_its_season() {
    let site = TestSite::new().await;
    let db = engine(&site);
    add_season(&site, "SEASON-2026", "2026-01-01", "2026-12-31", true).await;
    ensure(&db, &Season::stored("SEASON-2026")).await.unwrap();
    let created: Option<bool> = site
        .query_one(
            &format!("SELECT partition_created FROM `{SEASONS}` WHERE name = 'SEASON-2026'"),
            (),
        )
        .await;
    assert_eq!(created, Some(true));
}

#[tokio::test]
async fn many_processes_make_each_partition_once() {
    let site = TestSite::new().await;
    // Two seasons whose partitions would have one name, wanted by eight processes each.
    let tasks: Vec<_> = (0..16)
        .map(|i| {
            let db = engine(&site);
            let season = Season::stored(["a-b", "a/b"][i % 2]);
            tokio::spawn(async move { (season.to_string(), ensure(&db, &season).await.unwrap()) })
        })
        .collect();
    let mut made = Vec::new();
    for task in tasks {
        let (season, by_this_one) = task.await.unwrap();
        if by_this_one {
            made.push(season);
        }
    }
    made.sort();
    assert_eq!(made, ["a-b", "a/b"]);
    assert_eq!(
        listed(&engine(&site)).await,
        ["SEASON-DEFAULT", "a-b", "a/b"]
    );
}

#[tokio::test]
async fn who_comes_second_finds_the_partition_made() {
    let site = TestSite::new().await;
    let point = failpoint::pause(&site.db_name, "before_add_partition");
    let mut tasks = Vec::new();
    // All three have seen that theirs is missing before the first one makes its own: the
    // second wants the same value, the third the same name.
    for season in ["a-b", "a-b", "a/b"] {
        let db = engine(&site);
        tasks.push(tokio::spawn(async move {
            ensure(&db, &Season::stored(season)).await.unwrap()
        }));
        point.reached().await;
    }
    let db = engine(&site);
    wait::until("the first partition is there", || async {
        // An attempt that met our look at the table comes again.
        point.release();
        (listed(&db).await.len() >= 2).then_some(())
    })
    .await;
    drop(point);
    let mut made = Vec::new();
    for task in tasks {
        made.push(task.await.unwrap());
    }
    assert_ne!(made[0], made[1]);
    assert!(made[2]);
    assert_eq!(listed(&db).await, ["SEASON-DEFAULT", "a-b", "a/b"]);
}

#[tokio::test]
async fn readers_go_on_while_a_partition_waits_for_a_transaction() {
    let site = TestSite::new().await;
    let mut holder = site.db.get_conn().await.unwrap();
    holder.query_drop("START TRANSACTION").await.unwrap();
    holder
        .query_drop(format!("SELECT COUNT(*) FROM `{TRACKER}`"))
        .await
        .unwrap();
    let point = failpoint::pause(&site.db_name, "before_add_partition");
    let ensuring = tokio::spawn({
        let db = engine(&site);
        async move { ensure(&db, &Season::stored("SEASON-2026")).await }
    });
    // A read that would wait behind an ALTER fails.
    let reads = async {
        let mut reader = site.db.get_conn().await.unwrap();
        loop {
            reader
                .query_drop(format!(
                    "SET STATEMENT lock_wait_timeout = 0 FOR SELECT COUNT(*) FROM `{TRACKER}`"
                ))
                .await
                .expect("a read that waits for nobody");
        }
    };
    let tries = async {
        let tries = async {
            for _ in 0..40 {
                point.reached().await;
                point.release();
            }
        };
        tokio::select! {
            () = tries => (),
            () = reads => (),
        }
    };
    tokio::time::timeout(wait::PATIENCE, tries)
        .await
        .expect("attempts, and reads all the while");
    holder.query_drop("COMMIT").await.unwrap();
    drop(point);
    assert!(ensuring.await.unwrap().unwrap());
}

#[tokio::test]
async fn a_table_without_partitions_is_refused() {
    let site = TestSite::builder().unmigrated().build().await;
    let refused = ensure(&engine(&site), &Season::stored("S")).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Config);
    assert_eq!(all(&engine(&site)).await.unwrap(), []);
}

#[tokio::test]
async fn the_five_hundredth_season_is_as_good_as_the_first() {
    let site = TestSite::new().await;
    let many: Vec<String> = (0..498)
        .map(|i| format!("PARTITION `p_season_{i}` VALUES IN ('SEASON-{i}')"))
        .collect();
    site.exec(
        &format!(
            "ALTER TABLE `{TRACKER}` ADD PARTITION ({})",
            many.join(", ")
        ),
        (),
    )
    .await;
    let db = engine(&site);
    assert!(ensure(&db, &Season::stored("season-last")).await.unwrap());
    assert!(!ensure(&db, &Season::stored("SEASON-250")).await.unwrap());
    assert_eq!(all(&db).await.unwrap().len(), 500);
    for season in ["SEASON-0", "SEASON-250", "SEASON-LAST"] {
        insert(&site, season, season).await.unwrap();
        let found: Vec<u64> = site
            .query(
                &format!("SELECT COUNT(*) FROM `{TRACKER}` WHERE season = ?"),
                (season,),
            )
            .await;
        assert_eq!(found, [1]);
    }
}
