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
fn output_that_nobody_reads_to_the_end_is_no_failure() {
    // Larger than a pipe holds, so that it meets the closed end.
    let mut child = memora_srs(&["completions", "zsh"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(stderr(&output), "");
    assert_eq!(output.status.code(), Some(141));
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
        // More than this host can start.
        &["serve", "--threads", "65535"],
        &["worker", "--threads", "65535"],
        // Would serve nobody.
        &["serve", "--max-connections", "0"],
        // More than can be counted.
        &["serve", "--max-connections", "18446744073709551615"],
        &["status", "--log-level", "nonsense=nonsense"],
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
    let nosite = with_sites(&["safe-mode", "status", "--site", "nosite"], bench.path());
    assert_eq!(memora_srs(&nosite).output().unwrap().status.code(), Some(3));
}

/// What scripts decide by: each command that asks a server, for a site that is not there, and
/// with all servers away.
#[test]
fn every_command_tells_a_wrong_name_from_a_server_that_is_away() {
    let bench = bench(GOOD);
    let season = ["--season", "S"];
    let one = ["--player", "ann@example.com", "--submission", "s-1"];
    for (command, away) in [
        (&["migrate"][..], 4),
        (&["migrate", "--dry-run"], 4),
        (&[&["archive", "--yes"][..], &season].concat(), 4),
        (&[&["archive", "--dry-run"][..], &season].concat(), 4),
        (&[&["archive", "--status"][..], &season].concat(), 4),
        (
            &[&["archive", "--restore", "--yes"][..], &season].concat(),
            4,
        ),
        (&["archive", "--auto"], 4),
        (&["retention", "flag"], 4),
        (&["retention", "delete", "--yes"], 4),
        (&["partition", "list"], 4),
        (&[&["partition", "create"][..], &season].concat(), 4),
        (&["journal", "list"], 4),
        (&[&["journal", "show"][..], &one].concat(), 4),
        (&["journal", "retry", "--state", "failed"], 4),
        (&[&["journal", "dismiss"][..], &one].concat(), 4),
        (&["reconcile"], 4),
        (&["reconcile", "--history"], 4),
        (&["safe-mode", "status"], 4),
        (&["safe-mode", "reset"], 4),
        (&[&["rebuild"][..], &season].concat(), 4),
        (&[&["rebuild", "--status"][..], &season].concat(), 4),
        (&["cache", "stats"], 4),
        (&[&["cache", "clear"][..], &season].concat(), 4),
        (&["sweep"], 4),
        (&["sweep", "--dry-run"], 4),
        (&["status"], 4),
        (&["check"], 4),
        (&["worker", "--burst"], 4),
        // Asks no server about the site.
        (&["check-config"], 0),
    ] {
        for (site, expected) in [("nosite", 3), ("site.test", away)] {
            let args = [command, &["--site", site]].concat();
            let output = run(&with_sites(&args, bench.path()));
            let said = format!("{args:?}: {}{}", stdout(&output), stderr(&output));
            assert_eq!(output.status.code(), Some(expected), "{said}");
            assert!(
                !said.contains("hush") && !said.contains("panicked"),
                "{said}"
            );
            if expected > 0 {
                assert!(!stderr(&output).trim().is_empty(), "{said}");
            }
        }
    }
}

#[test]
fn wrong_values_are_wrong_usage_before_any_server_is_asked() {
    let bench = bench(GOOD);
    for args in [
        &["safe-mode", "reset", "--user", ""][..],
        &["safe-mode", "reset", "--user", "", "--dry-run"],
        &["cache", "stats", "--user", "x", "--season", "a\nb"],
        &["cache", "stats", "--user", "", "--season", "S"],
        &["cache", "clear", "--season", ""],
        &["cache", "clear", "--season", "S", "--user", "a\tb"],
        &["journal", "retry"],
        &["journal", "dismiss"],
        &["archive", "--season", "S"],
        &["archive", "--season", "S", "--restore"],
    ] {
        let args = [args, &["--site", "site.test"]].concat();
        let output = run(&with_sites(&args, bench.path()));
        let said = format!("{args:?}: {}{}", stdout(&output), stderr(&output));
        assert_eq!(output.status.code(), Some(2), "{said}");
    }
}

/// A sites folder that is not there, without a site, and with one that cannot be looked at.
#[test]
fn every_command_says_what_is_wrong_with_the_sites_folder() {
    let empty = tempfile::tempdir().unwrap();
    let nowhere = Path::new("/nonexistent");
    for (folder, says, commands) in [
        (
            nowhere,
            "The sites folder /nonexistent",
            &[
                &["serve"][..],
                &["worker"],
                &["worker", "--burst"],
                &["status"],
                &["check-config"],
                &["migrate", "--site", "site.test"],
                &["cache", "stats", "--site", "site.test"],
                &["status", "--site", "site.test"],
            ][..],
        ),
        (
            empty.path(),
            "There is no site below",
            &[&["status"], &["check-config"], &["worker", "--burst"]],
        ),
    ] {
        for args in commands {
            let output = run(&with_sites(args, folder));
            let said = format!("{args:?}: {}{}", stdout(&output), stderr(&output));
            assert_eq!(output.status.code(), Some(3), "{said}");
            assert!(stderr(&output).contains(says), "{said}");
        }
    }

    // What cannot be looked at is a site, as far as anybody knows.
    let bench = bench(GOOD);
    let config = bench.path().join("site.test/site_config.json");
    std::fs::remove_file(&config).unwrap();
    std::os::unix::fs::symlink("site_config.json", &config).unwrap();
    for (args, code) in [
        (&["status"][..], 1),
        (&["check-config"], 3),
        (&["worker", "--burst"], 3),
    ] {
        let output = run(&with_sites(args, bench.path()));
        let said = format!("{}{}", stdout(&output), stderr(&output));
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains("site.test"), "{args:?}: {said}");
    }
}

/// A reader of JSON sees why there is nothing to read.
#[test]
fn with_json_an_error_is_json_too() {
    let bench = bench(GOOD);
    let season = ["--season", "S"];
    for (args, kind, code) in [
        (&["migrate", "--site", "site.test"][..], "unavailable", 4),
        (&["migrate", "--site", "nosite"], "not_found", 3),
        (
            &[&["rebuild", "--site", "site.test"][..], &season].concat(),
            "unavailable",
            4,
        ),
        (&["journal", "retry", "--site", "site.test"], "usage", 2),
        (&["status", "--site", "nosite"], "not_found", 3),
        (
            &["check-config", "--sites-path", "/nonexistent"],
            "config",
            3,
        ),
        (&["archive", "--site", "site.test"], "usage", 2),
    ] {
        let mut args = [args, &["--json"]].concat();
        if !args.contains(&"--sites-path") {
            args = with_sites(&args, bench.path());
        }
        let output = run(&args);
        let said = format!("{args:?}: {}{}", stdout(&output), stderr(&output));
        assert_eq!(output.status.code(), Some(code), "{said}");
        let answer: serde_json::Value = serde_json::from_str(&stdout(&output)).expect(&said);
        assert_eq!(answer["error"]["kind"], kind, "{said}");
        let message = answer["error"]["message"].as_str().expect(&said);
        assert!(stderr(&output).contains(message), "{said}");
    }
    // What is printed already says it all.
    let output = run(&with_sites(&["status", "--json"], bench.path()));
    let answer: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert!(answer.is_array(), "{answer}");
}

#[test]
fn an_error_names_server_and_site_once() {
    let bench = bench(GOOD);
    let output = run(&with_sites(
        &["migrate", "--site", "site.test"],
        bench.path(),
    ));
    let said = stderr(&output);
    assert!(
        said.contains("127.0.0.1:1") && said.contains("site.test"),
        "{said}"
    );
    assert_eq!(said.matches("refused").count(), 1, "{said}");
    let wrong = self::bench(r#"{"db_name": 5}"#);
    let output = run(&with_sites(
        &["status", "--site", "site.test"],
        wrong.path(),
    ));
    let said = format!("{}{}", stdout(&output), stderr(&output));
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("db_name") && !said.contains("does not exist"),
        "{said}"
    );
}

/// What Tab offers in bash, asked of the function that the script makes.
fn offered(script: &Path, words: &[&str]) -> Vec<String> {
    let ask = "set -e; source \"$0\"; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \
               _memora__srs memora-srs \"${@: -1}\" \"${@: -2:1}\"; echo \"${COMPREPLY[@]}\"";
    let output = Command::new("bash")
        .args(["--norc", "-c", ask])
        .arg(script)
        .args(words)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output)
        .split_whitespace()
        .map(str::to_owned)
        .collect()
}

/// The names below `Commands:` of a help.
fn commands(args: &[&str]) -> Vec<String> {
    let help = stdout(&run(&[args, &["--help"]].concat()));
    let Some((_, rest)) = help.split_once("Commands:\n") else {
        return Vec::new();
    };
    let lines = rest.lines().take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.split_whitespace().next());
    names.map(str::to_owned).collect()
}

#[test]
fn completions_offer_every_command_and_option() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("completions");
    let all = commands(&[]);
    assert!(all.len() > 15, "{all:?}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(&["completions", shell]);
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{shell}"
        );
        for command in &all {
            assert!(
                stdout(&output).contains(command.as_str()),
                "{shell}: {command}"
            );
        }
    }
    assert_eq!(run(&["completions", "tcsh"]).status.code(), Some(2));
    std::fs::write(&script, run(&["completions", "bash"]).stdout).unwrap();
    let first = offered(&script, &["memora-srs", ""]);
    for command in &all {
        assert!(first.contains(command), "{command}: {first:?}");
        let subs = commands(&[command]);
        let second = offered(&script, &["memora-srs", command, ""]);
        for sub in &subs {
            assert!(second.contains(sub), "{command} {sub}: {second:?}");
        }
        let leaves: Vec<Vec<&str>> = match subs.is_empty() {
            true => vec![vec![command]],
            false => subs.iter().map(|sub| vec![command.as_str(), sub]).collect(),
        };
        for leaf in leaves.iter().filter(|leaf| !leaf.contains(&"help")) {
            let help = stdout(&run(&[&leaf[..], &["--help"]].concat()));
            let lines = help
                .lines()
                .map(str::trim_start)
                .filter(|line| line.starts_with('-'));
            let options: Vec<&str> = lines
                .filter_map(|line| line.split_whitespace().find(|word| word.starts_with("--")))
                .collect();
            assert!(options.contains(&"--help"), "{help}");
            let there = offered(&script, &[&["memora-srs"][..], leaf, &["--"]].concat());
            for option in options {
                assert!(
                    there.iter().any(|o| o == option),
                    "{leaf:?} {option}: {there:?}"
                );
            }
        }
    }
    assert_eq!(offered(&script, &["memora-srs", "rebu"]), ["rebuild"]);
}

#[test]
fn serve_needs_a_bench() {
    let output = run(&["serve", "--sites-path", "/nonexistent"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(
        stderr(&output).contains("/nonexistent"),
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
