//! Which of the layers a value comes from, and whether it is a value at all.
//!
//! Two rules for two kinds of keys. Frappe's keys are read as Python reads them: any true
//! value switches a flag on, an empty text is no text. Our own `srs_*` keys are checked
//! strictly, because a typing mistake must not become a different behaviour. Neither
//! stops at the first mistake: all are collected, so that an operator sees them at once.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::redis_url::RedisUrl;
use super::source::{Setting, Source};
use super::{FrappeVersion, Secret};

/// What stands for a secret in a [`Setting`].
pub(super) const MASK: &str = "***";

/// Reads values, and keeps what was read and what was wrong with it.
pub(super) struct Reader<'a> {
    common: Map<String, Value>,
    site: Map<String, Value>,
    env: &'a dyn Fn(&str) -> Option<String>,
    /// Whether this Frappe looks at `FRAPPE_*` variables at all (14 does not).
    pub(super) frappe_reads_env: bool,
    pub(super) settings: Vec<Setting>,
    pub(super) problems: Vec<String>,
    pub(super) warnings: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        common: Map<String, Value>,
        site: Map<String, Value>,
        env: &'a dyn Fn(&str) -> Option<String>,
    ) -> Self {
        Self {
            common,
            site,
            env,
            frappe_reads_env: true,
            settings: Vec::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// The value of a key: the site's, else the bench's. `null` is no value, but the
    /// site's `null` hides the bench's value, as a shallow merge does.
    pub(super) fn value(&self, key: &str) -> Option<(Value, Source)> {
        let (value, source) = match self.site.get(key) {
            Some(value) => (value, Source::Site),
            None => (self.common.get(key)?, Source::Common),
        };
        (!value.is_null()).then(|| (value.clone(), source))
    }

    /// Every key of both files, sorted, each once.
    pub(super) fn keys(&self) -> Vec<String> {
        let mut keys: Vec<_> = self
            .common
            .keys()
            .chain(self.site.keys())
            .cloned()
            .collect();
        keys.sort();
        keys.dedup();
        keys
    }

    /// An environment variable; an empty one is none.
    pub(super) fn env(&self, name: &str) -> Option<String> {
        (self.env)(name).filter(|value| !value.is_empty())
    }

    /// Records a value in use.
    pub(super) fn note(&mut self, key: &str, value: impl Into<Value>, source: Source) {
        self.settings.push(Setting {
            key: key.to_owned(),
            value: value.into(),
            source,
        });
    }

    /// Records that the value of `key` is wrong; `what` ends the sentence and must not
    /// repeat the value.
    pub(super) fn problem(&mut self, key: &str, source: Source, what: &str) {
        self.problems.push(format!("{key} ({source}) {what}"));
    }

    /// Whether Python would take the value for true. Not recorded.
    pub(super) fn is_true(&self, key: &str) -> bool {
        self.value(key).is_some_and(|(value, _)| truth(&value))
    }

    /// A flag of Frappe's.
    pub(super) fn frappe_flag(&mut self, key: &str) -> bool {
        let (on, source) = match self.value(key) {
            Some((value, source)) => (truth(&value), source),
            None => (false, Source::Default),
        };
        self.note(key, on, source);
        on
    }

    /// Seconds of Frappe's, where what Python takes for false is the default. What it
    /// would pass on and RQ refuse is a warning.
    pub(super) fn frappe_seconds(&mut self, key: &str, default: i64) -> i64 {
        let (value, source) = self
            .value(key)
            .filter(|(value, _)| truth(value))
            .unwrap_or_else(|| (default.into(), Source::Default));
        let seconds = whole(&value).filter(|&seconds| seconds != 0);
        if seconds.is_none() {
            self.warnings.push(format!(
                "{key} ({source}) is no whole number of seconds; {default} is used"
            ));
        }
        let seconds = seconds.unwrap_or(default);
        self.note(key, seconds, source);
        seconds
    }

    /// A text of Frappe's: the variable, else the files. Not recorded.
    pub(super) fn frappe_text(
        &mut self,
        key: &str,
        variable: Option<&'static str>,
    ) -> Option<(String, Source)> {
        if self.frappe_reads_env
            && let Some(name) = variable
            && let Some(text) = self.env(name)
        {
            return Some((text, Source::Environment(name)));
        }
        match self.value(key)? {
            (Value::String(text), source) => (!text.is_empty()).then_some((text, source)),
            (value, _) if !truth(&value) => None,
            (_, source) => {
                self.problem(key, source, "must be text");
                None
            }
        }
    }

    /// A text of Frappe's that may be printed.
    pub(super) fn open_text(
        &mut self,
        key: &str,
        variable: Option<&'static str>,
        default: &str,
    ) -> String {
        let (text, source) = self
            .frappe_text(key, variable)
            .unwrap_or_else(|| (default.to_owned(), Source::Default));
        self.note(key, text.as_str(), source);
        text
    }

    /// A text of Frappe's that must not be printed.
    pub(super) fn secret(&mut self, key: &str, variable: Option<&'static str>) -> Option<Secret> {
        let (text, source) = self.frappe_text(key, variable)?;
        self.note(key, MASK, source);
        Some(Secret::new(text))
    }

    /// A TCP port of Frappe's: a number, or a text with one.
    pub(super) fn port(&mut self, key: &str, variable: &'static str, default: u16) -> u16 {
        let found = match self.env(variable).filter(|_| self.frappe_reads_env) {
            Some(text) => Some((Value::String(text), Source::Environment(variable))),
            None => self.value(key).filter(|(value, _)| truth(value)),
        };
        let (value, source) = found.unwrap_or_else(|| (default.into(), Source::Default));
        match whole(&value).and_then(|n| u16::try_from(n).ok()) {
            Some(port) if port > 0 => {
                self.note(key, port, source);
                port
            }
            _ => {
                self.problem(key, source, "must be a port from 1 to 65535");
                default
            }
        }
    }

    /// A Redis URL. Not recorded, because credentials may be added. A wrong one is
    /// recorded as a problem and stands for `default`, which must be a Redis URL.
    pub(super) fn redis(
        &mut self,
        key: &str,
        variable: Option<&'static str>,
        default: &str,
    ) -> Option<(RedisUrl, Source)> {
        let (text, source) = self
            .frappe_text(key, variable)
            .unwrap_or_else(|| (default.to_owned(), Source::Default));
        match RedisUrl::parse(&text) {
            Ok(url) => Some((url, source)),
            Err(what) => {
                self.problem(key, source, what);
                None
            }
        }
    }

    /// One of our switches: 0, 1, true or false.
    pub(super) fn switch(&mut self, key: &str, default: bool) -> bool {
        let (value, source) = self
            .value(key)
            .unwrap_or_else(|| (default.into(), Source::Default));
        let on = match &value {
            Value::Bool(on) => Some(*on),
            Value::Number(n) if n.as_f64() == Some(0.0) => Some(false),
            Value::Number(n) if n.as_f64() == Some(1.0) => Some(true),
            // `bench set-config` without --parse writes text.
            Value::String(text) => match text.as_str() {
                "0" | "false" => Some(false),
                "1" | "true" => Some(true),
                _ => None,
            },
            _ => None,
        };
        if on.is_none() {
            self.problem(key, source, "must be 0, 1, true or false");
        }
        let on = on.unwrap_or(default);
        self.note(key, on, source);
        on
    }

    /// One of our numbers.
    pub(super) fn number(&mut self, key: &str, range: RangeInclusive<u64>, default: u64) -> u64 {
        self.optional_number(key, range).unwrap_or_else(|| {
            self.note(key, default, Source::Default);
            default
        })
    }

    /// One of our numbers that has no fixed default; recorded if given.
    pub(super) fn optional_number(&mut self, key: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let (value, source) = self.value(key)?;
        let number = whole(&value)
            .and_then(|n| u64::try_from(n).ok())
            .filter(|n| range.contains(n));
        match number {
            Some(number) => self.note(key, number, source),
            None => {
                let (low, high) = range.into_inner();
                let what = format!("must be a whole number from {low} to {high}");
                self.problem(key, source, &what);
            }
        }
        number
    }

    /// One of our texts: at most 64 of `[A-Za-z0-9_.-]`. An empty one is none.
    pub(super) fn word(&mut self, key: &str) -> Option<String> {
        let (value, source) = self.value(key)?;
        match value {
            Value::String(text) if text.is_empty() => None,
            Value::String(text) if is_word(&text) => {
                self.note(key, text.as_str(), source);
                Some(text)
            }
            _ => {
                let what = "must be text of at most 64 characters of A-Z, a-z, 0-9, _, . and -";
                self.problem(key, source, what);
                None
            }
        }
    }

    /// One of our structured values; the default if not given. An error of `parse` must
    /// name the key.
    pub(super) fn structured<T: Default>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&Value) -> crate::Result<T>,
    ) -> T {
        let Some((value, source)) = self.value(key) else {
            self.note(key, Value::Null, Source::Default);
            return T::default();
        };
        match parse(&value) {
            Ok(parsed) => {
                self.note(key, value, source);
                parsed
            }
            Err(e) => {
                self.problems.push(format!("{} ({source})", e.message()));
                T::default()
            }
        }
    }

    /// Warns of a variable that this Frappe does not look at.
    pub(super) fn warn_unread_variables(&mut self, names: &[&str], frappe: FrappeVersion) {
        for name in names {
            if self.env(name).is_some() {
                self.warnings.push(format!(
                    "The environment variable {name} is ignored: Frappe {} does not read it",
                    frappe.major()
                ));
            }
        }
    }
}

fn is_word(text: &str) -> bool {
    text.len() <= 64
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

/// Python's `bool(value)`.
pub(super) fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(on) => *on,
        Value::Number(n) => n.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(items) => !items.is_empty(),
    }
}

/// A whole number, also as text or as 5.0, as Python's `int()` takes it.
pub(super) fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Number(n) => n.as_i64().or_else(|| {
            n.as_f64()
                .filter(|f| f.fract() == 0.0 && f.abs() < 9e15)
                .map(|f| f as i64)
        }),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn flags_are_true_as_in_python() {
        for (value, on) in [
            (json!(0), false),
            (json!(0.0), false),
            (json!(""), false),
            (json!([]), false),
            (json!(null), false),
            (json!(false), false),
            (json!(1), true),
            (json!("0"), true),
            (json!([0]), true),
        ] {
            let site = map(json!({ "maintenance_mode": value }));
            let mut reader = Reader::new(Map::new(), site, &|_| None);
            assert_eq!(reader.frappe_flag("maintenance_mode"), on, "{value}");
        }
    }

    #[test]
    fn switches_and_numbers_are_strict() {
        for (value, expected) in [
            (json!(1), Some(true)),
            (json!("0"), Some(false)),
            (json!(true), Some(true)),
            (json!("false"), Some(false)),
            (json!(2), None),
            (json!("yes"), None),
            (json!([]), None),
        ] {
            let site = map(json!({ "srs_review_log": value }));
            let mut reader = Reader::new(Map::new(), site, &|_| None);
            let on = reader.switch("srs_review_log", true);
            assert_eq!(reader.problems.is_empty(), expected.is_some(), "{value}");
            assert_eq!(on, expected.unwrap_or(true), "{value}");
        }
        for (value, expected) in [
            (json!(7), Some(7)),
            (json!("7"), Some(7)),
            (json!(7.0), Some(7)),
            (json!(7.5), None),
            (json!(0), None),
            (json!(101), None),
            (json!(-1), None),
            (json!(1e300), None),
            (json!(true), None),
            (json!("seven"), None),
        ] {
            let site = map(json!({ "srs_x": value }));
            let mut reader = Reader::new(Map::new(), site, &|_| None);
            assert_eq!(reader.number("srs_x", 1..=100, 50), expected.unwrap_or(50));
            let problem = "srs_x (site_config.json) must be a whole number from 1 to 100";
            let problems = if expected.is_some() {
                vec![]
            } else {
                vec![problem]
            };
            assert_eq!(reader.problems, problems, "{value}");
        }
    }

    #[test]
    fn the_sites_null_hides_the_benchs_value() {
        let common = map(json!({"db_host": "db", "rate_limit": {"limit": 1, "window": 2}}));
        let site = map(json!({"db_host": null, "rate_limit": {"limit": 3}}));
        let mut reader = Reader::new(common, site, &|_| None);
        assert_eq!(reader.open_text("db_host", None, "127.0.0.1"), "127.0.0.1");
        // Nested values are replaced whole.
        assert_eq!(reader.value("rate_limit").unwrap().0, json!({"limit": 3}));
    }
}
