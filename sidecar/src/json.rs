//! JSON as Python reads and writes it.
//!
//! Writing: Frappe 14 and 15 print compact and ASCII only (`\u0645`), Frappe 16 prints
//! UTF-8. Reading: Python takes a few things that no JSON parser should (`NaN`, `1e999`,
//! lone surrogates, deep nesting); where they would change the verdict on a request, it
//! must be the same verdict here.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, Serializer};

/// How a value is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// `{"a":1}`, non-ASCII characters escaped: bodies of Frappe 14 and 15.
    CompactAscii,
    /// `{"a":1}` in UTF-8: bodies of Frappe 16.
    CompactUtf8,
    /// `{"a": 1}`, non-ASCII characters escaped: Python's default, used inside
    /// `_server_messages`.
    Spaced,
}

/// `value` as text. `None` only if its own serialization fails.
pub(crate) fn print(value: &impl Serialize, style: Style) -> Option<String> {
    // Twenty due questions take some four thousand bytes.
    let mut out = Vec::with_capacity(4096);
    let mut serializer = Serializer::with_formatter(&mut out, Python(style));
    value.serialize(&mut serializer).ok()?;
    String::from_utf8(out).ok()
}

struct Python(Style);

impl Python {
    fn separator<W: ?Sized + Write>(
        &self,
        w: &mut W,
        first: bool,
        compact: &[u8],
    ) -> io::Result<()> {
        if first {
            return Ok(());
        }
        w.write_all(compact)?;
        if self.0 == Style::Spaced {
            w.write_all(b" ")?;
        }
        Ok(())
    }
}

impl Formatter for Python {
    fn begin_array_value<W: ?Sized + Write>(&mut self, w: &mut W, first: bool) -> io::Result<()> {
        self.separator(w, first, b",")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, w: &mut W, first: bool) -> io::Result<()> {
        self.separator(w, first, b",")
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.separator(w, false, b":")
    }

    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        w: &mut W,
        text: &str,
    ) -> io::Result<()> {
        if self.0 == Style::CompactUtf8 {
            return w.write_all(text.as_bytes());
        }
        let mut rest = text;
        // Python escapes DEL too.
        while let Some(plain) = rest.bytes().position(|byte| byte > b'~') {
            w.write_all(&rest.as_bytes()[..plain])?;
            let mut chars = rest[plain..].chars();
            if let Some(c) = chars.next() {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(w, "\\u{unit:04x}")?;
                }
            }
            rest = chars.as_str();
        }
        w.write_all(rest.as_bytes())
    }
}

/// What a body turned out to be.
#[derive(Debug, PartialEq)]
pub(crate) enum Read {
    /// JSON, for Python too.
    Value(Value),
    /// No JSON, for Python neither.
    Malformed,
    /// Python may read it; this parser cannot.
    Unclear,
}

/// Reads a body as `json.loads` would.
///
/// `NaN`, `Infinity` and numbers beyond a double become the greatest double: every
/// field has bounds, so the answer is the refusal that Python would give.
pub(crate) fn read(text: &str) -> Read {
    if let Ok(value) = serde_json::from_str(text) {
        return Read::Value(value);
    }
    match serde_json::from_str(&bounded_numbers(text)) {
        Ok(value) => Read::Value(value),
        Err(_) if python_may_read(text) => Read::Unclear,
        Err(_) => Read::Malformed,
    }
}

/// The text with every literal outside strings that only Python reads as a number, or
/// that overflows a double, replaced by the greatest double.
fn bounded_numbers(text: &str) -> String {
    const GREATEST: &str = "1.7976931348623157e308";
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => string_length(rest),
            '-' | '0'..='9' | 'I' | 'N' => rest
                .find(|c: char| !matches!(c, '-' | '+' | '.') && !c.is_ascii_alphanumeric())
                .unwrap_or(rest.len()),
            other => other.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        let overflows = matches!(token, "NaN" | "Infinity" | "-Infinity")
            || (first.is_ascii_digit() || first == '-')
                && serde_json::from_str::<f64>(token).is_err()
                && token.parse::<f64>().is_ok_and(f64::is_infinite);
        out.push_str(if overflows { GREATEST } else { token });
        rest = after;
    }
    out
}

/// Bytes of the string literal at the start of `text`, quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Whether a text that this parser refuses holds what only Python reads: escaped lone
/// surrogates, or nesting beyond 128 levels.
fn python_may_read(text: &str) -> bool {
    let surrogate = text.match_indices("\\u").any(|(at, _)| {
        matches!(
            text.as_bytes().get(at + 2..at + 4),
            Some([b'd' | b'D', b'8'..=b'f'])
        )
    });
    let depth = text.bytes().filter(|b| matches!(b, b'[' | b'{')).count();
    surrogate || depth > 127
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn prints_like_json_dumps() {
        let value = json!({"a": [1, 2.5, 3.0, null, true], "é\u{7f}": "م 🦀 \"\\\n\t\u{1}/"});
        for (style, text) in [
            (
                Style::CompactAscii,
                r#"{"a":[1,2.5,3.0,null,true],"\u00e9\u007f":"\u0645 \ud83e\udd80 \"\\\n\t\u0001/"}"#,
            ),
            (
                Style::Spaced,
                r#"{"a": [1, 2.5, 3.0, null, true], "\u00e9\u007f": "\u0645 \ud83e\udd80 \"\\\n\t\u0001/"}"#,
            ),
        ] {
            assert_eq!(print(&value, style).unwrap(), text);
        }
        assert_eq!(
            print(&json!({"é": "🦀"}), Style::CompactUtf8).unwrap(),
            r#"{"é":"🦀"}"#
        );
        assert_eq!(print(&json!([[], {}]), Style::Spaced).unwrap(), "[[], {}]");
    }

    #[test]
    fn reads_numbers_that_only_python_reads() {
        for text in ["NaN", "-Infinity", "Infinity", "1e999", "-1e999"] {
            let body = format!(r#"{{"a": [{text}, 1], "b": "NaN \" 1e999"}}"#);
            let Read::Value(value) = read(&body) else {
                panic!("{body}");
            };
            assert_eq!(value["a"][0], json!(f64::MAX), "{text}");
            assert_eq!(value["a"][1], 1);
            assert_eq!(value["b"], "NaN \" 1e999");
        }
        let long = "9".repeat(400);
        assert_eq!(read(&long), Read::Value(json!(f64::MAX)));
    }

    #[test]
    fn tells_malformed_from_unclear() {
        for text in [
            "{\"a\": ",
            "",
            "nan",
            "{'a': 1}",
            "[1,]",
            "\u{feff}{}",
            "-",
            "\"a",
            "01",
            "1.e5",
            "--1e999",
        ] {
            assert_eq!(read(text), Read::Malformed, "{text:?}");
        }
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for text in [r#""\ud800""#, r#"{"a": "\uDFFFx"}"#, deep.as_str()] {
            assert_eq!(read(text), Read::Unclear, "{text:?}");
        }
        assert_eq!(read(r#""\ud83e\udd80""#), Read::Value(json!("🦀")));
    }
}
