//! Whole configurations on a bench in a temporary folder.

mod refusals;
mod reports;
mod values;

use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::ErrorKind;

const SITE: &str = "srs.localhost";

/// A bench in a temporary folder, with the files that a real Frappe 15 bench has.
struct TestBench {
    folder: TempDir,
    common: Value,
    site: Value,
    env: Vec<(&'static str, &'static str)>,
}

impl TestBench {
    fn new() -> Self {
        let captured: Value =
            serde_json::from_str(include_str!("../../../../tests/fixtures/auth_tables.json"))
                .unwrap();
        let bench = Self {
            folder: tempfile::tempdir().unwrap(),
            common: captured["common_site_config.json"].clone(),
            site: captured["site_config.json"].clone(),
            env: Vec::new(),
        };
        std::fs::create_dir_all(bench.sites().join(SITE)).unwrap();
        bench.install_frappe("15.44.2")
    }

    fn sites(&self) -> PathBuf {
        self.folder.path().join("sites")
    }

    fn install_frappe(self, version: &str) -> Self {
        let package = self.folder.path().join("apps/frappe/frappe");
        std::fs::create_dir_all(&package).unwrap();
        let text = format!("__version__ = \"{version}\"\n");
        std::fs::write(package.join("__init__.py"), text).unwrap();
        self
    }

    fn install_rq(self, version: &str) -> Self {
        let packages = self.folder.path().join("env/lib/python3.11/site-packages");
        std::fs::create_dir_all(packages.join(format!("rq-{version}.dist-info"))).unwrap();
        self
    }

    fn common(mut self, keys: Value) -> Self {
        merge(&mut self.common, keys);
        self
    }

    fn site(mut self, keys: Value) -> Self {
        merge(&mut self.site, keys);
        self
    }

    fn env(mut self, name: &'static str, value: &'static str) -> Self {
        self.env.push((name, value));
        self
    }

    fn write(&self) {
        let sites = self.sites();
        std::fs::write(
            sites.join("common_site_config.json"),
            self.common.to_string(),
        )
        .unwrap();
        let file = sites.join(SITE).join("site_config.json");
        std::fs::write(file, self.site.to_string()).unwrap();
    }

    fn lookup(&self, name: &str) -> Option<String> {
        let found = self.env.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    }

    fn load(&self) -> Result<SiteConfig> {
        self.write();
        load_with_env(&self.sites(), SITE, &|name| self.lookup(name))
    }

    fn refusal(&self) -> String {
        let error = self.load().expect_err("must be refused");
        assert_eq!(error.kind(), ErrorKind::Config);
        error.message().to_owned()
    }

    fn report(&self) -> SiteReport {
        self.write();
        let reports = report_with_env(&self.sites(), Some(SITE), &|name| self.lookup(name));
        reports.unwrap().pop().unwrap()
    }
}

fn merge(into: &mut Value, keys: Value) {
    let (Value::Object(into), Value::Object(keys)) = (into, keys) else {
        panic!("objects are merged");
    };
    into.extend(keys);
}
