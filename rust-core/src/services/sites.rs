//! The sites of a bench: opened when first asked for, opened anew when their files change.
//!
//! Frappe reads a site's two files for every request. Here they are read again at most
//! once a second, by one caller, off the runtime's threads; the others are answered from
//! what is known. A change that alters no value that we use alters nothing. Any other
//! builds a new [`Site`]; operations under way keep the old one, whose connections close
//! with its last user.
//!
//! A configuration that became wrong is refused until it is mended, as Frappe would fail.
//! But Frappe writes these files in place, and editors move them away first, so a reader
//! may catch one half written or missing: only what stays wrong for a moment counts.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::Instant;

use super::Site;
use crate::config::{self, Files, SiteConfig};
use crate::metrics::metrics;
use crate::{Error, ErrorKind, Result};

/// How long files are believed to be unchanged.
const BELIEVED: Duration = Duration::from_secs(1);
/// How soon files that were wrong are read again.
const RETRY: Duration = Duration::from_millis(50);
/// How long files must stay wrong before an open site is refused. Writing one takes
/// far less.
const GRACE: Duration = Duration::from_millis(250);
/// How often a site that was left for another gives up what its background work opened.
const REST: Duration = Duration::from_secs(5);

/// What one process may use of the servers; its configuration files may say otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections to MariaDB at most for each site, unless its configuration sets
    /// `srs_mariadb_connections`; `None`: its default, which is made for one process that
    /// serves all students.
    pub mariadb_connections: Option<usize>,
    /// Whether a site gives up its idle connections when another one is asked for.
    pub one_site: bool,
}

impl Limits {
    /// For a process that serves the whole site: as the configuration says.
    pub const NONE: Self = Self {
        mariadb_connections: None,
        one_site: false,
    };
    /// For one of a bench's many processes: two connections to MariaDB, so that a hundred
    /// of them do not use up the server's, though each serves a hundred sites in turn.
    pub const SHARED: Self = Self {
        mariadb_connections: Some(2),
        one_site: true,
    };
}

/// See the module's documentation.
pub struct Sites {
    sites_path: PathBuf,
    limits: Limits,
    entries: RwLock<HashMap<String, Arc<Entry>>>,
    /// The site last asked for, where one gives way to another.
    last: Arc<Mutex<Option<Arc<Site>>>>,
}

impl Sites {
    /// The sites below the bench's `sites` folder.
    pub fn new(sites_path: impl AsRef<Path>) -> Self {
        Self::with_limits(sites_path, Limits::NONE)
    }

    /// The same, for a process that may not use as much of the servers.
    pub fn with_limits(sites_path: impl AsRef<Path>, limits: Limits) -> Self {
        Self {
            sites_path: sites_path.as_ref().to_owned(),
            limits,
            entries: RwLock::default(),
            last: Arc::default(),
        }
    }

    /// The bench's `sites` folder.
    pub fn path(&self) -> &Path {
        &self.sites_path
    }

    /// The site of this name, with its present configuration.
    ///
    /// # Errors
    /// `NotFound` if there is none, `Config` if its configuration is wrong.
    pub async fn get(&self, name: &str) -> Result<Arc<Site>> {
        let entry = match self.known(name) {
            Some(entry) => entry,
            None => self.meet(name).await?,
        };
        let answer = match entry.answer(Instant::now()) {
            Some(answer) => answer,
            None => Box::pin(entry.get(&self.sites_path, name, self.limits)).await,
        };
        if answer
            .as_ref()
            .is_err_and(|e| e.kind() == ErrorKind::NotFound)
        {
            self.forget(name, &entry);
        }
        if let Ok(site) = &answer
            && self.limits.one_site
        {
            self.change_to(site);
        }
        answer
    }

    /// Has the site that was asked for before give up its idle connections.
    fn change_to(&self, site: &Arc<Site>) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref().is_some_and(|last| Arc::ptr_eq(last, site)) {
            return;
        }
        let before = last.replace(site.clone());
        if let Some(before) = before {
            let last = Arc::clone(&self.last);
            tokio::spawn(async move {
                // What it still does in the background opens connections anew.
                loop {
                    before.rest().await;
                    tokio::time::sleep(REST).await;
                    let now = last.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    if now.is_some_and(|now| Arc::ptr_eq(&now, &before)) || before.is_at_rest() {
                        break;
                    }
                }
            });
        }
    }

    /// Names of all sites, sorted.
    ///
    /// # Errors
    /// `Config` if the `sites` folder cannot be read.
    pub fn names(&self) -> Result<Vec<String>> {
        config::site_names(&self.sites_path)
    }

    /// Those, for work that makes no sense without a site.
    ///
    /// # Errors
    /// `Config` if the `sites` folder cannot be read, or has none.
    pub fn some_names(&self) -> Result<Vec<String>> {
        let names = self.names()?;
        if names.is_empty() {
            let folder = self.sites_path.display();
            return Err(Error::config(format!(
                "There is no site below {folder} (--sites-path): a site is a folder with a \
                 site_config.json"
            )));
        }
        Ok(names)
    }

    /// The sites that are open, whoever asked for them.
    pub fn opened(&self) -> Vec<Arc<Site>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let answers = entries.values().filter_map(|entry| entry.last_answer());
        answers.filter_map(Result::ok).collect()
    }

    /// Forgets sites whose folders are gone: nobody may ever ask for one again.
    pub async fn forget_gone(&self) {
        let entries: Vec<_> = {
            let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
            let all = entries.iter();
            all.map(|(name, entry)| (name.clone(), entry.clone()))
                .collect()
        };
        for (name, entry) in entries {
            let folder = config::site_folder(&self.sites_path, &name);
            if matches!(tokio::fs::try_exists(folder).await, Ok(false)) {
                tracing::info!(site = name, "The site is gone");
                self.forget(&name, &entry);
            }
        }
    }

    fn known(&self, name: &str) -> Option<Arc<Entry>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.get(name).cloned()
    }

    /// Makes an entry, for a site that has a folder: names come from outside, and must
    /// not fill the memory.
    async fn meet(&self, name: &str) -> Result<Arc<Entry>> {
        let missing = || Error::not_found(format!("{name} does not exist"));
        if !config::valid_site_name(name) {
            return Err(missing());
        }
        let file = config::site_file(&self.sites_path, name);
        if !tokio::fs::try_exists(file).await.unwrap_or(true) {
            config::look_into(&self.sites_path)?;
            return Err(missing());
        }
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        Ok(entries.entry(name.to_owned()).or_default().clone())
    }

    fn forget(&self, name: &str, entry: &Arc<Entry>) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        if entries.get(name).is_some_and(|now| Arc::ptr_eq(now, entry)) {
            entries.remove(name);
            metrics().forget_site(name);
        }
    }
}

/// One site: what callers get, and when to look again.
#[derive(Default)]
struct Entry {
    /// Never held across an await.
    state: Mutex<State>,
    /// Held while reading the files, so that a crowd reads them once.
    looking: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    /// `None` before the first look.
    answer: Option<Result<Arc<Site>>>,
    /// What the answer was made from, if it is a site.
    files: Option<Files>,
    /// Until when the answer needs no look.
    believed_until: Option<Instant>,
    /// Since when files have been wrong while the answer is still a site.
    wrong_since: Option<Instant>,
}

/// Files that the answer was not made from, and what they come to.
struct Changed {
    files: Files,
    config: SiteConfig,
    warnings: Vec<String>,
}

impl Entry {
    async fn get(&self, sites_path: &Path, name: &str, limits: Limits) -> Result<Arc<Site>> {
        // Who finds somebody looking takes the last answer; before the first there is
        // none, and all wait for it.
        let _looking = match self.looking.try_lock() {
            Ok(guard) => guard,
            Err(_) => match self.last_answer() {
                Some(answer) => return answer,
                None => self.looking.lock().await,
            },
        };
        if let Some(answer) = self.answer(Instant::now()) {
            return answer;
        }
        let known = self.state().files.clone();
        let (path, site) = (sites_path.to_owned(), name.to_owned());
        let found = tokio::task::spawn_blocking(move || look(&path, &site, known.as_ref(), limits))
            .await
            .map_err(|e| Error::internal("The site could not be opened").with_source(e))?;
        self.settle(name, found)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer, if it is fresh enough.
    fn answer(&self, now: Instant) -> Option<Result<Arc<Site>>> {
        let state = self.state();
        state
            .answer
            .clone()
            .filter(|_| state.believed_until > Some(now))
    }

    fn last_answer(&self) -> Option<Result<Arc<Site>>> {
        self.state().answer.clone()
    }

    /// Makes what was found the answer.
    fn settle(&self, name: &str, found: Result<Option<Changed>>) -> Result<Arc<Site>> {
        let mut state = self.state();
        let now = Instant::now();
        let before = state.answer.clone();
        let answer = match (found, &before) {
            (Ok(None), Some(answer)) => answer.clone(),
            (Ok(None), None) => Err(Error::internal("A site that was never opened is unchanged")),
            (Ok(Some(changed)), before) => {
                let answer = open(name, changed.config, &changed.warnings, before.as_ref());
                state.files = answer.is_ok().then_some(changed.files);
                answer
            }
            (Err(error), Some(Ok(site))) => {
                let since = *state.wrong_since.get_or_insert(now);
                if now - since < GRACE {
                    state.believed_until = Some(now + RETRY);
                    return Ok(site.clone());
                }
                state.files = None;
                Err(error)
            }
            (Err(error), _) => {
                state.files = None;
                Err(error)
            }
        };
        if let Err(error) = &answer {
            log_refusal(name, error, before.as_ref());
        }
        state.wrong_since = None;
        state.believed_until = Some(now + if answer.is_ok() { BELIEVED } else { RETRY });
        state.answer = Some(answer.clone());
        answer
    }
}

/// Reads the files; `None` if they are the `known` ones.
fn look(
    sites_path: &Path,
    site: &str,
    known: Option<&Files>,
    limits: Limits,
) -> Result<Option<Changed>> {
    let files = Files::read(sites_path, site)?;
    if known == Some(&files) {
        return Ok(None);
    }
    let (config, warnings) = config::build(sites_path, site, &files, limits.mariadb_connections)?;
    Ok(Some(Changed {
        files,
        config,
        warnings,
    }))
}

/// Opens the site, or keeps the one from `before` if nothing that we use has changed.
fn open(
    name: &str,
    config: SiteConfig,
    warnings: &[String],
    before: Option<&Result<Arc<Site>>>,
) -> Result<Arc<Site>> {
    let before = before.and_then(|answer| answer.as_ref().ok());
    if let Some(site) = before
        && site.config == config
    {
        return Ok(site.clone());
    }
    for warning in warnings {
        tracing::warn!(site = name, "{warning}");
    }
    let site = Site::open_after(config, before.map(|site| &**site))?;
    metrics().expect_site(name);
    match before {
        Some(_) => tracing::info!(
            site = name,
            "The configuration changed; the site is open anew"
        ),
        None => tracing::info!(site = name, "The site is open"),
    }
    Ok(site)
}

/// Says once what is wrong with a site's configuration.
fn log_refusal(name: &str, error: &Error, before: Option<&Result<Arc<Site>>>) {
    let said = before.is_some_and(|answer| {
        answer
            .as_ref()
            .is_err_and(|e| e.message() == error.message())
    });
    if !said && error.kind() == ErrorKind::Config {
        tracing::error!(site = name, error = ?error, "The site is refused until its configuration is mended");
    }
}

#[cfg(test)]
mod tests;
