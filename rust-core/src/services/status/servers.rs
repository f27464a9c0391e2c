//! Redis and MariaDB: whether they are there, have room, and agree with us on the time.

use mysql_async::prelude::Queryable;
use redis::InfoDict;
use tokio::time::Instant;

use super::{Finding, Level, soon};
use crate::queue::Producer;
use crate::servers::redis::RedisLink;
use crate::servers::refusal;
use crate::services::Site;
use crate::store::migrate::{self, Standing};
use crate::store::server;
use crate::types::UtcMicros;
use crate::{Error, Result};

const MIB: u64 = 1 << 20;
/// Share of a Redis' memory, in per cent, above which it will soon be full.
const FULL: u64 = 80;
/// Seconds that clocks may differ: answers are ordered by time, between hosts too.
const CLOCKS: f64 = 1.0;
/// Seconds at which a review may be ordered before one that it followed.
const CLOCKS_WRONG: f64 = 5.0;

pub(super) async fn look(site: &Site) -> Vec<Finding> {
    let shared = site.config.srs_redis == site.config.redis_cache;
    let (cache, sessions, queue, mariadb) = tokio::join!(
        schedules(&site.srs_redis),
        async {
            match shared {
                true => Vec::new(),
                false => sessions(&site.cache_redis).await,
            }
        },
        queue(&site.queue_redis, &site.producer),
        mariadb(site)
    );
    [cache, sessions, queue, mariadb].concat()
}

/// What to say of a server that does not answer as it should.
struct Server {
    /// The keys of the configuration that say where it is.
    place: &'static str,
    /// Those that say how to log in.
    login: &'static str,
    /// How students fare without it.
    meanwhile: &'static str,
}

impl Server {
    fn failed(&self, about: &'static str, error: &Error) -> Finding {
        let Self {
            place,
            login,
            meanwhile,
        } = self;
        let remedy = match refusal::login(error) {
            // It is there: nothing need be started.
            Some(_) => format!("mend {login} of the configuration; {meanwhile}"),
            None => format!("start it, or see {place} of the configuration; {meanwhile}"),
        };
        Finding::failed(about, error, &remedy)
    }
}

/// What a Redis says of itself.
struct Redis {
    version: String,
    used: u64,
    limit: u64,
    policy: String,
    evicted: u64,
    /// Seconds that its clock is ahead of ours.
    ahead: f64,
}

impl Redis {
    async fn ask(link: &RedisLink) -> Result<Self> {
        if link.is_refused() {
            // Why it is away, which the breaker does not say.
            soon(link.ping()).await?;
        }
        let mut asked = redis::pipe();
        for section in ["server", "memory", "stats"] {
            asked.cmd("INFO").arg(section);
        }
        asked.cmd("TIME");
        let before = UtcMicros::now();
        let answer = soon(link.pipeline(&asked)).await?;
        let after = UtcMicros::now();
        let (server, memory, stats, (seconds, micros)): (InfoDict, InfoDict, InfoDict, (i64, i64)) =
            answer;
        let number = |info: &InfoDict, name: &str| info.get::<u64>(name).unwrap_or(0);
        let text = |info: &InfoDict, name: &str| info.get::<String>(name).unwrap_or_default();
        Ok(Self {
            version: text(&server, "redis_version"),
            used: number(&memory, "used_memory"),
            limit: number(&memory, "maxmemory"),
            policy: text(&memory, "maxmemory_policy"),
            evicted: number(&stats, "evicted_keys"),
            ahead: ahead(before, seconds * 1_000_000 + micros, after),
        })
    }

    fn percent(&self) -> Option<u64> {
        (self.limit > 0).then(|| self.used.saturating_mul(100) / self.limit)
    }

    fn says(&self) -> String {
        let (used, version) = (mib(self.used), &self.version);
        let Some(percent) = self.percent() else {
            return format!("Redis {version}, {used} MiB, no maxmemory");
        };
        let policy = &self.policy;
        if self.limit < MIB {
            let limit = self.limit;
            return format!("Redis {version}, {used} MiB, maxmemory of {limit} bytes, {policy}");
        }
        let limit = mib(self.limit);
        format!("Redis {version}, {used} of {limit} MiB ({percent} %), {policy}")
    }
}

async fn schedules(link: &RedisLink) -> Vec<Finding> {
    const ABOUT: &str = "schedules' Redis";
    const SERVER: Server = Server {
        place: "srs_redis_cache (else redis_cache)",
        login: "srs_redis_cache (else redis_cache)",
        meanwhile: "students are answered from the table meanwhile, within limits",
    };
    let redis = match Redis::ask(link).await {
        Ok(redis) => redis,
        Err(error) => return vec![SERVER.failed(ABOUT, &error)],
    };
    let mut findings = Vec::new();
    if redis.evicted > 0 {
        let says = format!(
            "{}; {} keys evicted since it was started",
            redis.says(),
            redis.evicted
        );
        let remedy = "schedules are filled again and again: raise maxmemory, or give them a \
                      Redis of their own (srs_redis_cache)";
        findings.push(Finding::of(ABOUT, Level::Warning, says, remedy));
    } else if redis.percent().is_some_and(|percent| percent > FULL) {
        let remedy = "raise maxmemory before it evicts schedules";
        findings.push(Finding::of(ABOUT, Level::Warning, redis.says(), remedy));
    } else {
        findings.push(Finding::well(ABOUT, redis.says()));
    }
    findings.extend(clock("clock of the schedules' Redis", redis.ahead));
    findings
}

async fn sessions(link: &RedisLink) -> Vec<Finding> {
    const ABOUT: &str = "sessions' Redis";
    const SERVER: Server = Server {
        place: "redis_cache",
        login: "redis_cache",
        meanwhile: "logins are looked up in the table meanwhile",
    };
    vec![match Redis::ask(link).await {
        Ok(redis) => Finding::well(ABOUT, redis.says()),
        Err(error) => SERVER.failed(ABOUT, &error),
    }]
}

async fn queue(link: &RedisLink, producer: &Producer) -> Vec<Finding> {
    const ABOUT: &str = "queue's Redis";
    const SERVER: Server = Server {
        place: "redis_queue",
        login: "redis_queue (use_rq_auth, rq_username and rq_password)",
        meanwhile: "submits are taken without a job meanwhile, and applied by the sweeps",
    };
    let redis = match Redis::ask(link).await {
        Ok(redis) => redis,
        Err(error) => return vec![SERVER.failed(ABOUT, &error)],
    };
    let evicts = redis.limit > 0 && redis.policy != "noeviction";
    let refused = soon(producer.try_write()).await.err();
    let refused = refused.as_ref().and_then(refusal::code);
    let finding = if let Some(code) = refused {
        let says = format!(
            "{}; it refuses writes ({code}): no submit gets a job",
            redis.says()
        );
        let remedy = match code {
            "OOM" => "raise its maxmemory, or see which queue is not worked on: rq info",
            "READONLY" => "it is a replica: let redis_queue name the one that is written to",
            "NOPERM" => "give the user of redis_queue the rights that Frappe gives it",
            _ => "see its log: its disk may be full, or its replicas away",
        };
        Finding::of(ABOUT, Level::Wrong, says, remedy)
    } else if evicts {
        let remedy = "set maxmemory-policy noeviction: a queue that evicts loses jobs";
        Finding::of(ABOUT, Level::Wrong, redis.says(), remedy)
    } else if redis.percent().is_some_and(|percent| percent > FULL) {
        let remedy = "raise its maxmemory, or see which queue is not worked on: rq info";
        Finding::of(ABOUT, Level::Wrong, redis.says(), remedy)
    } else {
        Finding::well(ABOUT, redis.says())
    };
    let mut findings = vec![finding];
    findings.extend(clock("clock of the queue's Redis", redis.ahead));
    findings
}

async fn mariadb(site: &Site) -> Vec<Finding> {
    const ABOUT: &str = "MariaDB";
    const SERVER: Server = Server {
        place: "db_host and db_port",
        login: "db_name, db_user and db_password",
        meanwhile: "nothing that is not cached can be read meanwhile",
    };
    let asked = async {
        let mut conn = site.db.conn().await?;
        let before = UtcMicros::now();
        let row: Option<(String, i64)> = conn
            .query_first(
                "SELECT VERSION(), TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))",
            )
            .await?;
        let after = UtcMicros::now();
        let (version, theirs) = row.unwrap_or_default();
        Ok((version, ahead(before, theirs, after)))
    };
    let began = Instant::now();
    let (version, ahead) = match soon(asked).await {
        Ok(answer) => answer,
        Err(error) => return vec![SERVER.failed(ABOUT, &error)],
    };
    let says = format!("{version}, answered in {} ms", began.elapsed().as_millis());
    let mut findings = vec![match soon(server::problems(&site.db)).await {
        Ok(problems) if problems.is_empty() => Finding::well(ABOUT, says),
        Ok(problems) => Finding::of(ABOUT, Level::Wrong, says, problems.join("; ")),
        Err(error) => SERVER.failed(ABOUT, &error),
    }];
    findings.push(tables(site).await);
    findings.extend(clock("clock of MariaDB", ahead));
    findings
}

async fn tables(site: &Site) -> Finding {
    const ABOUT: &str = "schema";
    let remedy = format!(
        "memora-srs migrate --site {} --dry-run, then without",
        site.config.site
    );
    match soon(migrate::standing(&site.db)).await {
        Ok(Standing::Migrated) => Finding::well(ABOUT, "up to date"),
        Ok(Standing::ToMigrate(what)) => Finding::of(ABOUT, Level::Wrong, what, remedy),
        Ok(Standing::NotInstalled) => {
            let name = &site.config.site;
            let remedy = format!("bench --site {name} install-app memora; or leave the site alone");
            Finding::of(
                ABOUT,
                Level::Wrong,
                "the app memora is not installed",
                remedy,
            )
        }
        Err(error) => Finding::failed(ABOUT, &error, &remedy),
    }
}

/// Seconds that their clock is ahead of ours, at least: it was read at some moment between
/// ours.
fn ahead(before: UtcMicros, theirs: i64, after: UtcMicros) -> f64 {
    let micros = if theirs < before.0 {
        theirs - before.0
    } else {
        (theirs - after.0).max(0)
    };
    micros as f64 / 1e6
}

/// Said only if it is wrong.
fn clock(about: &'static str, ahead: f64) -> Option<Finding> {
    let level = match ahead.abs() {
        off if off > CLOCKS_WRONG => Level::Wrong,
        off if off > CLOCKS => Level::Warning,
        _ => return None,
    };
    let how = if ahead > 0.0 { "ahead of" } else { "behind" };
    let says = format!("{:.1} s {how} this host's", ahead.abs());
    let remedy = "let both hosts keep time (chrony, systemd-timesyncd): reviews are ordered by it";
    Some(Finding::of(about, level, says, remedy))
}

fn mib(bytes: u64) -> u64 {
    bytes / MIB
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_wrong_only_outside_of_the_time_that_asking_took() {
        let at = |seconds: i64| UtcMicros(seconds * 1_000_000);
        for (theirs, off) in [(9, -1.0), (10, 0.0), (11, 0.0), (12, 0.0), (20, 8.0)] {
            assert_eq!(ahead(at(10), at(theirs).0, at(12)), off, "{theirs}");
        }
        assert_eq!(clock("x", 1.0), None);
        let found = clock("x", -5.5).unwrap();
        assert_eq!(found.level, Level::Wrong);
        assert_eq!(found.says, "5.5 s behind this host's");
    }
}
