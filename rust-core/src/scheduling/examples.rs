//! Checks docs/SCHEDULING.md against the code: the worked examples, the parameters with
//! their defaults and limits, and the XP table.

use serde_json::{Map, Value, json};

use super::{Answer, Before, Parameters, XpTable, schedule};
use crate::types::{Stability, UtcMicros};

const DOCS: &str = include_str!("../../../docs/SCHEDULING.md");

/// 2026-01-19 10:00:00 UTC.
const NOW: UtcMicros = UtcMicros(1_768_816_800_000_000);

/// The rows of the table that follows the heading `section`, as trimmed cells.
fn table(section: &str) -> Vec<Vec<&'static str>> {
    let heading = format!("\n## {section}\n");
    let (_, rest) = DOCS.split_once(&heading).expect("the section exists");
    let rows: Vec<_> = rest
        .lines()
        .take_while(|line| !line.starts_with("## "))
        .filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'))
        .skip(2) // header and rule
        .map(|row| row.split('|').map(str::trim).collect())
        .collect();
    assert!(!rows.is_empty(), "{section} has a table");
    rows
}

/// `1 d 12 h`, `10 min`, `0 s` in seconds.
fn duration(text: &str) -> i64 {
    let words: Vec<_> = text.split_whitespace().collect();
    words
        .chunks(2)
        .map(|pair| {
            let unit = match pair[1] {
                "d" => 86_400,
                "h" => 3_600,
                "min" => 60,
                "s" => 1,
                other => panic!("{other} in {text}"),
            };
            pair[0].parse::<i64>().unwrap() * unit
        })
        .sum()
}

/// `now`, `3 d ago` or `in 1 d`.
fn moment(text: &str) -> UtcMicros {
    let seconds = match (text.strip_suffix(" ago"), text.strip_prefix("in ")) {
        (Some(ago), _) => -duration(ago),
        (_, Some(ahead)) => duration(ahead),
        _ => {
            assert_eq!(text, "now");
            0
        }
    };
    NOW.plus_seconds(seconds)
}

/// A cell that may be a dash.
fn given(text: &str) -> Option<&str> {
    (text != "–").then_some(text)
}

#[test]
fn worked_examples_are_what_the_code_computes() {
    let rows = table("Worked examples");
    assert!(rows.len() >= 20);
    for row in rows {
        let [
            before,
            last_review,
            due,
            quality,
            response,
            after,
            next_review,
            _why,
        ] = row[..]
        else {
            panic!("eight columns: {row:?}");
        };
        let before = (before != "new").then(|| Before {
            stability: Stability::from_f64(before.parse().unwrap()),
            due: moment(due),
            last_review: given(last_review).map(moment),
        });
        let answer = Answer {
            quality: quality.parse().unwrap(),
            response_time_ms: given(response)
                .map(|s| s.strip_suffix(" s").unwrap().parse::<f64>().unwrap())
                .map(|seconds| (seconds * 1000.0).round() as u32),
        };
        let result = schedule(before, answer, NOW, &Parameters::default());
        let (seconds, stability) = (
            (result.due.0 - NOW.0) / 1_000_000,
            result.stability.to_f64(),
        );
        assert_eq!(
            result.stability,
            Stability::from_f64(after.parse().unwrap()),
            "{row:?}: {stability}"
        );
        assert_eq!(seconds, duration(next_review), "{row:?}: {seconds} s");
    }
}

#[test]
fn documented_parameters_are_the_defaults_and_their_limits() {
    let mut documented = Map::new();
    for row in table("Parameters") {
        let [member, default, lowest, highest, _meaning] = row[..] else {
            panic!("five columns: {row:?}");
        };
        let member = member.trim_matches('`');
        let read = |value: Value| Parameters::from_json(&json!({ member: value }));
        let default: Value = serde_json::from_str(default.trim_matches('`')).unwrap();
        if !default.is_array() && default.is_number() {
            // A limit is the last value taken, and the next one beyond is refused.
            // fast_ms and slow_ms also limit each other, which is another message.
            for (limit, beyond) in [(lowest, -0.001), (highest, 0.001)] {
                let limit: f64 = limit.replace(',', "").parse().unwrap();
                let message = |v: f64| {
                    read(json!(v)).map_or_else(|e| e.message().to_owned(), |_| String::new())
                };
                assert!(!message(limit).contains("between"), "{row:?}");
                assert!(message(limit + beyond).contains("between"), "{row:?}");
            }
        }
        documented.insert(member.to_owned(), default);
    }
    assert_eq!(documented.len(), 10, "name and nine parameters");
    assert_eq!(
        Parameters::from_json(&Value::Object(documented)).unwrap(),
        Parameters::default()
    );
}

#[test]
fn documented_xp_is_the_default() {
    let documented: Vec<u32> = table("XP")
        .iter()
        .map(|row| row[1].parse().unwrap())
        .collect();
    assert_eq!(documented, XpTable::default().0);
}
