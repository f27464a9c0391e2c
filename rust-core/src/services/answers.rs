//! From answers to the states that they lead to, absolute: for a submit, and for answers
//! that reach a worker without their states.

use chrono::NaiveDateTime;

use super::prior::Prior;
use super::request::Response;
use crate::batch::{Before, Item};
use crate::config::SrsConfig;
use crate::scheduling::{self, Answer};
use crate::site_time::SiteZone;
use crate::types::{QuestionId, QuestionState, Stability, UtcMicros, Version};

/// A state that somebody else computed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ready {
    /// Which question.
    pub(super) question_id: String,
    /// 0 to 5, if it came from an answer.
    pub(super) quality: Option<u8>,
    /// Milliseconds, 0 to 24 h.
    pub(super) response_time_ms: Option<u32>,
    /// 0 to 4.
    pub(super) stability: Stability,
    /// Next review, site wall time.
    pub(super) due: NaiveDateTime,
    /// Game Subject, if known.
    pub(super) subject: Option<String>,
    /// Game Topic, if known.
    pub(super) topic: Option<String>,
}

/// The items of a batch, in the making: one question may come twice, and its second
/// answer meets what the first made of it.
pub(super) struct Answers<'a> {
    srs: &'a SrsConfig,
    prior: &'a Prior,
    zone: SiteZone,
    now: UtcMicros,
    items: Vec<Item>,
}

impl<'a> Answers<'a> {
    /// None yet. `now` is when they were given.
    pub(super) fn new(
        srs: &'a SrsConfig,
        prior: &'a Prior,
        zone: SiteZone,
        now: UtcMicros,
    ) -> Self {
        Self {
            srs,
            prior,
            zone,
            now,
            items: Vec::new(),
        }
    }

    /// All of them, in order.
    pub(super) fn into_items(self) -> Vec<Item> {
        self.items
    }

    /// Takes an answer: the scheduler says what it leads to.
    pub(super) fn answer(&mut self, response: &Response) {
        let question = self.prior.stored(&response.question_id);
        let before = self.before(&question);
        let after = scheduling::schedule(
            before.as_ref().map(|state| scheduling::Before {
                stability: state.stability,
                due: state.due,
                last_review: state.last_review,
            }),
            Answer {
                quality: response.quality,
                response_time_ms: response.response_time_ms,
            },
            self.now,
            &self.srs.scheduler,
        );
        let version = before.as_ref().map_or(Version(0), |s| s.version);
        let state = QuestionState {
            question,
            stability: after.stability,
            due: self.zone.settle(after.due),
            last_review: Some(self.now),
            version: version.next(self.now),
            subject: before.as_ref().and_then(|s| s.subject.clone()),
            topic: before.as_ref().and_then(|s| s.topic.clone()),
        };
        self.push(
            &state,
            before.as_ref(),
            Some(response.quality),
            response.response_time_ms,
        );
    }

    /// Takes a state as it is. What it was computed from is not known, so its version is
    /// its time: a review that came later stays the newer one. Only with `newest`, where
    /// somebody sets it at this moment, it comes after what there is.
    pub(super) fn set(&mut self, ready: &Ready, newest: bool) {
        let question = self.prior.stored(&ready.question_id);
        let before = self.before(&question);
        let base = if newest { before.as_ref() } else { None };
        let base = base.map(|s| s.version);
        let earlier = self.earlier(&question).map(|i| Version(i.review_version));
        let version = base.max(earlier).unwrap_or(Version(0));
        let state = QuestionState {
            question,
            stability: ready.stability,
            due: self.zone.settle(self.zone.to_utc(ready.due)),
            last_review: Some(self.now),
            version: version.next(self.now),
            subject: ready.subject.clone(),
            topic: ready.topic.clone(),
        };
        self.push(
            &state,
            before.as_ref(),
            ready.quality,
            ready.response_time_ms,
        );
    }

    /// Takes an answer whose state before is not known: what it leads to is computed when
    /// it is applied. Its question is named as the student named it.
    pub(super) fn defer(&mut self, response: &Response) {
        let question = QuestionId::stored(&response.question_id);
        let earlier = self.earlier(&question).map(|i| Version(i.review_version));
        let version = earlier.unwrap_or(Version(0)).next(self.now);
        self.items.push(Item {
            question_id: response.question_id.clone(),
            quality: Some(response.quality),
            response_time_ms: response.response_time_ms,
            xp: self.srs.xp.for_quality(response.quality),
            raw: true,
            new_stability: 0.0,
            new_next_review_date: String::new(),
            due_us: 0,
            last_review_us: self.now.0,
            review_version: version.0,
            subject: None,
            topic: None,
            before: None,
        });
    }

    /// Takes an item whose state was computed before.
    pub(super) fn keep(&mut self, item: Item) {
        self.items.push(item);
    }

    fn earlier(&self, question: &QuestionId) -> Option<&Item> {
        let mut latest_first = self.items.iter().rev();
        latest_first.find(|item| item.question_id == question.as_str())
    }

    /// The state that an answer meets; `None` for a new question.
    fn before(&self, question: &QuestionId) -> Option<QuestionState> {
        self.earlier(question)
            .and_then(Item::state)
            .or_else(|| self.prior.state(question).cloned())
    }

    fn push(
        &mut self,
        after: &QuestionState,
        before: Option<&QuestionState>,
        quality: Option<u8>,
        response_time_ms: Option<u32>,
    ) {
        self.items.push(Item {
            question_id: after.question.as_str().to_owned(),
            quality,
            response_time_ms,
            xp: quality.map_or(0, |quality| self.srs.xp.for_quality(quality)),
            raw: false,
            new_stability: after.stability.to_f64(),
            new_next_review_date: self.zone.iso(after.due),
            due_us: after.due.0,
            last_review_us: self.now.0,
            review_version: after.version.0,
            subject: after.subject.clone(),
            topic: after.topic.clone(),
            before: before.map(|state| Before {
                stability: state.stability.to_f64(),
                due_us: state.due.0,
                last_review_us: state.last_review.map(|t| t.0),
                review_version: state.version.0,
            }),
        });
    }
}
