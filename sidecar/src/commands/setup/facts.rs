//! What a bench's files say of it, as far as web server and process managers need it.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde::Serialize;
use serde_json::{Map, Value};

/// Where a bench's web server listens if its configuration does not say. A second bench on
/// the host has 8001, and so on: by as much its other ports differ, and ours.
const WEB_PORT: u64 = 8000;
/// Where the first bench's sidecar listens.
const BIND: u16 = 8765;
/// The first of the ten ports of the first bench's processes for Prometheus.
const METRICS: u16 = 9760;
/// Ports of one bench for Prometheus: sidecars from the first on, the worker the last.
pub(super) const METRICS_PORTS: u16 = 10;
/// Benches of one host that get ports of their own.
const BENCHES: u64 = 20;
/// Seconds that Frappe may take for a request, unless `http_timeout` says otherwise.
const HTTP_TIMEOUT: u64 = 120;

/// See the module's documentation.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Facts {
    /// The bench's folder, without links.
    pub(super) folder: PathBuf,
    /// Its name, as bench itself uses it in its files.
    pub(super) name: String,
    /// Its `sites` folder.
    pub(super) sites_path: PathBuf,
    /// Its sites.
    pub(super) sites: Vec<String>,
    /// Who runs it: the owner of `sites`.
    pub(super) user: String,
    /// Seconds that Frappe may take.
    pub(super) http_timeout: u64,
    /// The web servers that its nginx.conf has: how each names the site, and where it sends
    /// requests for Frappe.
    pub(super) servers: Vec<Server>,
    /// Whether there is an nginx.conf of the bench.
    pub(super) has_nginx: bool,
    /// Where the sidecar is to listen.
    pub(super) bind: SocketAddr,
    /// The first of the ports for Prometheus.
    pub(super) metrics_port: u16,
    /// The program.
    pub(super) program: PathBuf,
    /// `workers` of `common_site_config.json`.
    #[serde(skip)]
    pub(super) workers: Option<Value>,
}

/// What may be said of the ports instead.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ports {
    /// Where the sidecar is to listen.
    pub(super) bind: Option<SocketAddr>,
    /// The first of ten for Prometheus.
    pub(super) metrics: Option<u16>,
}

/// See [`Facts::servers`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Server {
    /// The value of X-Frappe-Site-Name.
    pub(super) site_header: String,
    /// Frappe's upstream, as in `proxy_pass http://<this>`.
    pub(super) frappe: String,
}

impl Facts {
    /// Reads them.
    ///
    /// # Errors
    /// If the folder is no bench, or a file of it cannot be read.
    pub(super) fn read(
        folder: &Path,
        ports: Ports,
        program: Option<PathBuf>,
        user: Option<String>,
    ) -> anyhow::Result<Self> {
        let folder = folder
            .canonicalize()
            .with_context(|| format!("--bench: {}", folder.display()))?;
        let sites_path = folder.join("sites");
        let common = sites_path.join("common_site_config.json");
        ensure!(
            common.is_file(),
            "--bench: {} is no bench: it has no sites/common_site_config.json",
            folder.display()
        );
        let text = fs::read_to_string(&common)?;
        let config: Map<String, Value> = serde_json::from_str(&text)
            .with_context(|| format!("{} is no JSON object", common.display()))?;
        let web_port = number(&config, "webserver_port", u64::from(u16::MAX))?.unwrap_or(WEB_PORT);
        let http_timeout = number(&config, "http_timeout", u64::from(u32::MAX))?;
        let bench = web_port.checked_sub(WEB_PORT).filter(|n| *n < BENCHES);
        let bench = u16::try_from(bench.unwrap_or(0))?;
        let nginx = fs::read_to_string(folder.join("config/nginx.conf")).ok();
        let mut servers = nginx.as_deref().map(servers).unwrap_or_default();
        if servers.is_empty() {
            // As nginx.conf would be: sites are named by the host.
            servers.push(Server {
                site_header: "$host".to_owned(),
                frappe: format!("127.0.0.1:{web_port}"),
            });
        }
        let user = match user {
            Some(user) => user,
            None => owner(&sites_path)?,
        };
        let program = match program {
            Some(program) => std::path::absolute(program)?,
            None => std::env::current_exe().context("finding this program's file")?,
        };
        let facts = Self {
            name: folder
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .context("--bench: a bench has a name")?,
            sites: memora_core::config::site_names(&sites_path)?,
            http_timeout: http_timeout.unwrap_or(HTTP_TIMEOUT),
            has_nginx: nginx.is_some(),
            workers: config.get("workers").cloned(),
            folder,
            sites_path,
            user,
            servers,
            bind: ports
                .bind
                .unwrap_or_else(|| (Ipv4Addr::LOCALHOST, BIND + bench).into()),
            metrics_port: ports.metrics.unwrap_or(METRICS + METRICS_PORTS * bench),
            program,
        };
        facts.check()?;
        Ok(facts)
    }

    /// What goes into files that other programs read must not mean anything else there.
    fn check(&self) -> anyhow::Result<()> {
        let paths = [&self.folder, &self.sites_path, &self.program];
        let texts = paths.map(|path| path.to_string_lossy().into_owned());
        let names = [self.name.clone(), self.user.clone()];
        for server in &self.servers {
            let plain = |c: char| c.is_ascii_alphanumeric() || "$_.:-/[]".contains(c);
            let both = [&server.site_header, &server.frappe];
            ensure!(
                both.iter().all(|text| text.chars().all(plain)),
                "config/nginx.conf names site or server in a way that setup does not know: {both:?}"
            );
        }
        for text in texts.iter().chain(&names) {
            let plain = |c: char| c.is_alphanumeric() || "/._-@+".contains(c);
            ensure!(
                !text.is_empty() && text.chars().all(plain),
                "{text:?} has a character that nginx, supervisor and systemd read otherwise; \
                 write the files by hand, or give the bench another folder"
            );
        }
        Ok(())
    }
}

/// A number of the bench's configuration, which may be text, as it may be for Frappe; `None`
/// if it is not set, or is what Frappe takes for that.
fn number(config: &Map<String, Value>, key: &str, max: u64) -> anyhow::Result<Option<u64>> {
    let value = match config.get(key) {
        None | Some(Value::Null | Value::Bool(false)) => return Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => return Ok(None),
        Some(value) => value,
    };
    let number = match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    let number = number.filter(|number| *number <= max);
    let number = number.with_context(|| {
        format!("sites/common_site_config.json: {key} must be a number up to {max}, not {value}")
    })?;
    Ok((number != 0).then_some(number))
}

/// Locations from which a bench's nginx.conf sends requests to Frappe: bench's own, and that
/// of somebody who wrote it by hand.
const TO_FRAPPE: [&str; 2] = ["location @webserver", "location /"];

/// The servers of a bench's nginx.conf, each way of naming the site once.
fn servers(text: &str) -> Vec<Server> {
    let mut found = BTreeMap::new();
    let mut blocks: Vec<(String, Option<String>, Option<String>)> = Vec::new();
    let text: String = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().to_owned() + " ")
        .collect();
    let mut rest = text.as_str();
    while let Some(at) = rest.find([';', '{', '}']) {
        let words: Vec<&str> = rest[..at].split_whitespace().collect();
        match (&rest[at..=at], words.as_slice()) {
            ("{", words) => blocks.push((words.join(" "), None, None)),
            ("}", _) => {
                if let Some((block, Some(site_header), Some(frappe))) = blocks.pop()
                    && TO_FRAPPE.contains(&block.as_str())
                {
                    found.insert(site_header, frappe);
                }
            }
            (_, ["proxy_set_header", "X-Frappe-Site-Name", value]) => {
                if let Some(block) = blocks.last_mut() {
                    block.1 = Some((*value).to_owned());
                }
            }
            (_, ["proxy_pass", url]) => {
                if let Some(block) = blocks.last_mut() {
                    block.2 = url.strip_prefix("http://").map(str::to_owned);
                }
            }
            _ => {}
        }
        rest = &rest[at + 1..];
    }
    let found = found.into_iter();
    found
        .map(|(site_header, frappe)| Server {
            site_header,
            frappe,
        })
        .collect()
}

/// The name of who owns this folder.
fn owner(folder: &Path) -> anyhow::Result<String> {
    let uid = fs::metadata(folder)?.uid().to_string();
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    });
    name.with_context(|| format!("who owns {} has no name: give --user", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_of_naming_the_site_is_found_once() {
        let server = |site: &str| {
            format!(
                "server {{\n\tlocation /socket.io {{\n\t\tproxy_set_header X-Frappe-Site-Name x;\n\
                 \t\tproxy_pass http://b-socketio-server;\n\t}}\n\tlocation @webserver {{\n\
                 \t\tproxy_http_version 1.1;\n\t\tproxy_set_header X-Frappe-Site-Name {site};\n\
                 \t\tproxy_pass  http://b-frappe;\n\t}}\n}}\n"
            )
        };
        let text = [
            server("$site_name_x1"),
            server("one.test"),
            server("$site_name_x1"),
        ]
        .concat();
        let found = servers(&text);
        let expected = ["$site_name_x1", "one.test"].map(|site| Server {
            site_header: site.to_owned(),
            frappe: "b-frappe".to_owned(),
        });
        assert_eq!(found, expected);
        assert_eq!(servers("server { listen 80; }"), []);
        let by_hand = "http { server { # } {\n location / { proxy_set_header X-Frappe-Site-Name \
                       a.test; proxy_set_header Host $host; proxy_pass http://127.0.0.1:8000; }\
                       location /socket.io { proxy_set_header X-Frappe-Site-Name b.test; \
                       proxy_pass http://127.0.0.1:9000; } } }";
        let one = Server {
            site_header: "a.test".to_owned(),
            frappe: "127.0.0.1:8000".to_owned(),
        };
        assert_eq!(servers(by_hand), [one]);
    }
}
