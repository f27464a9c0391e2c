//! Questions, answers and submits that are always the same.

use memora_core::batch::{Attempt, Batch, Before, Door, Item, Submission, SubmissionKey};
use memora_core::types::{
    Player, QuestionId, QuestionState, Season, Stability, SubmissionId, UtcMicros, Version,
};
use serde_json::{Value, json};

/// 2026-01-19 10:00:00 UTC.
pub(super) const NOW: UtcMicros = UtcMicros(1_768_816_800_000_000);
/// Questions of a page, answers of a submit.
pub(super) const PAGE: usize = 20;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

pub(super) fn question_id(n: usize) -> String {
    format!("STAGE-{:03}:{}", n / 10, n % 10)
}

/// A student's questions, the earlier ones the more overdue.
pub(super) fn states(count: usize) -> Vec<QuestionState> {
    let state = |n: usize| QuestionState {
        question: QuestionId::stored(question_id(n)),
        stability: Stability::from_f64(1.0 + (n % 30) as f64 / 10.0),
        due: UtcMicros(NOW.0 - (count - n) as i64 * 60 * SECOND),
        last_review: Some(UtcMicros(NOW.0 - 7 * DAY + n as i64 * 1_234_567)),
        version: Version(NOW.0 - 7 * DAY + n as i64 * 1_234_567),
        subject: Some("Mathematics".to_owned()),
        topic: Some("Algebra".to_owned()),
    };
    (0..count).map(state).collect()
}

/// The body of a submit.
pub(super) fn answers() -> Value {
    let answer = |n: usize| {
        json!({
            "question_id": question_id(n), "quality": n % 6, "response_time_ms": 1_500 + n * 137
        })
    };
    json!({"responses": (0..PAGE).map(answer).collect::<Value>()})
}

/// The `n`th student's answers with the states that they led to.
pub(super) fn submission(n: usize) -> Submission {
    let item = |index: usize| Item {
        question_id: question_id(index),
        quality: Some((index % 6) as u8),
        response_time_ms: Some(1_500 + index as u32 * 137),
        xp: 20,
        raw: false,
        new_stability: 1.0 + index as f64 / 17.0,
        new_next_review_date: "2026-01-26T10:00:00".to_owned(),
        due_us: NOW.0 + 7 * DAY + index as i64 * 3_600 * SECOND,
        last_review_us: NOW.0,
        review_version: NOW.0 + index as i64,
        subject: Some("Mathematics".to_owned()),
        topic: Some("Algebra".to_owned()),
        before: Some(Before {
            stability: 1.0 + index as f64 / 19.0,
            due_us: NOW.0 - DAY,
            last_review_us: Some(NOW.0 - 7 * DAY),
            review_version: NOW.0 - 7 * DAY,
        }),
    };
    let name = format!("0123456789abcdef-{n}");
    let submission = SubmissionId::parse("submission_id", &name);
    Submission {
        key: SubmissionKey {
            player: Player::stored(format!("student-{n:06}@example.com")),
            submission: submission.unwrap_or_else(|e| panic!("{e}")),
        },
        season: Season::stored("SEASON-2026"),
        attempt: Attempt([7; 16]),
        fingerprint: [9; 32],
        batch: Batch::new(Door::Http, NOW.0, (0..PAGE).map(item).collect()),
    }
}
