//! `get_review_session` and `submit_review_session`, once it is known who asks.

use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use memora_core::batch::Door;
use memora_core::failpoint;
use memora_core::services::Site;
use memora_core::services::read::{ReviewRequest, get_review_session};
use memora_core::services::submit::{SubmitRequest, submit_review_session};
use memora_core::types::{Player, UtcMicros};

use crate::error::Failure;
use crate::extract::Args;
use crate::middleware::REQUEST_ID;
use crate::respond::{Answer, Envelope};
use crate::router::Review;

/// A client's own name for a submit.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Answers a student.
pub(super) async fn call(
    site: &Arc<Site>,
    asked: Review,
    player: &Player,
    args: &Args,
    headers: &HeaderMap,
    envelope: Envelope,
) -> Result<Answer, Failure> {
    let now = UtcMicros::now();
    failpoint::hit(&site.config.site, "before_service").await?;
    match asked {
        Review::GetSession => {
            let request = ReviewRequest::from_args(args)?;
            let session = get_review_session(site, player, &request, now).await?;
            Ok(envelope.success(&session))
        }
        Review::SubmitSession => {
            let key = text(headers, &IDEMPOTENCY_KEY);
            let request_id = text(headers, &REQUEST_ID);
            let request = SubmitRequest::from_args(args, key, request_id)?;
            let answer = submit_review_session(site, player, &request, Door::Http, now);
            // No part of the futures of reads, which are many more.
            let answer = Box::pin(answer).await?;
            Ok(envelope.success(&answer))
        }
    }
}

/// A header's text; one that is not ASCII counts as empty, which no id may be.
fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers
        .get(name)
        .map(|value| value.to_str().unwrap_or_default())
}
