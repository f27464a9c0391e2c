//! Reads the text of `tabSessions.sessiondata`: `repr` of a Python dict in Frappe 14 and
//! 15, JSON in 16.
//!
//! Frappe 15 evaluates the text as Python. This reader knows literals only: dicts with
//! string keys, lists, tuples, strings, integers, floats, `None`, `True`, `False`.
//! Names, calls and operators are [`Unreadable`].

use crate::pickle::{DictBuilder, Unreadable, Value};

type Result<T> = std::result::Result<T, Unreadable>;

/// Most bytes of text that are read. A session has about 300.
const MAX_SOURCE: usize = 64 * 1024;
/// Deepest nesting that is built. A session has two levels.
const MAX_DEPTH: usize = 32;

const TRUNCATED: Unreadable = Unreadable("truncated");
const UNEXPECTED: Unreadable = Unreadable("unexpected character");

/// Reads the `repr` of plain data.
///
/// # Errors
/// [`Unreadable`] for whatever is no literal within the bounds.
pub fn read(text: &str) -> Result<Value> {
    if text.len() > MAX_SOURCE {
        return Err(Unreadable("too long"));
    }
    let mut reader = Reader { rest: text };
    let value = reader.value(0)?;
    reader.skip_blanks();
    match reader.rest {
        "" => Ok(value),
        _ => Err(Unreadable("leftovers")),
    }
}

/// Reads JSON as the same plain data.
///
/// # Errors
/// [`Unreadable`] if it is no JSON within the bounds.
pub fn read_json(text: &str) -> Result<Value> {
    if text.len() > MAX_SOURCE {
        return Err(Unreadable("too long"));
    }
    // serde_json itself stops at a depth of 128.
    let json = serde_json::from_str(text).map_err(|_| Unreadable("no JSON"))?;
    from_json(json, 0)
}

fn from_json(json: serde_json::Value, depth: usize) -> Result<Value> {
    use serde_json::Value as Json;
    if depth > MAX_DEPTH {
        return Err(Unreadable("too deep"));
    }
    Ok(match json {
        Json::Null => Value::None,
        Json::Bool(b) => Value::Bool(b),
        Json::String(s) => Value::Str(s),
        Json::Number(n) => match (n.as_i64(), n.as_f64()) {
            (Some(int), _) => Value::Int(int),
            (None, Some(float)) if !n.is_u64() => Value::Float(float),
            _ => return Err(Unreadable("bad number")),
        },
        Json::Array(items) => {
            let items = items.into_iter().map(|item| from_json(item, depth + 1));
            Value::List(items.collect::<Result<_>>()?)
        }
        Json::Object(entries) => {
            let mut dict = DictBuilder::default();
            for (key, value) in entries {
                dict.set(key, from_json(value, depth + 1)?);
            }
            dict.build()
        }
    })
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Result<Value> {
        if depth > MAX_DEPTH {
            return Err(Unreadable("too deep"));
        }
        match self.peek()? {
            '{' => self.dict(depth),
            '[' => self
                .sequence(']', depth)
                .map(|(items, _)| Value::List(items)),
            '(' => match self.sequence(')', depth)? {
                // Brackets around one value without a comma make no tuple; no repr does so.
                (items, false) if items.len() == 1 => Err(UNEXPECTED),
                (items, _) => Ok(Value::List(items)),
            },
            '\'' | '"' => self.string().map(Value::Str),
            '-' | '0'..='9' => self.number(),
            _ => self.constant(),
        }
    }

    fn dict(&mut self, depth: usize) -> Result<Value> {
        self.expect('{')?;
        let mut dict = DictBuilder::default();
        while self.peek()? != '}' {
            if !matches!(self.peek()?, '\'' | '"') {
                return Err(Unreadable("a key that is no string"));
            }
            let key = self.string()?;
            self.expect(':')?;
            dict.set(key, self.value(depth + 1)?);
            if self.peek()? != '}' {
                self.expect(',')?;
            }
        }
        self.expect('}')?;
        Ok(dict.build())
    }

    /// The items up to `close`, and whether a comma stood behind the last one.
    fn sequence(&mut self, close: char, depth: usize) -> Result<(Vec<Value>, bool)> {
        self.bump();
        let mut items = Vec::new();
        let mut comma = false;
        while self.peek()? != close {
            if !items.is_empty() && !comma {
                return Err(UNEXPECTED);
            }
            items.push(self.value(depth + 1)?);
            comma = self.peek()? == ',';
            if comma {
                self.bump();
            }
        }
        self.bump();
        Ok((items, comma))
    }

    fn string(&mut self) -> Result<String> {
        let quote = self.peek()?;
        self.bump();
        let mut text = String::new();
        loop {
            match self.next()? {
                c if c == quote => return Ok(text),
                '\\' => text.push(self.escape()?),
                '\n' => return Err(UNEXPECTED),
                c => text.push(c),
            }
        }
    }

    /// The escapes that `repr` writes.
    fn escape(&mut self) -> Result<char> {
        let digits = match self.next()? {
            c @ ('\\' | '\'' | '"') => return Ok(c),
            'n' => return Ok('\n'),
            'r' => return Ok('\r'),
            't' => return Ok('\t'),
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => return Err(Unreadable("unknown escape")),
        };
        let code = self.rest.get(..digits).ok_or(TRUNCATED)?;
        if !code.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Unreadable("unknown escape"));
        }
        self.rest = &self.rest[digits..];
        // A lone surrogate is a Python string but no text.
        u32::from_str_radix(code, 16)
            .ok()
            .and_then(char::from_u32)
            .ok_or(Unreadable("no character"))
    }

    fn number(&mut self) -> Result<Value> {
        let word = self.word(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
        let digits = word.strip_prefix('-').unwrap_or(word);
        let bad = Unreadable("bad number");
        if digits.bytes().all(|b| b.is_ascii_digit()) {
            // Python refuses leading zeros.
            if digits.len() > 1 && digits.starts_with('0') {
                return Err(bad);
            }
            return word.parse().map(Value::Int).map_err(|_| bad);
        }
        // Rust would also take `inf`, which in Python is a name.
        if !digits.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(bad);
        }
        word.parse().map(Value::Float).map_err(|_| bad)
    }

    fn constant(&mut self) -> Result<Value> {
        match self.word(|c| c.is_alphanumeric() || matches!(c, '_' | '.')) {
            "None" => Ok(Value::None),
            "True" => Ok(Value::Bool(true)),
            "False" => Ok(Value::Bool(false)),
            _ => Err(Unreadable("unknown name")),
        }
    }

    fn word(&mut self, belongs: impl Fn(char) -> bool) -> &str {
        let len = self.rest.find(|c| !belongs(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(len);
        self.rest = rest;
        word
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    /// The next character that is no blank, which stays.
    fn peek(&mut self) -> Result<char> {
        self.skip_blanks();
        self.rest.chars().next().ok_or(TRUNCATED)
    }

    fn next(&mut self) -> Result<char> {
        let c = self.rest.chars().next().ok_or(TRUNCATED)?;
        self.rest = &self.rest[c.len_utf8()..];
        Ok(c)
    }

    fn bump(&mut self) {
        let _ = self.next();
    }

    fn expect(&mut self, wanted: char) -> Result<()> {
        if self.peek()? != wanted {
            return Err(UNEXPECTED);
        }
        self.bump();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::frappe::fixtures;

    fn text(s: &str) -> Value {
        Value::Str(s.to_owned())
    }

    #[test]
    fn session_texts_of_a_real_frappe_15_are_read() {
        let tables = fixtures::auth_tables();
        let rows = tables["tabSessions"]["rows"].as_array().unwrap();
        assert!(!rows.is_empty());
        for row in rows {
            let data = read(row["sessiondata"].as_str().unwrap()).unwrap();
            assert_eq!(data.get("user").unwrap().as_str(), row["user"].as_str());
            let updated = data.get("last_updated").unwrap();
            assert_eq!(updated.as_str(), row["lastupdate"].as_str());
            assert_eq!(data.get("session_expiry"), Some(&text("170:00:00")));
            assert!(data.get("full_name") == Some(&Value::None));
        }
    }

    #[test]
    fn literals_are_read() {
        let source = r#"{'a': [1, -2, 1.5, 1e+20, True], "b's": (1,), 'c': (), 'd': {}, 'e': (1, 'x'), 'f': [],}"#;
        let value = read(source).unwrap();
        let numbers = [Value::Int(1), Value::Int(-2), Value::Float(1.5)];
        let Some(Value::List(items)) = value.get("a") else {
            panic!("no list")
        };
        assert!(items[..3] == numbers);
        assert!(items[3] == Value::Float(1e20) && items[4] == Value::Bool(true));
        assert!(value.get("b's") == Some(&Value::List(vec![Value::Int(1)])));
        assert!(value.get("c") == Some(&Value::List(vec![])));
        assert!(value.get("d") == Some(&Value::Dict(vec![])));
    }

    #[test]
    fn escapes_of_repr_are_read() {
        let source = r#"{'k': 'a\'b"\\\n\r\t\x07é\u200b\U0001f600'}"#;
        let value = read(source).unwrap();
        let expected = "a'b\"\\\n\r\t\u{7}é\u{200b}😀";
        assert_eq!(value.get("k").unwrap().as_str(), Some(expected));
    }

    #[test]
    fn code_is_no_literal() {
        for source in [
            "__import__('os').system('true')",
            "{'a': open('/etc/passwd')}",
            "{'a': datetime.datetime(2026, 1, 1)}",
            "{'a': 1 + 1}",
            "{'a': b'x'}",
            "{'a': f'{1}'}",
            "{'a': 'x' 'y'}",
            "{'a': [i for i in ()]}",
            "{'a': (1)}",
            "{'a': inf}",
            "{'a': -inf}",
            "{'a': nan}",
            "{'a': 0x10}",
            "{'a': 01}",
            "{'a': 1_000}",
            "{'a': 99999999999999999999}",
            "{1: 2}",
            "{'a'}",
            "{'a': 1 'b': 2}",
            "[1 2]",
            "[,]",
            "{'a': '\\ud800'}",
            "{'a': '\\q'}",
            "{'a': '\\x+1'}",
            "{'a': 'line\nbreak'}",
            "{} {}",
            "",
        ] {
            assert!(read(source).is_err(), "{source}");
        }
    }

    #[test]
    fn bounds_hold() {
        assert!(read(&"[".repeat(10_000)).is_err());
        let deep = format!("{}{}", "[".repeat(33), "]".repeat(33));
        assert_eq!(read(&deep).unwrap(), read(&deep).unwrap());
        let deeper = format!("[{deep}]");
        assert_eq!(read(&deeper), Err(Unreadable("too deep")));
        assert_eq!(read_json(&deeper), Err(Unreadable("too deep")));
        let long = format!("'{}'", "a".repeat(MAX_SOURCE));
        assert_eq!(read(&long), Err(Unreadable("too long")));
        assert_eq!(read_json(&long), Err(Unreadable("too long")));
    }

    #[test]
    fn a_text_cut_anywhere_is_refused() {
        let tables = fixtures::auth_tables();
        let source = tables["tabSessions"]["rows"][0]["sessiondata"]
            .as_str()
            .unwrap();
        for len in 0..source.len() {
            assert!(read(&source[..len]).is_err(), "{len}");
        }
    }

    #[test]
    fn json_of_frappe_16_is_read() {
        let source = r#"{"user":"a@b.c","csrf_token":null,"n":1,"x":1.5,"l":[true]}"#;
        let value = read_json(source).unwrap();
        assert_eq!(value.get("user").unwrap().as_str(), Some("a@b.c"));
        assert!(value.get("csrf_token") == Some(&Value::None));
        assert!(value.get("n") == Some(&Value::Int(1)));
        assert!(value.get("x") == Some(&Value::Float(1.5)));
        assert!(read_json("{'user': 1}").is_err());
        assert!(read_json(r#"{"a":18446744073709551615}"#).is_err());
        assert!(read_json(&"[".repeat(1000)).is_err());
    }

    proptest! {
        #[test]
        fn random_text_never_panics(source in "\\PC{0,80}") {
            let _ = (read(&source), read_json(&source));
        }

        #[test]
        fn python_like_text_never_panics(source in "[{}\\[\\](),:'\"\\\\xuU0-9a-fé .-]{0,60}") {
            let _ = (read(&source), read_json(&source));
        }
    }
}
