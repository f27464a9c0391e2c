//! The sidecar behind a real nginx, configured by `memora-srs setup`, with Frappe behind it:
//! whatever becomes of the sidecar, every student is answered, and a submit has one effect.
//!
//! Frappe is played by a server that answers a submit as the app does, through the same
//! engine and under the name that nginx gave the request, and keeps what it was asked.

use std::net::TcpListener as StdListener;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use memora_core::batch::Door;
use memora_core::services::Site;
use memora_core::services::submit::{SubmitRequest, submit_review_session};
use memora_core::types::UtcMicros;
use memora_tests::nginx::Nginx;
use memora_tests::programs::{self, Start};
use memora_tests::questions::question_id;
use memora_tests::{Http, Sidecar, Student, TestSite, wait};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::story::{ANN, SEASON, ann};

const READ: &str = "/api/method/memora.api.reviews.get_review_session";
const SUBMIT: &str = "/api/method/memora.api.reviews.submit_review_session";
/// Long enough to tell one from the other; short, because a test waits for it.
const TIMEOUT: &str = "proxy_read_timeout 1s;";

/// What Frappe was asked.
#[derive(Debug, Clone)]
struct Asked {
    method: String,
    uri: String,
    headers: http::HeaderMap,
    body: Bytes,
}

impl Asked {
    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

struct Frappe {
    port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
    listener: Option<TcpListener>,
}

impl Frappe {
    /// Its port is known before the site is.
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self {
            port: listener.local_addr().unwrap().port(),
            asked: Arc::default(),
            listener: Some(listener),
        }
    }

    fn serve(&mut self, site: Arc<Site>) {
        let (listener, asked) = (self.listener.take().unwrap(), self.asked.clone());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (site, asked) = (site.clone(), asked.clone());
                let service =
                    service_fn(move |request| answer(site.clone(), asked.clone(), request));
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn answer(
    site: Arc<Site>,
    all: Arc<Mutex<Vec<Asked>>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let asked = Asked {
        method: head.method.to_string(),
        uri: head.uri.to_string(),
        headers: head.headers,
        body: body.collect().await?.to_bytes(),
    };
    all.lock().unwrap().push(asked.clone());
    let mut message = json!({"frappe": true});
    if asked.uri.ends_with("submit_review_session") {
        let args: Map<String, Value> = serde_json::from_slice(&asked.body).unwrap();
        let id = asked.header("x-memora-request-id");
        let request = SubmitRequest::from_args(&args, None, Some(id)).unwrap();
        let (ann, now) = (ann(), UtcMicros::now());
        let done = submit_review_session(&site, &ann, &request, Door::Python, now).await;
        message["processed"] = done.unwrap().processed.into();
    }
    let body = json!({"message": message}).to_string();
    Ok(Response::new(Full::new(Bytes::from(body))))
}

struct Stage {
    test: TestSite,
    student: Student,
    frappe: Frappe,
}

impl Stage {
    async fn new() -> Self {
        let mut frappe = Frappe::new().await;
        let port = json!(frappe.port);
        let test = TestSite::builder()
            .common_config("webserver_port", port)
            .build()
            .await;
        test.add_season(SEASON).await;
        let student = test.add_student(ANN).await;
        test.add_questions(ANN, SEASON, 40, memora_tests::Due::All)
            .await;
        frappe.serve(test.site().await);
        Self {
            test,
            student,
            frappe,
        }
    }

    /// nginx before a sidecar at this address, impatient.
    async fn nginx(&self, sidecar: std::net::SocketAddr) -> Nginx {
        let edit = |_: &str, text: String| text.replace("proxy_read_timeout 10s;", TIMEOUT);
        Nginx::start(&self.test, sidecar, edit).await.unwrap()
    }

    async fn submit(&self, http: &Http, question: usize) -> Value {
        let answers = json!([{"question_id": question_id(question), "quality": 4}]);
        let call = http.post(SUBMIT).token(&self.student);
        let call = call.header("x-memora-request-id", "the-clients-own");
        call.json(&json!({"responses": answers}))
            .send()
            .await
            .message()
    }

    /// How many submits there are, and their ids.
    async fn submits(&self) -> Vec<String> {
        let sql = "SELECT CAST(submission_id AS CHAR) FROM memora_srs_journal ORDER BY created_at";
        self.test.query(sql, ()).await
    }

    /// Waits until this question was answered once in the journal, and no other submit came.
    async fn is_once(&self, before: usize) {
        let submits = self.submits().await;
        assert_eq!(submits.len(), before + 1, "{submits:?}");
        let id = submits.last().unwrap();
        assert!(
            id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()),
            "{id}"
        );
    }
}

#[tokio::test]
async fn hot_methods_go_to_the_sidecar_and_what_it_declines_to_frappe_unchanged() {
    let stage = Stage::new().await;
    let sidecar = Sidecar::start(&stage.test).await;
    let nginx = stage.nginx(sidecar.address).await;
    let http = nginx.http(&stage.test);
    for read in [READ.to_owned(), READ.replace("/api/", "/api/v1/")] {
        let answer = http.get(&read).token(&stage.student).send().await;
        assert_eq!(answer.message()["total_due"], 40, "{read}");
    }
    assert_eq!(stage.submit(&http, 0).await["processed"], 1);
    stage.is_once(0).await;
    assert_eq!(stage.frappe.asked().len(), 0);

    // Declined: the same request, headers as Frappe's own location gives them.
    let call = http.post(&format!("{READ}?cmd=frappe.ping&x=%2F"));
    let call = call.header("x-memora-request-id", "the-clients-own");
    let call = call
        .header("x-forwarded-for", "203.0.113.9")
        .header("x-custom", "kept");
    let answer = call.json(&json!({"limit": 3})).send().await;
    assert_eq!(answer.message(), json!({"frappe": true}));
    let asked = stage.frappe.asked().pop().unwrap();
    assert_eq!(
        (asked.method.as_str(), asked.body),
        ("POST", Bytes::from(r#"{"limit":3}"#))
    );
    let asked = stage.frappe.asked().pop().unwrap();
    assert_eq!(asked.uri, format!("{READ}?cmd=frappe.ping&x=%2F"));
    assert_eq!(asked.header("x-frappe-site-name"), stage.test.name);
    assert_eq!(asked.header("host"), stage.test.name);
    assert_eq!(asked.header("x-forwarded-for"), "127.0.0.1");
    assert_eq!(asked.header("x-forwarded-proto"), "http");
    assert_eq!(asked.header("x-use-x-accel-redirect"), "True");
    assert_eq!(asked.header("x-custom"), "kept");
    assert_eq!(asked.header("x-memora-request-id").len(), 32);

    // Everything else never comes near the sidecar.
    let before = stage.frappe.asked().len();
    for other in [
        "/api/method/memora.api.reviews.get_active_season",
        "/metrics",
        "/healthz",
        "/app",
    ] {
        assert_eq!(
            http.get(other).send().await.message(),
            json!({"frappe": true}),
            "{other}"
        );
    }
    assert_eq!(stage.frappe.asked().len(), before + 4);

    // An answer of its own, not a failure of the sidecar: nobody else is asked.
    stage.test.set_config("maintenance_mode", json!(1));
    wait::until("503 passes through", || async {
        let answer = http.get(READ).token(&stage.student).send().await;
        (answer.status == StatusCode::SERVICE_UNAVAILABLE).then_some(())
    })
    .await;
    assert_eq!(stage.frappe.asked().len(), before + 4);
}

#[tokio::test]
async fn a_sidecar_that_is_away_or_hung_leaves_one_effect() {
    let stage = Stage::new().await;
    let sidecar = Sidecar::start(&stage.test).await;
    let nginx = stage.nginx(sidecar.address).await;
    let http = nginx.http(&stage.test);
    stage.submit(&http, 0).await;

    sidecar.process.pause();
    let answer = stage.submit(&http, 1).await;
    assert_eq!(answer, json!({"frappe": true, "processed": 1}));
    stage.is_once(1).await;
    // What it had taken in meanwhile comes to nothing: Frappe's submit has that name.
    sidecar.process.resume();
    let answer = http
        .get(READ)
        .token(&stage.student)
        .query(&[("limit", "50")])
        .send()
        .await;
    assert_eq!(answer.message()["total_due"], 38);
    stage.is_once(1).await;

    sidecar.process.kill();
    assert_eq!(stage.submit(&http, 2).await["frappe"], true);
    stage.is_once(2).await;
    assert_eq!(
        http.get(READ).token(&stage.student).send().await.message(),
        json!({"frappe": true})
    );
    let ids: Vec<String> = stage
        .frappe
        .asked()
        .iter()
        .map(|a| a.header("x-memora-request-id").to_owned())
        .collect();
    assert_eq!(ids.len(), 3);
    assert_eq!(stage.submits().await[1..], ids[..2]);
}

#[tokio::test]
async fn a_sidecar_that_dies_in_the_middle_of_a_submit_leaves_one_effect() {
    let stage = Stage::new().await;
    for (n, point) in ["after_state", "after_queue", "after_journal", "after_cache"]
        .into_iter()
        .enumerate()
    {
        let start = Start::default().failpoint(point, "exit");
        let sidecar = Sidecar::start_with(&stage.test, &start).await.unwrap();
        let nginx = stage.nginx(sidecar.address).await;
        let answer = stage.submit(&nginx.http(&stage.test), n).await;
        assert_eq!(answer, json!({"frappe": true, "processed": 1}), "{point}");
        assert!(sidecar.process.exit_status().is_some(), "{point}");
        stage.is_once(n).await;
    }
    // And so it is once all of it is in the table.
    wait::until("all is applied", || async {
        let waiting = "SELECT COUNT(*) FROM memora_srs_journal WHERE applied_at IS NULL";
        let age = "UPDATE memora_srs_journal SET created_at = created_at - INTERVAL 60 SECOND";
        stage.test.exec(age, ()).await;
        programs::run(&stage.test, &Start::default(), "sweep")
            .await
            .unwrap();
        (stage.test.query_one::<u32>(waiting, ()).await == Some(0)).then_some(())
    })
    .await;
    let log = "SELECT COUNT(*) FROM memora_srs_review_log";
    assert_eq!(stage.test.query_one::<u32>(log, ()).await, Some(4));
}

/// Students who never stop asking, each time anew, and each of whom must be answered.
struct Busy {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU32>,
    tasks: Vec<JoinHandle<()>>,
}

impl Busy {
    fn start(address: std::net::SocketAddr, test: &TestSite, student: &Student) -> Self {
        let (stop, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicU32>::default());
        let tasks = (0..4).map(|_| {
            let (stop, answered) = (stop.clone(), answered.clone());
            let (host, token) = (test.name.clone(), student.token());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let http = Http::new(address, &host);
                    let call = http.get(READ).header("authorization", &token);
                    let answer = call.header("connection", "close").try_send().await;
                    let answer = answer.unwrap_or_else(|e| panic!("not answered: {e:#}"));
                    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        Self {
            tasks: tasks.collect(),
            stop,
            answered,
        }
    }

    async fn more(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        wait::until("more are answered", || async {
            let failed = self.tasks.iter().any(JoinHandle::is_finished);
            (failed || self.answered.load(Ordering::Relaxed) > before + 20).then_some(())
        })
        .await;
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_socket_that_is_handed_over_a_restart_refuses_nobody() {
    let stage = Stage::new().await;
    let socket = StdListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let mut sidecar = Sidecar::start_on(&stage.test, &socket).await.unwrap();
    assert_eq!(sidecar.address, address);
    let busy = Busy::start(address, &stage.test, &stage.student);
    for _ in 0..3 {
        busy.more().await;
        // As `systemctl restart` does: the old one ends, then the new one begins.
        let old = sidecar;
        tokio::task::block_in_place(|| old.process.stop(Duration::from_secs(20)).unwrap());
        sidecar = Sidecar::start_on(&stage.test, &socket).await.unwrap();
    }
    busy.more().await;
    busy.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_nginx_one_of_two_on_a_port_restarts_and_nobody_notices() {
    let stage = Stage::new().await;
    let shared = |port: u16| {
        Start::default().args(&["--reuse-port", "--bind", &format!("127.0.0.1:{port}")])
    };
    let mut one = Sidecar::start_with(&stage.test, &shared(0)).await.unwrap();
    let port = one.address.port();
    let mut other = Sidecar::start_with(&stage.test, &shared(port))
        .await
        .unwrap();
    let nginx = stage.nginx(one.address).await;
    let busy = Busy::start(nginx.address, &stage.test, &stage.student);
    for _ in 0..3 {
        busy.more().await;
        tokio::task::block_in_place(|| one.process.stop(Duration::from_secs(20)).unwrap());
        one = std::mem::replace(
            &mut other,
            Sidecar::start_with(&stage.test, &shared(port))
                .await
                .unwrap(),
        );
    }
    busy.more().await;
    busy.end().await;
    drop((one, other));
}

#[tokio::test]
async fn setup_writes_only_what_it_is_told_to_and_nothing_over_what_differs() {
    let stage = Stage::new().await;
    let bench = stage.test.sites_path.parent().unwrap().to_owned();
    let setup = |args: &[&str]| {
        let mut command = std::process::Command::new(programs::binary().unwrap());
        command
            .args(["setup", "--user", "frappe", "--bench"])
            .arg(&bench)
            .args(args);
        command.output().unwrap()
    };
    let folder = bench.join("config/memora-srs");
    let said = setup(&[]);
    let text = String::from_utf8(said.stdout).unwrap();
    assert!(
        said.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&said.stderr)
    );
    assert!(!folder.exists() && text.contains("\"srs_write\""), "{text}");
    assert!(
        !text.contains("@BENCH@") && !text.contains("WRONG"),
        "{text}"
    );
    let checks = text.split("# ---- checks").nth(1).unwrap();
    assert!(checks.contains("nginx -t reads its pieces"), "{checks}");

    assert!(
        setup(&["--write", "--only", "nginx", "--only", "systemd"])
            .status
            .success()
    );
    let mut written: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    written.sort();
    let name = bench.file_name().unwrap().to_string_lossy().into_owned();
    let units =
        ["-worker.service", ".service", ".socket"].map(|end| format!("{name}-memora-srs{end}"));
    let mut expected = vec!["locations.conf".to_owned(), "upstream.conf".to_owned()];
    expected.extend(units);
    expected.sort();
    assert_eq!(written, expected);

    // Prometheus is to ask each of the processes.
    for (unit, port) in [("", "9760"), ("-worker", "9769")] {
        let unit = folder.join(format!("{name}-memora-srs{unit}.service"));
        let unit = std::fs::read_to_string(unit).unwrap();
        let address = format!(" --metrics-bind 127.0.0.1:{port} ");
        assert!(unit.contains(&address), "{unit}");
    }

    let locations = folder.join("locations.conf");
    let before = std::fs::read_to_string(&locations).unwrap();
    std::fs::write(&locations, "mine").unwrap();
    std::fs::remove_file(folder.join("upstream.conf")).unwrap();
    let refused = setup(&["--write"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("locations.conf"));
    assert_eq!(std::fs::read_to_string(&locations).unwrap(), "mine");
    assert!(!folder.join("upstream.conf").exists());
    assert!(setup(&["--write", "--force"]).status.success());
    assert_eq!(std::fs::read_to_string(&locations).unwrap(), before);

    // As bench's own nginx.conf has it, with a site named in two ways.
    let server = |site: &str| {
        format!(
            "location @webserver {{\nproxy_set_header X-Frappe-Site-Name {site};\nproxy_pass http://{name}-frappe;\n}}\n"
        )
    };
    std::fs::write(
        bench.join("config/nginx.conf"),
        server("$host") + &server("one.test"),
    )
    .unwrap();
    let common = stage.test.sites_path.join("common_site_config.json");
    let mut config: Value =
        serde_json::from_str(&std::fs::read_to_string(&common).unwrap()).unwrap();
    config["workers"] = json!(["srs_write"]);
    std::fs::write(&common, config.to_string()).unwrap();
    let said = setup(&["--json", "--only", "nginx"]);
    assert_eq!(said.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!(report["pieces"].as_array().unwrap().len(), 3);
    let text = report["pieces"][2]["text"].as_str().unwrap();
    assert!(text.contains("X-Frappe-Site-Name one.test;"), "{text}");
    assert!(
        text.contains(&format!("proxy_pass http://{name}-frappe;")),
        "{text}"
    );
    let good = |about: &str| {
        let checks = report["checks"].as_array().unwrap();
        checks.iter().find(|c| c["about"] == about).unwrap()["good"].clone()
    };
    assert_eq!(
        (good("nginx"), good("workers"), good("include")),
        (json!(true), json!(false), json!(null))
    );
    assert_eq!(
        std::fs::read_to_string(&common).unwrap(),
        config.to_string()
    );
}

/// Two benches on one host: each has ports of its own, as Frappe's are.
#[tokio::test]
async fn setup_gives_a_second_bench_other_ports() {
    let test = TestSite::new().await;
    let bench = test.sites_path.parent().unwrap().to_owned();
    let common = test.sites_path.join("common_site_config.json");
    let original = std::fs::read_to_string(&common).unwrap();
    let setup = |keys: &[(&str, Value)], args: &[&str]| {
        let mut config: Map<String, Value> = serde_json::from_str(&original).unwrap();
        for key in ["webserver_port", "http_timeout"] {
            config.remove(key);
        }
        config.extend(
            keys.iter()
                .map(|(key, value)| ((*key).into(), value.clone())),
        );
        std::fs::write(&common, Value::Object(config).to_string()).unwrap();
        let mut command = std::process::Command::new(programs::binary().unwrap());
        command
            .args(["setup", "--user", "frappe", "--bench"])
            .arg(&bench);
        let said = command.args(args).output().unwrap();
        let (out, err) = [said.stdout, said.stderr]
            .map(|text| String::from_utf8(text).unwrap())
            .into();
        (said.status.code(), out, err)
    };
    let says = |text: &str, expected: &[&str]| {
        for expected in expected {
            assert!(text.contains(expected), "no {expected}: {text}");
        }
    };
    let first = [
        "proxy_pass http://127.0.0.1:8000;",
        "server 127.0.0.1:8765;",
        "--bind 127.0.0.1:8765 --reuse-port --metrics-bind 127.0.0.1:976%(process_num)d",
        "--metrics-bind 127.0.0.1:9769 ",
        "proxy_read_timeout 120;",
    ];
    let (_, text, _) = setup(&[], &[]);
    says(&text, &first);
    // What Frappe takes for "not set".
    let (_, text, _) = setup(
        &[("webserver_port", json!(null)), ("http_timeout", json!(0))],
        &[],
    );
    says(&text, &first);
    // Numbers as text are numbers, to Frappe too.
    let second = [
        ("webserver_port", json!("8001")),
        ("http_timeout", json!(" 300")),
    ];
    let (_, text, _) = setup(&second, &[]);
    says(
        &text,
        &[
            "proxy_pass http://127.0.0.1:8001;",
            "server 127.0.0.1:8766;",
            "--bind 127.0.0.1:8766 --reuse-port --metrics-bind 127.0.0.1:977%(process_num)d",
            "--metrics-bind 127.0.0.1:9779 ",
            "proxy_read_timeout 300;",
        ],
    );
    let own = ["--bind", "127.0.0.1:7000", "--metrics-port", "7010"];
    let (_, text, _) = setup(&second, &own);
    says(
        &text,
        &[
            "server 127.0.0.1:7000;",
            "127.0.0.1:701%(process_num)d",
            "127.0.0.1:7019 ",
        ],
    );
    for port in ["7011", "0", "65530"] {
        let (code, _, error) = setup(&[], &["--metrics-port", port]);
        assert_eq!(code, Some(2), "{port}: {error}");
    }
    for (key, value) in [
        ("webserver_port", json!("no number")),
        ("webserver_port", json!(70000)),
        ("http_timeout", json!(-1)),
        ("http_timeout", json!([120])),
    ] {
        let (code, _, error) = setup(&[(key, value.clone())], &[]);
        assert_eq!(code, Some(1), "{key}: {value}");
        assert!(error.contains(key), "{error}");
    }
}

/// What is no text differs, too, and what cannot be read is not taken for nothing.
#[tokio::test]
async fn setup_writes_over_nothing_that_it_cannot_read() {
    let test = TestSite::new().await;
    let bench = test.sites_path.parent().unwrap().to_owned();
    let setup = |args: &[&str]| {
        let mut command = std::process::Command::new(programs::binary().unwrap());
        command.args([
            "setup", "--user", "frappe", "--only", "nginx", "--write", "--bench",
        ]);
        command.arg(&bench).args(args).output().unwrap()
    };
    assert!(setup(&[]).status.success());
    // Again, with nothing changed.
    assert!(setup(&[]).status.success());
    let locations = bench.join("config/memora-srs/locations.conf");
    let latin = b"# \xfcber nginx\n";
    std::fs::write(&locations, latin).unwrap();
    let refused = setup(&[]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("locations.conf"), "{said}");
    assert_eq!(std::fs::read(&locations).unwrap(), latin);
    assert!(setup(&["--force"]).status.success());
    std::fs::remove_file(&locations).unwrap();
    std::fs::create_dir(&locations).unwrap();
    let refused = setup(&[]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(
        said.contains("locations.conf") && said.contains("cannot be read"),
        "{said}"
    );
}

/// Who reads "listening" may send: both ports are there. With `--reuse-port` a second process
/// has both as well, so that one can be restarted by hand.
#[tokio::test]
async fn serve_has_all_its_ports_or_does_not_begin() {
    let test = TestSite::new().await;
    let taken = StdListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = std::process::Command::new(programs::binary().unwrap());
    command
        .args([
            "serve",
            "--bind",
            "127.0.0.1:0",
            "--metrics-bind",
            &address,
            "--sites-path",
        ])
        .arg(&test.sites_path);
    let said = command.output().unwrap();
    let (out, err) = (
        String::from_utf8(said.stdout).unwrap(),
        String::from_utf8(said.stderr).unwrap(),
    );
    assert_eq!(said.status.code(), Some(1), "{err}");
    assert!(err.contains(&format!("--metrics-bind {address}")), "{err}");
    assert_eq!(out, "", "it is not listening");

    let ports = || [(); 2].map(|()| StdListener::bind("127.0.0.1:0").unwrap());
    let [bind, metrics] = ports().map(|listener| listener.local_addr().unwrap().to_string());
    let start =
        Start::default().args(&["--bind", &bind, "--metrics-bind", &metrics, "--reuse-port"]);
    let old = Sidecar::start_with(&test, &start).await.unwrap();
    let new = Sidecar::start_with(&test, &start).await.unwrap();
    old.process.stop(Duration::from_secs(30)).unwrap();
    let monitor = Http::new(metrics.parse().unwrap(), &test.name);
    for http in [new.http(&test), monitor] {
        assert_eq!(http.get("/healthz").send().await.status, 200);
    }
}
