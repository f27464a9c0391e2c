//! Does everything that the engine has Redis do exist in Redis 6.0?
//!
//! A whole session is played, every command is collected on the servers with its
//! arguments, those inside scripts too, and each is looked up in what a newer Redis says
//! about itself (`COMMAND DOCS`): since when there is the command, its options, and other
//! things that it can do.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use chrono::TimeDelta;
use memora_core::queue::{DirtyList, Mark, Producer, QueueWorker, Whose, WorkerOptions};
use memora_core::schedule_cache::Published;
use memora_core::services::{check, question_info, reconcile, safe_mode, schedule, status};
use memora_core::types::UtcMicros;
use memora_tests::count::{By, RedisCounter};
use memora_tests::questions::question_id;
use memora_tests::{Due, Role, Sidecar, Student, TestSite, Worker, wait};
use mysql_async::prelude::Queryable;
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, FromRedisValue, Value};
use serde_json::json;

use crate::rq::{config, link, submission};
use crate::story::{
    ANN, SEASON, ann, answers, count, is_complete, read, season, submit, try_read, warm_with,
};

const READ: &str = "/api/method/memora.api.reviews.get_review_session";
const SUBMIT: &str = "/api/method/memora.api.reviews.submit_review_session";

/// One command with its arguments, as executed.
type Call = Vec<String>;

/// The newest that may be needed.
const FLOOR: (u32, u32) = (6, 0);

/// A command that can do more since 6.0 than it could then, and whether a call needs that.
type Grown = (&'static str, fn(&[String]) -> bool);
const GROWN: &[Grown] = &[
    // Conditions.
    ("expire", |call| call.len() > 3),
    ("pexpire", |call| call.len() > 3),
    // No protocol, no more than one section.
    ("hello", |call| call.len() < 2),
    ("info", |call| call.len() > 2),
    ("set", |call| has(&call[3..], &["GET", "EXAT", "PXAT"])),
    ("xadd", |call| {
        let options: Vec<String> = call[2..]
            .iter()
            .take_while(|&w| w != "*")
            .cloned()
            .collect();
        options.len() == call.len() - 2 || has(&options, &["NOMKSTREAM", "MINID", "LIMIT"])
    }),
    ("zadd", |call| has(&call[2..], &["GT", "LT"])),
    ("zrange", |call| {
        has(&call[4..], &["BYSCORE", "BYLEX", "REV", "LIMIT"])
    }),
];

fn has(words: &[String], options: &[&str]) -> bool {
    words
        .iter()
        .any(|word| options.contains(&word.to_ascii_uppercase().as_str()))
}

#[tokio::test]
async fn every_command_exists_in_redis_6_0() {
    let test = TestSite::builder()
        .own_cache_with(Default::default())
        .own_queue_with(Default::default())
        .build()
        .await;
    let mut counters = [
        RedisCounter::start(&test.cache).await,
        RedisCounter::start(&test.queue).await,
    ];
    play(&test).await;
    let (mut calls, mut shas) = (Vec::new(), BTreeSet::new());
    for counter in &mut counters {
        for (by, line) in counter.take_with_scripts().await {
            let call = words(&line);
            if by == By::Client && call[0].eq_ignore_ascii_case("EVALSHA") {
                shas.insert(call[1].clone());
            }
            calls.push(call);
        }
    }

    // MONITOR shows what was executed. What does not exist was refused.
    for db in [&test.cache, &test.queue] {
        let mut redis = db.connection().await;
        let errors: String = ask(&mut redis, "INFO", &["errorstats".to_owned()]).await;
        let errors: Vec<&str> = errors
            .lines()
            .filter(|line| line.starts_with("errorstat_"))
            .filter(|line| !line.starts_with("errorstat_NOSCRIPT:"))
            .collect();
        assert_eq!(errors, Vec::<&str>::new());
    }
    // Nothing was left out.
    let scripts = scripts();
    assert_eq!(shas.len(), scripts.len(), "a script was not run");
    // Branches that were not taken.
    for script in &scripts {
        for (function, argument) in functions(script) {
            match (function.as_str(), argument) {
                ("call" | "pcall", Some(command)) => calls.push(vec![command]),
                ("call" | "pcall" | "status_reply" | "error_reply" | "sha1hex", _) => {}
                (other, _) => panic!("redis.{other}: since when?"),
            }
        }
    }
    let mut redis = test.cache.connection().await;
    assert_eq!(too_new(&mut redis, &calls).await, Vec::<String>::new());
}

#[tokio::test]
async fn what_is_newer_is_found() {
    let test = TestSite::new().await;
    let mut redis = test.cache.connection().await;
    let call = |line: &str| line.split(' ').map(str::to_owned).collect::<Call>();
    for newer in [
        "GETDEL k",
        "CLIENT SETINFO LIB-NAME x",
        "CLIENT NO-EVICT on",
        "EXPIRE k 1 NX",
        "INFO server replication",
        "SET k v EX 1 get",
        "XADD k NOMKSTREAM * a b",
        "XADD k 5-* a b",
        "ZADD k GT 1 a",
        "ZRANGE k 0 1 REV",
        // Grew, and is not in the list above.
        "GEOADD k XX 1 1 a",
    ] {
        let found = too_new(&mut redis, &[call(newer)]).await;
        assert_eq!(found.len(), 1, "{newer}");
    }
    for older in [
        "EXPIRE k 1",
        "INFO server",
        "CLIENT ID",
        "SCRIPT LOAD x",
        "XADD k MAXLEN ~ 10 * a b",
        "ZADD k XX 1 a",
        "ZRANGE k 0 1 WITHSCORES",
        "ZRANGE",
    ] {
        let found = too_new(&mut redis, &[call(older)]).await;
        assert_eq!(found, Vec::<String>::new());
    }
}

/// What of these calls needs a newer Redis than [`FLOOR`], each kind once. A call that is
/// its name alone is only asked for that.
async fn too_new(redis: &mut MultiplexedConnection, calls: &[Call]) -> Vec<String> {
    let mut by_name: BTreeMap<String, Vec<&Call>> = BTreeMap::new();
    for call in calls {
        let name = call[0].to_ascii_lowercase();
        by_name.entry(name).or_default().push(call);
    }
    let mut found = BTreeSet::new();
    for (name, calls) in by_name {
        let Some(about) = docs(redis, &name).await else {
            found.insert(format!("{name} is not known"));
            continue;
        };
        if newer(about.get("since")) {
            found.insert(format!("{name} is newer"));
        }
        let calls = calls.into_iter().filter(|call| call.len() > 1);
        if about.contains_key("subcommands") {
            for call in calls {
                let name = format!("{name}|{}", call[1].to_ascii_lowercase());
                if docs(redis, &name)
                    .await
                    .is_none_or(|a| newer(a.get("since")))
                {
                    found.insert(format!("{name} is newer, or not known"));
                }
            }
            continue;
        }
        let history = about.get("history").into_iter().flat_map(items);
        if !history.map(items).any(|entry| newer(entry.first())) {
            continue;
        }
        match GROWN.iter().find(|(grown, _)| *grown == name) {
            Some((_, needs)) => {
                let needing = calls.filter(|call| needs(call));
                found.extend(needing.map(|call| format!("{name} as newer: {call:?}")));
            }
            None => {
                found.insert(format!("{name} can do more since: put it on the list"));
            }
        }
    }
    found.into_iter().collect()
}

/// What Redis says about a command.
async fn docs(redis: &mut MultiplexedConnection, name: &str) -> Option<HashMap<String, Value>> {
    let words = ["DOCS".to_owned(), name.to_owned()];
    let answer: HashMap<String, HashMap<String, Value>> = ask(redis, "COMMAND", &words).await;
    answer.into_values().next()
}

async fn ask<T: FromRedisValue>(
    redis: &mut MultiplexedConnection,
    command: &str,
    words: &[String],
) -> T {
    let mut command = redis::cmd(command);
    command.arg(words).query_async(redis).await.unwrap()
}

fn items(value: &Value) -> &[Value] {
    match value {
        Value::Array(items) => items,
        other => panic!("{other:?}"),
    }
}

/// Whether a version, as `6.2.0`, is above the floor.
fn newer(version: Option<&Value>) -> bool {
    let version: String = redis::from_redis_value_ref(version.unwrap()).unwrap();
    let mut parts = version.split('.').map(|part| part.parse().unwrap());
    (parts.next().unwrap(), parts.next().unwrap()) > FLOOR
}

/// Everything that the engine does with Redis.
async fn play(test: &TestSite) {
    test.add_season(SEASON).await;
    let student = test.add_student(ANN).await;
    test.add_questions(ANN, SEASON, 1500, Due::First(20)).await;
    logins_and_reads(test, &student).await;
    submits(test, &student).await;
    by_id_and_due_time(test).await;
    fills(test).await;
    without_journal(test).await;
    dirty(test).await;
    jobs(test).await;
    limits(test).await;
    compared(test).await;
    let site = test.site().await;
    status::look(&site).await;
    let checked = check::run(&site, &|_| {}, std::future::pending()).await;
    assert!(checked.passed, "{checked:#?}");
}

/// A cache that lacks a question, and has one under a wrong subject.
async fn compared(test: &TestSite) {
    let site = test.site().await;
    warm_with(&site, &["Physics"]).await;
    schedule::remove_item(
        &site,
        &schedule::Owner::new(ANN, SEASON).unwrap(),
        &question_id(7),
    )
    .await
    .unwrap();
    let mut redis = test.cache.connection().await;
    let set = site.cache.keys(&ann(), &season()).subject("Physics");
    let _: i64 = redis.zadd(set, "stray", 1).await.unwrap();
    let everything = reconcile::Options {
        scope: reconcile::Scope::Season,
        season: Some(SEASON.to_owned()),
        dry_run: false,
        seed: None,
    };
    for (options, wrong) in [(everything, 2), (reconcile::Options::sample(100), 0)] {
        let report = reconcile::reconcile(&site, &options, &|_| {})
            .await
            .unwrap();
        assert_eq!(report.auto_corrected, wrong, "{report:?}");
    }
}

async fn limits(test: &TestSite) {
    let site = test.site().await;
    assert!(safe_mode::check_rate_limit(&site, &ann()).await.unwrap());
    // What only the queue Redis has is what it said.
    let elsewhere = tempfile::tempdir().unwrap();
    let mut config = test.config();
    config.sites_path = elsewhere.path().to_owned();
    let site = memora_core::services::Site::open(config).unwrap();
    assert!(!safe_mode::check_rate_limit(&site, &ann()).await.unwrap());
    assert_eq!(safe_mode::global_count(&site).await, 1);
    assert!(safe_mode::last_request(&site, &ann()).await.is_some());
    safe_mode::reset_student(&site, &ann()).await.unwrap();
    safe_mode::reset_global(&site).await.unwrap();
    assert_eq!(safe_mode::global_count(&site).await, 0);
    assert!(safe_mode::check_rate_limit(&site, &ann()).await.unwrap());

    let site = test.site().await;
    safe_mode::outage_began(&site).await;
    wait::until("administrators are told that it is over", || async {
        read(&site).await;
        let status = safe_mode::status(&site).await;
        (status.last.is_some() && status.told).then_some(())
    })
    .await;
}

/// A student whose schedule may lack something, and so many that nobody can tell.
async fn dirty(test: &TestSite) {
    let site = test.site().await;
    let list = DirtyList::new(site.queue_redis.clone(), &test.name);
    for whose in [Whose::Student(ann(), season()), Whose::Everybody] {
        list.mark(&whose, &Mark::new()).await.unwrap();
        let site = test.site().await;
        wait::until("it is made good", || async {
            try_read(&site, json!({})).await.unwrap();
            list.list().await.unwrap().whose.is_empty().then_some(())
        })
        .await;
    }
}

async fn logins_and_reads(test: &TestSite, student: &Student) {
    let sidecar = Sidecar::start(test).await;
    let http = sidecar.http(test);
    // In Redis, due to be extended, in the table only, and nowhere.
    let mut idle = test.new_session(ANN, Role::Student);
    idle.last_updated -= TimeDelta::seconds(601);
    test.write_session(&idle).await;
    let forgotten = test.new_session(ANN, Role::Student);
    test.write_session_to_table(&forgotten).await;
    for sid in [&student.sid, &idle.sid, &forgotten.sid, "made-up"] {
        let cookie = format!("sid={sid}");
        http.get(READ).header("Cookie", &cookie).send().await;
    }
    wait::until("the session is extended", || async {
        let updated = "SELECT COUNT(*) FROM tabSessions WHERE sid = ? AND lastupdate > ?";
        let count = test
            .query_one(updated, (&idle.sid, idle.last_updated))
            .await;
        (count == Some(1)).then_some(())
    })
    .await;
    let site = test.site().await;
    for subject in [None, Some("Mathematics")] {
        wait::until("the schedule is filled", || async {
            let read = http.get(READ).token(student);
            let read = match subject {
                Some(subject) => read.query(&[("subject", subject)]),
                None => read,
            };
            read.send().await.message();
            is_complete(&site, subject).await.then_some(())
        })
        .await;
        http.get(READ).token(student).send().await.message();
    }
}

async fn submits(test: &TestSite, student: &Student) {
    let sidecar = Sidecar::start(test).await;
    let http = sidecar.http(test);
    let known = question_id(0);
    for n in 0..2 {
        let answers = answers(&[&known, &format!("new-{n}")]);
        let body = json!({"responses": answers, "submission_id": format!("s-{n}")});
        let submit = http.post(SUBMIT).token(student).json(&body);
        submit.send().await.message();
    }
    let worker = Worker::start(test);
    wait::until("the reviews are applied", || async {
        let waiting = "SELECT COUNT(*) FROM memora_srs_journal WHERE applied_at IS NULL";
        (count(test, waiting).await == 0).then_some(())
    })
    .await;
    let stopped = worker.process.stop(wait::PATIENCE);
    assert!(stopped.unwrap().success());
}

/// What only Python's classes do, on a schedule that is complete and on one that is not.
async fn by_id_and_due_time(test: &TestSite) {
    let site = test.site().await;
    let owner = schedule::Owner::new(ANN, SEASON).unwrap();
    let items = [(question_id(0), 1e9), ("newest".to_owned(), 1e9)];
    for complete in [false, true] {
        let now = UtcMicros::now();
        if complete {
            // A sidecar that was stopped in the middle of a fill leaves its lease behind.
            wait::until("the schedule is filled here", || async {
                let filled = schedule::due_items_with_rehydration(&site, &owner, 5, now).await;
                filled.unwrap().1.then_some(())
            })
            .await;
        } else {
            schedule::clear(&site, &owner).await.unwrap();
        }
        let set = schedule::add_batch(&site, &owner, &items, None, now).await;
        set.unwrap();
        let due = schedule::due_items(&site, &owner, 5, now).await;
        assert!(!due.unwrap().is_empty());
        assert!(schedule::count_due(&site, &owner, now).await.unwrap() > 0);
        let scores = schedule::all_scores(&site, &owner).await;
        assert!(!scores.unwrap().is_empty());
        schedule::stats(&site, &owner, now).await.unwrap();
        let removed = schedule::remove_item(&site, &owner, "newest").await;
        assert!(removed.unwrap());
        assert!(schedule::is_available(&site).await);
    }
    let info = (Some("Mathematics".to_owned()), None);
    let info = HashMap::from([("new-0".to_owned(), info)]);
    let named = question_info::fill_question_info(&site, ANN, SEASON, &info).await;
    assert_eq!(named.unwrap(), 1);
}

/// What a fill does when it is alone, late, or overtaken.
async fn fills(test: &TestSite) {
    let site = test.site().await;
    let (ann, season) = (ann(), season());
    warm_with(&site, &["Mathematics", "Physics"]).await;
    let mut fill = site.cache.begin_fill(&ann, &season).await.unwrap().unwrap();
    assert!(
        site.cache
            .begin_fill(&ann, &season)
            .await
            .unwrap()
            .is_none()
    );
    let subjects = ["History".to_owned()];
    assert!(fill.stage(&[], &subjects, &test.name).await.unwrap());
    submit(&site, "s-dirty", &[&question_id(1)]).await;
    assert_eq!(fill.publish().await.unwrap(), Published::Dirty);
    fill.release().await.unwrap();
    site.cache.invalidate(&ann, &season).await.unwrap();
    submit(&site, "s-cold", &[&question_id(2)]).await;
}

/// A submit whose journal is locked, until its row is there.
async fn without_journal(test: &TestSite) {
    let budget = test.config().srs.journal_budget.as_millis();
    test.set_config("srs_journal_budget_ms", json!(500));
    let site = test.site().await;
    let mut locking = test.db.get_conn().await.unwrap();
    locking
        .query_drop("LOCK TABLES memora_srs_journal WRITE")
        .await
        .unwrap();
    submit(&site, "s-locked", &["new-locked"]).await;
    // Another attempt at it, which looks for the first.
    submit(&site, "s-locked", &["new-locked"]).await;
    locking.query_drop("UNLOCK TABLES").await.unwrap();
    wait::until("the entry is taken out", || async {
        let there = site.unjournaled.are_there().await.unwrap();
        (!there).then_some(())
    })
    .await;
    test.set_config("srs_journal_budget_ms", json!(budget));
}

/// The queue, as each version of RQ has it.
async fn jobs(test: &TestSite) {
    let queue = link(&test.queue.url());
    let mut redis = test.queue.connection().await;
    for rq_major in [1, 2, 3] {
        let mut config = config(rq_major);
        config.site = format!("site{rq_major}");
        config.bench_id = format!("bench{rq_major}");
        config.srs.default_queue_max = 6;
        let now = UtcMicros::now();
        let options = WorkerOptions {
            bench_id: config.bench_id.clone(),
            queues: vec!["srs_write".to_owned(), "default".to_owned()],
            sites: vec![config.site.clone()],
            rq_major,
        };
        let worker = QueueWorker::new(queue.clone(), &options, now).unwrap();
        worker.register(now).await.unwrap();
        assert!(worker.take(1, now).await.unwrap().is_empty());
        for custom_queues in [vec![], vec!["srs_write".to_owned()]] {
            config.custom_queues = custom_queues;
            let producer = Producer::new(queue.clone(), &config);
            for n in 0..8 {
                let ours = submission("ann", &format!("s-{}-{n}", config.custom_queues.len()));
                producer.enqueue(&ours).await.unwrap();
                producer.requeue(&ours, now).await.unwrap();
                // How long RQ is to keep what came of it.
                let key = format!("rq:job:{}", producer.job_id(&ours));
                let ttl = [600, 0, -1][n % 3];
                let _: u32 = redis.hset(key, "result_ttl", ttl).await.unwrap();
            }
            let jobs = worker.take(10, now).await.unwrap();
            worker.heartbeat(&jobs, now).await.unwrap();
            let (put_back, rest) = jobs.split_first().unwrap();
            let (failed, done) = rest.split_first().unwrap();
            worker.put_back(put_back).await.unwrap();
            worker.fail(failed, "x", now).await.unwrap();
            let result = json!({"success": true});
            let done = done.iter().map(|job| (job, &result));
            worker.finish_all(done, now).await.unwrap();
        }
        // Taken by workers that died, before it began and after.
        let producer = Producer::new(queue.clone(), &config);
        for n in 0..2 {
            producer
                .enqueue(&submission("ann", &format!("dead-{n}")))
                .await
                .unwrap();
        }
        let list = format!("rq:queue:{}:srs_write", config.bench_id);
        let waiting: Vec<String> = redis.lrange(&list, -1, -1).await.unwrap();
        let taken = &waiting[0];
        let _: u32 = redis.lrem(&list, 1, taken).await.unwrap();
        let _: u32 = redis
            .rpush(format!("{list}:intermediate"), taken)
            .await
            .unwrap();
        assert!(!worker.take(10, now).await.unwrap().is_empty());
        for later in [100, 200] {
            let lock = format!("rq:memora:maintenance:{}:srs_write", config.bench_id);
            let _: u32 = redis.del(lock).await.unwrap();
            worker.maintain(now.plus_seconds(later)).await.unwrap();
        }
        let _: () = redis.set("rq:suspended", 1).await.unwrap();
        assert!(worker.take(1, now).await.unwrap().is_empty());
        let _: () = redis.del("rq:suspended").await.unwrap();
        worker.unregister(now).await.unwrap();
    }
}

/// The words of a line of MONITOR: quoted, with escapes.
fn words(line: &str) -> Call {
    let mut words = Vec::new();
    let mut rest = line.chars();
    while rest.by_ref().any(|c| c == '"') {
        let mut word = String::new();
        while let Some(c) = rest.next() {
            match c {
                '"' => break,
                // Of an escaped byte, what follows stays as it is written.
                '\\' => word.extend(rest.next()),
                c => word.push(c),
            }
        }
        words.push(word);
    }
    words
}

/// The Lua scripts of the engine, each with what is put before it.
fn scripts() -> Vec<String> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../rust-core/src")];
    let mut scripts = Vec::new();
    while let Some(folder) = folders.pop() {
        let prelude = std::fs::read_to_string(folder.join("prelude.lua")).unwrap_or_default();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "lua") && !path.ends_with("prelude.lua")
            {
                scripts.push(prelude.clone() + &std::fs::read_to_string(path).unwrap());
            }
        }
    }
    scripts
}

/// The functions of Redis that a script calls, with the first argument if it is text.
fn functions(script: &str) -> Vec<(String, Option<String>)> {
    let code = script.lines().map(|line| line.split("--").next().unwrap());
    let code: String = code.collect();
    let calls = code.split("redis.").skip(1).map(|call| {
        let (name, rest) = call.split_once('(').unwrap();
        let argument = rest
            .strip_prefix('\'')
            .and_then(|rest| rest.split_once('\''));
        (
            name.to_owned(),
            argument.map(|(argument, _)| argument.to_owned()),
        )
    });
    calls.collect()
}
