//! The files: the templates of `deploy/` with this bench's names in them.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use memora_core::config::OWN_QUEUE;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::facts::{Facts, METRICS_PORTS, Server};

const UPSTREAM: &str = include_str!("../../../../deploy/nginx/upstream.conf");
const LOCATIONS: &str = include_str!("../../../../deploy/nginx/locations.conf");
const SUPERVISOR: &str = include_str!("../../../../deploy/supervisor/memora-srs.conf");
const SOCKET: &str = include_str!("../../../../deploy/systemd/memora-srs.socket");
const SERVICE: &str = include_str!("../../../../deploy/systemd/memora-srs.service");
const WORKER: &str = include_str!("../../../../deploy/systemd/memora-srs-worker.service");
const PROCFILE: &str = include_str!("../../../../deploy/procfile/Procfile");

/// Where the files of a bench go, below its folder.
const FOLDER: &str = "config/memora-srs";
/// Seconds that nginx waits for the sidecar, which answers within five: what takes longer
/// hangs.
const SIDECAR_TIMEOUT: u64 = 10;
/// Seconds that a job in it may take.
const QUEUE_TIMEOUT: u64 = 300;

/// One file.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Piece {
    /// For whom: nginx, supervisor, systemd, procfile.
    pub(super) of: Of,
    /// Where it goes.
    pub(super) path: PathBuf,
    /// What is in it.
    pub(super) text: String,
}

/// Who reads a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum Of {
    /// The web server.
    Nginx,
    /// One process manager.
    Supervisor,
    /// Another.
    Systemd,
    /// `bench start`, for development.
    Procfile,
}

/// All files for this bench.
pub(super) fn all(facts: &Facts) -> Vec<Piece> {
    let folder = facts.folder.join(FOLDER);
    let name = &facts.name;
    let piece = |of, file: String, template: &str| Piece {
        of,
        path: folder.join(file),
        text: filled(facts, template),
    };
    let mut pieces = vec![piece(Of::Nginx, "upstream.conf".to_owned(), UPSTREAM)];
    for (n, server) in facts.servers.iter().enumerate() {
        let file = match n {
            0 => "locations.conf".to_owned(),
            n => format!("locations-{}.conf", n + 1),
        };
        let text = locations(facts, server, &file);
        let path = folder.join(file);
        pieces.push(Piece {
            of: Of::Nginx,
            path,
            text,
        });
    }
    pieces.extend([
        piece(Of::Supervisor, "supervisor.conf".to_owned(), SUPERVISOR),
        piece(Of::Systemd, format!("{name}-memora-srs.socket"), SOCKET),
        piece(Of::Systemd, format!("{name}-memora-srs.service"), SERVICE),
        piece(
            Of::Systemd,
            format!("{name}-memora-srs-worker.service"),
            WORKER,
        ),
        piece(Of::Procfile, "Procfile".to_owned(), PROCFILE),
    ]);
    pieces
}

fn locations(facts: &Facts, server: &Server, file: &str) -> String {
    filled(facts, LOCATIONS)
        .replace("@SITE_HEADER@", &server.site_header)
        .replace("@FRAPPE@", &server.frappe)
        .replace("@FILE@", file)
}

fn filled(facts: &Facts, template: &str) -> String {
    let path = |path: &PathBuf| path.display().to_string();
    let values = [
        ("@BENCH@", facts.name.clone()),
        ("@BENCH_FOLDER@", path(&facts.folder)),
        ("@FOLDER@", path(&facts.folder.join(FOLDER))),
        ("@SITES@", path(&facts.sites_path)),
        ("@PROGRAM@", path(&facts.program)),
        ("@BIND@", facts.bind.to_string()),
        ("@USER@", facts.user.clone()),
        // Without the last digit: from 0 on the sidecars, 9 the worker.
        (
            "@METRICS@",
            (facts.metrics_port / METRICS_PORTS).to_string(),
        ),
        ("@HTTP_TIMEOUT@", facts.http_timeout.to_string()),
        ("@SIDECAR_TIMEOUT@", SIDECAR_TIMEOUT.to_string()),
    ];
    let mut text = template.to_owned();
    for (name, value) in values {
        text = text.replace(name, &value);
    }
    text
}

/// `workers` of `common_site_config.json` with our queue, as Frappe wants it: an object by
/// queue. `None` if what is there is of another shape, which breaks every background job.
pub(super) fn workers(facts: &Facts) -> Option<Value> {
    let mut workers = match &facts.workers {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(workers)) if workers.values().all(Value::is_object) => workers.clone(),
        Some(_) => return None,
    };
    workers
        .entry(OWN_QUEUE)
        .or_insert(json!({"timeout": QUEUE_TIMEOUT}));
    Some(json!({"workers": workers}))
}

/// Writes the files, all or none: what is there and differs stays, unless `force` is given.
///
/// # Errors
/// Naming files that differ, or what cannot be written.
pub(super) fn write(pieces: &[&Piece], force: bool) -> anyhow::Result<Vec<PathBuf>> {
    let mut others = Vec::new();
    for piece in pieces {
        let path = piece.path.display();
        match fs::read(&piece.path) {
            Ok(old) if old == piece.text.as_bytes() => {}
            Ok(_) => others.push(path.to_string()),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                let what = format!("{path} is there and cannot be read; nothing was written");
                return Err(anyhow::Error::new(error).context(what));
            }
        }
    }
    anyhow::ensure!(
        force || others.is_empty(),
        "these differ, and nothing was written: {}; --force writes over them",
        others.join(", ")
    );
    for piece in pieces {
        let folder = piece.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let new = piece.path.with_extension("new");
        fs::write(&new, &piece.text)?;
        fs::rename(&new, &piece.path)?;
    }
    Ok(pieces.iter().map(|piece| piece.path.clone()).collect())
}
