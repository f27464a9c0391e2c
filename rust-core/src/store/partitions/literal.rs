//! Names as SQL text, both ways. DDL takes no parameters, so this is the one place that
//! turns data into SQL.

use super::Values;

/// A SQL string literal with this value, whatever the session's `sql_mode`.
///
/// Plain names stay readable. Everything else becomes hexadecimal: whether a backslash
/// escapes in quotes depends on `NO_BACKSLASH_ESCAPES`, and hexadecimal digits leave
/// nothing to escape.
pub fn sql_literal(value: &str) -> String {
    let plain = value
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b' ' | b'_' | b'-' | b'.' | b':' | b'@'));
    if plain {
        format!("'{value}'")
    } else {
        format!("_utf8mb4 x'{}'", hex::encode(value))
    }
}

/// A quoted identifier.
pub(in crate::store) fn quote_identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Reads `partition_description` of `information_schema`: `'S1','S2'`, with `''` and
/// backslash escapes inside; `_utf8mb4 0x…` where the text does not fit in three-byte
/// UTF-8; `NULL`; or, for a DEFAULT partition, `MAXVALUE` (10.11 says so). `None` for
/// anything else.
pub(in crate::store) fn parse_values(description: &str) -> Option<Values> {
    let mut rest = description.trim();
    if matches!(rest, "DEFAULT" | "MAXVALUE") {
        return Some(Values::Default);
    }
    let mut values = Vec::new();
    loop {
        let (value, after) = parse_value(rest)?;
        values.push(value);
        let after = after.trim_start();
        match after.strip_prefix(',') {
            Some(more) => rest = more.trim_start(),
            None if after.is_empty() => return Some(Values::List(values)),
            None => return None,
        }
    }
}

/// One value and what follows it.
fn parse_value(text: &str) -> Option<(Option<String>, &str)> {
    if let Some(rest) = text.strip_prefix("NULL") {
        return Some((None, rest));
    }
    // A character set's name before the literal.
    let text = match text.strip_prefix('_') {
        Some(rest) => {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric())?;
            rest[end..].trim_start()
        }
        None => text,
    };
    if let Some(digits) = text.strip_prefix("0x") {
        let end = digits
            .find(|c: char| !c.is_ascii_hexdigit())
            .unwrap_or(digits.len());
        let bytes = hex::decode(&digits[..end]).ok()?;
        return Some((Some(String::from_utf8(bytes).ok()?), &digits[end..]));
    }
    let quoted = text.strip_prefix('\'')?;
    let mut value = String::new();
    let mut chars = quoted.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' if chars.peek().is_some_and(|(_, next)| *next == '\'') => {
                chars.next();
                value.push('\'');
            }
            '\'' => return Some((Some(value), &quoted[at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                '0' => '\0',
                'n' => '\n',
                'r' => '\r',
                'Z' => '\x1a',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(value: &str) -> Option<Values> {
        Some(Values::List(vec![Some(value.to_owned())]))
    }

    #[test]
    fn literals_leave_nothing_to_escape() {
        assert_eq!(sql_literal("SEASON-2026"), "'SEASON-2026'");
        assert_eq!(sql_literal("a'b"), "_utf8mb4 x'612762'");
        assert_eq!(sql_literal("a\\"), "_utf8mb4 x'615c'");
        for hostile in ["'", "\\'", "😀", "%", "`", "\0", "\n", "é", "a;b", "--x'"] {
            let sql = sql_literal(hostile);
            let inside = sql
                .strip_prefix("_utf8mb4 x'")
                .and_then(|s| s.strip_suffix('\''))
                .unwrap();
            assert!(inside.bytes().all(|b| b.is_ascii_hexdigit()), "{sql}");
        }
    }

    #[test]
    fn identifiers_cannot_be_left() {
        assert_eq!(quote_identifier("a`b"), "`a``b`");
    }

    #[test]
    fn descriptions_are_read_as_the_server_writes_them() {
        assert_eq!(parse_values("'SEASON-2026'"), one("SEASON-2026"));
        assert_eq!(parse_values(r"'S1\\x''y'"), one(r"S1\x'y"));
        assert_eq!(
            parse_values("_utf8mb4 0xf09f98805327315c4e0922"),
            one("😀S'1\\N\t\"")
        );
        assert_eq!(
            parse_values("'a','b,c',NULL"),
            Some(Values::List(vec![
                Some("a".into()),
                Some("b,c".into()),
                None
            ]))
        );
        assert_eq!(parse_values("DEFAULT"), Some(Values::Default));
        assert_eq!(parse_values("MAXVALUE"), Some(Values::Default));
        assert_eq!(parse_values("'DEFAULT'"), one("DEFAULT"));
        for broken in ["", "'a", "a", "'a'b", "_utf8mb4 0xf"] {
            assert_eq!(parse_values(broken), None, "{broken}");
        }
    }
}
