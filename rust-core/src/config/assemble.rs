//! From two objects and the environment to one [`SiteConfig`]: every rule of which value
//! wins, and every refusal.

use std::path::Path;

use serde_json::{Map, Value};

use super::bench::Bench;
use super::reader::{MASK, Reader, truth, whole};
use super::redis_url::RedisUrl;
use super::source::{Setting, Source};
use super::{DbConfig, FrappeVersion, RqConfig, Secret, SiteConfig, own_keys};
use crate::{Error, Result};

const DEFAULT_QUEUE: &str = "redis://127.0.0.1:11311";
const DEFAULT_CACHE: &str = "redis://127.0.0.1:13311";
const MISSING_DATABASE: &str = "db_name is missing in site_config.json";
/// Queues that every bench has.
const STANDARD_QUEUES: [&str; 3] = ["short", "default", "long"];
/// What the files and the environment come to.
pub(super) struct Assembled {
    /// The configuration, if nothing is wrong with it.
    pub(super) config: Result<SiteConfig>,
    /// What was read, in reading order, without secrets.
    pub(super) settings: Vec<Setting>,
    /// All that is wrong.
    pub(super) problems: Vec<String>,
    /// What works, perhaps not as meant.
    pub(super) warnings: Vec<String>,
    /// The Redis of the schedules, without login (see [`RedisUrl::identity`]).
    pub(super) schedules_at: Option<String>,
}

/// Puts the configuration of `site` together. `connections`: what
/// `srs_mariadb_connections` is where the files do not say.
pub(super) fn assemble(
    sites_path: &Path,
    site: &str,
    common: Map<String, Value>,
    own: Map<String, Value>,
    env: &dyn Fn(&str) -> Option<String>,
    connections: Option<usize>,
) -> Assembled {
    let mut reader = Reader::new(common, own, env);
    let root = reader.env("FRAPPE_BENCH_ROOT");
    let bench = Bench::around(sites_path, root.as_deref());

    let frappe = frappe_version(&mut reader, &bench);
    reader.frappe_reads_env = frappe >= FrappeVersion::V15;
    warn_of_variables(&mut reader, frappe);
    let rq_major = rq_major(&mut reader, &bench, frappe);
    let bench_id = bench_id(&mut reader, &bench, frappe);
    let db = database(&mut reader, frappe);
    let (redis_cache, schedules) = caches(&mut reader);
    let redis_queue = queue(&mut reader, &bench_id);
    refuse_sentinel_and_cluster(&mut reader);

    let maintenance_mode = reader.frappe_flag("maintenance_mode");
    let reads_in_maintenance = reader.frappe_flag("allow_reads_during_maintenance");
    let decline_all = decline_all(&mut reader, maintenance_mode && reads_in_maintenance);
    let workers = workers(&mut reader);
    let rq = rq(&mut reader, &workers);
    let custom_queues = custom_queues(workers);
    let encryption_key = encryption_key(&mut reader);
    let ignore_csrf = reader.frappe_flag("ignore_csrf");
    let monitor = reader.frappe_flag("monitor") && frappe >= FrappeVersion::V15;
    let srs = own_keys::read(&mut reader, &custom_queues, connections);

    let url = |url: &Option<RedisUrl>| {
        Secret::new(url.as_ref().map(RedisUrl::to_url).unwrap_or_default())
    };
    let config = SiteConfig {
        site: site.to_owned(),
        sites_path: sites_path.to_owned(),
        srs_redis: url(&schedules),
        redis_cache: url(&redis_cache),
        redis_queue: url(&redis_queue),
        bench_id,
        encryption_key,
        // With reads allowed Frappe answers some requests and refuses others; that is
        // left to Frappe.
        maintenance_mode: maintenance_mode && !reads_in_maintenance,
        ignore_csrf,
        monitor,
        frappe,
        rq_major,
        decline_all,
        custom_queues,
        rq,
        srs,
        db,
    };
    let no_database = |problem: &String| problem == MISSING_DATABASE;
    let config = if reader.problems.iter().any(no_database) {
        // Frappe answers 404 for a site without a database.
        Err(Error::not_found(format!("{site} does not exist")).with_source(MISSING_DATABASE))
    } else if reader.problems.is_empty() {
        Ok(config)
    } else {
        Err(Error::config(format!(
            "{site}: {}",
            reader.problems.join("; ")
        )))
    };
    Assembled {
        config,
        settings: reader.settings,
        problems: reader.problems,
        warnings: reader.warnings,
        schedules_at: schedules.as_ref().map(RedisUrl::identity),
    }
}

/// Which Frappe decides the formats: `srs_frappe_version`, else what is installed.
fn frappe_version(reader: &mut Reader<'_>, bench: &Bench) -> FrappeVersion {
    if let Some(major) = reader.optional_number("srs_frappe_version", 14..=16) {
        return FrappeVersion::from_major(major as u32).unwrap_or(FrappeVersion::V15);
    }
    let Some((major, version)) = bench.frappe_version() else {
        reader.note("srs_frappe_version", 15, Source::Default);
        reader.warnings.push(
            "Which Frappe is installed could not be found out; srs_frappe_version tells \
             (15 is assumed)"
                .to_owned(),
        );
        return FrappeVersion::V15;
    };
    reader.note("srs_frappe_version", major, Source::Detected);
    FrappeVersion::from_major(major).unwrap_or_else(|| {
        reader.problems.push(format!(
            "Frappe {version} is installed, which is not supported (14, 15 and 16 are); \
             srs_frappe_version says which of these to take it for"
        ));
        FrappeVersion::V15
    })
}

/// Which RQ decides the form of job ids: `srs_rq_version`, else what is installed, else
/// what comes with this Frappe.
fn rq_major(reader: &mut Reader<'_>, bench: &Bench, frappe: FrappeVersion) -> u32 {
    if let Some(major) = reader.optional_number("srs_rq_version", 1..=3) {
        return major as u32;
    }
    let (major, source) = match bench.rq_version() {
        Some((major, _)) => (major, Source::Detected),
        None if frappe >= FrappeVersion::V16 => (2, Source::Default),
        None => (1, Source::Default),
    };
    reader.note("srs_rq_version", major, source);
    major
}

fn bench_id(reader: &mut Reader<'_>, bench: &Bench, frappe: FrappeVersion) -> String {
    if let Some((id, source)) = reader.frappe_text("bench_id", None) {
        if source == Source::Site {
            reader.warnings.push(
                "bench_id is given in site_config.json: workers of the bench that start \
                 without this site listen to other queues"
                    .to_owned(),
            );
        }
        reader.note("bench_id", id.as_str(), source);
        return id;
    }
    let variable = "FRAPPE_BENCH_ROOT";
    // Frappe 14 always takes the real path.
    let root = reader
        .env(variable)
        .filter(|_| frappe >= FrappeVersion::V15);
    let source = match &root {
        Some(_) => Source::Environment(variable),
        None => Source::Detected,
    };
    let id = bench.id(root.as_deref());
    reader.note("bench_id", id.as_str(), source);
    id
}

fn database(reader: &mut Reader<'_>, frappe: FrappeVersion) -> DbConfig {
    // Variables that only Frappe 16 reads.
    let new = |name| (frappe >= FrappeVersion::V16).then_some(name);
    if frappe < FrappeVersion::V16 {
        for key in ["db_user", "db_socket"] {
            if reader.is_true(key) {
                reader.warnings.push(format!(
                    "{key} is used here, but Frappe {} does not read it",
                    frappe.major()
                ));
            }
        }
    }
    if let Some((kind, source)) = reader.frappe_text("db_type", Some("FRAPPE_DB_TYPE"))
        && kind != "mariadb"
    {
        reader.problem("db_type", source, "must be mariadb");
    }
    if reader
        .keys()
        .iter()
        .any(|key| key.starts_with("db_ssl") && reader.is_true(key))
    {
        reader.problems.push(
            "db_ssl_* asks for TLS to MariaDB, which is not supported yet: use db_socket, or a \
             local address without db_ssl_*"
                .to_owned(),
        );
    }
    let user = reader.frappe_text("db_user", new("FRAPPE_DB_USER"));
    let name = reader
        .frappe_text("db_name", new("FRAPPE_DB_NAME"))
        .or_else(|| user.clone().filter(|_| frappe >= FrappeVersion::V16));
    let name = name.unwrap_or_else(|| {
        // One that is there and no text is said already, and no site that does not exist.
        if !reader.is_true("db_name") {
            reader.problems.push(MISSING_DATABASE.to_owned());
        }
        (String::new(), Source::Default)
    });
    let user = user.unwrap_or_else(|| (name.0.clone(), Source::Default));
    reader.note("db_name", name.0.as_str(), name.1);
    reader.note("db_user", user.0.as_str(), user.1);
    let password = reader.secret("db_password", new("FRAPPE_DB_PASSWORD"));
    let socket = reader.frappe_text("db_socket", new("FRAPPE_DB_SOCKET"));
    if let Some((path, source)) = &socket {
        reader.note("db_socket", path.as_str(), *source);
    }
    DbConfig {
        name: name.0,
        user: user.0,
        password: password.unwrap_or_else(|| Secret::new("")),
        host: reader.open_text("db_host", Some("FRAPPE_DB_HOST"), "127.0.0.1"),
        port: reader.port("db_port", "FRAPPE_DB_PORT", 3306),
        socket: socket.map(|(path, _)| path),
    }
}

/// The Redis of the sessions and the Redis of the schedules.
fn caches(reader: &mut Reader<'_>) -> (Option<RedisUrl>, Option<RedisUrl>) {
    let cache = reader.redis("redis_cache", Some("FRAPPE_REDIS_CACHE"), DEFAULT_CACHE);
    if let Some((url, source)) = &cache {
        reader.note("redis_cache", url.masked(), *source);
    }
    let schedules = match reader.value("srs_redis_cache") {
        Some(_) => reader.redis("srs_redis_cache", None, ""),
        None => cache
            .as_ref()
            .map(|(url, _)| (url.clone(), Source::Default)),
    };
    if let Some((url, source)) = &schedules {
        reader.note("srs_redis_cache", url.masked(), *source);
        if cache
            .as_ref()
            .is_some_and(|(c, _)| c.identity() == url.identity())
        {
            reader.warnings.push(
                "Schedules lie in redis_cache, where they and the login sessions evict each \
                 other when memory runs short; srs_redis_cache gives them a Redis of their own"
                    .to_owned(),
            );
        }
    }
    (cache.map(|(url, _)| url), schedules.map(|(url, _)| url))
}

/// The Redis of RQ, with the credentials that Frappe adds to its URL.
fn queue(reader: &mut Reader<'_>, bench_id: &str) -> Option<RedisUrl> {
    let (mut url, source) =
        reader.redis("redis_queue", Some("FRAPPE_REDIS_QUEUE"), DEFAULT_QUEUE)?;
    // Spelled like this in Frappe.
    let variable = "RQ_ADMIN_PASWORD";
    if reader.frappe_flag("use_rq_auth") {
        let username = reader.open_text("rq_username", None, bench_id);
        let password = reader.secret("rq_password", None);
        url = url.or_credentials(&username, password.as_ref().map_or("", Secret::expose));
        if !url.has_password() {
            reader
                .warnings
                .push("use_rq_auth is set, but rq_password is missing".to_owned());
        }
    } else if let Some(password) = reader.env(variable) {
        reader.note("rq_username", "default", Source::Environment(variable));
        reader.note("rq_password", MASK, Source::Environment(variable));
        url = url.or_credentials("default", &password);
    }
    reader.note("redis_queue", url.masked(), source);
    Some(url)
}

fn refuse_sentinel_and_cluster(reader: &mut Reader<'_>) {
    for key in reader.keys() {
        let asks = key.contains("redis")
            && (key.contains("sentinel_enabled") || key.contains("cluster"))
            && reader.is_true(&key);
        if asks {
            reader.problems.push(format!(
                "{key} asks for Redis Sentinel or Cluster, which is not supported yet"
            ));
        }
    }
}

/// Why all requests of this site are Frappe's: settings whose effect cannot be had
/// here. The reason is the key.
fn decline_all(reader: &mut Reader<'_>, reads_in_maintenance: bool) -> Option<&'static str> {
    let switched_off = !reader.switch("srs_sidecar", true);
    let reason = [
        ("srs_sidecar", switched_off),
        // Python functions that change the configuration.
        ("extra_config", reader.is_true("extra_config")),
        // A request of one session ends the user's others.
        (
            "deny_multiple_sessions",
            reader.is_true("deny_multiple_sessions"),
        ),
        ("rate_limit", reader.is_true("rate_limit")),
        ("allow_reads_during_maintenance", reads_in_maintenance),
    ]
    .into_iter()
    .find_map(|(key, applies)| applies.then_some(key))?;
    if reason == "extra_config" {
        reader.warnings.push(
            "extra_config may change values in Python that are read from the files here".to_owned(),
        );
    }
    Some(reason)
}

/// Queues named by `workers`, with what it says about each.
fn workers(reader: &mut Reader<'_>) -> Map<String, Value> {
    match reader.value("workers") {
        None => Map::new(),
        Some((Value::Object(workers), source)) => {
            let names: Vec<_> = workers.keys().cloned().collect();
            reader.note("workers", names, source);
            workers
        }
        Some((_, source)) => {
            reader.problem("workers", source, "must be an object of queues");
            Map::new()
        }
    }
}

fn custom_queues(workers: Map<String, Value>) -> Vec<String> {
    workers
        .into_iter()
        .map(|(queue, _)| queue)
        .filter(|queue| !STANDARD_QUEUES.contains(&queue.as_str()))
        .collect()
}

fn rq(reader: &mut Reader<'_>, workers: &Map<String, Value>) -> RqConfig {
    let default = RqConfig::default();
    let mut rq = RqConfig {
        result_ttl: reader.frappe_seconds("rq_results_ttl", default.result_ttl),
        failure_ttl: reader.frappe_seconds("rq_job_failure_ttl", default.failure_ttl),
        timeouts: default.timeouts,
    };
    for (queue, about) in workers {
        let timeout = about.get("timeout").filter(|value| truth(value));
        match timeout.map(whole) {
            Some(Some(seconds)) if seconds != 0 => {
                rq.timeouts.insert(queue.clone(), seconds);
            }
            Some(_) => reader.warnings.push(format!(
                "workers.{queue}.timeout is no whole number of seconds; {} is used",
                rq.timeout(queue)
            )),
            None => {}
        }
    }
    rq
}

fn encryption_key(reader: &mut Reader<'_>) -> Option<Secret> {
    let key = reader.secret("encryption_key", None)?;
    if fernet::Fernet::new(key.expose()).is_none() {
        reader.warnings.push(
            "encryption_key is not a Fernet key (32 bytes in URL-safe base64): API secrets \
             cannot be checked"
                .to_owned(),
        );
    }
    Some(key)
}

/// Names the variables that are set and have no effect under this Frappe.
fn warn_of_variables(reader: &mut Reader<'_>, frappe: FrappeVersion) {
    const SINCE_15: [&str; 5] = [
        "FRAPPE_REDIS_CACHE",
        "FRAPPE_REDIS_QUEUE",
        "FRAPPE_DB_TYPE",
        "FRAPPE_DB_HOST",
        "FRAPPE_DB_PORT",
    ];
    const SINCE_16: [&str; 4] = [
        "FRAPPE_DB_SOCKET",
        "FRAPPE_DB_USER",
        "FRAPPE_DB_NAME",
        "FRAPPE_DB_PASSWORD",
    ];
    if frappe < FrappeVersion::V15 {
        reader.warn_unread_variables(&SINCE_15, frappe);
    }
    if frappe < FrappeVersion::V16 {
        reader.warn_unread_variables(&SINCE_16, frappe);
    }
}
