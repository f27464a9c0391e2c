//! A worker for all sites of a bench: of those that are broken, made, dropped, or without
//! the app.

use std::path::Path;

use memora_tests::process::Process;
use memora_tests::scratch;

use super::*;

/// Another site, whose folder is not yet among those of the bench of `test`.
async fn neighbour(test: &TestSite) -> TestSite {
    TestSite::builder()
        .on_cache(test.cache.clone())
        .on_queue(test.queue.clone())
        .build()
        .await
}

/// Moves its folder into the bench of `test`, as `bench restore` does.
fn bring(test: &TestSite, site: &TestSite) {
    std::fs::rename(
        site.sites_path.join(&site.name),
        test.sites_path.join(&site.name),
    )
    .unwrap();
}

fn take_away(test: &TestSite, site: &TestSite) {
    std::fs::rename(
        test.sites_path.join(&site.name),
        site.sites_path.join(&site.name),
    )
    .unwrap();
}

/// `memora-srs worker` for the bench of `test`, not for one site of it.
fn start(test: &TestSite, args: &[&str]) -> Process {
    let mut command = Start::default().command("worker", test).unwrap();
    command.args(args);
    let log = scratch::new_dir("worker").unwrap().join("log");
    Process::start("memora-srs worker", command, &log).unwrap()
}

async fn student(test: &TestSite) -> Student {
    test.add_season(SEASON).await;
    let student = test.add_student(ANN).await;
    test.add_questions(ANN, SEASON, 30, memora_tests::Due::First(10))
        .await;
    student
}

async fn submit(http: &Http, student: &Student, submission: &str) {
    let submit = http.post(SUBMIT).token(student).json(&body(submission, 1));
    let answer = submit.send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn lines_about(process: &Process, words: &[&str]) -> Vec<String> {
    let log = process.log();
    let about = log
        .lines()
        .filter(|line| words.iter().all(|word| line.contains(word)));
    about.map(str::to_owned).collect()
}

const BROKEN: &str = "{broken";

fn config_of(bench: &TestSite, site: &TestSite) -> std::path::PathBuf {
    Path::new(&bench.sites_path)
        .join(&site.name)
        .join("site_config.json")
}

#[tokio::test]
async fn one_broken_site_stops_no_other_and_is_served_once_it_is_mended() {
    let (test, ann) = stage().await;
    let other = neighbour(&test).await;
    let bob = student(&other).await;
    bring(&test, &other);
    let file = config_of(&test, &other);
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, BROKEN).unwrap();

    let sidecar = Sidecar::start(&test).await;
    submit(&sidecar.http(&test), &ann, "s-1").await;
    let burst = start(&test, &["--burst"]);
    let ended = wait::until("the burst ends", || async { burst.exit_status() }).await;
    assert!(ended.success(), "{}", burst.log());
    assert_eq!(count(&test, LOG).await, 1);

    let worker = start(&test, &[]);
    for n in 2..4 {
        submit(&sidecar.http(&test), &ann, &format!("s-{n}")).await;
        applied(&test, n).await;
    }
    let refused = lines_about(&worker, &["refused until", &other.name]);
    assert_eq!(refused.len(), 1, "{}", worker.log());
    std::fs::write(&file, whole).unwrap();
    let of_other = Http::new(sidecar.address, &other.name);
    wait::until("the sidecar serves it again", async || {
        let read = of_other.get(READ).token(&bob).send().await;
        (read.status == 200).then_some(())
    })
    .await;
    submit(&of_other, &bob, "s-4").await;
    wait::until("its worker, too", async || {
        (count(&other, LOG).await == 1).then_some(())
    })
    .await;
    let refused = lines_about(&worker, &["refused until", &other.name]);
    assert_eq!(refused.len(), 1, "{}", worker.log());
}

#[tokio::test]
async fn a_broken_site_that_is_asked_for_is_named() {
    let test = TestSite::new().await;
    std::fs::write(config_of(&test, &test), BROKEN).unwrap();
    for args in [&["--site", test.name.as_str()][..], &["--burst"]] {
        let worker = start(&test, args);
        let ended = wait::until("it ends", || async { worker.exit_status() }).await;
        assert_eq!(ended.code(), Some(3), "{args:?} {}", worker.log());
        let log = worker.log();
        let error = log.lines().rfind(|line| line.contains("not valid JSON"));
        let names = error.is_some_and(|line| line.contains(&test.name));
        assert!(names, "{args:?} {log}");
    }
}

#[tokio::test]
async fn a_site_that_is_made_is_served_and_one_that_is_dropped_is_not() {
    let (test, ann) = stage().await;
    let other = neighbour(&test).await;
    let bob = student(&other).await;
    let worker = start(&test, &[]);
    let sidecar = Sidecar::start(&test).await;
    submit(&sidecar.http(&test), &ann, "s-1").await;
    applied(&test, 1).await;

    bring(&test, &other);
    let of_other = Http::new(sidecar.address, &other.name);
    submit(&of_other, &bob, "s-2").await;
    wait::until("the new site's worker", async || {
        (count(&other, LOG).await == 1).then_some(())
    })
    .await;
    take_away(&test, &other);
    wait::until("it works for the other alone", async || {
        let working = lines_about(&worker, &["Working"]);
        let last = working.last()?;
        (working.len() >= 3 && !last.contains(&other.name)).then_some(())
    })
    .await;
    submit(&sidecar.http(&test), &ann, "s-3").await;
    applied(&test, 2).await;
    let mut redis = test.queue.connection().await;
    let workers: u64 = redis::cmd("SCARD")
        .arg("rq:workers")
        .query_async(&mut redis)
        .await
        .unwrap();
    assert_eq!(workers, 1, "{}", worker.log());
    worker.stop(wait::PATIENCE).expect("the worker stops");
}

#[tokio::test]
async fn a_site_without_the_app_is_said_once() {
    let (test, ann) = stage().await;
    let bare = TestSite::builder()
        .on_cache(test.cache.clone())
        .on_queue(test.queue.clone())
        .unmigrated()
        .build()
        .await;
    bring(&test, &bare);
    let sidecar = Sidecar::start(&test).await;
    let http = sidecar.http(&test);
    let worker = start(&test, &["--queue", "nobodys"]);
    // Each of these rows is brought in by a round of its own, which looks at every site.
    for n in 1..4 {
        submit(&http, &ann, &format!("s-{n}")).await;
        let late = "UPDATE memora_srs_journal SET created_at = created_at - INTERVAL 2 MINUTE \
                    WHERE applied_at IS NULL";
        test.exec(late, ()).await;
        applied(&test, n).await;
    }
    let said = lines_about(&worker, &[&bare.name, "journal could not be kept"]);
    assert!(said.len() <= 1, "{}", worker.log());
    let told = lines_about(&worker, &[&bare.name, "without the app"]);
    assert_eq!(told.len(), 1, "{}", worker.log());
}
