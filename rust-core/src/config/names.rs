//! Which site a request means, and which names a site may have.

use std::path::Path;

use super::files::SITE;
use crate::{Error, Result};

/// Longest name of a folder.
const MAX_BYTES: usize = 255;

/// Whether this can be the name of a site's folder, and of nothing outside `sites`.
pub fn valid_site_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MAX_BYTES
        && !name.starts_with('.')
        && !name.contains("..")
        && !name
            .chars()
            .any(|c| c == '/' || c == '\\' || c.is_control())
}

/// The site that a request means, as Frappe decides: the header `X-Frappe-Site-Name`,
/// else `Host` up to its first colon. No default site, no folding of case, no `www.`.
///
/// Whether there is such a site is for [`Sites::get`](crate::services::Sites::get).
///
/// # Errors
/// `NotFound` if that cannot be a site's name.
pub fn resolve_site<'a>(header: Option<&'a str>, host: Option<&'a str>) -> Result<&'a str> {
    let name = header
        .filter(|header| !header.is_empty())
        .or_else(|| host.and_then(|host| host.split(':').next()))
        .unwrap_or_default();
    if valid_site_name(name) {
        Ok(name)
    } else {
        Err(Error::not_found(format!("{name} does not exist")))
    }
}

/// Names of the sites below `sites_path`, sorted: folders with a `site_config.json`.
///
/// # Errors
/// `Config` if the folder cannot be read.
pub fn site_names(sites_path: &Path) -> Result<Vec<String>> {
    let unreadable = |e: std::io::Error| {
        Error::config(format!(
            "The sites folder {} cannot be read",
            sites_path.display()
        ))
        .with_source(e)
    };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(sites_path).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if valid_site_name(&name) && entry.path().join(SITE).is_file() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_comes_before_the_host() {
        let site = |header, host| resolve_site(header, host).ok();
        assert_eq!(
            site(Some("a.example"), Some("b.example")),
            Some("a.example")
        );
        assert_eq!(site(None, Some("b.example:8000")), Some("b.example"));
        assert_eq!(site(Some(""), Some("b.example")), Some("b.example"));
        assert_eq!(site(None, Some("B.Example")), Some("B.Example"));
        assert_eq!(site(None, Some("www.b.example")), Some("www.b.example"));
        // A header is taken whole: a port belongs to Host alone.
        assert_eq!(site(Some("a.example:1"), None), Some("a.example:1"));
    }

    #[test]
    fn no_name_leads_out_of_the_sites_folder() {
        for bad in [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "/etc",
            "a\\b",
            "a..b",
            ".hidden",
            "a\0b",
            "a\nb",
            &"a".repeat(256),
        ] {
            assert!(!valid_site_name(bad), "{bad:?}");
            assert!(resolve_site(Some(bad), None).is_err(), "{bad:?}");
        }
        // An address in brackets is cut at its first colon, by Frappe too.
        assert_eq!(resolve_site(None, Some("[::1]:8000")).unwrap(), "[");
        assert!(resolve_site(None, None).is_err());
        assert!(valid_site_name("srs.localhost"));
        assert!(valid_site_name("schule-köln.example"));
    }

    #[test]
    fn only_folders_with_a_configuration_are_sites() {
        let sites = tempfile::tempdir().unwrap();
        for name in ["b.localhost", "a.localhost", "assets", ".hidden"] {
            std::fs::create_dir(sites.path().join(name)).unwrap();
        }
        for name in ["b.localhost", "a.localhost", ".hidden"] {
            std::fs::write(sites.path().join(name).join(SITE), "{}").unwrap();
        }
        std::fs::write(sites.path().join("apps.txt"), "frappe").unwrap();
        assert_eq!(
            site_names(sites.path()).unwrap(),
            ["a.localhost", "b.localhost"]
        );
        assert!(site_names(&sites.path().join("missing")).is_err());
    }
}
