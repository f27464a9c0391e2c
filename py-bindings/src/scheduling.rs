//! The scheduler as functions, without any server.

use memora_core::scheduling::{self, Answer, Before, MAX_QUALITY, Parameters, XpTable};
use memora_core::types::{Stability, UtcMicros};
use memora_core::{Error, Result};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde_json::Value;

use crate::convert;
use crate::engine::OrRaise;

type Given<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

/// When a question comes again after an answer. Pure: no clock, no server.
///
/// ``stability``: 0 to 4 before the answer, None for a new question. ``quality``: 0 to 5,
/// below 3 is a lapse. ``now``, ``due``, ``last_review``: UTC epoch seconds; ``due``
/// (default: ``now``) is when it was due. ``parameters``: as ``srs_scheduler`` in the
/// site's configuration.
///
/// Raises InvalidInputError for a value out of range, ConfigError for wrong parameters.
#[pyfunction]
#[pyo3(signature = (stability, quality, *, now, due = None, last_review = None, response_time_ms = None, parameters = None))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments in Python")]
pub(crate) fn schedule<'py>(
    py: Python<'py>,
    stability: Option<f64>,
    quality: i64,
    now: f64,
    due: Option<f64>,
    last_review: Option<f64>,
    response_time_ms: Option<i64>,
    parameters: Given<'_, 'py>,
) -> PyResult<Bound<'py, PyDict>> {
    let after = || -> Result<scheduling::After> {
        let now = convert::moment("now", now)?;
        let moment = |field, at: Option<f64>| at.map(|at| convert::moment(field, at)).transpose();
        let due = moment("due", due)?.unwrap_or(now);
        let last_review = moment("last_review", last_review)?;
        let before = stability.map(state).transpose()?.map(|stability| Before {
            stability,
            due,
            last_review,
        });
        let answer = Answer {
            quality: quality_of(quality)?,
            response_time_ms: response_time_ms.map(milliseconds).transpose()?,
        };
        Ok(scheduling::schedule(
            before,
            answer,
            now,
            &Parameters::from_json(&value("srs_scheduler", parameters)?)?,
        ))
    };
    let after = after().or_raise(py)?;
    let schedule = PyDict::new(py);
    schedule.set_item("stability", after.stability.to_f64())?;
    schedule.set_item("due", seconds(after.due))?;
    Ok(schedule)
}

/// XP for an answer of this quality, 0 to 5.
///
/// ``xp``: as ``srs_xp`` in the site's configuration, default 0, 2, 5, 15, 20, 25.
#[pyfunction]
#[pyo3(signature = (quality, xp = None))]
pub(crate) fn xp_for_quality(py: Python<'_>, quality: i64, xp: Given<'_, '_>) -> PyResult<u32> {
    let xp = || -> Result<u32> {
        let table = XpTable::from_json(&value("srs_xp", xp)?)?;
        Ok(table.for_quality(quality_of(quality)?))
    };
    xp().or_raise(py)
}

fn value(field: &str, given: Given<'_, '_>) -> Result<Value> {
    given.map_or(Ok(Value::Null), |given| convert::to_value(field, given))
}

fn state(stability: f64) -> Result<Stability> {
    if (0.0..=Stability::MAX).contains(&stability) {
        Ok(Stability::from_f64(stability))
    } else {
        Err(Error::invalid("stability must be between 0 and 4"))
    }
}

fn quality_of(quality: i64) -> Result<u8> {
    let within = u8::try_from(quality).ok().filter(|q| *q <= MAX_QUALITY);
    within.ok_or_else(|| {
        Error::invalid(format!(
            "quality must be an integer between 0 and {MAX_QUALITY}"
        ))
    })
}

fn milliseconds(ms: i64) -> Result<u32> {
    u32::try_from(ms)
        .map_err(|_| Error::invalid("response_time_ms must be an integer of at least 0"))
}

fn seconds(at: UtcMicros) -> f64 {
    at.0 as f64 / 1e6
}
