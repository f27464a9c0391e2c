//! The table of `docs/DURABILITY.md`, a line a cell. The user of the queue's Redis may do no
//! more there than Frappe's access rules let it, in all of them.

use memora_tests::disk::SmallDisk;

use super::cells::{Degraded, No, Yes};
use super::servers::{Fault::*, Stage};

#[tokio::test]
async fn mariadb_alone() {
    let mut stage = Stage::new(false).await;
    for cell in [
        (&[][..], [Yes, Yes], [Yes, Yes]),
        (&[MariaDbSlow], [Yes, Yes], [Degraded, No]),
        (&[MariaDbHung], [Yes, Yes], [Degraded, No]),
        (&[MariaDbRefusing], [Yes, Yes], [Degraded, No]),
        (&[MariaDbReadOnly], [Yes, Yes], [Yes, Yes]),
        (&[MariaDbCrowded], [Yes, Yes], [Degraded, No]),
        (&[JournalLocked], [Yes, Yes], [Degraded, No]),
    ] {
        stage.cell(cell).await;
    }
}

#[tokio::test]
async fn the_queue_alone() {
    let mut stage = Stage::new(false).await;
    for cell in [
        (&[QueueDown][..], [Yes, Yes], [Yes, Yes]),
        (&[QueueHung], [Yes, Yes], [Yes, Yes]),
        (&[QueueFull], [Yes, Yes], [Yes, Yes]),
    ] {
        stage.cell(cell).await;
    }
}

#[tokio::test]
async fn the_cache_alone() {
    let mut stage = Stage::new(false).await;
    for cell in [
        (&[CacheDown][..], [Degraded; 2], [Degraded; 2]),
        (&[CacheHung], [Degraded; 2], [Degraded; 2]),
        // It is read, and takes nothing: a student of whom it may lack something is served
        // by the table.
        (&[CacheFull], [Degraded, Yes], [Yes, Yes]),
    ] {
        stage.cell(cell).await;
    }
}

#[tokio::test]
async fn the_queue_and_mariadb() {
    let mut stage = Stage::new(false).await;
    for queue in [QueueDown, QueueHung, QueueFull] {
        for mariadb in [MariaDbSlow, MariaDbHung, MariaDbRefusing] {
            stage.cell((&[queue, mariadb], [No, Yes], [No, No])).await;
        }
    }
    let read_only = &[QueueFull, MariaDbReadOnly];
    stage.cell((read_only, [No, Yes], [No, Yes])).await;
}

#[tokio::test]
async fn the_cache_and_mariadb() {
    let mut stage = Stage::new(false).await;
    for cache in [CacheDown, CacheHung, CacheFull] {
        for mariadb in [MariaDbSlow, MariaDbHung, MariaDbRefusing] {
            let (warm, cold) = ([Degraded, No], [Degraded, No]);
            stage.cell((&[cache, mariadb], warm, cold)).await;
        }
    }
}

#[tokio::test]
async fn the_cache_and_the_queue() {
    let mut stage = Stage::new(false).await;
    for cell in [
        (&[CacheDown, QueueDown][..], [Degraded; 2], [Degraded; 2]),
        (&[CacheHung, QueueHung], [Degraded; 2], [Degraded; 2]),
        (&[CacheFull, QueueFull], [Degraded, Yes], [Yes, Yes]),
        (&[CacheDown, QueueDown, MariaDbRefusing], [No; 2], [No; 2]),
    ] {
        stage.cell(cell).await;
    }
}

#[tokio::test]
async fn the_spool() {
    let mut stage = Stage::new(false).await;
    for cell in [
        (&[NoSpool][..], [Yes, Yes], [Yes, Yes]),
        (&[NoSpool, QueueHung], [Yes, Yes], [Yes, Yes]),
        (&[NoSpool, MariaDbHung], [No, Yes], [No, No]),
        (&[NoSpool, MariaDbRefusing], [No, Yes], [No, No]),
    ] {
        stage.cell(cell).await;
    }
}

#[tokio::test]
async fn the_spool_on_a_full_disk() {
    for appendonly in [false, true] {
        let Some(disk) = SmallDisk::mount(256) else {
            return;
        };
        let mut stage = Stage::with(appendonly, Some(disk)).await;
        let (warm, cold) = match appendonly {
            false => ([No, Yes], [No, No]),
            true => ([Yes, Yes], [Degraded, No]),
        };
        for cell in [
            (&[NoRoom][..], [Yes, Yes], [Yes, Yes]),
            (&[NoRoom, QueueHung], [Yes, Yes], [Yes, Yes]),
            (&[NoRoom, MariaDbHung], warm, cold),
            (&[NoRoom, MariaDbRefusing], warm, cold),
        ] {
            stage.cell(cell).await;
        }
    }
}

#[tokio::test]
async fn an_append_only_file_of_the_queue_in_the_spools_place() {
    let mut stage = Stage::new(true).await;
    for cell in [
        (&[NoSpool, MariaDbRefusing][..], [Yes, Yes], [Degraded, No]),
        (&[NoSpool, MariaDbHung], [Yes, Yes], [Degraded, No]),
        (&[NoSpool, JournalLocked], [Yes, Yes], [Degraded, No]),
        (&[NoSpool, MariaDbHung, QueueHung], [No, Yes], [No, No]),
    ] {
        stage.cell(cell).await;
    }
}
