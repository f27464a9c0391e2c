//! XP for an answer.

use serde_json::Value;

use super::{MAX_QUALITY, fields};
use crate::{Error, Result};

/// XP by quality 0 to 5 (`srs_xp`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XpTable(pub [u32; 6]);

impl Default for XpTable {
    fn default() -> Self {
        Self([0, 2, 5, 15, 20, 25])
    }
}

/// Most XP for one answer: far beyond any use, and a batch of them still fits a `u32`.
const MAX_XP: u32 = 1_000_000;

impl XpTable {
    /// Reads `srs_xp` from a site's configuration: a list of six numbers, or an object
    /// from quality (`"0"` to `"5"`) to XP whose absent qualities keep their default.
    /// `null` is the default, as if the setting were absent.
    ///
    /// # Errors
    /// `Config`, naming the member, for another quality or a value that is not a whole
    /// number between 0 and 1,000,000.
    pub fn from_json(value: &Value) -> Result<Self> {
        let mut table = Self::default();
        match value {
            Value::Null => {}
            Value::Array(list) if list.len() == table.0.len() => {
                for (quality, xp) in list.iter().enumerate() {
                    table.0[quality] = read(&quality.to_string(), xp)?;
                }
            }
            Value::Object(members) => {
                for (quality, xp) in members {
                    table.0[slot(quality)?] = read(quality, xp)?;
                }
            }
            _ => {
                return Err(Error::config(
                    r#"srs_xp must be a list of 6 numbers or an object such as {"5": 25}"#,
                ));
            }
        }
        Ok(table)
    }

    /// XP for an answer of this quality; more than 5 counts as 5.
    pub fn for_quality(&self, quality: u8) -> u32 {
        self.0[usize::from(quality.min(MAX_QUALITY))]
    }
}

/// The place of a quality, which must be spelled as one digit: `"05"` and `"5"` would
/// otherwise be two members for one quality.
fn slot(quality: &str) -> Result<usize> {
    match quality.as_bytes() {
        [digit @ b'0'..=b'5'] => Ok(usize::from(digit - b'0')),
        _ => Err(Error::config(format!(
            "srs_xp.{quality} is not a quality: 0 to {MAX_QUALITY}"
        ))),
    }
}

fn read(quality: &str, xp: &Value) -> Result<u32> {
    fields::whole(&format!("srs_xp.{quality}"), xp, 0..=MAX_XP)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn xp_is_read_from_a_list_or_an_object() {
        assert_eq!(
            XpTable::from_json(&json!([0, 1, 2, 3, 4, 5])).unwrap(),
            XpTable([0, 1, 2, 3, 4, 5])
        );
        assert_eq!(
            XpTable::from_json(&json!({"5": 50, "0": 1})).unwrap(),
            XpTable([1, 2, 5, 15, 20, 50])
        );
        assert_eq!(
            XpTable::from_json(&json!(null)).unwrap(),
            XpTable::default()
        );
    }

    #[test]
    fn wrong_xp_is_refused_by_name() {
        for (wrong, message) in [
            (
                json!({"3": -1}),
                "srs_xp.3 must be a whole number between 0 and 1000000",
            ),
            (
                json!({"3": 1.5}),
                "srs_xp.3 must be a whole number between 0 and 1000000",
            ),
            (
                json!({"3": "15"}),
                "srs_xp.3 must be a whole number between 0 and 1000000",
            ),
            (
                json!([0, 2, 5, 15, 20, 1e12]),
                "srs_xp.5 must be a whole number between 0 and 1000000",
            ),
            (json!({"6": 1}), "srs_xp.6 is not a quality: 0 to 5"),
            (json!({"05": 1}), "srs_xp.05 is not a quality: 0 to 5"),
            (
                json!([1, 2]),
                r#"srs_xp must be a list of 6 numbers or an object such as {"5": 25}"#,
            ),
            (
                json!(25),
                r#"srs_xp must be a list of 6 numbers or an object such as {"5": 25}"#,
            ),
        ] {
            let error = XpTable::from_json(&wrong).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::Config);
            assert_eq!(error.message(), message, "{wrong}");
        }
    }

    #[test]
    fn a_quality_beyond_the_scale_earns_what_the_best_earns() {
        let table = XpTable::default();
        assert_eq!(table.for_quality(4) + table.for_quality(2), 25);
        assert_eq!(table.for_quality(200), 25);
    }
}
