//! All routes, and which HTTP methods they take.
//!
//! A path is matched as it stands, byte for byte: what is spelled otherwise (a trailing
//! slash, percent escapes, another method of the app) is Frappe's to interpret.

use http::Method;

/// Which of Frappe's URL families a request came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    /// `/api/method/…` and `/api/v1/method/…`.
    V1,
    /// `/api/v2/method/…`.
    V2,
}

/// What a client may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Of students: `memora.api.reviews`.
    Review(Review),
    /// Of administrators: `memora.api.srs`.
    Srs(Srs),
}

/// What a student may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Review {
    /// Which questions are due.
    GetSession,
    /// Take answers.
    SubmitSession,
}

/// What an administrator may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Srs {
    /// What is in the cache.
    GetCacheStatus,
    /// Fill a season's cache.
    RebuildSeasonCache,
    /// Compare cache and table.
    TriggerReconciliation,
    /// Move a season into the archive.
    ArchiveSeason,
    /// How far that is.
    GetArchiveStatus,
    /// Delete what is past its retention.
    DeleteEligibleArchivedRecords,
}

impl Operation {
    pub(crate) const ALL: [Self; 8] = [
        Self::Review(Review::GetSession),
        Self::Review(Review::SubmitSession),
        Self::Srs(Srs::GetCacheStatus),
        Self::Srs(Srs::RebuildSeasonCache),
        Self::Srs(Srs::TriggerReconciliation),
        Self::Srs(Srs::ArchiveSeason),
        Self::Srs(Srs::GetArchiveStatus),
        Self::Srs(Srs::DeleteEligibleArchivedRecords),
    ];

    /// The dotted path of the whitelisted Python function.
    pub(crate) fn method_path(self) -> &'static str {
        match self {
            Self::Review(Review::GetSession) => "memora.api.reviews.get_review_session",
            Self::Review(Review::SubmitSession) => "memora.api.reviews.submit_review_session",
            Self::Srs(asked) => match asked {
                Srs::GetCacheStatus => "memora.api.srs.get_cache_status",
                Srs::RebuildSeasonCache => "memora.api.srs.rebuild_season_cache",
                Srs::TriggerReconciliation => "memora.api.srs.trigger_reconciliation",
                Srs::ArchiveSeason => "memora.api.srs.archive_season",
                Srs::GetArchiveStatus => "memora.api.srs.get_archive_status",
                Srs::DeleteEligibleArchivedRecords => {
                    "memora.api.srs.delete_eligible_archived_records"
                }
            },
        }
    }

    /// Whether the whitelist lets this HTTP method through: Frappe's default is GET,
    /// POST, PUT and DELETE. A submit by GET is refused: Frappe checks no CSRF token on
    /// GET, so any page could hand in answers in a student's name. What administrators
    /// change is POST only.
    pub(crate) fn allows(self, method: &Method) -> bool {
        let reads = matches!(
            self,
            Self::Review(Review::GetSession)
                | Self::Srs(Srs::GetCacheStatus | Srs::GetArchiveStatus)
        );
        match *method {
            Method::POST => true,
            Method::PUT | Method::DELETE => reads || matches!(self, Self::Review(_)),
            Method::GET => reads,
            _ => false,
        }
    }
}

/// What a browser asks of the operations page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PagePart {
    /// Its address without the slash at the end.
    Bare,
    /// The document.
    Document,
    /// How the site is, as JSON.
    Status,
}

impl PagePart {
    fn at(path: &str) -> Option<Self> {
        match path.strip_prefix("/memora-srs")? {
            "" => Some(Self::Bare),
            "/" => Some(Self::Document),
            "/status.json" => Some(Self::Status),
            _ => None,
        }
    }

    /// For log and metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bare | Self::Document => "page",
            Self::Status => "page-status",
        }
    }
}

/// Where a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// The process lives.
    Health,
    /// What there is to ask.
    OpenApi,
    /// The operations page, or a part of it.
    Page(PagePart),
    /// A whitelisted method.
    Method(Api, Operation),
    /// Something for Frappe, and why.
    Decline(&'static str),
}

/// Finds the route of a request.
pub(crate) fn route(method: &Method, path: &str) -> Route {
    if path == "/healthz" {
        return Route::Health;
    }
    if path == "/memora-srs/openapi.json" {
        return match *method {
            Method::GET | Method::HEAD => Route::OpenApi,
            _ => Route::Decline("http-method"),
        };
    }
    if let Some(part) = PagePart::at(path) {
        return match *method {
            Method::GET | Method::HEAD => Route::Page(part),
            _ => Route::Decline("http-method"),
        };
    }
    let Some((api, operation)) = method_of(path) else {
        return Route::Decline("path");
    };
    match *method {
        // A preflight is about origins, not about this method.
        Method::OPTIONS => Route::Decline("cors"),
        Method::GET
        | Method::HEAD
        | Method::POST
        | Method::PUT
        | Method::PATCH
        | Method::DELETE => Route::Method(api, operation),
        _ => Route::Decline("http-method"),
    }
}

fn method_of(path: &str) -> Option<(Api, Operation)> {
    let rest = path.strip_prefix("/api/")?;
    let (api, method) = if let Some(method) = rest.strip_prefix("v2/method/") {
        (Api::V2, method)
    } else {
        let rest = rest.strip_prefix("v1/").unwrap_or(rest);
        (Api::V1, rest.strip_prefix("method/")?)
    };
    let operation = Operation::ALL
        .into_iter()
        .find(|operation| operation.method_path() == method)?;
    Some((api, operation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_on_every_url_of_frappe() {
        for (prefix, api) in [
            ("/api/method/", Api::V1),
            ("/api/v1/method/", Api::V1),
            ("/api/v2/method/", Api::V2),
        ] {
            for operation in Operation::ALL {
                let path = format!("{prefix}{}", operation.method_path());
                assert_eq!(
                    route(&Method::POST, &path),
                    Route::Method(api, operation),
                    "{path}"
                );
                assert_eq!(route(&Method::OPTIONS, &path), Route::Decline("cors"));
                assert_eq!(route(&Method::TRACE, &path), Route::Decline("http-method"));
            }
        }
    }

    #[test]
    fn any_other_spelling_is_for_frappe() {
        for path in [
            "/",
            "/api/method/",
            "/api/method/memora.api.reviews.get_review_session/",
            "/api/method/memora.api.reviews.get_review_session/x",
            "/api/method/memora%2Eapi.reviews.get_review_session",
            "/api//method/memora.api.reviews.get_review_session",
            "/api/v3/method/memora.api.reviews.get_review_session",
            "/api/v1/v1/method/memora.api.reviews.get_review_session",
            "/API/method/memora.api.reviews.get_review_session",
            "/api/method/memora.api.reviews.get_active_season",
            "/api/method/memora.api.srs.get_season_infrastructure",
            "/api/method/memora.api.srs.get_metrics",
            "/app/../api/method/memora.api.reviews.get_review_session",
            "/healthz/",
        ] {
            assert_eq!(route(&Method::GET, path), Route::Decline("path"), "{path}");
        }
    }

    #[test]
    fn the_page_is_only_looked_at() {
        for (path, part) in [
            ("/memora-srs", PagePart::Bare),
            ("/memora-srs/", PagePart::Document),
            ("/memora-srs/status.json", PagePart::Status),
        ] {
            assert_eq!(route(&Method::GET, path), Route::Page(part));
            assert_eq!(route(&Method::HEAD, path), Route::Page(part));
            assert_eq!(route(&Method::POST, path), Route::Decline("http-method"));
        }
        for path in [
            "/memora-srs/x",
            "/memora-srsx",
            "/memora-srs//",
            "/memora-srs/status.json/",
        ] {
            assert_eq!(route(&Method::GET, path), Route::Decline("path"), "{path}");
        }
    }

    #[test]
    fn http_methods_as_whitelisted() {
        use Operation::{Review as Of, Srs as By};
        for (method, read, submit, change) in [
            (Method::GET, true, false, false),
            (Method::POST, true, true, true),
            (Method::PUT, true, true, false),
            (Method::DELETE, true, true, false),
            (Method::HEAD, false, false, false),
            (Method::PATCH, false, false, false),
        ] {
            for operation in [
                Of(Review::GetSession),
                By(Srs::GetCacheStatus),
                By(Srs::GetArchiveStatus),
            ] {
                assert_eq!(operation.allows(&method), read, "{operation:?} {method}");
            }
            assert_eq!(
                Of(Review::SubmitSession).allows(&method),
                submit,
                "{method}"
            );
            for operation in [
                Srs::RebuildSeasonCache,
                Srs::TriggerReconciliation,
                Srs::ArchiveSeason,
                Srs::DeleteEligibleArchivedRecords,
            ] {
                assert_eq!(
                    By(operation).allows(&method),
                    change,
                    "{operation:?} {method}"
                );
            }
        }
    }
}
