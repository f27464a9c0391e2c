//! `docs/openapi.json`, for tools and for people. Without a login: it is the same for every
//! site and says nothing about any.

use crate::respond::{self, Answer};

/// The document.
pub(crate) fn openapi() -> Answer {
    respond::document(include_str!("../../../docs/openapi.json"))
}

#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::Value;

    use crate::router::{Route, route};

    /// What is documented is routed; `tests/python/test_openapi.py` asks all of it.
    #[test]
    fn every_documented_path_has_a_route() {
        let document = include_str!("../../../docs/openapi.json");
        let document: Value = serde_json::from_str(document).unwrap();
        let paths = document["paths"].as_object().unwrap();
        for (path, methods) in paths {
            // On the address for monitoring.
            if methods.get("servers").is_some() {
                continue;
            }
            for method in methods.as_object().unwrap().keys() {
                let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
                let route = route(&method, path);
                assert!(!matches!(route, Route::Decline(_)), "{method} {path}");
            }
        }
    }
}
