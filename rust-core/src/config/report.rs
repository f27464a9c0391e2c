//! What a site's configuration comes to, for an operator to read: `memora-srs
//! check-config`. Nothing here talks to a server.

use std::fmt;
use std::path::Path;

use serde::Serialize;

use super::assemble::{Assembled, assemble};
use super::files::{COMMON, Files, SITE};
use super::names::site_names;
use super::source::Setting;
use crate::Result;

/// One site as its configuration describes it. Secrets are masked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SiteReport {
    /// The site's name.
    pub site: String,
    /// Whether the engine would serve it.
    pub ok: bool,
    /// What must be mended first.
    pub problems: Vec<String>,
    /// What works, perhaps not as meant.
    pub warnings: Vec<String>,
    /// The key because of which the sidecar leaves all requests to Frappe.
    pub declined_because_of: Option<&'static str>,
    /// The site is in maintenance now.
    pub maintenance: bool,
    /// Values in use and where they came from.
    pub settings: Vec<Setting>,
    /// Other sites whose schedules would lie under the same keys of the same Redis.
    #[serde(skip)]
    pub shares_schedules_with: Vec<String>,
    /// Server and key prefix of the schedules; two sites must not have the same.
    #[serde(skip)]
    schedules_at: Option<(String, String)>,
}

/// Reports one site, or all.
///
/// # Errors
/// `Config` if the `sites` folder cannot be read. A site that does not exist is a report
/// with a problem.
pub fn report(sites_path: &Path, site: Option<&str>) -> Result<Vec<SiteReport>> {
    report_with_env(sites_path, site, &|name| std::env::var(name).ok())
}

/// [`report`] with another environment than the process's.
///
/// # Errors
/// As [`report`].
pub fn report_with_env(
    sites_path: &Path,
    site: Option<&str>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<SiteReport>> {
    let mut names = site_names(sites_path)?;
    if let Some(site) = site
        && !names.iter().any(|name| name == site)
    {
        names.push(site.to_owned());
    }
    let mut reports: Vec<_> = names
        .iter()
        .map(|name| report_one(sites_path, name, env))
        .collect();
    warn_of_shared_schedules(&mut reports);
    // The others were only needed to compare with.
    reports.retain(|report| site.is_none_or(|site| report.site == site));
    Ok(reports)
}

fn report_one(sites_path: &Path, site: &str, env: &dyn Fn(&str) -> Option<String>) -> SiteReport {
    let mut report = SiteReport {
        site: site.to_owned(),
        ok: false,
        problems: Vec::new(),
        warnings: Vec::new(),
        declined_because_of: None,
        maintenance: false,
        settings: Vec::new(),
        shares_schedules_with: Vec::new(),
        schedules_at: None,
    };
    let files = match Files::read(sites_path, site) {
        Ok(files) => files,
        Err(e) => {
            report.problems.push(e.message().to_owned());
            return report;
        }
    };
    let mut object = |object: Result<_>| {
        object
            .map_err(|e: crate::Error| report.problems.push(e.message().to_owned()))
            .ok()
    };
    let (common, own) = (object(files.common()), object(files.site()));
    let (Some(common), Some(own)) = (common, own) else {
        return report;
    };
    let Assembled {
        config,
        settings,
        problems,
        warnings,
        schedules_at,
    } = assemble(sites_path, site, common, own, env, None);
    report.settings = settings;
    report.problems = problems;
    report.warnings = warnings;
    if let Ok(config) = config {
        report.ok = true;
        report.declined_because_of = config.decline_all;
        report.maintenance = config.maintenance_mode;
        report.schedules_at = schedules_at.map(|at| (at, config.srs.key_prefix));
    }
    report
        .warnings
        .extend(exposed(&sites_path.join(site).join(SITE), SITE));
    report
        .warnings
        .extend(exposed(&sites_path.join(COMMON), COMMON));
    report
}

/// Two sites whose keys would be the same refuse each other's schedules at run time.
fn warn_of_shared_schedules(reports: &mut [SiteReport]) {
    for i in 0..reports.len() {
        let Some(at) = &reports[i].schedules_at else {
            continue;
        };
        let others: Vec<_> = reports
            .iter()
            .filter(|other| other.site != reports[i].site)
            .filter(|other| other.schedules_at.as_ref() == Some(at))
            .map(|other| other.site.clone())
            .collect();
        if !others.is_empty() {
            let warning = format!(
                "The schedules of {} would lie under the same keys of the same Redis: give each \
                 site a srs_key_prefix, a logical database, or a Redis of its own",
                others.join(", ")
            );
            reports[i].warnings.push(warning);
            reports[i].shares_schedules_with = others;
        }
    }
}

/// Whether a file with passwords is open to every user of this host.
#[cfg(unix)]
fn exposed(path: &Path, name: &str) -> Option<String> {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path| Some(path.metadata().ok()?.permissions().mode());
    let file = path.canonicalize().ok()?;
    let reachable = file
        .ancestors()
        .skip(1)
        .all(|folder| mode(folder).is_some_and(|mode| mode & 0o001 != 0));
    let what = match mode(&file)? {
        mode if mode & 0o002 != 0 => "changed",
        mode if mode & 0o004 != 0 => "read",
        _ => return None,
    };
    reachable.then(|| format!("{name} can be {what} by every user of this host (chmod o-rw)"))
}

#[cfg(not(unix))]
fn exposed(_: &Path, _: &str) -> Option<String> {
    None
}

impl fmt::Display for SiteReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.ok { "good" } else { "refused" };
        writeln!(f, "{}: {verdict}", self.site)?;
        let width = self.settings.iter().map(|s| s.key.len()).max().unwrap_or(0);
        for Setting { key, value, source } in &self.settings {
            let value = match value {
                serde_json::Value::String(text) => text.clone(),
                serde_json::Value::Null => "-".to_owned(),
                other => other.to_string(),
            };
            writeln!(f, "  {key:width$}  {value}  ({source})")?;
        }
        for problem in &self.problems {
            writeln!(f, "  problem: {problem}")?;
        }
        if let Some(key) = self.declined_because_of {
            writeln!(
                f,
                "  note: all requests are left to Frappe because of {key}"
            )?;
        }
        if self.maintenance {
            writeln!(f, "  note: the site is in maintenance")?;
        }
        for warning in &self.warnings {
            writeln!(f, "  warning: {warning}")?;
        }
        Ok(())
    }
}
