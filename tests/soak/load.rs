//! The students: they read and submit at a steady rate, through either sidecar, and try
//! again with the same submission id where they got no answer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{NaiveDateTime, TimeZone};
use chrono_tz::Tz;
use memora_core::types::{Stability, UtcMicros};
use memora_tests::http::{Answer, Call};
use memora_tests::questions::SUBJECTS;
use memora_tests::soak::Dice;
use memora_tests::soak::evidence::{
    Ack, Answered, Micros, Outcome, Read, Refusal, Session, Shown, Submit, Tracked, Try,
};
use memora_tests::soak::plan::SIDECARS;
use memora_tests::{Http, Student};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::recorder::Recorder;
use crate::stage::Stage;

const READ: &str = "/api/method/memora.api.reviews.get_review_session";
const SUBMIT: &str = "/api/method/memora.api.reviews.submit_review_session";
/// How long a student waits for an answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a student tries again after the end.
const PERSISTENCE: Duration = Duration::from_secs(60);
/// Requests at once; a phone that waits sends no more.
const AT_ONCE: u32 = 300;
/// Students with more to do than others, so that requests of one student meet.
const BUSY: usize = 8;
/// Questions that a student may meet for the first time.
const NEW: usize = 5;

/// The students at work.
pub(crate) struct Load {
    stage: Arc<Stage>,
    recorder: Arc<Recorder>,
    zone: Tz,
    /// By student: all questions, and those shown last.
    known: Vec<Mutex<(Vec<String>, Vec<String>)>>,
    next: Mutex<u64>,
}

impl Load {
    /// None at work yet.
    pub(crate) fn new(stage: Arc<Stage>, recorder: Arc<Recorder>, start: &[Tracked]) -> Arc<Self> {
        let known = stage.students.iter().map(|student| {
            let own = start
                .iter()
                .filter(|tracked| tracked.player == student.name);
            let mut questions: Vec<String> = own.map(|t| t.question.clone()).collect();
            questions.extend((0..NEW).map(|i| format!("NEW-000:{i}")));
            Mutex::new((questions, Vec::new()))
        });
        Arc::new(Self {
            known: known.collect(),
            zone: stage.site.zone,
            stage,
            recorder,
            next: Mutex::new(0),
        })
    }

    /// Works for so long, then waits until everybody has an answer.
    pub(crate) async fn run(self: Arc<Self>, rate: f64, time: Duration, mut dice: Dice) {
        let start = Instant::now();
        let end = start + time;
        let turns = Arc::new(Semaphore::new(AT_ONCE as usize));
        for n in 0_u32.. {
            let planned = start + Duration::from_secs_f64(f64::from(n) / rate);
            if planned >= end {
                break;
            }
            sleep_until(planned).await;
            let Ok(turn) = turns.clone().try_acquire_owned() else {
                self.recorder
                    .skipped
                    .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                continue;
            };
            let (load, mut dice) = (self.clone(), dice.fork());
            tokio::spawn(async move {
                load.act(&mut dice, end + PERSISTENCE).await;
                drop(turn);
            });
        }
        // All turns are free when all have ended.
        drop(turns.acquire_many(AT_ONCE).await);
    }

    /// Everybody reads once through each sidecar.
    pub(crate) async fn last_look(&self) {
        for student in 0..self.stage.students.len() {
            for door in 0..SIDECARS {
                self.read(student, door, None, 50).await;
            }
        }
    }

    async fn act(&self, dice: &mut Dice, end: Instant) {
        let student = match dice.percent(30) {
            true => dice.below(BUSY.min(self.stage.students.len())),
            false => dice.below(self.stage.students.len()),
        };
        let door = dice.below(SIDECARS);
        if dice.percent(60) {
            let subject = dice
                .percent(10)
                .then(|| SUBJECTS[dice.below(SUBJECTS.len())].0);
            let limit = if dice.percent(80) {
                50
            } else {
                dice.between(1, 30)
            };
            self.read(student, door, subject, limit).await;
            return;
        }
        let other = SIDECARS - 1 - door;
        let answers = self.answers(student, dice);
        let (fork, twin) = (&mut dice.fork(), &mut dice.fork());
        match dice.below(20) {
            // The same twice at once, as an impatient client sends it.
            0..=1 => {
                let number = self.new_submit(student, answers);
                tokio::join!(
                    self.deliver(student, number, door, fork, end),
                    self.deliver(student, number, other, twin, end)
                );
            }
            // Two of the same questions at once, from two devices.
            2..=3 => {
                let one = self.new_submit(student, answers.clone());
                let two = self.new_submit(student, answers);
                tokio::join!(
                    self.deliver(student, one, door, fork, end),
                    self.deliver(student, two, other, twin, end)
                );
            }
            // Once more, though it was acknowledged: the answer did not reach the phone.
            4..=5 => {
                let number = self.new_submit(student, answers);
                self.deliver(student, number, door, fork, end).await;
                self.deliver(student, number, other, twin, end).await;
            }
            // The same questions again, at once, through the other sidecar.
            6..=8 => {
                let one = self.new_submit(student, answers.clone());
                self.deliver(student, one, door, fork, end).await;
                let two = self.new_submit(student, answers);
                self.deliver(student, two, other, twin, end).await;
            }
            // A client that uses an id again, for other answers.
            9 => {
                let number = self.new_submit(student, answers);
                self.deliver(student, number, door, fork, end).await;
                self.use_again(student, number, other, twin).await;
            }
            _ => {
                let number = self.new_submit(student, answers);
                self.deliver(student, number, door, fork, end).await;
            }
        }
        // Whoever was told that it is taken, looks.
        self.read(student, dice.below(SIDECARS), None, 50).await;
    }

    fn answers(&self, student: usize, dice: &mut Dice) -> Vec<Answered> {
        let known = self.known[student]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (all, shown) = &*known;
        let count = dice.between(1, 5);
        let mut answers: Vec<Answered> = Vec::new();
        for _ in 0..count {
            let from = if dice.percent(70) && !shown.is_empty() {
                shown
            } else {
                all
            };
            let Some(question) = dice.pick(from).cloned() else {
                continue;
            };
            // A question twice in one batch is rare, and allowed.
            if dice.percent(97) && answers.iter().any(|a| a.question == question) {
                continue;
            }
            let quality = if dice.percent(50) {
                dice.below(3)
            } else {
                dice.between(3, 5)
            };
            answers.push(Answered {
                question,
                quality: quality as u8,
            });
        }
        answers
    }

    fn new_submit(&self, student: usize, answers: Vec<Answered>) -> usize {
        let id = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            *next += 1;
            format!("soak-{next}")
        };
        self.recorder.submit(Submit {
            player: self.stage.students[student].name.clone(),
            id: id.clone(),
            answers,
            tries: Vec::new(),
            others: Vec::new(),
        })
    }

    /// Sends a submit until it is acknowledged, or for good refused, or time is up.
    async fn deliver(
        &self,
        student: usize,
        number: usize,
        mut door: usize,
        dice: &mut Dice,
        end: Instant,
    ) {
        let Some((id, answers)) = self.recorder.contents(number) else {
            return;
        };
        let body = body(&id, &answers);
        let student = &self.stage.students[student];
        loop {
            let (began, ended, answer) = self
                .send(student, door, |http| http.post(SUBMIT).json(&body))
                .await;
            let outcome = outcome(answer, ack);
            let again = match &outcome {
                Outcome::Good(_) => None,
                Outcome::Refused(r) if matches!(r.status, 429 | 503) => {
                    Some(Duration::from_secs(r.retry_after.unwrap_or(1).min(3)))
                }
                Outcome::Refused(_) => None,
                Outcome::Unanswered => Some(Duration::from_millis(dice.between(100, 500) as u64)),
            };
            self.recorder.tried(
                number,
                Try {
                    door,
                    began,
                    ended,
                    outcome,
                },
            );
            let Some(pause) = again.filter(|_| Instant::now() < end) else {
                return;
            };
            sleep(pause).await;
            door = dice.below(SIDECARS);
        }
    }

    /// Sends other answers under the id of a submit that was acknowledged; once, whatever
    /// comes of it.
    async fn use_again(&self, student: usize, number: usize, door: usize, dice: &mut Dice) {
        if !self.recorder.is_acknowledged(number) {
            return;
        }
        let Some((id, first)) = self.recorder.contents(number) else {
            return;
        };
        let mut answers = self.answers(student, dice);
        if answers == first {
            // By chance; then it would be the same submit.
            answers[0].quality = (answers[0].quality + 1) % 6;
        }
        let body = body(&id, &answers);
        let student = &self.stage.students[student];
        let (began, ended, answer) = self
            .send(student, door, |http| http.post(SUBMIT).json(&body))
            .await;
        let outcome = outcome(answer, ack);
        self.recorder.other(
            number,
            Try {
                door,
                began,
                ended,
                outcome,
            },
        );
    }

    async fn read(&self, student: usize, door: usize, subject: Option<&str>, limit: usize) {
        let limit_text = limit.to_string();
        let mut query = vec![("limit", limit_text.as_str())];
        query.extend(subject.map(|subject| ("subject", subject)));
        let who = &self.stage.students[student];
        let (began, ended, answer) = self
            .send(who, door, |http| http.get(READ).query(&query))
            .await;
        let outcome = outcome(answer, |message| self.session(message));
        if let (Outcome::Good(session), None) = (&outcome, subject) {
            let mut known = self.known[student]
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            known.1 = session
                .questions
                .iter()
                .map(|q| q.question.clone())
                .collect();
        }
        self.recorder.read(Read {
            player: who.name.clone(),
            door,
            began,
            ended,
            subject: subject.map(str::to_owned),
            limit,
            outcome,
        });
    }

    fn session(&self, message: &Value) -> Option<Session> {
        let questions = message["questions"].as_array()?.iter().map(|question| {
            let wall: NaiveDateTime = question["next_review_date"].as_str()?.parse().ok()?;
            let due = self.zone.from_local_datetime(&wall).earliest()?;
            Some(Shown {
                question: question["question_id"].as_str()?.to_owned(),
                due: due.timestamp_micros(),
                stability: Stability::from_f64(question["stability"].as_f64()?).nanos(),
            })
        });
        Some(Session {
            degraded: message["is_degraded"].as_bool()?,
            total: message["total_due"].as_u64()?,
            questions: questions.collect::<Option<_>>()?,
        })
    }

    /// Sends a request: when, until when, and what came; half of the students have a
    /// session, half a token.
    async fn send(
        &self,
        student: &Student,
        door: usize,
        call: impl for<'h> Fn(&'h Http) -> Call<'h>,
    ) -> (Micros, Micros, Option<Answer>) {
        let http = Http::new(self.stage.address(door), &self.stage.site.name);
        let has_session = student
            .sid
            .as_bytes()
            .first()
            .is_some_and(|b| b.is_multiple_of(2));
        let give_up = Instant::now() + PATIENCE;
        loop {
            let call = match has_session {
                true => call(&http).cookie(student),
                false => call(&http).token(student),
            };
            let began = UtcMicros::now().0;
            let answer = timeout(PATIENCE, call.try_send()).await;
            let answer = answer.ok().and_then(Result::ok);
            if Instant::now() >= give_up || !answer.as_ref().is_some_and(is_frappes) {
                return (began, UtcMicros::now().0, answer);
            }
            // nginx passes it to Frappe, which extends the session and answers; here it is
            // asked again, until the sidecar looks again.
            let extend = self.stage.site.extend_session(student);
            let _ = timeout(PATIENCE, extend).await;
            sleep(Duration::from_millis(500)).await;
        }
    }
}

/// Whether a session that only the table has is to be extended, which is Frappe's task.
fn is_frappes(answer: &Answer) -> bool {
    answer.status.as_u16() == 421 && answer.header("x-memora-decline") == "session-refresh"
}

/// A submit's body.
fn body(id: &str, answers: &[Answered]) -> Value {
    let responses = answers.iter().map(|answered| {
        let Answered { question, quality } = answered;
        json!({"question_id": question, "quality": quality, "response_time_ms": 3000})
    });
    json!({"responses": responses.collect::<Vec<_>>(), "submission_id": id})
}

/// The message of an acknowledgement.
fn ack(message: &Value) -> Option<Ack> {
    Some(Ack {
        degraded: message["is_degraded"].as_bool().unwrap_or(false),
        job: message["persistence_job_id"].as_str()?.to_owned(),
        processed: message["processed"].as_u64()?,
    })
}

/// What an answer means; `good` reads the message of a 200.
fn outcome<T>(answer: Option<Answer>, good: impl Fn(&Value) -> Option<T>) -> Outcome<T> {
    let Some(answer) = answer else {
        return Outcome::Unanswered;
    };
    let refused = |text: String| {
        Outcome::Refused(Refusal {
            status: answer.status.as_u16(),
            retry_after: answer.header("retry-after").parse().ok(),
            text,
        })
    };
    let text = || answer.text().chars().take(300).collect::<String>();
    if answer.status.as_u16() != 200 {
        return refused(text());
    }
    let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
    match body.and_then(|body| good(&body["message"])) {
        Some(good) => Outcome::Good(good),
        None => refused(format!("an answer that cannot be read: {}", text())),
    }
}
