//! What a request shows to say who is asking: the `sid` cookie and the `Authorization`
//! header, read exactly as leniently as Frappe reads them.

use percent_encoding::percent_decode_str;

use crate::config::Secret;
use crate::{Error, ErrorKind, Result};

/// The session id in a request's `Cookie` header (several headers joined by `; `).
///
/// As in Frappe, the first `sid` counts, an outer pair of quotes goes away, and the value
/// is percent-decoded. `Some("")` is a cookie without a value.
pub fn sid_cookie(header: &str) -> Option<String> {
    header.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (name.trim() == "sid").then(|| {
            let value = unquoted(value.trim());
            percent_decode_str(&value).decode_utf8_lossy().into_owned()
        })
    })
}

/// Removes the quotes and backslashes of a quoted cookie value: `\"`, `\073`.
fn unquoted(value: &str) -> String {
    let inner = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
    let Some(inner) = inner else {
        return value.to_owned();
    };
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = match (first, tail) {
            (b'\\', &[a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..]) => {
                bytes.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
                &tail[3..]
            }
            (b'\\', &[escaped, ..]) => {
                bytes.push(escaped);
                &tail[1..]
            }
            _ => {
                bytes.push(first);
                tail
            }
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What an `Authorization` header asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authorization {
    /// Not exactly two parts: Frappe does not look at it.
    Ignored,
    /// `Bearer`: OAuth.
    Bearer,
    /// `token key:secret`, or `Basic` with the same in base64.
    ApiKey {
        /// `tabUser.api_key`.
        key: String,
        /// To be compared with the decrypted secret.
        secret: Secret,
    },
    /// Two parts that prove nothing; a user's session stands, a guest is refused.
    Unusable,
}

impl Authorization {
    /// Reads the header's value.
    ///
    /// # Errors
    /// `BadCredentials` for `Basic` with bad base64.
    pub fn parse(header: &str) -> Result<Self> {
        let parts: Vec<&str> = header.splitn(3, ' ').collect();
        let &[scheme, token] = parts.as_slice() else {
            return Ok(Self::Ignored);
        };
        if scheme.eq_ignore_ascii_case("bearer") {
            Ok(Self::Bearer)
        } else if scheme.eq_ignore_ascii_case("token") {
            Ok(Self::api_key(token))
        } else if scheme.eq_ignore_ascii_case("basic") {
            if !token.is_ascii() {
                return Ok(Self::Unusable);
            }
            let decoded = python_base64(token.as_bytes()).ok_or_else(|| {
                Error::new(
                    ErrorKind::BadCredentials,
                    "Failed to decode token, please provide a valid base64-encoded token.",
                )
            })?;
            Ok(std::str::from_utf8(&decoded).map_or(Self::Unusable, Self::api_key))
        } else {
            Ok(Self::Unusable)
        }
    }

    /// `key:secret` with exactly one colon.
    fn api_key(pair: &str) -> Self {
        match pair.split_once(':') {
            Some((key, secret)) if !secret.contains(':') => Self::ApiKey {
                key: key.to_owned(),
                secret: Secret::new(secret),
            },
            _ => Self::Unusable,
        }
    }
}

/// Decodes base64 as Python's `b64decode` does by default: characters outside the
/// alphabet are skipped, and nothing is read after complete padding. `None` where Python
/// raises `binascii.Error`.
///
/// No decoder at hand is as lenient, and where we refuse what Frappe accepts a client
/// that works today would break.
fn python_base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let mut bits = 0u32;
    let mut in_group = 0;
    let mut pads = 0;
    for &c in text {
        let sextet = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                pads += usize::from(in_group >= 2);
                if in_group >= 2 && in_group + pads >= 4 {
                    return Some(bytes);
                }
                continue;
            }
            _ => continue,
        };
        pads = 0;
        bits = (bits << 6) | u32::from(sextet);
        in_group = (in_group + 1) % 4;
        // The second, third and fourth character each complete a byte.
        let spare = match in_group {
            2 => 4,
            3 => 2,
            0 => 0,
            _ => continue,
        };
        bytes.push((bits >> spare) as u8);
    }
    (in_group == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_found_among_others_and_decoded() {
        let sid = |header: &str| sid_cookie(header);
        assert_eq!(sid("sid=abc").as_deref(), Some("abc"));
        assert_eq!(sid("a=1; sid=abc; b=2").as_deref(), Some("abc"));
        assert_eq!(sid("a=1;sid = abc ").as_deref(), Some("abc"));
        assert_eq!(sid("sid=stu%40lab.test").as_deref(), Some("stu@lab.test"));
        assert_eq!(sid("sid=first; sid=second").as_deref(), Some("first"));
        assert_eq!(sid("sid=\"a\\\"b\\073\"").as_deref(), Some("a\"b;"));
        assert_eq!(sid("sid=%ff%zz").as_deref(), Some("\u{fffd}%zz"));
        assert_eq!(sid("sid=").as_deref(), Some(""));
        assert_eq!(sid("sid").as_deref(), Some(""));
        assert_eq!(sid("sid=a=b").as_deref(), Some("a=b"));
        assert_eq!(sid("xsid=abc; SID=abc"), None);
        assert_eq!(sid(""), None);
    }

    fn key(key: &str, secret: &str) -> Authorization {
        Authorization::ApiKey {
            key: key.to_owned(),
            secret: Secret::new(secret),
        }
    }

    fn parse(header: &str) -> Authorization {
        Authorization::parse(header).unwrap()
    }

    #[test]
    fn api_keys_are_read_from_token_and_basic() {
        assert_eq!(parse("token k:s"), key("k", "s"));
        assert_eq!(parse("TOKEN k:s"), key("k", "s"));
        // As captured.
        let basic = "MGQxNGEyYzQ0YWVkYjVjOjQ1ZTRjOGM0MjEzN2U4NA==";
        let expected = key("0d14a2c44aedb5c", "45e4c8c42137e84");
        assert_eq!(parse(&format!("Basic {basic}")), expected);
        assert_eq!(parse(&format!("bAsIc {basic}")), expected);
        assert_eq!(parse("token :"), key("", ""));
    }

    #[test]
    fn only_two_parts_are_looked_at() {
        for header in ["", "token", "token k:s extra", "token  k:s", " token k:s"] {
            assert_eq!(parse(header), Authorization::Ignored, "{header:?}");
        }
    }

    #[test]
    fn what_proves_nothing_is_unusable() {
        for header in [
            "token nocolon",
            "token a:b:c",
            "token ",
            "Foo k:s",
            " ",
            "Basic ",
            "Basic bm9jb2xvbg==",
            "Basic /////w==",
            "Basic äöü=",
        ] {
            assert_eq!(parse(header), Authorization::Unusable, "{header:?}");
        }
        assert_eq!(parse("Bearer x"), Authorization::Bearer);
        assert_eq!(parse("bearer x"), Authorization::Bearer);
    }

    #[test]
    fn bad_base64_is_an_error_of_its_own() {
        for token in ["a", "abc", "abcde", "ab=", "a==="] {
            let error = Authorization::parse(&format!("Basic {token}")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadCredentials, "{token}");
        }
    }

    /// Checked against Python 3.11.
    #[test]
    fn base64_is_as_lenient_as_python() {
        let cases: [(&str, Option<&[u8]>); 12] = [
            ("", Some(b"")),
            ("azpz", Some(b"k:s")),
            ("a z-p_z!", Some(b"k:s")),
            ("azo=", Some(b"k:")),
            ("aw==", Some(b"k")),
            ("aw==zzzz", Some(b"k")),
            ("aw=", None),
            ("a=w=", None),
            ("a=w==", Some(b"k")),
            ("azpz=", Some(b"k:s")),
            ("====", Some(b"")),
            ("azp", None),
        ];
        for (text, expected) in cases {
            assert_eq!(
                python_base64(text.as_bytes()).as_deref(),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert!(!format!("{:?}", parse("token k:hush")).contains("hush"));
    }
}
