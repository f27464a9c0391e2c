//! A submission by itself, for the places that keep one beside the journal: an entry on
//! the queue's Redis, a record in a spool file.

use serde::{Deserialize, Serialize};

use super::{Attempt, Batch, Submission, SubmissionKey};
use crate::types::{Player, Season, SubmissionId};
use crate::{Error, Result};

#[derive(Serialize, Deserialize)]
struct Carried {
    player: String,
    submission_id: String,
    season: String,
    attempt: String,
    fingerprint: String,
    batch: Batch,
}

impl Submission {
    /// As JSON, complete: whoever finds it can make the journal row.
    ///
    /// # Errors
    /// `Internal` if the batch holds a number that JSON has no form for.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let carried = Carried {
            player: self.key.player.as_str().to_owned(),
            submission_id: self.key.submission.as_str().to_owned(),
            season: self.season.as_str().to_owned(),
            attempt: self.attempt.to_hex(),
            fingerprint: hex::encode(self.fingerprint),
            batch: self.batch.clone(),
        };
        serde_json::to_vec(&carried)
            .map_err(|e| Error::internal("A submission cannot be written").with_source(e))
    }

    /// Reads what [`Self::to_json`] wrote.
    ///
    /// # Errors
    /// `Internal` if it is damaged, or of a format newer than this program.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        let wrong = || Error::internal("A submission cannot be read");
        let carried: Carried = serde_json::from_slice(json).map_err(|e| wrong().with_source(e))?;
        if !carried.batch.is_known_format() {
            return Err(Error::internal(format!(
                "A submission has format {}, newer than this program",
                carried.batch.v
            )));
        }
        let (mut attempt, mut fingerprint) = ([0; 16], [0; 32]);
        hex::decode_to_slice(&carried.attempt, &mut attempt)
            .and_then(|()| hex::decode_to_slice(&carried.fingerprint, &mut fingerprint))
            .map_err(|e| wrong().with_source(e))?;
        Ok(Self {
            key: SubmissionKey {
                player: Player::stored(carried.player),
                submission: SubmissionId::parse("submission_id", &carried.submission_id)?,
            },
            season: Season::stored(carried.season),
            attempt: Attempt(attempt),
            fingerprint,
            batch: carried.batch,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Door, RAW_FORMAT};

    fn submission() -> Submission {
        Submission {
            key: SubmissionKey {
                player: Player::stored("änn@example.com"),
                submission: SubmissionId::parse("id", "s-1").unwrap(),
            },
            season: Season::stored("SEASON-2026 'x' 🎓"),
            attempt: Attempt([7; 16]),
            fingerprint: [9; 32],
            batch: Batch::new(Door::Python, 5, Vec::new()),
        }
    }

    #[test]
    fn it_comes_back_whole() {
        let json = submission().to_json().unwrap();
        assert_eq!(Submission::from_json(&json).unwrap(), submission());
    }

    #[test]
    fn damage_and_newer_formats_are_refused() {
        let json = submission().to_json().unwrap();
        for end in 0..json.len() {
            assert!(Submission::from_json(&json[..end]).is_err(), "{end}");
        }
        let mut newer = submission();
        newer.batch.v = RAW_FORMAT + 1;
        assert!(Submission::from_json(&newer.to_json().unwrap()).is_err());
    }
}
