//! Something to be said about the image or the wishes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// Worth knowing.
    Note,
    /// It may not do what is meant.
    Warning,
    /// It will not work.
    Error,
}

/// One remark with its remedy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Finding {
    /// Stable identifier, such as `dhcp-over-ipoib`.
    pub(crate) id: String,
    /// Its weight.
    pub(crate) severity: Severity,
    /// What was found, one sentence with its place.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) remedy: Option<String>,
}

impl Finding {
    /// The same as a mistake of the caller's.
    pub(crate) fn into_error(self) -> Error {
        let error = Error::usage(self.message);
        match self.remedy {
            Some(remedy) => error.remedy(remedy),
            None => error,
        }
    }
}
