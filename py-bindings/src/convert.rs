//! Values between Python and the engine.

use memora_core::types::{Player, Season, UtcMicros, check_name};
use memora_core::{Error, Result};
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyDateTime, PyDict, PyFloat, PyInt, PyList, PyMapping, PyString, PyTuple,
};
use serde::Serialize;
use serde_json::{Map, Number, Value};

/// Nesting that is read, at most; the engine's own formats need three.
const MAX_DEPTH: usize = 16;

/// What a value from Python is to the engine: `field` is named when it is nothing.
pub(crate) fn to_value(field: &str, object: &Bound<'_, PyAny>) -> Result<Value> {
    read(field, object, MAX_DEPTH)
}

fn read(field: &str, object: &Bound<'_, PyAny>, depth: usize) -> Result<Value> {
    let wrong = |what: &str| Error::invalid(format!("{field} {what}"));
    if depth == 0 {
        return Err(wrong("is nested too deeply"));
    }
    if object.is_none() {
        Ok(Value::Null)
    } else if let Ok(text) = object.cast::<PyString>() {
        let text = text.to_str().map_err(|_| wrong("is no valid text"))?;
        Ok(Value::from(text))
    } else if let Ok(switch) = object.cast::<PyBool>() {
        Ok(Value::Bool(switch.is_true()))
    } else if object.is_instance_of::<PyInt>() {
        // One beyond 64 bits is beyond every bound too: let its field say so.
        Ok(object
            .extract::<i64>()
            .map_or_else(|_| greatest(), Value::from))
    } else if object.is_instance_of::<PyFloat>() {
        let number = object.extract().ok().and_then(Number::from_f64);
        Ok(number.map_or_else(greatest, Value::Number))
    } else if let Ok(dict) = object.cast::<PyDict>() {
        // A copy: reading a value may run code, or let a thread run, that changes the dict.
        members(field, &dict.items(), depth)
    } else if object.is_instance_of::<PyList>() || object.is_instance_of::<PyTuple>() {
        elements(field, object, depth)
    } else if let Ok(mapping) = object.cast::<PyMapping>() {
        let items = mapping.items().map_err(|_| wrong("cannot be read"))?;
        members(field, &items, depth)
    } else if let Ok(text) = object.call_method0("isoformat") {
        // Dates and times, as Frappe writes them into JSON.
        Ok(Value::from(text.to_string()))
    } else {
        Err(wrong("is of a type that is not understood"))
    }
}

fn members(field: &str, pairs: &Bound<'_, PyList>, depth: usize) -> Result<Value> {
    let pairs = pairs.iter().map(|pair| {
        let pair = pair.extract();
        let pair = pair.map_err(|_| Error::invalid(format!("{field} cannot be read")))?;
        member(field, pair, depth)
    });
    pairs.collect::<Result<Map<_, _>>>().map(Value::Object)
}

fn member(
    field: &str,
    (key, value): (Bound<'_, PyAny>, Bound<'_, PyAny>),
    depth: usize,
) -> Result<(String, Value)> {
    let key: String = key
        .extract()
        .map_err(|_| Error::invalid(format!("{field} has a key that is no text")))?;
    let value = read(&format!("{field}.{key}"), &value, depth - 1)?;
    Ok((key, value))
}

fn elements(field: &str, list: &Bound<'_, PyAny>, depth: usize) -> Result<Value> {
    let unreadable = |_| Error::invalid(format!("{field} cannot be read"));
    let elements = list.try_iter().map_err(unreadable)?.enumerate();
    let elements = elements.map(|(index, element)| {
        let element = element.map_err(unreadable)?;
        read(&format!("{field}[{index}]"), &element, depth - 1)
    });
    elements.collect::<Result<Vec<_>>>().map(Value::Array)
}

/// For numbers that JSON cannot hold: every field has bounds, and this is beyond them.
fn greatest() -> Value {
    Value::from(f64::MAX)
}

/// Arguments that were given, by name.
pub(crate) fn arguments(given: &[(&str, Option<&Bound<'_, PyAny>>)]) -> Result<Map<String, Value>> {
    let given = given
        .iter()
        .filter_map(|(name, value)| Some((*name, (*value)?)));
    given
        .map(|(name, value)| Ok((name.to_owned(), to_value(name, value)?)))
        .collect()
}

/// What the engine answers, as plain Python values.
pub(crate) fn to_python<'py>(
    py: Python<'py>,
    value: &impl Serialize,
) -> PyResult<Bound<'py, PyAny>> {
    let value = serde_json::to_value(value)
        .map_err(|e| Error::internal("An answer could not be written").with_source(e))
        .map_err(|e| crate::error::raise(py, &e))?;
    write(py, &value)
}

fn write<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(switch) => PyBool::new(py, *switch).to_owned().into_any(),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(n), _) => n.into_pyobject(py)?.into_any(),
            (None, Some(n)) => n.into_pyobject(py)?.into_any(),
            (None, None) => PyFloat::new(py, number.as_f64().unwrap_or(f64::NAN)).into_any(),
        },
        Value::String(text) => PyString::new(py, text).into_any(),
        Value::Array(items) => {
            let list = PyList::empty(py);
            for item in items {
                list.append(write(py, item)?)?;
            }
            list.into_any()
        }
        Value::Object(members) => {
            let dict = PyDict::new(py);
            for (key, member) in members {
                dict.set_item(key, write(py, member)?)?;
            }
            dict.into_any()
        }
    })
}

/// A student's name as it is stored.
pub(crate) fn player(user: &str) -> Result<Player> {
    check_name("user", user)?;
    Ok(Player::stored(user))
}

/// A season's name as it is stored.
pub(crate) fn season(name: &str) -> Result<Season> {
    check_name("season", name)?;
    Ok(Season::stored(name))
}

/// UTC epoch seconds, as Python has them.
pub(crate) fn moment(field: &str, seconds: f64) -> Result<UtcMicros> {
    UtcMicros::from_score(seconds)
        .ok_or_else(|| Error::invalid(format!("{field} must be a time in UTC epoch seconds")))
}

/// When a job was enqueued: a datetime (without a zone it is UTC, as RQ has it) or UTC
/// epoch seconds.
pub(crate) fn enqueued(at: &Bound<'_, PyAny>) -> Result<UtcMicros> {
    const FIELD: &str = "enqueued_at";
    if let Ok(seconds) = at.extract::<f64>() {
        return moment(FIELD, seconds);
    }
    let wrong = || Error::invalid(format!("{FIELD} must be a datetime or UTC epoch seconds"));
    if let Ok(naive) = at.extract::<chrono::NaiveDateTime>() {
        return Ok(UtcMicros(naive.and_utc().timestamp_micros()));
    }
    // One with a zone, of whatever kind: Python knows the offset at that moment.
    let seconds = at.cast::<PyDateTime>().ok();
    let seconds = seconds.and_then(|at| at.call_method0("timestamp").ok()?.extract().ok());
    moment(FIELD, seconds.ok_or_else(wrong)?)
}
