//! Opening and opening anew, with time standing still except where a test moves it.

use futures_util::future::join_all;
use tempfile::TempDir;
use tokio::time::advance;

use super::*;

const NAME: &str = "srs.localhost";

/// A `sites` folder with one site.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(folder.0.path().join(NAME)).unwrap();
        folder.write(r#"{"db_name": "one"}"#);
        folder
    }

    fn file(&self) -> PathBuf {
        config::site_file(self.0.path(), NAME)
    }

    /// In place, as Frappe writes.
    fn write(&self, text: &str) {
        std::fs::write(self.file(), text).unwrap();
    }

    /// By a file that takes the other's place, as careful tools write.
    fn replace(&self, text: &str) {
        let new = self.0.path().join("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.file()).unwrap();
    }

    fn sites(&self) -> Sites {
        Sites::new(self.0.path())
    }
}

async fn database(sites: &Sites) -> String {
    sites.get(NAME).await.unwrap().config.db.name.clone()
}

fn kind(answer: Result<Arc<Site>>) -> ErrorKind {
    answer.err().expect("must fail").kind()
}

#[tokio::test(start_paused = true)]
async fn a_crowd_opens_a_site_once() {
    let folder = Folder::new();
    let sites = folder.sites();
    let crowd = join_all((0..50).map(|_| sites.get(NAME))).await;
    let first = crowd[0].as_ref().unwrap();
    assert!(
        crowd
            .iter()
            .all(|site| Arc::ptr_eq(site.as_ref().unwrap(), first))
    );
    assert_eq!(sites.names().unwrap(), [NAME]);
}

#[tokio::test(start_paused = true)]
async fn changes_count_within_a_second() {
    let folder = Folder::new();
    let sites = folder.sites();
    let first = sites.get(NAME).await.unwrap();
    folder.write(r#"{"db_name": "two"}"#);
    assert_eq!(database(&sites).await, "one");
    advance(BELIEVED).await;
    assert_eq!(database(&sites).await, "two");
    // Same length, same moment, other inode.
    folder.replace(r#"{"db_name": "six"}"#);
    advance(BELIEVED).await;
    assert_eq!(database(&sites).await, "six");
    std::fs::write(
        folder.0.path().join("common_site_config.json"),
        r#"{"maintenance_mode": 1}"#,
    )
    .unwrap();
    advance(BELIEVED).await;
    assert!(sites.get(NAME).await.unwrap().config.maintenance_mode);
    // Who began with the old site keeps it.
    assert_eq!(first.config.db.name, "one");
    assert_eq!(Arc::strong_count(&first), 1);
}

#[tokio::test(start_paused = true)]
async fn what_we_do_not_use_changes_nothing() {
    let folder = Folder::new();
    let sites = folder.sites();
    let first = sites.get(NAME).await.unwrap();
    for text in [
        r#"{"db_name": "one"}"#,
        r#"{"db_name": "one", "developer_mode": 1}"#,
        r#"{ "db_name" : "one", "developer_mode": 0, "srs_review_log": 1 }"#,
    ] {
        folder.write(text);
        advance(BELIEVED).await;
        assert!(
            Arc::ptr_eq(&sites.get(NAME).await.unwrap(), &first),
            "{text}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_stays_wrong_is_refused_until_mended() {
    let folder = Folder::new();
    let sites = folder.sites();
    database(&sites).await;
    folder.write(r#"{"db_name": "two", "srs_audit_days": 0}"#);
    advance(BELIEVED).await;
    assert_eq!(database(&sites).await, "one", "it may be half written");
    advance(GRACE).await;
    let error = sites.get(NAME).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.message().contains("srs_audit_days"), "{error}");
    advance(BELIEVED).await;
    assert_eq!(kind(sites.get(NAME).await), ErrorKind::Config);
    folder.write(r#"{"db_name": "two", "srs_audit_days": 1}"#);
    advance(RETRY).await;
    assert_eq!(database(&sites).await, "two");
}

#[tokio::test(start_paused = true)]
async fn a_file_caught_half_written_harms_nobody() {
    let folder = Folder::new();
    let sites = folder.sites();
    let first = sites.get(NAME).await.unwrap();
    for half in ["", r#"{"db_na"#] {
        folder.write(half);
        advance(BELIEVED).await;
        assert!(Arc::ptr_eq(&sites.get(NAME).await.unwrap(), &first));
        folder.write(r#"{"db_name": "one"}"#);
        advance(RETRY).await;
        assert!(Arc::ptr_eq(&sites.get(NAME).await.unwrap(), &first));
    }
    std::fs::remove_file(folder.file()).unwrap();
    advance(BELIEVED).await;
    assert!(Arc::ptr_eq(&sites.get(NAME).await.unwrap(), &first));
    folder.write(r#"{"db_name": "two"}"#);
    advance(RETRY).await;
    assert_eq!(database(&sites).await, "two");
}

#[tokio::test(start_paused = true)]
async fn sites_come_and_go() {
    let folder = Folder::new();
    let sites = folder.sites();
    for name in ["other.localhost", "../x", "", ".", "a/b"] {
        assert_eq!(kind(sites.get(name).await), ErrorKind::NotFound, "{name}");
    }
    assert!(
        sites.known("other.localhost").is_none(),
        "names must not pile up"
    );
    database(&sites).await;
    std::fs::remove_file(folder.file()).unwrap();
    advance(BELIEVED).await;
    database(&sites).await;
    advance(GRACE).await;
    assert_eq!(kind(sites.get(NAME).await), ErrorKind::NotFound);
    assert!(sites.known(NAME).is_none());
    folder.write(r#"{"db_name": "again"}"#);
    assert_eq!(database(&sites).await, "again");
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_gives_up_blocks_nobody() {
    let folder = Folder::new();
    let sites = folder.sites();
    {
        let mut given_up = std::pin::pin!(sites.get(NAME));
        assert!(futures_util::poll!(given_up.as_mut()).is_pending());
    }
    assert_eq!(database(&sites).await, "one");
}

#[test]
fn opening_a_site_needs_no_runtime() {
    let folder = Folder::new();
    let config = config::load(folder.0.path(), NAME).unwrap();
    // Whatever it spawned would panic here.
    drop(Site::open(config).unwrap());
}

#[tokio::test]
async fn limits_hold_unless_the_site_sets_another_number() {
    let of = async |extra: &str, limits: Limits| {
        let folder = Folder::new();
        folder.write(&format!(r#"{{"db_name": "one"{extra}}}"#));
        let sites = Sites::with_limits(folder.0.path(), limits);
        let site = sites.get(NAME).await.unwrap();
        let srs = &site.config.srs;
        (srs.mariadb_connections, srs.mariadb_loads)
    };
    assert_eq!(of("", Limits::NONE).await, (32, 16));
    assert_eq!(of("", Limits::SHARED).await, (2, 1));
    // Meant for the sidecar, and too many here.
    let loads = r#", "srs_mariadb_loads": 16"#;
    assert_eq!(of(loads, Limits::SHARED).await, (2, 1));
    let connections = r#", "srs_mariadb_connections": 5"#;
    assert_eq!(of(connections, Limits::SHARED).await, (5, 4));
    let one = r#", "srs_mariadb_connections": 1"#;
    assert_eq!(of(one, Limits::NONE).await, (1, 1));
}
