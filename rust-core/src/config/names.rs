//! Which names a site may have, and which sites there are.

use std::path::Path;

use super::files::{SITE, is_absence};
use crate::{Error, Result};

/// Longest name of a folder.
const MAX_BYTES: usize = 255;
/// In the root of a file system, for its administrator alone.
const LOST_AND_FOUND: &str = "lost+found";

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

/// Names of the sites below `sites_path`, sorted: folders with a `site_config.json`, and those
/// of which this user cannot tell. Whoever opens one of the latter is told so; left out, it
/// would seem that there is no such site.
///
/// # Errors
/// `Config` if the folder cannot be read.
pub fn site_names(sites_path: &Path) -> Result<Vec<String>> {
    let unreadable = |e| unreadable(sites_path, e);
    look_into(sites_path)?;
    let mut names = Vec::new();
    for entry in std::fs::read_dir(sites_path).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let is_site = match entry.path().join(SITE).metadata() {
            Ok(file) => file.is_file(),
            Err(e) => !is_absence(e.kind()),
        };
        if is_site && valid_site_name(&name) && name != LOST_AND_FOUND {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Fails if this is no folder, or one in which this user cannot look for files.
///
/// # Errors
/// `Config`, naming the folder.
pub(crate) fn look_into(sites_path: &Path) -> Result<()> {
    // Reading a folder and looking into it are two rights.
    match sites_path.join(".").metadata() {
        Ok(_) => Ok(()),
        Err(e) => Err(unreadable(sites_path, e)),
    }
}

fn unreadable(sites_path: &Path, cause: std::io::Error) -> Error {
    let (folder, why) = (sites_path.display(), cause.kind());
    Error::config(format!(
        "The sites folder {folder} cannot be read: {why} (--sites-path)"
    ))
    .with_source(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        }
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
        let missing = site_names(&sites.path().join("missing")).unwrap_err();
        assert!(missing.message().contains("missing"), "{missing}");
        assert!(site_names(&sites.path().join("apps.txt")).is_err());
    }

    #[test]
    fn a_site_that_cannot_be_looked_at_is_not_left_out() {
        let sites = tempfile::tempdir().unwrap();
        for name in ["a.localhost", LOST_AND_FOUND] {
            let folder = sites.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            // As a folder of another user, for whoever runs this.
            std::os::unix::fs::symlink(SITE, folder.join(SITE)).unwrap();
        }
        assert_eq!(site_names(sites.path()).unwrap(), ["a.localhost"]);
    }
}
