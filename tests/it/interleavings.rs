//! What happens when two things meet, made to meet by failpoints.

mod schedules;
mod staging;
mod submits;

use std::sync::Arc;

use memora_core::failpoint;
use memora_core::schedule_cache::{Known, Lookup};
use memora_core::services::{Site, apply, fill};
use memora_core::store::apply::Work;
use memora_core::store::journal;
use memora_core::types::SubmissionId;
use memora_tests::questions::question_id;
use memora_tests::servers::RedisOptions;
use memora_tests::{TestSite, wait};

use crate::story::{
    ann, apply_all, count, forget, furnish, ids, is_complete, read, season, site_with, submit,
    waiting, warm,
};

/// Keys of schedules, whatever they are.
async fn keys(test: &TestSite) -> Vec<String> {
    let mut redis = test.cache.connection().await;
    redis::cmd("KEYS")
        .arg("*srs:*")
        .query_async(&mut redis)
        .await
        .expect("KEYS")
}

fn spawn_fill(site: &Arc<Site>) -> tokio::task::JoinHandle<memora_core::Result<fill::Filled>> {
    let site = site.clone();
    tokio::spawn(async move { fill::run(&site, &ann(), &season(), &[]).await })
}
