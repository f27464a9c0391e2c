//! The methods of `memora.api.srs`, for System Managers alone.

use std::sync::Arc;

use memora_core::frappe::SYSTEM_MANAGER;
use memora_core::services::{Site, administer};
use memora_core::types::{Player, UtcMicros};
use memora_core::{Error, ErrorKind};
use serde_json::Value;

use crate::error::Failure;
use crate::extract::Args;
use crate::respond::{Answer, Envelope};
use crate::router::Srs;

/// Answers an administrator.
pub(super) async fn call(
    site: &Arc<Site>,
    asked: Srs,
    user: &Player,
    args: &Args,
    envelope: Envelope,
) -> Result<Answer, Failure> {
    let now = UtcMicros::now();
    administrators_only(site, user, now).await?;
    Ok(match asked {
        Srs::GetCacheStatus => envelope.success(&administer::get_cache_status(site).await?),
        Srs::RebuildSeasonCache => {
            let rebuilding = administer::rebuild_season_cache(site, user, args, now);
            envelope.success(&rebuilding.await?)
        }
        Srs::TriggerReconciliation => {
            refuse_other_digits(args)?;
            envelope.success(&administer::trigger_reconciliation(site, args).await?)
        }
        Srs::ArchiveSeason => {
            let archived = administer::archive_season(site, user, args, now);
            envelope.success(&archived.await?)
        }
        Srs::GetArchiveStatus => {
            envelope.success(&administer::get_archive_status(site, args).await?)
        }
        Srs::DeleteEligibleArchivedRecords => {
            let deleted = administer::delete_eligible_archived_records(site, user, args, now);
            envelope.success(&deleted.await?)
        }
    })
}

/// Fails for everybody but System Managers.
///
/// # Errors
/// 403; 503 if the database is away.
pub(super) async fn administrators_only(
    site: &Site,
    user: &Player,
    now: UtcMicros,
) -> Result<(), Failure> {
    let has = site.auth.has_role(&site.db, user, SYSTEM_MANAGER, now);
    system_manager(has.await?)
}

/// The same for who only wants to look, also while the database does not answer.
///
/// # Errors
/// As [`administrators_only`].
pub(super) async fn administrators_look(
    site: &Site,
    user: &Player,
    now: UtcMicros,
) -> Result<(), Failure> {
    let had = site.auth.had_role(&site.db, user, SYSTEM_MANAGER, now);
    system_manager(had.await?)
}

fn system_manager(is_one: bool) -> Result<(), Failure> {
    if is_one {
        return Ok(());
    }
    let message = "Only a System Manager may do this";
    Err(Error::new(ErrorKind::Forbidden, message).into())
}

/// Declines a size in digits of other scripts, which Python reads as well.
fn refuse_other_digits(args: &Args) -> Result<(), Failure> {
    match args.get("sample_size") {
        Some(Value::String(text)) if !text.is_ascii() => Err(Failure::Decline("sample-size")),
        _ => Ok(()),
    }
}
