//! Where a value came from, and what was read on the way.

use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::Value;

/// Where a value came from. Of two that give one, the later in this list wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Nobody gave it.
    Default,
    /// Found in the bench's installed programs.
    Detected,
    /// `common_site_config.json`.
    Common,
    /// `site_config.json` of the site.
    Site,
    /// An environment variable of this process.
    Environment(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Detected => f.write_str("found in the bench"),
            Self::Common => f.write_str("common_site_config.json"),
            Self::Site => f.write_str("site_config.json"),
            Self::Environment(name) => write!(f, "environment variable {name}"),
        }
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One value as it is used, fit for printing: secrets are `***`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Setting {
    /// The key of the configuration files.
    pub key: String,
    /// The value in use.
    pub value: Value,
    /// Where it came from.
    pub source: Source,
}
