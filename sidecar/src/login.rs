//! Who is asking.

use std::sync::Arc;

use http::request::Parts;
use memora_core::services::Site;
use memora_core::types::Player;

use crate::error::Failure;
use crate::extract::Args;
use crate::respond::Answer;

/// Somebody who is logged in.
pub(crate) struct Login {
    pub(crate) player: Player,
}

impl Login {
    pub(crate) fn slide_cookie(&self, answer: Answer) -> Answer {
        answer
    }
}

pub(crate) async fn login(
    site: &Arc<Site>,
    parts: &Parts,
    args: &Args,
    method_path: &str,
) -> Result<Login, Failure> {
    let _ = (site, parts, args, method_path);
    Err(Failure::Decline("login"))
}
