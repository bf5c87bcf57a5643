//! A setting that breaks a rule, before anyone knows in which file it stands.

use crate::error::Error;

/// What is wrong with the setting at `key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    /// Path below the table that was checked, such as `interface[1].mtu`.
    pub(crate) key: String,
    /// One sentence with the value in it.
    pub(crate) message: String,
    /// What to write instead.
    pub(crate) remedy: Option<String>,
    /// Whether it could be, but is not done here.
    pub(crate) unsupported: bool,
}

impl Violation {
    /// The value at `key` cannot be.
    pub(crate) fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into(), remedy: None, unsupported: false }
    }

    /// Sets what to write instead.
    pub(crate) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Marks it as possible but not done here.
    pub(crate) fn unsupported(mut self) -> Self {
        self.unsupported = true;
        self
    }

    /// The same, with `prefix` before its key.
    pub(crate) fn below(mut self, prefix: &str) -> Self {
        if !prefix.is_empty() {
            self.key = if self.key.is_empty() { prefix.to_owned() } else { format!("{prefix}.{}", self.key) };
        }
        self
    }

    /// As an error without a place.
    pub(crate) fn into_error(self) -> Error {
        let error = if self.unsupported { Error::unsupported(self.message) } else { Error::usage(self.message) };
        match self.remedy {
            Some(remedy) => error.remedy(remedy),
            None => error,
        }
    }
}
