//! One cell of the table: servers with faults, what is answered meanwhile, and what is
//! there afterwards.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use memora_core::batch::Door;
use memora_core::services::read::{ReviewRequest, ReviewSession, get_review_session};
use memora_core::services::submit::{SubmitAnswer, SubmitRequest, submit_review_session};
use memora_core::services::{Site, fill, unjournaled};
use memora_core::types::{Player, UtcMicros};
use memora_core::{ErrorKind, Result};
use memora_tests::questions::question_id;
use memora_tests::wait;
use serde_json::json;
use tokio::time::Instant;

use super::servers::{Fault, Stage};
use crate::story::{ANN, SEASON, answers, apply_all, args, ids, season};

/// The student whose schedule is not in the cache.
pub(super) const BOB: &str = "bob@example.com";

/// No submit takes as long, budgets of a busy machine included.
const IN_TIME: Duration = Duration::from_secs(5);
/// No read either: the table has five seconds.
const READ_IN_TIME: Duration = Duration::from_secs(9);

/// What is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Says {
    /// 200.
    Yes,
    /// 200 and `is_degraded`: the new schedule may not show yet, or is not all.
    Degraded,
    /// 503 and when to come back.
    No,
}
pub(super) use Says::{Degraded, No, Yes};

/// One line of the table: answers of submit and read, to a student whose schedule is
/// cached, and to one whose schedule is not.
pub(super) type Cell<'a> = (&'a [Fault], [Says; 2], [Says; 2]);

async fn submit(site: &Arc<Site>, who: &str, id: &str, question: &str) -> Result<SubmitAnswer> {
    let body = json!({"responses": answers(&[question]), "submission_id": id});
    let request = SubmitRequest::from_args(&args(body), None, None)?;
    let now = UtcMicros::now();
    submit_review_session(site, &Player::stored(who), &request, Door::Http, now).await
}

async fn read(site: &Arc<Site>, who: &str) -> Result<ReviewSession> {
    let request = ReviewRequest::from_args(&args(json!({"limit": 50})))?;
    get_review_session(site, &Player::stored(who), &request, UtcMicros::now()).await
}

fn says<T>(answer: &Result<T>, is_degraded: impl Fn(&T) -> bool) -> Says {
    match answer {
        Ok(answer) if is_degraded(answer) => Degraded,
        Ok(_) => Yes,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
            assert!(error.retry_after().is_some(), "{error:?}");
            No
        }
    }
}

fn shows(session: &Result<ReviewSession>, question: &str) -> bool {
    let session = session.as_ref();
    session.is_ok_and(|session| ids(session).contains(&question))
}

/// A submit under faults, to be looked at again.
struct Sent {
    who: &'static str,
    id: String,
    question: String,
    answer: Result<SubmitAnswer>,
}

impl Stage {
    /// Plays one line of the table.
    pub(super) async fn cell(&mut self, (faults, warm, cold): Cell<'_>) {
        let n = self.cells;
        self.cells += 1;
        let name = format!("cell {n}, {faults:?}");
        eprintln!("{name}");
        let site = self.open();
        self.prepare(&site).await;
        for fault in faults {
            self.begin(*fault).await;
        }
        let mut sent = Vec::new();
        for (who, expected) in [(ANN, warm), (BOB, cold)] {
            let (id, question) = (format!("s-{n}"), question_id(n));
            let began = Instant::now();
            let answer = submit(&site, who, &id, &question).await;
            let took = began.elapsed();
            let said = says(&answer, |a| a.is_degraded);
            assert_eq!(said, expected[0], "{name}: submit of {who}: {answer:?}");
            assert!(took < IN_TIME, "{name}: {took:?}");
            if let Err(error) = &answer {
                assert_eq!(error.submission_id(), Some(id.as_str()), "{name}");
            }
            // A Redis that refuses is given up after three refusals. Until then a student of
            // whom it lacks something is served by the table, in full.
            let session = wait::until("the cache is given up", || async {
                let is_given_up = site.safe_mode().is_active();
                let session = self.timed_read(&site, who).await;
                // G4: from such an acknowledgement on, it shows.
                assert!(said != Yes || !shows(&session, &question), "{name}: {who}");
                let early = faults.contains(&Fault::CacheDown)
                    && !is_given_up
                    && says(&session, |s| s.is_degraded) == Yes;
                (!early).then_some(session)
            })
            .await;
            let shown = says(&session, |s| s.is_degraded);
            let total = session.as_ref().map(|s| s.total_due);
            assert_eq!(shown, expected[1], "{name}: read of {who}: {total:?}");
            sent.push(Sent {
                who,
                id,
                question,
                answer,
            });
        }
        for fault in faults {
            self.end(*fault).await;
        }
        self.recovers(&name, &site, &sent).await;
    }

    async fn timed_read(&self, site: &Arc<Site>, who: &str) -> Result<ReviewSession> {
        let began = Instant::now();
        let session = read(site, who).await;
        let took = began.elapsed();
        assert!(took < READ_IN_TIME, "{took:?}");
        session
    }

    /// The warm student's schedule is complete, the cold one's not there.
    async fn prepare(&self, site: &Arc<Site>) {
        wait::until("all is well", || async {
            let session = read(site, ANN).await.ok()?;
            (!session.is_degraded).then_some(())
        })
        .await;
        wait::until("the schedule is filled", || async {
            let filled = fill::run(site, &Player::stored(ANN), &season(), &[]).await;
            (filled.ok()? == fill::Filled::Yes).then_some(())
        })
        .await;
        // A fill of an earlier cell may still be about to publish it.
        wait::until("nobody fills the other's schedule", || async {
            let player = Player::stored(BOB);
            let fill = site.cache.begin_fill(&player, &season()).await.unwrap()?;
            site.cache.invalidate(&player, &season()).await.unwrap();
            fill.release().await.unwrap();
            Some(())
        })
        .await;
    }

    /// Everything acknowledged is there exactly once, and what was refused is, once it is
    /// repeated.
    async fn recovers(&self, name: &str, site: &Arc<Site>, sent: &[Sent]) {
        for Sent {
            who,
            id,
            question,
            answer,
        } in sent
        {
            let again = wait::until("the same submit is taken again", || async {
                submit(site, who, id, question).await.ok()
            })
            .await;
            if let Ok(answer) = answer {
                assert_eq!(again.processed, answer.processed, "{name}");
                assert_eq!(again.xp_earned, answer.xp_earned, "{name}");
                assert_eq!(again.persistence_job_id, answer.persistence_job_id);
            }
        }
        wait::until("the rows are there, and no entries", || async {
            let rows: Vec<Vec<u8>> = self
                .test
                .query(
                    "SELECT player FROM memora_srs_journal WHERE submission_id = ?",
                    (&sent[0].id,),
                )
                .await;
            // As all processes that stay do every few seconds: a submit that was refused may
            // have left an entry.
            if sent.iter().any(|sent| sent.answer.is_err()) {
                unjournaled::look(site).await.ok()?;
            }
            let noted = site.unjournaled.are_there().await.ok()?;
            (rows.len() == sent.len() && !noted).then_some(())
        })
        .await;
        apply_all(&self.test, site).await;
        for Sent {
            who, id, question, ..
        } in sent
        {
            let logged: Vec<i64> = self
                .test
                .query(
                    "SELECT review_version FROM memora_srs_review_log \
                     WHERE player = ? AND question = ?",
                    (who, question),
                )
                .await;
            let version: Option<i64> = self
                .test
                .query_one(
                    "SELECT review_version FROM `tabPlayer Memory Tracker` \
                     WHERE player = ? AND season = ? AND question_id = ?",
                    (who, SEASON, question),
                )
                .await;
            assert_eq!(logged.len(), 1, "{name}: {who} {id}");
            assert_eq!(version, Some(logged[0]), "{name}: {who} {id}");
        }
        // What is shown in the end, in this process and in another.
        for site in [site.clone(), self.open()] {
            for Sent { who, question, .. } in sent {
                let session = wait::until("reads are normal again", || async {
                    let session = read(&site, who).await.ok()?;
                    (!session.is_degraded).then_some(session)
                })
                .await;
                let shown: HashSet<&str> = ids(&session).into_iter().collect();
                assert!(!shown.contains(question.as_str()), "{name}: {who}");
            }
        }
    }
}
