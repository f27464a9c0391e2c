//! The two files of a site, read whole.
//!
//! Frappe reads them for every request, so a change counts at once. They are compared by
//! their text, not by their times: an edit within one tick of the file system's clock is
//! seen, and a file written anew with the same text is no change.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::names::{look_into, valid_site_name};
use crate::{Error, Result};

/// The bench's file, beside the sites' folders.
pub(super) const COMMON: &str = "common_site_config.json";
/// The site's file, in its folder.
pub(super) const SITE: &str = "site_config.json";
/// A configuration file has a few kilobytes; more than this is something else.
const MAX_BYTES: u64 = 1 << 20;

/// The text of both files.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Files {
    common: Option<Vec<u8>>,
    site: Vec<u8>,
}

impl Files {
    /// Reads both. A missing `common_site_config.json` is an empty one, as in Frappe.
    ///
    /// # Errors
    /// `NotFound` if the name is no site's or the site has no `site_config.json`,
    /// `Config` if a file is there and cannot be read.
    pub(crate) fn read(sites_path: &Path, site: &str) -> Result<Self> {
        let missing = || Error::not_found(format!("{site} does not exist"));
        if !valid_site_name(site) {
            return Err(missing());
        }
        let own = read(&site_file(sites_path, site), &format!("{site}/{SITE}"))?;
        let Some(own) = own else {
            look_into(sites_path)?;
            return Err(missing());
        };
        Ok(Self {
            site: own,
            common: read(&sites_path.join(COMMON), COMMON)?,
        })
    }

    /// `common_site_config.json` as an object.
    ///
    /// # Errors
    /// `Config` with line and column; the text itself is not repeated, it holds secrets.
    pub(super) fn common(&self) -> Result<Map<String, Value>> {
        match &self.common {
            None => Ok(Map::new()),
            Some(text) => object(COMMON, text),
        }
    }

    /// `site_config.json` as an object.
    ///
    /// # Errors
    /// As [`Self::common`].
    pub(super) fn site(&self) -> Result<Map<String, Value>> {
        object(SITE, &self.site)
    }
}

/// Where the file of a site is. The name must be a valid one.
pub(crate) fn site_file(sites_path: &Path, site: &str) -> PathBuf {
    site_folder(sites_path, site).join(SITE)
}

/// Where a site's folder is. The name must be a valid one.
pub(crate) fn site_folder(sites_path: &Path, site: &str) -> PathBuf {
    sites_path.join(site)
}

fn read(path: &Path, name: &str) -> Result<Option<Vec<u8>>> {
    let mut text = Vec::new();
    let outcome = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut text));
    match outcome {
        Ok(_) if text.len() as u64 > MAX_BYTES => Err(Error::config(format!(
            "{name} has more than {MAX_BYTES} bytes"
        ))),
        Ok(_) => Ok(Some(text)),
        Err(e) if is_absence(e.kind()) => Ok(None),
        Err(e) => {
            let why = e.kind();
            Err(Error::config(format!("{name} cannot be read: {why}")).with_source(e))
        }
    }
}

/// Whether the error says that there is no such file, rather than one that is out of reach.
pub(super) fn is_absence(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidFilename
    )
}

fn object(name: &str, text: &[u8]) -> Result<Map<String, Value>> {
    match serde_json::from_slice(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Error::config(format!("{name} must hold a JSON object"))),
        Err(e) => Err(Error::config(format!(
            "{name} is not valid JSON: line {}, column {}",
            e.line(),
            e.column()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind as Kind;

    fn kind(result: Result<impl Sized>) -> Kind {
        result.err().expect("must fail").kind()
    }

    #[test]
    fn a_missing_common_file_is_empty_and_a_missing_site_is_not_found() {
        let sites = tempfile::tempdir().unwrap();
        std::fs::create_dir(sites.path().join("a.localhost")).unwrap();
        assert_eq!(
            kind(Files::read(sites.path(), "a.localhost")),
            Kind::NotFound
        );
        for name in ["../x", "", ".", "b.localhost", &"x".repeat(5000)] {
            assert_eq!(
                kind(Files::read(sites.path(), name)),
                Kind::NotFound,
                "{name}"
            );
        }
        std::fs::write(sites.path().join("a.localhost/site_config.json"), "{}").unwrap();
        let files = Files::read(sites.path(), "a.localhost").unwrap();
        assert!(files.common().unwrap().is_empty());
    }

    #[test]
    fn a_broken_file_is_named_without_its_text() {
        let broken = Files {
            common: Some(b"[1]".to_vec()),
            site: b"{\"db_password\": \"hunter2\n".to_vec(),
        };
        let message = broken.site().unwrap_err().message().to_owned();
        assert!(
            message.starts_with("site_config.json is not valid JSON: line"),
            "{message}"
        );
        assert!(!message.contains("hunter2"));
        assert_eq!(
            broken.common().unwrap_err().message(),
            "common_site_config.json must hold a JSON object"
        );
    }

    #[test]
    fn what_is_no_configuration_is_not_swallowed() {
        let sites = tempfile::tempdir().unwrap();
        let site = sites.path().join("a.localhost");
        std::fs::create_dir(&site).unwrap();
        let huge = vec![b' '; MAX_BYTES as usize + 1];
        std::fs::write(site.join(SITE), huge).unwrap();
        assert_eq!(kind(Files::read(sites.path(), "a.localhost")), Kind::Config);
        std::fs::remove_file(site.join(SITE)).unwrap();
        std::fs::create_dir(site.join(SITE)).unwrap();
        assert_eq!(kind(Files::read(sites.path(), "a.localhost")), Kind::Config);
    }
}
