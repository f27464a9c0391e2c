//! The program as an operator meets it: options, what it prints, exit codes, signals.

#![expect(clippy::unwrap_used, reason = "a panic is a test's report")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

fn memora_srs(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_memora-srs"));
    command
        .args(args)
        .env_remove("SITES_PATH")
        .env_remove("RUST_LOG");
    command
}

fn run(args: &[&str]) -> Output {
    memora_srs(args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A bench with one site whose servers are nowhere: reserved port 1 refuses.
fn bench(site_config: &str) -> tempfile::TempDir {
    let bench = tempfile::tempdir().unwrap();
    let site = bench.path().join("site.test");
    std::fs::create_dir(&site).unwrap();
    std::fs::write(
        bench.path().join("common_site_config.json"),
        r#"{"bench_id": "b", "redis_cache": "redis://127.0.0.1:1",
            "redis_queue": "redis://:hush@127.0.0.1:1", "db_host": "127.0.0.1", "db_port": 1}"#,
    )
    .unwrap();
    std::fs::write(site.join("site_config.json"), site_config).unwrap();
    bench
}

const GOOD: &str = r#"{"db_name": "db", "db_password": "hush-hush"}"#;

fn with_sites<'a>(args: &[&'a str], bench: &'a Path) -> Vec<&'a str> {
    let mut all = args.to_vec();
    all.extend(["--sites-path", bench.to_str().unwrap()]);
    all
}

#[test]
fn help_and_version() {
    let help = run(&["--help"]);
    assert!(help.status.success());
    for word in [
        "serve",
        "worker",
        "migrate",
        "safe-mode",
        "check-config",
        "Examples:",
        "Exit codes:",
    ] {
        assert!(stdout(&help).contains(word), "{word}");
    }
    let version = stdout(&run(&["--version"]));
    assert_eq!(
        version,
        format!("memora-srs {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn wrong_usage_is_2() {
    for args in [
        &[][..],
        &["nonsense"],
        &["serve", "--bind", "nowhere"],
        &["serve", "--threads", "0"],
        &["migrate"],
        &["safe-mode"],
        &["safe-mode", "status"],
    ] {
        assert_eq!(run(args).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn check_config_masks_secrets_and_fails_for_a_refused_site() {
    let good = bench(GOOD);
    let output = run(&with_sites(&["check-config", "--json"], good.path()));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(report[0]["site"], "site.test");
    assert_eq!(report[0]["ok"], true);
    let text = run(&with_sites(
        &["check-config", "--site", "site.test"],
        good.path(),
    ));
    for output in [&output, &text] {
        assert!(!stdout(output).contains("hush"), "{}", stdout(output));
    }

    let bad = bench("{}");
    let output = run(&with_sites(&["check-config"], bad.path()));
    assert_eq!(output.status.code(), Some(3), "{}", stdout(&output));
    assert!(stderr(&output).contains("site.test"), "{}", stderr(&output));
    let output = run(&with_sites(
        &["check-config", "--site", "nosite"],
        good.path(),
    ));
    assert_eq!(output.status.code(), Some(3), "{}", stdout(&output));
}

#[test]
fn migrate_says_what_is_away() {
    let bench = bench(GOOD);
    let output = run(&with_sites(
        &["migrate", "--site", "site.test"],
        bench.path(),
    ));
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    let output = run(&with_sites(&["migrate", "--site", "nosite"], bench.path()));
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
}

#[test]
fn safe_mode_says_that_redis_is_away_and_what_was_reset() {
    let bench = bench(GOOD);
    let run = |args: &[&str]| {
        let mut all = vec!["safe-mode"];
        all.extend(args);
        all.extend(["--site", "site.test"]);
        run(&with_sites(&all, bench.path()))
    };
    let output = run(&["status", "--json"]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    let status: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(status["active"], true);
    assert_eq!(status["requests"], 0);
    assert_eq!(status["global_limit"], 500);
    assert_eq!(status["user_seconds"], 30);
    let output = run(&["status"]);
    assert!(stdout(&output).contains("0 of 500"), "{}", stdout(&output));
    // The queue is away too.
    for more in [&["reset"][..], &["reset", "--user", "ann@example.com"]] {
        let output = run(more);
        assert_eq!(output.status.code(), Some(4), "{more:?}");
        assert!(stderr(&output).contains("only this host"), "{more:?}");
    }
    assert_eq!(run(&["reset", "--user", ""]).status.code(), Some(1));
    let nosite = with_sites(&["safe-mode", "status", "--site", "nosite"], bench.path());
    assert_eq!(memora_srs(&nosite).output().unwrap().status.code(), Some(3));
}

#[test]
fn serve_needs_a_bench() {
    let output = run(&["serve", "--sites-path", "/nonexistent"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("--sites-path"),
        "{}",
        stderr(&output)
    );
}

/// A started server, killed if a test ends early.
struct Serving {
    child: Child,
    address: String,
}

impl Serving {
    fn start(bench: &Path) -> Self {
        let mut child = memora_srs(&["serve", "--bind", "127.0.0.1:0", "--threads", "1"])
            .env("SITES_PATH", bench)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let out = child.stdout.take().unwrap();
        BufReader::new(out).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").unwrap();
        Self {
            address: address.to_owned(),
            child,
        }
    }

    fn healthy(&self) -> bool {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.starts_with("HTTP/1.1 200 ")
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn serve_ends_well_on_both_signals() {
    let bench = bench(GOOD);
    for signal in ["TERM", "INT"] {
        let mut serving = Serving::start(bench.path());
        assert!(serving.healthy());
        let pid = serving.child.id().to_string();
        let sent = Command::new("kill")
            .args(["-s", signal, &pid])
            .status()
            .unwrap();
        assert!(sent.success());
        assert_eq!(serving.child.wait().unwrap().code(), Some(0), "SIG{signal}");
    }
}
