//! The operations page at `/memora-srs/`: one document without outside parts, for System
//! Managers, that asks `status.json` beside it every few seconds how the site is. It changes
//! nothing by itself: what it starts, it starts through the methods of `memora.api.srs`.
//!
//! | file | job |
//! |---|---|
//! | `index.html`, `page.css` | the document and its look |
//! | `base.js` | texts and elements |
//! | `chart.js` | plots |
//! | `act.js` | what is started here, once it is confirmed |
//! | `work.js` | seasons, and the long work on them |
//! | `page.js` | asks, and shows the rest |
//! | `live` | what is, at this moment |
//! | `traffic` | what was answered in the last quarter of an hour |

mod live;
mod traffic;

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue, header};
use memora_core::services::Site;
use memora_core::types::UtcMicros;
use serde::Serialize;
use sha2::{Digest, Sha256};

use self::live::{Live, Seen};
use self::traffic::{Traffic, traffic};

/// Where the page is.
pub(crate) const ADDRESS: &str = "/memora-srs/";

/// What the page knows of this process's sites.
#[derive(Default)]
pub(crate) struct Page {
    live: Live,
}

/// What the page is told.
#[derive(Serialize)]
pub(crate) struct Status<'a> {
    site: &'a str,
    user: &'a str,
    version: &'static str,
    /// Now: milliseconds, UTC.
    now_ms: i64,
    /// What the session's changes are to be sent with; `None` if it wants none.
    csrf_token: Option<&'a str>,
    traffic: [Traffic; 2],
    #[serde(flatten)]
    seen: Seen,
}

impl Page {
    /// How a site is.
    pub(crate) async fn status<'a>(
        &self,
        site: &'a Site,
        user: &'a str,
        csrf_token: Option<&'a str>,
    ) -> Status<'a> {
        Status {
            site: &site.config.site,
            user,
            version: env!("CARGO_PKG_VERSION"),
            now_ms: UtcMicros::now().0 / 1000,
            csrf_token,
            traffic: traffic(),
            seen: self.live.look(site).await,
        }
    }
}

/// The document, with the policy that lets a browser run nothing else.
pub(crate) struct Document {
    pub(crate) html: String,
    pub(crate) policy: String,
}

/// The document, put together once.
pub(crate) static DOCUMENT: LazyLock<Document> = LazyLock::new(|| {
    let style = include_str!("page.css");
    let script = concat!(
        include_str!("base.js"),
        include_str!("chart.js"),
        include_str!("act.js"),
        include_str!("work.js"),
        include_str!("page.js"),
    );
    let html = include_str!("index.html")
        .replace("/* page.css */", style)
        .replace("/* page.js */", script);
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(script),
        hash(style)
    );
    Document { html, policy }
});

/// Headers of everything under [`ADDRESS`], besides its type: nobody keeps it, nobody frames
/// it, nobody takes it for something else.
pub(crate) const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (
        header::REFERRER_POLICY,
        HeaderValue::from_static("same-origin"),
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_whole_and_asks_nobody_else() {
        let html = &DOCUMENT.html;
        assert!(!html.contains("/* page."));
        for outside in [
            "http://",
            "https://",
            "@import",
            "url(",
            "src=",
            "<form action",
        ] {
            let outside_of = html.replace("http://www.w3.org/2000/svg", "");
            assert!(!outside_of.contains(outside), "{outside}");
        }
    }

    /// What a hash allows is the text between the tags, to the byte.
    #[test]
    fn the_policy_is_of_this_document() {
        for (tag, directive) in [("script", "script-src"), ("style", "style-src")] {
            let (_, rest) = DOCUMENT.html.split_once(&format!("<{tag}>")).unwrap();
            let (text, rest) = rest.split_once(&format!("</{tag}>")).unwrap();
            assert!(!rest.contains(&format!("<{tag}")), "one {tag} only");
            let hash = STANDARD.encode(Sha256::digest(text.as_bytes()));
            let allowed = format!("{directive} 'sha256-{hash}'");
            assert!(DOCUMENT.policy.contains(&allowed), "{}", DOCUMENT.policy);
        }
        assert!(!DOCUMENT.policy.contains("unsafe"));
    }

    /// A policy of hashes lets no inline handler and no style attribute through.
    #[test]
    fn nothing_is_inline() {
        let (document, _) = include_str!("index.html").split_once("<script>").unwrap();
        for inline in [" onclick", " onload", " onsubmit", " style=", "javascript:"] {
            assert!(!document.contains(inline), "{inline}");
        }
    }
}
