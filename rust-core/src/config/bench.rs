//! What the bench around the `sites` folder tells: its id, and what is installed in it.
//!
//! ```text
//! <bench>/sites                                              the folder we are given
//! <bench>/apps/frappe/frappe/__init__.py                     __version__ = "15.44.2"
//! <bench>/env/lib/python3.11/site-packages/rq-1.15.1.dist-info
//! ```

use std::path::{Component, Path, PathBuf};

/// The folder that holds `sites`, `apps` and `env`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bench {
    folder: PathBuf,
}

impl Bench {
    /// Finds the bench of a `sites` folder.
    ///
    /// `root` is `FRAPPE_BENCH_ROOT`, if set. A `sites` folder may be a link (a volume of
    /// a container), so the folder that it was named in is tried before the one that it
    /// really lies in.
    pub(super) fn around(sites_path: &Path, root: Option<&str>) -> Self {
        let named = std::path::absolute(sites_path)
            .ok()
            .filter(|path| path.components().all(|c| c != Component::ParentDir))
            .and_then(|path| path.parent().map(Path::to_owned));
        let real = sites_path
            .canonicalize()
            .ok()
            .and_then(|path| path.parent().map(Path::to_owned));
        let candidates = [named, root.map(PathBuf::from), real];
        let with_frappe = candidates
            .iter()
            .flatten()
            .find(|folder| frappe_package(folder).is_dir());
        let folder = with_frappe
            .or_else(|| candidates.iter().flatten().next())
            .cloned()
            .unwrap_or_default();
        Self { folder }
    }

    /// The id that Frappe derives when the configuration names none: the bench's real
    /// path with dashes for slashes, e.g. `home-frappe-frappe-bench`.
    ///
    /// `root` is `FRAPPE_BENCH_ROOT`, which Frappe takes as it stands. Else the path is
    /// counted from the frappe package, so that a linked app moves it, as in Frappe.
    pub(super) fn id(&self, root: Option<&str>) -> String {
        let path = match root {
            Some(root) => PathBuf::from(root),
            None => frappe_package(&self.folder)
                .join("../../..")
                .canonicalize()
                .or_else(|_| self.folder.canonicalize())
                .unwrap_or_else(|_| self.folder.clone()),
        };
        path.to_string_lossy().trim_matches('/').replace('/', "-")
    }

    /// `__version__` of the installed Frappe, and its first number.
    pub(super) fn frappe_version(&self) -> Option<(u32, String)> {
        let text =
            std::fs::read_to_string(frappe_package(&self.folder).join("__init__.py")).ok()?;
        let version = text.lines().find_map(|line| {
            let value = line.strip_prefix("__version__")?.trim_start();
            let value = value.strip_prefix('=')?.trim();
            let quote = value.chars().next().filter(|c| "'\"".contains(*c))?;
            value[1..].split(quote).next()
        })?;
        Some((leading_number(version)?, version.to_owned()))
    }

    /// Version of the installed RQ, and its first number.
    ///
    /// The folder of a later Python wins where several have one: an upgrade of Python
    /// leaves the old one behind.
    pub(super) fn rq_version(&self) -> Option<(u32, String)> {
        let pythons = self.folder.join("env/lib").read_dir().ok()?;
        let found = pythons.flatten().filter_map(|python| {
            let name = python.file_name().into_string().ok()?;
            let python_version = numbers(name.strip_prefix("python")?);
            let packages = python.path().join("site-packages").read_dir().ok()?;
            let rq = packages
                .flatten()
                .filter_map(|package| {
                    let name = package.file_name().into_string().ok()?;
                    let version = name.strip_prefix("rq-")?.strip_suffix(".dist-info")?;
                    Some((numbers(version), version.to_owned()))
                })
                .max()?;
            Some((python_version, rq))
        });
        let (_, (_, version)) = found.max()?;
        Some((leading_number(&version)?, version))
    }
}

fn frappe_package(bench: &Path) -> PathBuf {
    bench.join("apps/frappe/frappe")
}

fn leading_number(version: &str) -> Option<u32> {
    numbers(version).first().copied()
}

/// The numbers of a version, so that 3.10 comes after 3.9; ends at the first part that is
/// none.
fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map_while(|p| p.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bench_with(frappe: Option<&str>, packages: &[&str]) -> tempfile::TempDir {
        let bench = tempfile::tempdir().unwrap();
        std::fs::create_dir(bench.path().join("sites")).unwrap();
        if let Some(text) = frappe {
            let package = frappe_package(bench.path());
            std::fs::create_dir_all(&package).unwrap();
            std::fs::write(package.join("__init__.py"), text).unwrap();
        }
        for package in packages {
            std::fs::create_dir_all(bench.path().join("env/lib").join(package)).unwrap();
        }
        bench
    }

    #[test]
    fn versions_are_read_from_what_is_installed() {
        let bench = bench_with(
            Some("# Copyright\nimport os\n\n__version__ = \"15.44.2\"\n__title__ = 'x'\n"),
            &[
                "python3.9/site-packages/rq-9.0.dist-info",
                "python3.11/site-packages/rq-1.15.1.dist-info",
                "python3.11/site-packages/rq_scheduler-9.9.dist-info",
            ],
        );
        let found = Bench::around(&bench.path().join("sites"), None);
        assert_eq!(found.frappe_version(), Some((15, "15.44.2".into())));
        assert_eq!(found.rq_version(), Some((1, "1.15.1".into())));
        for (text, major) in [
            ("__version__ = '16.0.0-dev'", Some(16)),
            ("__version__=\"14.81.4\"", Some(14)),
            ("__version__ = version()", None),
            ("__version__ = \"dev\"", None),
            ("", None),
        ] {
            let bench = bench_with(Some(text), &[]);
            let found = Bench::around(&bench.path().join("sites"), None);
            assert_eq!(found.frappe_version().map(|v| v.0), major, "{text}");
            assert_eq!(found.rq_version(), None);
        }
    }

    #[test]
    fn the_id_is_the_real_path_with_dashes() {
        let bench = bench_with(Some(""), &[]);
        let real = bench.path().canonicalize().unwrap();
        let expected = real.to_str().unwrap().trim_matches('/').replace('/', "-");
        let sites = bench.path().join("sites");
        assert_eq!(Bench::around(&sites, None).id(None), expected);
        assert_eq!(Bench::around(&sites.join("."), None).id(None), expected);
        assert_eq!(
            Bench::around(&sites.join("../sites"), None).id(None),
            expected
        );
        let root = Some("/home/frappe/frappe-bench/");
        assert_eq!(
            Bench::around(&sites, root).id(root),
            "home-frappe-frappe-bench"
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_linked_sites_folder_belongs_to_the_bench_that_links_it() {
        let bench = bench_with(Some("__version__ = '14.0.0'"), &[]);
        let volume = tempfile::tempdir().unwrap();
        std::fs::remove_dir(bench.path().join("sites")).unwrap();
        std::os::unix::fs::symlink(volume.path(), bench.path().join("sites")).unwrap();
        let found = Bench::around(&bench.path().join("sites"), None);
        assert_eq!(found.frappe_version().map(|v| v.0), Some(14));
        // Named by its real path, only FRAPPE_BENCH_ROOT tells where it belongs.
        assert_eq!(Bench::around(volume.path(), None).frappe_version(), None);
        let found = Bench::around(volume.path(), bench.path().to_str());
        assert_eq!(found.frappe_version().map(|v| v.0), Some(14));
    }

    #[cfg(unix)]
    #[test]
    fn a_linked_app_moves_the_id() {
        let bench = bench_with(None, &[]);
        let elsewhere = bench_with(Some(""), &[]);
        std::fs::create_dir(bench.path().join("apps")).unwrap();
        std::os::unix::fs::symlink(
            elsewhere.path().join("apps/frappe"),
            bench.path().join("apps/frappe"),
        )
        .unwrap();
        let real = elsewhere.path().canonicalize().unwrap();
        let expected = real.to_str().unwrap().trim_matches('/').replace('/', "-");
        let found = Bench::around(&bench.path().join("sites"), None);
        assert_eq!(found.id(None), expected);
    }
}
