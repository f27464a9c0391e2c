//! A request's arguments, as Frappe's `make_form_dict` reads them.
//!
//! - A body that says it is JSON (`application/json`, `application/*+json`) and is not
//!   empty is all there is: the query is ignored.
//! - Otherwise the query, overlaid by the fields of a form; of a repeated name the first
//!   value counts. A body of any other type is not looked at.
//! - The argument `_` (jQuery's cache breaker) is dropped.
//!
//! Some arguments make Frappe do something else than call the method in the path; see
//! [`refuse_steering`].

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body;
use memora_core::config::FrappeVersion;
use serde_json::{Map, Value};
use tokio::time::timeout;

use crate::error::{Failure, Refusal};
use crate::json::{self, Read};

/// Arguments by name: typed from JSON, strings from query and form.
pub(crate) type Args = Map<String, Value>;

/// Fields of a form at most; Frappe's own limit is 1000.
const MAX_FIELDS: usize = 100;

/// Bytes of an unwanted body that are read nevertheless: what bench's nginx lets through
/// (`client_max_body_size 50m`), rounded up.
const MAX_DISCARDED: usize = 64 * 1024 * 1024;
/// How long a client that is sending an unwanted body may pause before it is answered.
const DISCARD_PAUSE: Duration = Duration::from_secs(1);

/// Reads a whole body, within a size and a time.
///
/// # Errors
/// 413, 408, or 400 if it breaks off.
pub(crate) async fn body<B>(body: B, max: usize, within: Duration) -> Result<Bytes, Failure>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    // A length that is announced need not be read to be refused.
    if body.size_hint().lower() > max as u64 {
        return Err(Refusal::body_too_large(max).into());
    }
    match timeout(within, Limited::new(body, max).collect()).await {
        Err(_) => Err(Refusal::body_timeout().into()),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(e)) if e.is::<LengthLimitError>() => Err(Refusal::body_too_large(max).into()),
        Ok(Err(_)) => Err(Refusal::body_broken().into()),
    }
}

/// Reads what is left of a body and forgets it, up to [`MAX_DISCARDED`] and a time, and
/// until the client pauses.
///
/// To answer and close while the client still sends resets the connection: nginx sees a
/// broken sidecar and asks Frappe, instead of passing on a 413.
pub(crate) async fn discard<B>(body: B, within: Duration)
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut body = body;
    let mut left = MAX_DISCARDED;
    let read = async {
        while let Ok(Some(Ok(frame))) = timeout(DISCARD_PAUSE, body.frame()).await {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            let Some(rest) = left.checked_sub(bytes) else {
                return;
            };
            left = rest;
        }
    };
    // What comes later than that is cut off.
    let _ = timeout(within, read).await;
}

/// The arguments of a request.
///
/// # Errors
/// Frappe's own for bodies that it does not understand; declines what only Frappe's
/// parsers can judge.
pub(crate) async fn arguments(
    headers: &HeaderMap,
    query: Option<&str>,
    body: Bytes,
    frappe: FrappeVersion,
) -> Result<Args, Failure> {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    let mimetype = mimetype(content_type);
    let mut args = if is_json(&mimetype) && !body.is_empty() {
        from_json(&body, frappe)?
    } else {
        let mut args = first_values(pairs(query.unwrap_or_default().as_bytes()));
        if mimetype == "application/x-www-form-urlencoded" {
            args.extend(first_values(pairs(&body)));
        } else if mimetype == "multipart/form-data" {
            args.extend(first_values(Box::pin(multipart(content_type, body)).await?));
        }
        args
    };
    args.shift_remove("_");
    Ok(args)
}

/// Declines requests that tell Frappe to run another method (`cmd`), as another session
/// (`sid`), or to answer in another form or language, wherever they say so: such a
/// request must not be judged by its path.
///
/// # Errors
/// Declines.
pub(crate) fn refuse_steering(query: Option<&str>, args: &Args) -> Result<(), Failure> {
    const STEERING: [(&str, &str); 4] = [
        ("cmd", "cmd"),
        ("sid", "sid-argument"),
        ("_type", "response-type"),
        ("_lang", "language-argument"),
    ];
    let in_query = |name| {
        let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        pairs.any(|(given, _)| given == name)
    };
    for (name, reason) in STEERING {
        if args.contains_key(name) || in_query(name) {
            return Err(Failure::Decline(reason));
        }
    }
    Ok(())
}

/// The type without its parameters, in lower case.
fn mimetype(content_type: &str) -> String {
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

/// Whether Frappe parses this type as JSON.
fn is_json(mimetype: &str) -> bool {
    mimetype
        .strip_prefix("application/")
        .is_some_and(|sub| sub == "json" || sub.ends_with("+json"))
}

fn from_json(body: &[u8], frappe: FrappeVersion) -> Result<Args, Failure> {
    // Frappe reads bytes that are not UTF-8 as U+FFFD.
    match json::read(&String::from_utf8_lossy(body)) {
        Read::Value(Value::Object(args)) => Ok(args),
        Read::Value(list @ Value::Array(_)) if frappe >= FrappeVersion::V15 => {
            Ok(Args::from_iter([("data".to_owned(), list)]))
        }
        Read::Value(_) => Err(Refusal::arguments_are_no_object().into()),
        Read::Malformed => Err(Refusal::malformed_json(frappe).into()),
        Read::Unclear => Err(Failure::Decline("json")),
    }
}

fn pairs(text: &[u8]) -> impl Iterator<Item = (String, String)> {
    form_urlencoded::parse(text).into_owned()
}

fn first_values(pairs: impl IntoIterator<Item = (String, String)>) -> Args {
    let mut args = Args::new();
    for (name, value) in pairs {
        args.entry(name).or_insert(Value::String(value));
    }
    args
}

/// The fields of a multipart form that are no files.
async fn multipart(content_type: &str, body: Bytes) -> Result<Vec<(String, String)>, Failure> {
    // What exactly Frappe makes of a broken form is its own affair.
    const DECLINE: Failure = Failure::Decline("multipart");
    let boundary = multer::parse_boundary(content_type).map_err(|_| DECLINE)?;
    let stream = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(body)]);
    let mut form = multer::Multipart::new(stream, boundary);
    let mut fields = Vec::new();
    while let Some(field) = form.next_field().await.map_err(|_| DECLINE)? {
        if field.file_name().is_some() {
            continue;
        }
        if fields.len() == MAX_FIELDS || field.headers().contains_key(header::CONTENT_TYPE) {
            return Err(DECLINE);
        }
        let name = field.name().ok_or(DECLINE)?.to_owned();
        let value = field.bytes().await.map_err(|_| DECLINE)?;
        fields.push((name, String::from_utf8_lossy(&value).into_owned()));
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;
    use serde_json::json;

    use super::*;

    async fn parse(content_type: &str, query: &str, body: &str) -> Result<Value, Failure> {
        parse_as(FrappeVersion::V15, content_type, query, body).await
    }

    async fn parse_as(
        frappe: FrappeVersion,
        content_type: &str,
        query: &str,
        body: &str,
    ) -> Result<Value, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, content_type.parse().unwrap());
        let body = Bytes::from(body.to_owned());
        arguments(&headers, Some(query), body, frappe)
            .await
            .map(Value::Object)
    }

    #[tokio::test]
    async fn a_json_body_hides_the_query() {
        for content_type in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/problem+json",
        ] {
            assert_eq!(
                parse(content_type, "limit=5&x=1", r#"{"limit": 7, "_": 1}"#)
                    .await
                    .unwrap(),
                json!({"limit": 7})
            );
        }
        assert_eq!(
            parse("application/json", "limit=5", "").await.unwrap(),
            json!({"limit": "5"})
        );
    }

    #[tokio::test]
    async fn a_form_overlays_the_query_and_first_values_win() {
        assert_eq!(
            parse(
                "application/x-www-form-urlencoded",
                "limit=5&limit=6&a=%C3%A9+1&_=9&empty",
                "limit=7&limit=8&b=%22"
            )
            .await
            .unwrap(),
            json!({"limit": "7", "a": "é 1", "empty": "", "b": "\""})
        );
    }

    #[tokio::test]
    async fn other_types_leave_only_the_query() {
        for content_type in ["text/plain", "text/json", "application/xml", "json"] {
            assert_eq!(
                parse(content_type, "limit=5", r#"{"limit": 7}"#)
                    .await
                    .unwrap(),
                json!({"limit": "5"}),
                "{content_type}"
            );
        }
    }

    #[tokio::test]
    async fn multipart_fields_count_and_files_do_not() {
        let body = "--XX\r\nContent-Disposition: form-data; name=\"limit\"\r\n\r\n7\r\n\
                    --XX\r\nContent-Disposition: form-data; name=\"limit\"\r\n\r\n8\r\n\
                    --XX\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\nx\r\n\
                    --XX--\r\n";
        let form = "multipart/form-data; boundary=XX";
        assert_eq!(
            parse(form, "limit=5&a=1", body).await.unwrap(),
            json!({"limit": "7", "a": "1"})
        );
        for broken in [
            "",
            "--XX\r\n",
            "--YY--\r\n",
            "--XX\r\nContent-Disposition: form-data\r\n\r\nx\r\n--XX--",
        ] {
            let failure = parse(form, "", broken).await.unwrap_err();
            assert!(
                matches!(failure, Failure::Decline("multipart")),
                "{broken:?}"
            );
        }
    }

    #[tokio::test]
    async fn bodies_that_are_no_object_fail_as_frappe_fails() {
        use FrappeVersion::{V14, V15, V16};
        for (frappe, body, status, exc_type) in [
            (V14, "{\"a\": ", 500, "JSONDecodeError"),
            (V15, "{\"a\": ", 500, "JSONDecodeError"),
            (V16, "{\"a\": ", 417, "DataError"),
            (V14, "[1,2]", 417, "ValidationError"),
            (V15, "5", 417, "ValidationError"),
            (V15, "null", 417, "ValidationError"),
            (V16, "\"x\"", 417, "ValidationError"),
        ] {
            match parse_as(frappe, "application/json", "", body).await {
                Err(Failure::Refused(refusal)) => {
                    assert_eq!(
                        (refusal.status.as_u16(), refusal.exc_type),
                        (status, exc_type),
                        "{frappe:?} {body}"
                    );
                }
                other => panic!("{frappe:?} {body}: {other:?}"),
            }
        }
        assert_eq!(
            parse("application/json", "", "[1,2]").await.unwrap(),
            json!({"data": [1, 2]})
        );
    }

    #[tokio::test]
    async fn steering_arguments_are_found_wherever_they_are() {
        for (content_type, query, body) in [
            ("text/plain", "cmd=x", ""),
            ("application/json", "cmd=x", "{}"),
            ("application/json", "", r#"{"cmd": null}"#),
            ("application/json", "", r#"{"sid": "x"}"#),
            ("application/x-www-form-urlencoded", "", "a=1&sid"),
            ("application/x-www-form-urlencoded", "%73id=1", ""),
            ("text/plain", "_type=x", ""),
        ] {
            let Value::Object(args) = parse(content_type, query, body).await.unwrap() else {
                panic!("no object");
            };
            assert!(
                refuse_steering(Some(query), &args).is_err(),
                "{query} {body}"
            );
        }
        assert!(refuse_steering(Some("cmdx=1"), &Args::new()).is_ok());
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_its_limit() {
        let second = Duration::from_secs(1);
        let exact = body(Full::from("12345"), 5, second).await.unwrap();
        assert_eq!(exact, "12345");
        for failure in [
            body(Full::from("123456"), 5, second).await,
            // Without an announced length.
            body(
                Full::from("123456").map_frame(|f| f).boxed_unsync(),
                5,
                second,
            )
            .await,
        ] {
            let Err(Failure::Refused(refusal)) = failure else {
                panic!("not refused");
            };
            assert_eq!(refusal.status.as_u16(), 413);
        }
    }
}
