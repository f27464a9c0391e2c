//! The id of a submission's job: the same whoever queues it, however often.

use sha2::{Digest, Sha256};

use crate::batch::{Submission, SubmissionKey};
use crate::failpoint;
use crate::types::{Player, Season, SubmissionId};

/// Hex digits of the hash in a job id.
const ID_DIGITS: usize = 20;
/// Hex digits of the hash in a token's key.
const TOKEN_DIGITS: usize = 32;

/// The id of the RQ job that applies a submission, in a form that the installed RQ
/// accepts.
///
/// `<site>||srs_persist_<20 hex>`: the site comes first because Frappe's job list filters
/// by it, and `||` separates because RQ 2 loses jobs with a colon in their id. RQ 3
/// accepts only `[A-Za-z0-9_-]`: `<site>__srs_persist_<20 hex>` there, with other
/// characters of the site as `_`, and the site itself in the hash, since two sites may
/// then look the same.
pub fn persistence_job_id(
    site: &str,
    rq_major: u32,
    player: &Player,
    submission: &SubmissionId,
) -> String {
    job_id(
        site,
        rq_major,
        "srs_persist",
        &[player.as_str(), submission.as_str()],
    )
}

/// What a job id of [`persistence_job_id`] says of its submission, as bytes: the journal has
/// the same in `job_hash`. `None` for any other id, and for RQ 3, where the site is hashed
/// too.
pub fn hash_of_job(rq_major: u32, job_id: &str) -> Option<[u8; ID_DIGITS / 2]> {
    if rq_major >= 3 {
        return None;
    }
    let (_, digits) = job_id.rsplit_once("||srs_persist_")?;
    let mut hash = [0; ID_DIGITS / 2];
    hex::decode_to_slice(digits, &mut hash).ok()?;
    Some(hash)
}

/// The id of the job that asks apps about these questions.
pub(super) fn info_job_id(
    site: &str,
    rq_major: u32,
    player: &Player,
    season: &Season,
    questions: &[String],
) -> String {
    let mut parts = vec![player.as_str(), season.as_str()];
    parts.extend(questions.iter().map(String::as_str));
    job_id(site, rq_major, "srs_info", &parts)
}

/// The id of the job that tells administrators of an outage.
pub(super) fn notice_job_id(site: &str, rq_major: u32, event: &str, began_at: &str) -> String {
    job_id(site, rq_major, "srs_safe_mode", &[event, began_at])
}

/// The id of the job that tells administrators what a reconciliation found.
pub(super) fn discrepancies_job_id(site: &str, rq_major: u32, report: &str) -> String {
    job_id(site, rq_major, "srs_reconciliation", &[report])
}

fn job_id(site: &str, rq_major: u32, kind: &str, parts: &[&str]) -> String {
    if rq_major >= 3 {
        let plain = plain(site);
        let hash = hash(&[&[site], parts].concat());
        format!("{plain}__{kind}_{}", &hash[..ID_DIGITS])
    } else {
        let hash = hash(parts);
        let site = site.replace(':', "|");
        format!("{site}||{kind}_{}", &hash[..ID_DIGITS])
    }
}

/// The site in the characters that RQ 3 takes.
pub(super) fn plain(site: &str) -> String {
    let taken = |c: char| c.is_ascii_alphanumeric() || c == '-';
    site.chars()
        .map(|c| if taken(c) { c } else { '_' })
        .collect()
}

/// Names a submission within a site, for its token.
pub(super) fn token_of(submission: &Submission) -> String {
    if failpoint::planted("no_token") {
        return submission.attempt.to_hex();
    }
    token(&submission.key)
}

/// The same by the submission's name alone.
pub(super) fn token(key: &SubmissionKey) -> String {
    let mut hash = hash(&[key.player.as_str(), key.submission.as_str()]);
    hash.truncate(TOKEN_DIGITS);
    hash
}

/// Names a student's season within a site, for the entries of what is not journaled.
pub(super) fn schedule_hash(player: &Player, season: &Season) -> String {
    let mut hash = hash(&[player.as_str(), season.as_str()]);
    hash.truncate(TOKEN_DIGITS);
    hash
}

/// The submission id of a job that carries none: its own id without the site, or a hash
/// of it where that is no submission id.
///
/// The old implementation's job ids are `<site>::<uuid>`, of one made in Python by
/// Frappe 16 `<site>||<uuid>`.
pub(super) fn submission_of_job(job_id: &str) -> SubmissionId {
    let local = ["::", "||"]
        .iter()
        .find_map(|separator| job_id.split_once(separator))
        .map_or(job_id, |(_, local)| local);
    SubmissionId::parse("job id", local).unwrap_or_else(|_| {
        let name = format!("job_{}", &hash(&[job_id])[..40]);
        // Of hex digits and 44 long, so it is one; a new id would only lose the
        // protection against a second delivery.
        SubmissionId::parse("job id", &name).unwrap_or_else(|_| SubmissionId::generate())
    })
}

/// SHA-256 in hex over the parts, each after its length, so that no two lists of parts
/// look the same.
fn hash(parts: &[&str]) -> String {
    let mut sha = Sha256::new();
    for part in parts {
        sha.update((part.len() as u64).to_be_bytes());
        sha.update(part);
    }
    hex::encode(sha.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(site: &str, rq_major: u32, player: &str, submission: &str) -> String {
        let submission = SubmissionId::parse("submission_id", submission).unwrap();
        persistence_job_id(site, rq_major, &Player::stored(player), &submission)
    }

    #[test]
    fn the_id_depends_on_player_and_submission_and_nothing_else() {
        let known = id("srs.localhost", 1, "ann@example.com", "s-1");
        assert_eq!(known, id("srs.localhost", 2, "ann@example.com", "s-1"));
        assert_eq!(known, "srs.localhost||srs_persist_bf71d365775a172fd073");
        assert_ne!(known, id("srs.localhost", 1, "ann@example.com", "s-2"));
        assert_ne!(known, id("srs.localhost", 1, "Ann@example.com", "s-1"));
        assert_eq!(
            hex::encode(hash_of_job(1, &known).unwrap()),
            "bf71d365775a172fd073"
        );
        assert_eq!(hash_of_job(3, &known), None);
        // Where the one ends and the other begins counts.
        assert_ne!(id("s", 1, "ann1", "2"), id("s", 1, "ann", "12"));
    }

    #[test]
    fn rq_3_gets_ids_of_its_alphabet_and_sites_stay_apart() {
        let known = id("srs.localhost", 3, "ann@example.com", "s-1");
        assert!(known.starts_with("srs_localhost__srs_persist_"), "{known}");
        assert!(
            known
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        );
        assert_ne!(known, id("srs_localhost", 3, "ann@example.com", "s-1"));
        assert!(!id("a:b", 2, "ann", "s").contains(':'));
    }

    #[test]
    fn a_job_without_a_submission_id_lends_its_own() {
        let of = |id: &str| submission_of_job(id).as_str().to_owned();
        let uuid = "8cd6175d-10c3-4340-a3de-4a474135cb00";
        assert_eq!(of(&format!("srs.localhost::{uuid}")), uuid);
        assert_eq!(of(&format!("srs.localhost||{uuid}")), uuid);
        assert_eq!(of(uuid), uuid);
        let odd = of("srs.localhost::srs_persist_ann@lab.test_20261123");
        assert_eq!(odd.len(), 44);
        assert_eq!(odd, of("srs.localhost::srs_persist_ann@lab.test_20261123"));
        assert_ne!(odd, of("srs.localhost::srs_persist_bob@lab.test_20261123"));
    }
}
