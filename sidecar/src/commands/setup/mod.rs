//! `memora-srs setup`: what web server, process manager and bench need to know.
//!
//! | file | job |
//! |---|---|
//! | `facts` | what the bench's files say of it |
//! | `pieces` | the templates of `deploy/` with that in them; writing them |
//! | `checks` | whether they are read, and whether the bench uses them |

mod checks;
mod facts;
mod pieces;

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use self::checks::Found;
use self::facts::{Facts, METRICS_PORTS, Ports};
use self::pieces::{Of, Piece};

pub(crate) const EXAMPLES: &str = "\
Examples:
  memora-srs setup --bench /home/frappe/frappe-bench
  memora-srs setup --bench /home/frappe/frappe-bench --only nginx
  memora-srs setup --bench /home/frappe/frappe-bench --only nginx --only supervisor --write
  memora-srs setup --bench /home/frappe/frappe-bench --bind 127.0.0.1:8865 --metrics-port 9860
  memora-srs setup --bench /home/frappe/frappe-bench --json

Nothing is written unless --write is given, and then into config/memora-srs of the bench
alone. common_site_config.json is never written: put the printed entry in yourself.

Exit codes: 0 done, 1 failed, or a check did, or a file that differs was not written over,
2 wrong usage.";

/// Print what nginx, supervisor, systemd and the bench need to know of the sidecar; check it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Setup {
    /// The bench's folder.
    #[arg(long, default_value = ".", value_name = "FOLDER")]
    bench: PathBuf,
    /// Where the sidecar is to listen, if not on 127.0.0.1:8765. A second bench on the host,
    /// whose `webserver_port` is 8001, has 8766, and so on.
    #[arg(long, value_name = "ADDRESS:PORT")]
    bind: Option<SocketAddr>,
    /// The first of ten ports for Prometheus, if not 9760 (of a second bench 9770, and so on):
    /// the sidecars have the first ones, the worker the last. A multiple of ten.
    #[arg(long, value_name = "PORT", value_parser = metrics_port)]
    metrics_port: Option<u16>,
    /// The program's file, if it is to be another than this one.
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Who is to run it, if not the owner of the bench's sites.
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Only these pieces; may be repeated.
    #[arg(long, value_enum, value_name = "PIECE")]
    only: Vec<Of>,
    /// Write the files into config/memora-srs of the bench.
    #[arg(long)]
    write: bool,
    /// Also over files that are there and differ.
    #[arg(long, requires = "write")]
    force: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Setup {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let ports = Ports {
            bind: self.bind,
            metrics: self.metrics_port,
        };
        let facts = Facts::read(&self.bench, ports, self.program, self.user)?;
        let all = pieces::all(&facts);
        let is_wanted = |piece: &&Piece| self.only.is_empty() || self.only.contains(&piece.of);
        let wanted: Vec<&Piece> = all.iter().filter(is_wanted).collect();
        let found = checks::all(&facts, &all);
        let written = match self.write {
            true => pieces::write(&wanted, self.force)?,
            false => Vec::new(),
        };
        let workers = pieces::workers(&facts);
        let mut out = std::io::stdout().lock();
        if self.json {
            let report = json!({
                "bench": facts,
                "pieces": wanted,
                "common_site_config": workers,
                "checks": found,
                "written": written,
            });
            writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
        } else {
            for piece in wanted {
                let is_new = written.contains(&piece.path);
                let what = if is_new { "written to" } else { "for" };
                writeln!(out, "# ---- {what} {}", piece.path.display())?;
                if !is_new {
                    writeln!(out, "{}", piece.text)?;
                }
            }
            writeln!(out, "{}", rest(workers.as_ref(), &found)?)?;
        }
        let bad = found
            .iter()
            .filter(|found| found.good == Some(false))
            .count();
        crate::failure::answered();
        anyhow::ensure!(bad == 0, "{bad} checks failed");
        Ok(())
    }
}

fn metrics_port(text: &str) -> Result<u16, String> {
    let port: u16 = text.parse().map_err(|_| "no port".to_owned())?;
    let fits = port >= METRICS_PORTS && port.checked_add(METRICS_PORTS).is_some();
    match fits && port.is_multiple_of(METRICS_PORTS) {
        true => Ok(port),
        false => Err("must be a multiple of ten, with room for ten".to_owned()),
    }
}

/// What is not for a file.
fn rest(workers: Option<&Value>, found: &[Found]) -> anyhow::Result<String> {
    let mut lines = Vec::new();
    if let Some(workers) = workers {
        lines.push(
            "# ---- for sites/common_site_config.json, by hand, then restart the bench".to_owned(),
        );
        lines.push(serde_json::to_string_pretty(workers)?);
        lines.push(String::new());
    }
    lines.push("# ---- checks".to_owned());
    lines.extend(found.iter().map(|Found { about, good, says }| {
        let word = match good {
            Some(true) => "good ",
            Some(false) => "WRONG",
            None => "     ",
        };
        format!("# {word}  {about}: {says}")
    }));
    Ok(lines.join("\n"))
}
