//! nginx in front of a sidecar and of Frappe, with the files that `memora-srs setup` makes.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::TestSite;
use crate::http::Http;
use crate::process::{self, Process, find_program};
use crate::scratch;
use crate::servers::{blocking, on_free_port};
use crate::wait::PATIENCE;

/// nginx, ended when dropped.
pub struct Nginx {
    /// Where it listens.
    pub address: SocketAddr,
    process: Process,
}

impl Nginx {
    /// Starts it for this site: what goes to the sidecar goes to `sidecar`, the rest to the
    /// bench's `webserver_port`. `edit` may change the files first: (name, text).
    ///
    /// # Errors
    /// If it is not installed, or does not start.
    pub async fn start(
        site: &TestSite,
        sidecar: SocketAddr,
        edit: impl Fn(&str, String) -> String + Send + 'static,
    ) -> Result<Self> {
        let bench = site.sites_path.parent().context("a bench")?.to_owned();
        let program = crate::programs::binary()?;
        blocking(move || {
            let mut setup = Command::new(program);
            setup
                .args(["setup", "--only", "nginx", "--json", "--bench"])
                .arg(&bench);
            setup.arg("--bind").arg(sidecar.to_string());
            let printed = process::run("memora-srs setup", setup)?;
            let report: Value = serde_json::from_str(&printed)?;
            let dir = scratch::new_dir("nginx")?;
            let pieces = report["pieces"].as_array().context("pieces")?;
            for piece in pieces {
                let name = Path::new(piece["path"].as_str().context("a path")?);
                let name = name.file_name().context("a name")?;
                let text = piece["text"].as_str().context("a text")?.to_owned();
                fs::write(dir.join(name), edit(&name.to_string_lossy(), text))?;
            }
            let frappe = report["bench"]["servers"][0]["frappe"].as_str();
            let frappe = frappe.context("Frappe's upstream")?.to_owned();
            let nginx = find_program(&["nginx"], "nginx")?;
            let (address, process) = on_free_port(|port| {
                let address = SocketAddr::from(([127, 0, 0, 1], port));
                let conf = dir.join("nginx.conf");
                fs::write(&conf, configuration(&dir, address, &frappe))?;
                let mut command = Command::new(&nginx);
                command.arg("-c").arg(&conf).arg("-p").arg(&dir);
                let process = Process::start("nginx", command, &dir.join("log"))?;
                process.wait_until(PATIENCE, || std::net::TcpStream::connect(address).is_ok())?;
                Ok((address, process))
            })?;
            Ok(Self { address, process })
        })
        .await
    }

    /// A client of it for this site.
    pub fn http(&self, site: &TestSite) -> Http {
        Http::new(self.address, &site.name)
    }

    /// What it has written.
    pub fn log(&self) -> String {
        self.process.log()
    }
}

/// As a bench's own, as far as it matters here: everything else is Frappe's.
fn configuration(dir: &Path, address: SocketAddr, frappe: &str) -> String {
    let dir = dir.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {dir}/{kind};\n"))
        .concat();
    format!(
        "daemon off; master_process off; pid {dir}/pid; error_log stderr notice;\n\
         events {{ worker_connections 512; }}\n\
         http {{\naccess_log off;\n{temporary}include {dir}/upstream.conf;\n\
         server {{\nlisten {address};\nserver_name _;\ninclude {dir}/locations.conf;\n\
         location / {{ proxy_pass http://{frappe}; proxy_set_header Host $host; }}\n}}\n}}\n"
    )
}
