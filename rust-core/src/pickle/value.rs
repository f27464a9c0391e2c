//! Plain data read from Python: the only thing that the readers of pickles and of
//! `repr` texts can build.

use std::fmt;

use chrono::NaiveDateTime;

use crate::site_time::iso_wall;

/// One value. A tree without sharing or cycles, bounded by the reader that built it.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// `None`, JSON `null`.
    None,
    /// `True`, `False`.
    Bool(bool),
    /// An integer of at most 64 bits.
    Int(i64),
    /// A float.
    Float(f64),
    /// A string.
    Str(String),
    /// `bytes`, `bytearray`.
    Bytes(Vec<u8>),
    /// A list or a tuple.
    List(Vec<Value>),
    /// A dict, Frappe's `_dict` included: string keys only, in order, each once.
    Dict(Vec<(String, Value)>),
    /// A `datetime.datetime` without zone.
    DateTime(NaiveDateTime),
}

impl Value {
    /// The value under `key`, if this is a dict that has it.
    pub fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Self::Dict(entries) => entries.iter().find(|(k, _)| k == key).map(|(_, v)| v),
            _ => None,
        }
    }

    /// The text, if this is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text),
            _ => None,
        }
    }

    /// Whether Python takes it as true in a condition.
    pub fn is_truthy(&self) -> bool {
        match self {
            Self::None => false,
            Self::Bool(b) => *b,
            Self::Int(i) => *i != 0,
            Self::Float(f) => *f != 0.0,
            Self::Str(s) => !s.is_empty(),
            Self::Bytes(b) => !b.is_empty(),
            Self::List(items) => !items.is_empty(),
            Self::Dict(entries) => !entries.is_empty(),
            Self::DateTime(_) => true,
        }
    }
}

/// As JSON, which has no bytes and only finite numbers.
impl TryFrom<Value> for serde_json::Value {
    type Error = Unreadable;

    /// Tuples are arrays already; datetimes become ISO text, as Python's `isoformat`
    /// writes it.
    fn try_from(value: Value) -> Result<Self, Unreadable> {
        const NO_JSON: Unreadable = Unreadable("a value that JSON does not have");
        Ok(match value {
            Value::None => Self::Null,
            Value::Bool(b) => b.into(),
            Value::Int(int) => int.into(),
            Value::Float(float) => serde_json::Number::from_f64(float).ok_or(NO_JSON)?.into(),
            Value::Str(text) => text.into(),
            Value::Bytes(_) => return Err(NO_JSON),
            Value::DateTime(time) => iso_wall(time).into(),
            Value::List(items) => {
                let items = items.into_iter().map(Self::try_from);
                items.collect::<Result<_, _>>()?
            }
            Value::Dict(entries) => {
                let entries = entries.into_iter();
                let entries = entries.map(|(key, value)| Ok((key, Self::try_from(value)?)));
                Self::Object(entries.collect::<Result<_, _>>()?)
            }
        })
    }
}

/// Shows the shape only: sessions hold tokens, and a failed assertion or a log line must
/// not spread them.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Bool(_) => f.write_str("Bool"),
            Self::Int(_) => f.write_str("Int"),
            Self::Float(_) => f.write_str("Float"),
            Self::Str(s) => write!(f, "Str({})", s.len()),
            Self::Bytes(b) => write!(f, "Bytes({})", b.len()),
            Self::List(items) => f.debug_list().entries(items).finish(),
            Self::Dict(entries) => f
                .debug_map()
                .entries(entries.iter().map(|(k, v)| (k, v)))
                .finish(),
            Self::DateTime(_) => f.write_str("DateTime"),
        }
    }
}

/// Why something could not be read as plain data. Says what was met, never its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not plain data: {0}")]
pub struct Unreadable(pub &'static str);

/// Adds up dict entries the way Python does: the last value of a key wins, at the place
/// of its first appearance.
#[derive(Default)]
pub(crate) struct DictBuilder {
    entries: Vec<(String, Value)>,
    places: std::collections::HashMap<String, usize>,
}

impl DictBuilder {
    /// Sets `key`.
    pub(crate) fn set(&mut self, key: String, value: Value) {
        match self.places.get(&key) {
            Some(&place) => self.entries[place].1 = value,
            None => {
                self.places.insert(key.clone(), self.entries.len());
                self.entries.push((key, value));
            }
        }
    }

    /// The finished dict.
    pub(crate) fn build(self) -> Value {
        Value::Dict(self.entries)
    }
}
