//! Plain data to pickle protocol 2, which every Python 3 loads.

use serde_json::{Number, Value};

use super::op;

/// Appends `value` as one complete pickle.
pub fn write(out: &mut Vec<u8>, value: &Value) {
    out.extend([op::PROTO, 2]);
    write_value(out, value, &mut Vec::new());
    out.push(op::STOP);
}

/// Appends a function call as RQ pickles it: the tuple `(function, None, (), kwargs)`,
/// where None stands for "no instance" and the positional arguments are empty.
pub fn write_call(out: &mut Vec<u8>, function: &str, kwargs: &Value) {
    out.extend([op::PROTO, 2, op::MARK]);
    write_str(out, function);
    out.extend([op::NONE, op::EMPTY_TUPLE]);
    write_value(out, kwargs, &mut Vec::new());
    out.extend([op::TUPLE, op::STOP]);
}

/// Recursion is as deep as `value`, which this process built. `keys` are those of dicts in the
/// memo, each at its place.
fn write_value<'v>(out: &mut Vec<u8>, value: &'v Value, keys: &mut Vec<&'v str>) {
    match value {
        Value::Null => out.push(op::NONE),
        Value::Bool(true) => out.push(op::NEWTRUE),
        Value::Bool(false) => out.push(op::NEWFALSE),
        Value::Number(number) => write_number(out, number),
        Value::String(text) => write_str(out, text),
        Value::Array(items) => {
            out.push(op::EMPTY_LIST);
            if !items.is_empty() {
                out.push(op::MARK);
                for item in items {
                    write_value(out, item, keys);
                }
                out.push(op::APPENDS);
            }
        }
        Value::Object(entries) => {
            out.push(op::EMPTY_DICT);
            if !entries.is_empty() {
                out.push(op::MARK);
                for (key, value) in entries {
                    write_key(out, key, keys);
                    write_value(out, value, keys);
                }
                out.push(op::SETITEMS);
            }
        }
    }
}

/// A dict's key, which as a rule comes again in the next: then it is two bytes.
fn write_key<'v>(out: &mut Vec<u8>, key: &'v str, keys: &mut Vec<&'v str>) {
    let known = keys.iter().position(|known| *known == key);
    match (known, u8::try_from(keys.len())) {
        (Some(at), _) => out.extend([op::BINGET, at as u8]),
        (None, Ok(at)) => {
            keys.push(key);
            write_str(out, key);
            out.extend([op::BINPUT, at]);
        }
        // The memo is as full as these opcodes can say.
        (None, Err(_)) => write_str(out, key),
    }
}

fn write_str(out: &mut Vec<u8>, text: &str) {
    match u32::try_from(text.len()) {
        Ok(length) => {
            out.push(op::BINUNICODE);
            out.extend(length.to_le_bytes());
        }
        // Of protocol 4, which every Python that loads such a text understands.
        Err(_) => {
            out.push(op::BINUNICODE8);
            out.extend((text.len() as u64).to_le_bytes());
        }
    }
    out.extend(text.as_bytes());
}

fn write_number(out: &mut Vec<u8>, number: &Number) {
    if let Some(small) = number.as_i64().and_then(|n| i32::try_from(n).ok()) {
        out.push(op::BININT);
        out.extend(small.to_le_bytes());
    } else if let Some(n) = number.as_i64() {
        out.extend([op::LONG1, 8]);
        out.extend(n.to_le_bytes());
    } else if let Some(n) = number.as_u64() {
        // Two's complement: the ninth byte keeps the sign off.
        out.extend([op::LONG1, 9]);
        out.extend(n.to_le_bytes());
        out.push(0);
    } else {
        out.push(op::BINFLOAT);
        out.extend(number.as_f64().unwrap_or_default().to_be_bytes());
    }
}
