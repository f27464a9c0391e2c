//! Reads settings out of a site's configuration so that an error names the member.
//!
//! Done by hand because serde's own messages name neither the member that has the wrong
//! type nor the range that it must be in, and an operator needs both.

use std::fmt::Display;
use std::ops::RangeInclusive;

use serde_json::Value;

use crate::{Error, Result};

/// A number in this range.
pub(super) fn number(field: &str, value: &Value, range: RangeInclusive<f64>) -> Result<f64> {
    value
        .as_f64()
        .filter(|n| range.contains(n))
        .ok_or_else(|| must_be(field, "", &range))
}

/// A whole number in this range; `2.0` is one.
pub(super) fn whole(field: &str, value: &Value, range: RangeInclusive<u32>) -> Result<u32> {
    value
        .as_f64()
        .filter(|n| n.fract() == 0.0 && *n >= 0.0 && *n <= f64::from(u32::MAX))
        .map(|n| n as u32)
        .filter(|n| range.contains(n))
        .ok_or_else(|| must_be(field, "a whole number ", &range))
}

/// A list of exactly `N` numbers in this range, none smaller than the one before it.
pub(super) fn ascending<const N: usize>(
    field: &str,
    value: &Value,
    range: RangeInclusive<f64>,
) -> Result<[f64; N]> {
    let list = value
        .as_array()
        .filter(|list| list.len() == N)
        .ok_or_else(|| Error::config(format!("{field} must be a list of {N} numbers")))?;
    let mut numbers = [0.0; N];
    for (i, (slot, item)) in numbers.iter_mut().zip(list).enumerate() {
        *slot = number(&format!("{field}[{i}]"), item, range.clone())?;
    }
    if numbers.is_sorted() {
        Ok(numbers)
    } else {
        Err(Error::config(format!("{field} must be ascending")))
    }
}

fn must_be<T: Display>(field: &str, what: &str, range: &RangeInclusive<T>) -> Error {
    Error::config(format!(
        "{field} must be {what}between {} and {}",
        range.start(),
        range.end()
    ))
}
