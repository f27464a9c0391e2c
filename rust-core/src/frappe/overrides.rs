//! What a site's apps and scripts put between a request and the method that it names.
//!
//! | in Frappe | what it does | read from |
//! |---|---|---|
//! | `auth_hooks` | Python that runs in every request and may log in, or refuse, anybody | Frappe's list of hooks in Redis |
//! | `override_whitelisted_methods` | another method is called | the same |
//! | a Server Script of type API | the script is run instead | its table |
//!
//! None of it can be done here: such requests are Frappe's.
//!
//! Frappe keeps its list of hooks, a pickle, under `<db>|app_hooks`. Names in it stand as they
//! are, so they are looked for as bytes: what else apps put into their hooks does not matter.
//! A list without the names says that there is nothing; no list (Redis was cleared, or the
//! site is in developer mode, in which Frappe keeps none) says nothing, and the last one
//! counts. A process that has seen none judges only where there is nobody to have hooks: where
//! Frappe's list of the site's apps names none but Frappe and this one. Elsewhere Frappe
//! answers, and makes its list on the way.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::login::AuthContext;
use super::rows;
use crate::Result;

const SCRIPTS: &str = include_str!("sql/server_scripts.sql");
/// How methods begin that are answered here.
const METHODS: &str = "memora.api.";
const AUTH_HOOKS: &[u8] = b"auth_hooks";
/// Apps that have no hooks of these kinds.
const WITHOUT_HOOKS: [&str; 2] = ["frappe", "memora"];

/// How long a reading is good.
const LASTS: Duration = Duration::from_secs(60);
/// When to try again after a server did not answer, or Frappe had no list yet.
const RETRY: Duration = Duration::from_secs(1);

/// What was last read of one site.
#[derive(Default)]
pub struct Overrides {
    last: ArcSwapOption<Reading>,
    /// What one server said at the first reading while the other had not answered yet, and may
    /// never do.
    half: ArcSwapOption<Reading>,
    /// One of many who come first reads.
    first: Mutex<()>,
}

#[derive(Clone, Default)]
struct Reading {
    /// `None` before the first list.
    hooks: Option<Hooks>,
    /// Whether the site has only apps that have none.
    none_can_have_hooks: bool,
    /// Methods that a Server Script answers.
    scripts: Vec<String>,
    /// When to read again.
    due: Option<Instant>,
}

#[derive(Clone, Default)]
struct Hooks {
    auth: bool,
    /// Methods of ours that are mentioned.
    methods: Vec<String>,
}

impl Overrides {
    /// Why `method` is Frappe's, as far as is known; the reason is a fixed word.
    pub fn reason(&self, method: &str) -> Option<&'static str> {
        const UNKNOWN: Option<&str> = Some("hooks-unknown");
        let mut last = self.last.load();
        if last.is_none() {
            last = self.half.load();
        }
        let Some(last) = last.as_ref() else {
            return UNKNOWN;
        };
        let is_in = |methods: &[String]| methods.iter().any(|m| m == method);
        match &last.hooks {
            Some(hooks) if hooks.auth => return Some("auth-hooks"),
            Some(hooks) if is_in(&hooks.methods) => return Some("overridden-method"),
            None if !last.none_can_have_hooks => return UNKNOWN,
            _ => {}
        }
        is_in(&last.scripts).then_some("server-script")
    }

    /// Whether anything was ever read.
    pub fn is_known(&self) -> bool {
        self.last.load().is_some()
    }

    /// True for one of those who ask when it is time to read again.
    pub fn claim(&self) -> bool {
        let now = Instant::now();
        let last = self.last.load_full();
        let Some(last) = last.filter(|last| last.due.is_some_and(|due| due <= now)) else {
            return false;
        };
        let claimed = Reading {
            due: Some(now + LASTS),
            ..Reading::clone(&last)
        };
        let before = self.last.compare_and_swap(&last, Some(Arc::new(claimed)));
        before
            .as_ref()
            .is_some_and(|before| Arc::ptr_eq(before, &last))
    }

    /// Reads if nobody has yet; one of many who come at once reads, and all wait for it.
    pub async fn read_first(&self, ctx: &AuthContext<'_>) {
        let _turn = self.first.lock().await;
        if !self.is_known() {
            self.read(ctx).await;
        }
    }

    /// Reads anew. What a server does not say stays as it was, and is asked for again soon.
    pub async fn read(&self, ctx: &AuthContext<'_>) {
        let last = self.last.load_full();
        let reading = Mutex::new(last.as_deref().cloned().unwrap_or_default());
        let hooks = async {
            let list = read_hooks(ctx).await?;
            if let Some(hooks) = list {
                let mut reading = reading.lock().await;
                reading.hooks = Some(hooks);
                self.half.store(Some(Arc::new(reading.clone())));
            }
            Ok(())
        };
        let site = async {
            let (scripts, apps) = read_site(ctx).await?;
            let mut reading = reading.lock().await;
            reading.scripts = scripts;
            reading.none_can_have_hooks = have_no_hooks(apps.as_deref());
            self.half.store(Some(Arc::new(reading.clone())));
            Ok(())
        };
        let mut lasts = LASTS;
        let (hooks, site): (Result<()>, Result<()>) = tokio::join!(hooks, site);
        for read in [hooks, site] {
            if let Err(error) = read {
                tracing::debug!(?error, "Hooks, Server Scripts or apps were not read");
                lasts = RETRY;
            }
        }
        let mut reading = reading.into_inner();
        if reading.hooks.is_none() && !reading.none_can_have_hooks {
            lasts = RETRY;
        }
        reading.due = Some(Instant::now() + lasts);
        self.last.store(Some(Arc::new(reading)));
    }
}

/// `None` if Frappe has no list there.
async fn read_hooks(ctx: &AuthContext<'_>) -> Result<Option<Hooks>> {
    let key = format!("{}|app_hooks", ctx.config.db.name);
    let list: Option<Vec<u8>> = ctx.redis.query(&redis::Cmd::get(key)).await?;
    Ok(list.map(|list| Hooks::of(&list)))
}

/// The methods of Server Scripts, and the site's apps as Frappe lists them.
async fn read_site(ctx: &AuthContext<'_>) -> Result<(Vec<String>, Option<String>)> {
    let mut row = rows::one(ctx.db, SCRIPTS, (format!("{METHODS}%"),)).await?;
    let methods: Option<String> = rows::column(&mut row, "methods")?;
    let methods = methods.unwrap_or_default();
    let scripts = methods.lines().map(str::to_owned).collect();
    Ok((scripts, rows::column(&mut row, "apps")?))
}

fn have_no_hooks(apps: Option<&str>) -> bool {
    let apps: Option<Vec<String>> = apps.and_then(|apps| serde_json::from_str(apps).ok());
    apps.is_some_and(|apps| apps.iter().all(|app| WITHOUT_HOOKS.contains(&app.as_str())))
}

impl Hooks {
    fn of(list: &[u8]) -> Self {
        let prefix = METHODS.as_bytes();
        let mentions = list.windows(prefix.len()).enumerate();
        let methods = mentions
            .filter(|(_, bytes)| *bytes == prefix)
            .map(|(at, _)| {
                let is_name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.');
                let name = list[at..].iter().copied().take_while(is_name).collect();
                // Only ASCII was taken.
                String::from_utf8(name).unwrap_or_default()
            });
        Self {
            auth: list
                .windows(AUTH_HOOKS.len())
                .any(|bytes| bytes == AUTH_HOOKS),
            methods: methods.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_the_list_of_hooks() {
        // pickle.dumps({"override_whitelisted_methods": {method: ["a.b"]}, ...}, 4), of Python.
        let method = "memora.api.reviews.get_review_session";
        let list = |key: &str, inner: &str| {
            let key = [&[0x8c, key.len() as u8], key.as_bytes()].concat();
            let inner = [&[0x8c, inner.len() as u8], inner.as_bytes()].concat();
            [
                b"\x80\x04}\x94",
                &key[..],
                b"\x94}\x94",
                &inner,
                b"\x94]\x94\x8c\x03a.b\x94as.",
            ]
            .concat()
        };
        let hooks = Hooks::of(&list("override_whitelisted_methods", method));
        assert_eq!(
            (hooks.auth, hooks.methods),
            (false, vec![method.to_owned()])
        );
        let hooks = Hooks::of(&list("auth_hooks", "x"));
        assert!(hooks.auth && hooks.methods.is_empty());
        for other in ["memora.apix", "a.memora.ap", "memora.services.x", ""] {
            let hooks = Hooks::of(&list("doc_events", other));
            assert!(!hooks.auth && hooks.methods.is_empty(), "{other}");
        }
        let hooks = Hooks::of(b"memora.api.");
        assert_eq!(hooks.methods, ["memora.api."]);
    }
}
