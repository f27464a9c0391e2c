//! Which site a request is for, and whether the sidecar may answer for it.

use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, HeaderName, header};
use memora_core::services::{Site, Sites};
use memora_core::{Error, ErrorKind};

use crate::error::Failure;
use crate::middleware::REQUEST_ID;

const SITE_NAME: HeaderName = HeaderName::from_static("x-frappe-site-name");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const REQUESTED_WITH: HeaderName = HeaderName::from_static("x-requested-with");

/// Headers whose repetition Frappe's web server and this one might read differently.
const ONCE: [HeaderName; 9] = [
    header::HOST,
    SITE_NAME,
    header::COOKIE,
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    HeaderName::from_static("x-frappe-csrf-token"),
    HeaderName::from_static("x-forwarded-for"),
    // Two names of one submit: here and in Frappe it would be another.
    HeaderName::from_static("idempotency-key"),
    REQUEST_ID,
];

/// The site that a request is for, if the sidecar answers for it now.
///
/// # Errors
/// 404 where no such site is, 503 in maintenance; declines where only Frappe can judge.
pub(crate) async fn admit(sites: &Sites, parts: &Parts) -> Result<Arc<Site>, Failure> {
    if wants_page(&parts.headers) {
        return Err(Failure::Decline("html"));
    }
    admit_browser(sites, parts).await
}

/// As [`admit`], for what a browser's address bar may ask for.
///
/// # Errors
/// As [`admit`].
pub(crate) async fn admit_browser(sites: &Sites, parts: &Parts) -> Result<Arc<Site>, Failure> {
    if parts.uri.authority().is_some() {
        return Err(Failure::Decline("absolute-url"));
    }
    if ONCE.iter().any(|name| repeated(&parts.headers, name)) {
        return Err(Failure::Decline("repeated-header"));
    }
    if cross_origin(&parts.headers) {
        return Err(Failure::Decline("cors"));
    }
    let name = site_name(&parts.headers);
    let site = match sites.get(&name).await {
        Ok(site) => site,
        Err(e) if e.kind() == ErrorKind::NotFound => return Err(Failure::NoSuchSite(name)),
        Err(error) if error.kind() == ErrorKind::Config => {
            // What this engine cannot make sense of, Frappe perhaps can.
            tracing::error!(?error, site = name, "site not served");
            return Err(Failure::Decline("config"));
        }
        Err(e) => return Err(e.into()),
    };
    tracing::Span::current().record("site", site.config.site.as_str());
    if let Some(reason) = site.config.decline_all {
        return Err(Failure::Decline(reason));
    }
    if site.config.maintenance_mode {
        return Err(Error::new(ErrorKind::Maintenance, "The site is in maintenance").into());
    }
    Ok(site)
}

/// The name as Frappe finds it: the header that the web server sets, else the host up to
/// its first colon. No default site, no folding of case, no `www.`.
fn site_name(headers: &HeaderMap) -> String {
    let text = |name| {
        let value = headers.get(name)?;
        Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    match text(SITE_NAME) {
        Some(name) if !name.is_empty() => name,
        _ => {
            let host = text(header::HOST).unwrap_or_default();
            host.split(':').next().unwrap_or_default().to_owned()
        }
    }
}

fn repeated(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers.get_all(name).iter().nth(1).is_some()
}

/// Whether Frappe would answer an error as a web page: for a browser's address bar, not
/// for a program.
fn wants_page(headers: &HeaderMap) -> bool {
    let accept = headers
        .get(header::ACCEPT)
        .map(|v| String::from_utf8_lossy(v.as_bytes()))
        .unwrap_or_default();
    let ajax = headers
        .get(REQUESTED_WITH)
        .is_some_and(|v| v == "XMLHttpRequest");
    accept.starts_with("text") && !ajax && !accept.contains("application/json")
}

/// Whether a page of another origin asks, so that the answer may need CORS headers.
fn cross_origin(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return false;
    };
    if headers.get(FETCH_SITE).is_some_and(|v| v == "same-origin") {
        return false;
    }
    let asked = headers.get(header::HOST).map(|v| v.as_bytes());
    let from = ["http://", "https://"]
        .iter()
        .find_map(|scheme| origin.as_bytes().strip_prefix(scheme.as_bytes()));
    from.is_none() || from != asked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn the_header_wins_over_the_host() {
        for (given, name) in [
            (&[("host", "a.b:8000")][..], "a.b"),
            (&[("host", "WWW.a.b")], "WWW.a.b"),
            (&[("host", "a.b"), ("x-frappe-site-name", "c.d")], "c.d"),
            (&[("host", "a.b"), ("x-frappe-site-name", "")], "a.b"),
            // A header is taken whole: a port belongs to Host alone.
            (&[("x-frappe-site-name", "a.b:1")], "a.b:1"),
            // An address in brackets is cut at its first colon, by Frappe too.
            (&[("host", "[::1]:8000")], "["),
            (&[("host", "a"), ("x-frappe-site-name", "../x:1")], "../x:1"),
            (&[], ""),
        ] {
            assert_eq!(site_name(&headers(given)), name);
        }
    }

    #[test]
    fn pages_are_for_browsers() {
        for (given, page) in [
            (&[][..], false),
            (&[("accept", "*/*")], false),
            (&[("accept", "application/json, text/plain, */*")], false),
            (&[("accept", "text/html,application/xhtml+xml")], true),
            (
                &[
                    ("accept", "text/html"),
                    ("x-requested-with", "XMLHttpRequest"),
                ],
                false,
            ),
            (&[("accept", "text/javascript, application/json")], false),
        ] {
            assert_eq!(wants_page(&headers(given)), page, "{given:?}");
        }
    }

    #[test]
    fn only_the_site_itself_is_of_the_same_origin() {
        for (given, cross) in [
            (&[("host", "a.b")][..], false),
            (&[("host", "a.b"), ("origin", "https://a.b")], false),
            (
                &[("host", "a.b:8000"), ("origin", "http://a.b:8000")],
                false,
            ),
            (&[("host", "a.b"), ("origin", "https://a.b:8443")], true),
            (
                &[
                    ("host", "a.b"),
                    ("origin", "https://a.b:8443"),
                    ("sec-fetch-site", "same-origin"),
                ],
                false,
            ),
            (&[("host", "a.b"), ("origin", "https://evil.a.b")], true),
            (&[("host", "a.b"), ("origin", "null")], true),
            (&[("origin", "null")], true),
        ] {
            assert_eq!(cross_origin(&headers(given)), cross, "{given:?}");
        }
    }
}
