//! Labels of what is counted: each a bounded set of our own words, or a site of the bench.

use std::fmt;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};

/// What was asked, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Answered {
    /// A method's dotted path, or a word of the router's.
    pub operation: &'static str,
    /// The HTTP status.
    pub status: u16,
}

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Asked {
    /// As in [`Answered`].
    pub operation: &'static str,
}

/// Why Frappe is to answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Because {
    /// One of our own words.
    pub reason: String,
}

/// One site.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfSite {
    /// Its name.
    pub site: String,
}

/// What became of a read without the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Let through to the table.
    Degraded,
    /// Refused, to come back later.
    Limited,
}

/// A read without the cache.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SafeModeRead {
    /// Where.
    pub site: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// What is looked up to find out who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Looked {
    /// The session of a cookie.
    Session,
    /// A session's user, with the site's settings.
    User,
    /// An API key's owner.
    ApiKey,
}

/// Whether it was at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LoginOutcome {
    /// It was.
    Hit,
    /// A server had to be asked, or somebody who just does.
    Miss,
}

/// A look-up.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LookedUp {
    /// Of what.
    pub what: Looked,
    /// And what came of it.
    pub outcome: LoginOutcome,
}

impl EncodeLabelValue for Outcome {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        let name = match self {
            Self::Degraded => "degraded",
            Self::Limited => "limited",
        };
        EncodeLabelValue::encode(&name, encoder)
    }
}

impl EncodeLabelValue for Looked {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        let name = match self {
            Self::Session => "session",
            Self::User => "user",
            Self::ApiKey => "api_key",
        };
        EncodeLabelValue::encode(&name, encoder)
    }
}

impl EncodeLabelValue for LoginOutcome {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        let name = match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
        };
        EncodeLabelValue::encode(&name, encoder)
    }
}
