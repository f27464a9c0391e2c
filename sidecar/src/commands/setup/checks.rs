//! Whether the pieces are read by those whom they are for, and whether the bench uses them.

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use memora_core::config::OWN_QUEUE;
use serde::Serialize;

use super::facts::Facts;
use super::pieces::{Of, Piece, workers};

/// How long looking for a sidecar may take.
const CONNECT: Duration = Duration::from_millis(500);

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Found {
    /// What.
    pub(super) about: &'static str,
    /// Whether it is so; `None` if it could not be looked at, or is yet to be done.
    pub(super) good: Option<bool>,
    /// What was seen, or is to be done.
    pub(super) says: String,
}

impl Found {
    fn new(about: &'static str, good: Option<bool>, says: impl Into<String>) -> Self {
        let says = says.into();
        Self { about, good, says }
    }
}

/// Looks at all of it. Changes nothing.
pub(super) fn all(facts: &Facts, pieces: &[Piece]) -> Vec<Found> {
    vec![
        nginx(pieces),
        systemd(pieces),
        queue(facts),
        included(facts, pieces),
        listening(facts),
    ]
}

/// `nginx -t` of a configuration that has nothing but the pieces, in a folder that goes.
fn nginx(pieces: &[Piece]) -> Found {
    const ABOUT: &str = "nginx";
    let Some(program) = installed("nginx") else {
        return Found::new(ABOUT, None, "not installed here: its pieces were not tried");
    };
    let Ok(folder) = Scratch::new() else {
        return Found::new(ABOUT, None, "no temporary folder to try its pieces in");
    };
    match folder.nginx(pieces).and_then(|file| {
        let mut nginx = Command::new(program);
        nginx
            .arg("-t")
            .arg("-q")
            .arg("-c")
            .arg(file)
            .arg("-p")
            .arg(&folder.0);
        run(nginx)
    }) {
        Ok(None) => Found::new(ABOUT, Some(true), "nginx -t reads its pieces"),
        Ok(Some(said)) => Found::new(ABOUT, Some(false), said),
        Err(error) => Found::new(ABOUT, None, format!("nginx -t could not be run: {error}")),
    }
}

/// `systemd-analyze verify` of the units.
fn systemd(pieces: &[Piece]) -> Found {
    const ABOUT: &str = "systemd";
    let Some(program) = installed("systemd-analyze") else {
        return Found::new(ABOUT, None, "not installed here: its units were not tried");
    };
    let Ok(folder) = Scratch::new() else {
        return Found::new(ABOUT, None, "no temporary folder to try its units in");
    };
    match folder.units(pieces).and_then(|files| {
        let mut verify = Command::new(program);
        verify.arg("verify").args(files);
        run(verify)
    }) {
        Ok(None) => Found::new(ABOUT, Some(true), "systemd-analyze verify reads its units"),
        Ok(Some(said)) => Found::new(ABOUT, Some(false), said),
        Err(error) => Found::new(ABOUT, None, format!("its units were not tried: {error}")),
    }
}

fn queue(facts: &Facts) -> Found {
    const ABOUT: &str = "workers";
    if workers(facts).is_none() {
        let says = "\"workers\" of common_site_config.json is of a shape that breaks every \
                    background job: an object by queue, each with its timeout, as printed";
        return Found::new(ABOUT, Some(false), says);
    }
    let named = facts
        .workers
        .as_ref()
        .and_then(|workers| workers.get(OWN_QUEUE));
    match named {
        Some(_) => Found::new(
            ABOUT,
            Some(true),
            format!("the bench has the queue {OWN_QUEUE}"),
        ),
        None => {
            let says = format!(
                "jobs go to the queue default until common_site_config.json names {OWN_QUEUE}"
            );
            Found::new(ABOUT, None, says)
        }
    }
}

/// Whether the bench's nginx.conf includes the locations, each way of naming sites its own.
fn included(facts: &Facts, pieces: &[Piece]) -> Found {
    const ABOUT: &str = "include";
    let conf = facts.folder.join("config/nginx.conf");
    let Ok(text) = fs::read_to_string(&conf) else {
        let says = "the bench has no config/nginx.conf (bench setup nginx): include the \
                    locations wherever its sites are served";
        return Found::new(ABOUT, None, says);
    };
    let locations = pieces.iter().filter(|piece| is_locations(piece));
    let missing: Vec<String> = locations
        .map(|piece| format!("include {};", piece.path.display()))
        .filter(|line| !text.lines().any(|there| there.trim() == line))
        .collect();
    if missing.is_empty() {
        return Found::new(ABOUT, Some(true), "nginx.conf includes the locations");
    }
    let says = format!(
        "put into the server blocks of {}: {}",
        conf.display(),
        missing.join(" ")
    );
    Found::new(ABOUT, None, says)
}

fn is_locations(piece: &Piece) -> bool {
    let name = piece.path.file_name().unwrap_or_default();
    piece.of == Of::Nginx && name.to_string_lossy().starts_with("locations")
}

fn listening(facts: &Facts) -> Found {
    const ABOUT: &str = "sidecar";
    let bind = facts.bind;
    match TcpStream::connect_timeout(&bind, CONNECT) {
        Ok(_) => Found::new(ABOUT, Some(true), format!("somebody listens on {bind}")),
        Err(_) => Found::new(ABOUT, None, format!("nobody listens on {bind} yet")),
    }
}

/// Servers' programs are in `sbin`, which is not in everybody's PATH.
fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// What it said, if it failed.
fn run(mut command: Command) -> std::io::Result<Option<String>> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(None);
    }
    let said = [output.stderr, output.stdout].concat();
    Ok(Some(String::from_utf8_lossy(&said).trim().to_owned()))
}

/// A folder that goes when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> std::io::Result<Self> {
        let name = format!("memora-setup-{}", uuid::Uuid::new_v4());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder)?;
        Ok(Self(folder))
    }

    fn nginx(&self, pieces: &[Piece]) -> std::io::Result<PathBuf> {
        let mut upstream = String::new();
        let mut servers = String::new();
        for (n, piece) in pieces.iter().filter(|p| p.of == Of::Nginx).enumerate() {
            if !is_locations(piece) {
                upstream += &piece.text;
                continue;
            }
            // The bench's own variables and upstreams are not here.
            let text = own_only(&piece.text);
            servers += &format!(
                "server {{\nlisten unix:{}/{n}.sock;\n{text}}}\n",
                self.0.display()
            );
        }
        let text = format!(
            "pid {0}/pid; error_log stderr; events {{}}\nhttp {{ access_log off;\n{upstream}\
             {servers}}}\n",
            self.0.display()
        );
        let file = self.0.join("nginx.conf");
        fs::write(&file, text)?;
        Ok(file)
    }

    fn units(&self, pieces: &[Piece]) -> std::io::Result<Vec<PathBuf>> {
        let units = pieces.iter().filter(|piece| piece.of == Of::Systemd);
        units
            .map(|piece| {
                let file = self.0.join(piece.path.file_name().unwrap_or_default());
                fs::write(&file, &piece.text)?;
                Ok(file)
            })
            .collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The locations with what the bench's own nginx.conf defines replaced by what is everywhere.
fn own_only(text: &str) -> String {
    let line = |line: &str| {
        let at = line.len() - line.trim_start().len();
        let indent = &line[..at];
        if line
            .trim_start()
            .starts_with("proxy_set_header X-Frappe-Site-Name")
        {
            format!("{indent}proxy_set_header X-Frappe-Site-Name $host;\n")
        } else if line.trim_start().starts_with("proxy_pass") && !line.contains("-memora-srs;") {
            format!("{indent}proxy_pass http://127.0.0.1:1;\n")
        } else {
            format!("{line}\n")
        }
    };
    text.lines().map(line).collect()
}
