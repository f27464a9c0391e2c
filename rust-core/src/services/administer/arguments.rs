//! Arguments of administrators, judged as the app's Python judges them: typed, or as a form's
//! text.

use serde_json::Value;

use super::{Args, MIN_SAMPLE};
use crate::services::Site;
use crate::services::reconcile::{DEFAULT_SAMPLE, MAX_SAMPLE};
use crate::store::seasons::{self, SeasonRow};
use crate::{Error, Result};

/// The season that is named.
///
/// # Errors
/// `InvalidInput` if none is; `NotFound` for an unknown one.
pub(super) async fn season_of(site: &Site, args: &Args) -> Result<SeasonRow> {
    let named = given(args).and_then(Value::as_str);
    let name = named.ok_or_else(|| Error::invalid("season: name one"))?;
    let row = seasons::named(&site.db, name).await?;
    row.ok_or_else(|| Error::not_found(format!("Season {name} does not exist")))
}

/// The same where none need be named.
///
/// # Errors
/// As [`season_of`].
pub(super) async fn season_or_none(site: &Site, args: &Args) -> Result<Option<SeasonRow>> {
    match given(args) {
        None => Ok(None),
        Some(_) => season_of(site, args).await.map(Some),
    }
}

/// Whichever of both names says something.
fn given(args: &Args) -> Option<&Value> {
    ["season", "season_name"]
        .iter()
        .filter_map(|name| args.get(*name))
        .find(|value| is_true(value))
}

/// Python's truth.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(is) => *is,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// Fails unless somebody said yes, in so many words.
pub(super) fn confirmed(args: &Args) -> Result<()> {
    let yes = match args.get("confirm") {
        Some(Value::Bool(yes)) => *yes,
        Some(Value::Number(number)) => number.as_u64() == Some(1),
        Some(Value::String(text)) => text == "1" || text.eq_ignore_ascii_case("true"),
        _ => false,
    };
    if yes {
        return Ok(());
    }
    let message = "confirm: this cannot be undone; say confirm=1 to do it";
    Err(Error::invalid(message))
}

/// How much to compare; whole decimals, typed or as text.
pub(super) fn sample_size(args: &Args) -> Result<u64> {
    let size = match args.get("sample_size") {
        None => Some(DEFAULT_SAMPLE),
        Some(Value::Number(number)) => number.as_u64(),
        // `parse` takes a sign, Python's `isdecimal` does not.
        Some(Value::String(text)) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            text.parse().ok()
        }
        Some(_) => None,
    };
    size.filter(|size| (MIN_SAMPLE..=MAX_SAMPLE).contains(size))
        .ok_or_else(|| {
            let message = format!("sample_size: must be {MIN_SAMPLE} to {MAX_SAMPLE}");
            Error::invalid(message)
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn args(name: &str, value: Value) -> Args {
        Args::from_iter([(name.to_owned(), value)])
    }

    #[test]
    fn only_a_plain_yes_confirms() {
        for yes in [
            json!(true),
            json!(1),
            json!("1"),
            json!("true"),
            json!("TRUE"),
        ] {
            assert!(confirmed(&args("confirm", yes.clone())).is_ok(), "{yes}");
        }
        let noes = json!([
            false,
            0,
            "0",
            "false",
            "",
            null,
            "no",
            "yes",
            " 1",
            1.0,
            2,
            [1],
            {}
        ]);
        for no in noes.as_array().unwrap() {
            assert!(confirmed(&args("confirm", no.clone())).is_err(), "{no}");
        }
        assert!(confirmed(&Args::new()).is_err());
    }

    #[test]
    fn a_sample_has_its_bounds() {
        let size = |value| sample_size(&args("sample_size", value)).ok();
        assert_eq!(sample_size(&Args::new()).ok(), Some(10_000));
        assert_eq!(size(json!(100)), Some(100));
        assert_eq!(size(json!("00100000")), Some(100_000));
        let bad = json!([
            99,
            100_001,
            -100,
            500.0,
            "",
            "x",
            "+500",
            " 500",
            "5e2",
            null,
            true,
            []
        ]);
        for bad in bad.as_array().unwrap() {
            assert_eq!(size(bad.clone()), None, "{bad}");
        }
        assert_eq!(size(json!("9".repeat(40))), None);
    }

    #[test]
    fn a_season_may_be_named_in_two_ways() {
        let both = |season, other| {
            Args::from_iter([
                ("season".to_owned(), season),
                ("season_name".to_owned(), other),
            ])
        };
        let name = |args: &Args| given(args).cloned();
        assert_eq!(name(&both(json!("a"), json!("b"))), Some(json!("a")));
        for nothing in [
            json!(null),
            json!(""),
            json!(0),
            json!(0.0),
            json!([]),
            json!({}),
        ] {
            assert_eq!(name(&both(nothing.clone(), json!("b"))), Some(json!("b")));
            assert_eq!(name(&args("season", nothing)), None);
        }
        // Said, and no name.
        assert_eq!(name(&both(json!(5), json!("b"))), Some(json!(5)));
    }
}
