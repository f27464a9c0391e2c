//! Answers in Frappe's envelopes.
//!
//! Success is `{"message": …}` (`/api/v2`: `{"data": …}`). An error is `exc_type` and,
//! where there is something to say, `_server_messages` (`/api/v2`: `errors`): what a
//! Frappe with `allow_error_traceback = 0` sends. Frappe's Guest cookies are left out;
//! only the `sid` cookie of a session matters, since its age slides.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use memora_core::config::FrappeVersion;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::error::{Failure, Refusal};
use crate::json::{self, Style};
use crate::router::Api;

/// A whole answer.
pub(crate) type Answer = Response<Full<Bytes>>;

/// Goes with an answer that tells of a failure, for whoever counts them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failed;

/// Tells the web server in front that Frappe should answer, and why.
pub(crate) const DECLINE: HeaderName = HeaderName::from_static("x-memora-decline");

/// Cookies of a login, deleted when its session is no more.
const LOGIN_COOKIES: [&str; 5] = ["user_id", "user_image", "system_user", "sid", "full_name"];

/// How this request's answers look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Envelope {
    /// Which URL it came by.
    pub(crate) api: Api,
    /// Which Frappe answers beside us.
    pub(crate) frappe: FrappeVersion,
}

impl Envelope {
    /// 200 with `value`.
    pub(crate) fn success(self, value: &impl Serialize) -> Answer {
        let body = match self.api {
            Api::V1 => self.print(&Message { message: value }),
            Api::V2 => self.print(&Data { data: value }),
        };
        match body {
            Some(body) => with_type(StatusCode::OK, "application/json", body),
            None => self.failure(memora_core::Error::internal("an answer is no JSON").into()),
        }
    }

    /// 200 with `value` and nothing around it, for a page of ours.
    pub(crate) fn plain(self, value: &impl Serialize) -> Answer {
        match self.print(value) {
            Some(body) => with_type(StatusCode::OK, "application/json", body),
            None => self.failure(memora_core::Error::internal("an answer is no JSON").into()),
        }
    }

    /// Whatever keeps a request from being served.
    pub(crate) fn failure(self, failure: Failure) -> Answer {
        match failure {
            Failure::Decline(reason) => self.declined(reason),
            Failure::NoSuchSite(name) => no_such_site(&name),
            Failure::Refused(refusal) => self.refused(&refusal),
        }
    }

    fn declined(self, reason: &'static str) -> Answer {
        let refusal = Refusal::declined(reason);
        let mut answer = self.refused(&refusal);
        answer
            .headers_mut()
            .insert(DECLINE, HeaderValue::from_static(reason));
        answer
    }

    fn refused(self, refusal: &Refusal) -> Answer {
        let mut answer = self.json(refusal.status, &self.error_body(refusal));
        let headers = answer.headers_mut();
        if let Some(after) = refusal.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(after)));
        }
        if refusal.forget_cookies {
            for name in LOGIN_COOKIES {
                let cookie = format!("{name}=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/");
                if let Ok(value) = HeaderValue::try_from(cookie) {
                    headers.append(header::SET_COOKIE, value);
                }
            }
        }
        if let Some(cookie) = &refusal.cookie {
            headers.append(header::SET_COOKIE, HeaderValue::clone(cookie));
        }
        if refusal.failed {
            answer.extensions_mut().insert(Failed);
        }
        answer
    }

    fn error_body(self, refusal: &Refusal) -> Value {
        let mut body = Map::new();
        if let Some(id) = &refusal.submission_id {
            body.insert("submission_id".into(), id.clone().into());
        }
        if let Some(after) = refusal.retry_after {
            body.insert("retry_after".into(), whole_seconds(after).into());
        }
        match self.api {
            Api::V1 => {
                body.insert("exc_type".into(), refusal.exc_type.into());
                if let Some(message) = &refusal.message {
                    let messages = server_messages(message, refusal.title);
                    body.insert("_server_messages".into(), messages.into());
                }
            }
            Api::V2 => {
                let mut error = json!({"type": refusal.exc_type});
                if let Some(message) = &refusal.message {
                    error["message"] = message.clone().into();
                    error["title"] = refusal.title.into();
                    error["indicator"] = "red".into();
                }
                body.insert("errors".into(), json!([error]));
            }
        }
        Value::Object(body)
    }

    fn json(self, status: StatusCode, body: &Value) -> Answer {
        // A `Value` always prints.
        let text = self.print(body).unwrap_or_default();
        with_type(status, "application/json", text)
    }

    fn print(self, body: &impl Serialize) -> Option<String> {
        let style = match self.frappe {
            FrappeVersion::V14 | FrappeVersion::V15 => Style::CompactAscii,
            FrappeVersion::V16 => Style::CompactUtf8,
        };
        json::print(body, style)
    }
}

/// Around what a method returned.
#[derive(Serialize)]
struct Message<'a, T> {
    message: &'a T,
}

/// The same for `/api/v2`.
#[derive(Serialize)]
struct Data<'a, T> {
    data: &'a T,
}

/// Frappe's `_server_messages`: the text of a list of texts of objects.
fn server_messages(message: &str, title: &str) -> String {
    let entry = json!({
        "message": message,
        "title": title,
        "indicator": "red",
        "raise_exception": 1,
    });
    let entry = json::print(&entry, Style::Spaced).unwrap_or_default();
    json::print(&[entry], Style::Spaced).unwrap_or_default()
}

/// A document of ours, as it is.
pub(crate) fn document(json: &'static str) -> Answer {
    with_type(StatusCode::OK, "application/json", json)
}

/// The page that Frappe's web framework shows where no site is.
fn no_such_site(name: &str) -> Answer {
    let page = format!(
        "<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n\
         <p>{} does not exist</p>\n",
        escape_html(name)
    );
    html(StatusCode::NOT_FOUND, page)
}

/// A web page.
pub(crate) fn html(status: StatusCode, page: String) -> Answer {
    with_type(status, "text/html; charset=utf-8", page)
}

/// To be asked for elsewhere, for now.
pub(crate) fn elsewhere(location: &'static str) -> Answer {
    let mut answer = with_type(
        StatusCode::FOUND,
        "text/plain; charset=utf-8",
        String::new(),
    );
    answer
        .headers_mut()
        .insert(header::LOCATION, HeaderValue::from_static(location));
    answer
}

fn with_type(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// Text as part of a web page.
pub(crate) fn escape_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// Rounded up, at least 1: coming back too early only costs another refusal.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_millis().div_ceil(1000).max(1) as u64
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use memora_core::{Error, ErrorKind};

    use super::*;

    const V15: Envelope = Envelope {
        api: Api::V1,
        frappe: FrappeVersion::V15,
    };

    async fn text(answer: Answer) -> String {
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    }

    fn failure(error: Error) -> Failure {
        Failure::from(error)
    }

    #[tokio::test]
    async fn success_in_each_version() {
        let value = json!({"a": "م"});
        let v2 = Envelope {
            api: Api::V2,
            ..V15
        };
        let v16 = Envelope {
            frappe: FrappeVersion::V16,
            ..V15
        };
        assert_eq!(
            text(V15.success(&value)).await,
            r#"{"message":{"a":"\u0645"}}"#
        );
        assert_eq!(text(v2.success(&value)).await, r#"{"data":{"a":"\u0645"}}"#);
        assert_eq!(text(v16.success(&value)).await, r#"{"message":{"a":"م"}}"#);
    }

    #[tokio::test]
    async fn errors_in_each_version() {
        let error = || failure(Error::invalid("limit \"é\""));
        assert_eq!(
            text(V15.failure(error())).await,
            r#"{"exc_type":"ValidationError","_server_messages":"[\"{\\\"message\\\": \\\"limit \\\\\\\"\\\\u00e9\\\\\\\"\\\", \\\"title\\\": \\\"Message\\\", \\\"indicator\\\": \\\"red\\\", \\\"raise_exception\\\": 1}\"]"}"#
        );
        let v2 = Envelope {
            api: Api::V2,
            ..V15
        };
        assert_eq!(
            text(v2.failure(error())).await,
            r#"{"errors":[{"type":"ValidationError","message":"limit \"\u00e9\"","title":"Message","indicator":"red"}]}"#
        );
    }

    #[tokio::test]
    async fn unavailable_carries_what_a_retry_needs() {
        let error =
            Error::unavailable("later", Duration::from_millis(1200)).with_submission_id("s");
        let answer = V15.failure(failure(error));
        assert_eq!(answer.status(), 503);
        assert_eq!(answer.headers()["retry-after"], "2");
        assert!(!answer.headers().contains_key(DECLINE));
        let body = text(answer).await;
        assert!(
            body.starts_with(r#"{"submission_id":"s","retry_after":2,"exc_type":"#),
            "{body}"
        );
    }

    #[tokio::test]
    async fn declining_names_the_reason() {
        let answer = V15.failure(Failure::Decline("cmd"));
        assert_eq!(answer.status(), 421);
        assert_eq!(answer.headers()[DECLINE], "cmd");
        assert!(
            text(answer)
                .await
                .starts_with(r#"{"exc_type":"SidecarDeclined""#)
        );
    }

    #[tokio::test]
    async fn a_defect_says_nothing_about_itself() {
        let error = Error::internal("table x").with_source("secret");
        assert_eq!(
            text(V15.failure(failure(error))).await,
            r#"{"exc_type":"MemoraError"}"#
        );
    }

    #[tokio::test]
    async fn a_bad_login_forgets_cookies() {
        let answer = V15.failure(failure(Error::new(ErrorKind::Unauthorized, "no")));
        let cookies = answer.headers().get_all("set-cookie").iter().count();
        assert_eq!(cookies, LOGIN_COOKIES.len());
        assert_eq!(text(answer).await, r#"{"exc_type":"AuthenticationError"}"#);
    }

    #[tokio::test]
    async fn a_site_name_is_only_text() {
        let page = text(no_such_site("<b>&\"x")).await;
        assert!(
            page.contains("<p>&lt;b&gt;&amp;&#34;x does not exist</p>"),
            "{page}"
        );
    }
}
