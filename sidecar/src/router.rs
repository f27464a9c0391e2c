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
    /// Which questions are due.
    GetReviewSession,
    /// Take answers.
    SubmitReviewSession,
}

impl Operation {
    const ALL: [Self; 2] = [Self::GetReviewSession, Self::SubmitReviewSession];

    /// The dotted path of the whitelisted Python function.
    pub(crate) fn method_path(self) -> &'static str {
        match self {
            Self::GetReviewSession => "memora.api.reviews.get_review_session",
            Self::SubmitReviewSession => "memora.api.reviews.submit_review_session",
        }
    }

    /// Whether the whitelist lets this HTTP method through: Frappe's default is GET,
    /// POST, PUT and DELETE. A submit by GET is refused: Frappe checks no CSRF token on
    /// GET, so any page could hand in answers in a student's name.
    pub(crate) fn allows(self, method: &Method) -> bool {
        match *method {
            Method::POST | Method::PUT | Method::DELETE => true,
            Method::GET => self == Self::GetReviewSession,
            _ => false,
        }
    }
}

/// Where a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// The process lives.
    Health,
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
    fn both_methods_on_every_url_of_frappe() {
        use Operation::{GetReviewSession, SubmitReviewSession};
        for (prefix, api) in [
            ("/api/method/", Api::V1),
            ("/api/v1/method/", Api::V1),
            ("/api/v2/method/", Api::V2),
        ] {
            for operation in [GetReviewSession, SubmitReviewSession] {
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
            "/api/method/memora.api.srs.get_cache_status",
            "/app/../api/method/memora.api.reviews.get_review_session",
            "/healthz/",
        ] {
            assert_eq!(route(&Method::GET, path), Route::Decline("path"), "{path}");
        }
    }

    #[test]
    fn http_methods_as_whitelisted() {
        use Operation::{GetReviewSession, SubmitReviewSession};
        for (method, read, submit) in [
            (Method::GET, true, false),
            (Method::POST, true, true),
            (Method::PUT, true, true),
            (Method::DELETE, true, true),
            (Method::HEAD, false, false),
            (Method::PATCH, false, false),
        ] {
            assert_eq!(GetReviewSession.allows(&method), read, "{method}");
            assert_eq!(SubmitReviewSession.allows(&method), submit, "{method}");
        }
    }
}
