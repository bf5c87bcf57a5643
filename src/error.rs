//! The one error type: what happened, where, and what to do about it.
//!
//! A corrupt input, an input this program does not support, a caller's mistake and a failed system call call for
//! different actions, so they are different [`ErrorKind`]s with different exit codes.

use std::fmt;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The result type of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What sort of failure an [`Error`] is; decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// The result was computed, but a check on it failed (exit code 1).
    Check,
    /// The caller's mistake: an option, a recipe, a path, a missing module (exit code 2).
    Usage,
    /// A sound input of a kind that this program does not handle (exit code 3).
    Unsupported,
    /// An input that contradicts its own format (exit code 4).
    Corrupt,
    /// The operating system refused to read or write (exit code 5).
    Io,
}

impl ErrorKind {
    /// The process exit code that stands for this kind.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Check => 1,
            Self::Usage => 2,
            Self::Unsupported => 3,
            Self::Corrupt => 4,
            Self::Io => 5,
        }
    }
}

/// A failure: its kind, one sentence with the numbers in it, the places it was seen at (innermost first), and a remedy.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    places: Vec<String>,
    remedy: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), places: Vec::new(), remedy: None, source: None }))
    }

    /// A check on the result failed.
    pub fn check(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Check, message)
    }

    /// The caller asked for something that cannot be.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// The input is sound as far as seen, but of a kind that is not handled.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// The input contradicts its own format.
    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, message)
    }

    /// The operating system failed a request on `path`; `action` is a verb phrase such as "read" or "create".
    pub fn io(action: &str, path: &Path, source: std::io::Error) -> Self {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        let mut error = Self::new(ErrorKind::Io, format!("cannot {action} {}: {source}", path.display()));
        if matches!(source.kind(), StorageFull | QuotaExceeded) {
            error = error.remedy("make room on that filesystem, or choose another");
        }
        error.0.source = Some(Box::new(source));
        error
    }

    /// The file at `path`, which should be a `what` such as `image`, could not be opened: the caller's mistake where there is
    /// none, else what the operating system says.
    pub(crate) fn unopened(what: &str, path: &Path, source: std::io::Error) -> Self {
        use std::io::ErrorKind::{NotFound, PermissionDenied};
        match source.kind() {
            NotFound => Self::usage(format!("there is no file {}", path.display()))
                .remedy(format!("check the path of the {what}")),
            PermissionDenied => Self::io("open", path, source).remedy("make the file readable for your user"),
            _ => Self::io("open", path, source),
        }
    }

    /// Adds the place where it was seen: a path, a partition, a structure with its offset. Call once per level, from
    /// the inside out. The place that was added last is not added again: who lists a folder and who asked for the list
    /// both know its path.
    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        let place = place.into();
        if self.0.places.last() != Some(&place) {
            self.0.places.push(place);
        }
        self
    }

    /// Sets what the reader can do about it. The first remedy given wins: it is the closest to the cause.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.0.remedy.get_or_insert_with(|| remedy.into());
        self
    }

    /// The same failure told once more; what it came from is left out.
    pub(crate) fn again(&self) -> Self {
        let Inner { kind, message, places, remedy, .. } = &*self.0;
        let (message, places, remedy) = (message.clone(), places.clone(), remedy.clone());
        Self(Box::new(Inner { kind: *kind, message, places, remedy, source: None }))
    }

    /// The same failure, with message, places and remedy as `reword` makes them; what it came from is left out.
    #[must_use]
    pub(crate) fn reworded(mut self, reword: impl Fn(&str) -> String) -> Self {
        self.0.message = reword(&self.0.message);
        self.0.places.iter_mut().for_each(|place| *place = reword(place));
        self.0.remedy = self.0.remedy.map(|remedy| reword(&remedy));
        self.0.source = None;
        self
    }

    /// What sort of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What happened, without place and remedy.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Where it was seen, innermost first.
    pub fn places(&self) -> &[String] {
        &self.0.places
    }

    /// What the reader can do about it.
    pub fn remedy_text(&self) -> Option<&str> {
        self.0.remedy.as_deref()
    }
}

impl fmt::Display for Error {
    /// One line: the places from the outside in, then the message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for place in self.0.places.iter().rev() {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let source = self.0.source.as_deref()?;
        Some(source)
    }
}

/// Adds a place to the error of a `Result`.
pub(crate) trait At<T> {
    /// As [`Error::at`], for a whole `Result`.
    ///
    /// # Errors
    /// The same error, with the place added.
    fn at(self, place: impl FnOnce() -> String) -> Result<T>;
}

impl<T> At<T> for Result<T> {
    fn at(self, place: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| error.at(place()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_its_places_from_the_outside_in() {
        let error = Error::corrupt("header CRC is 0x1, the header says 0x2").at("GPT header at LBA 1").at("router.img");
        assert_eq!(error.to_string(), "router.img: GPT header at LBA 1: header CRC is 0x1, the header says 0x2");
        assert_eq!(error.kind().exit_code(), 4);
    }

    #[test]
    fn a_place_that_two_levels_know_is_named_once() {
        let error = Error::corrupt("x").at("/etc").at("/etc").at("router.img").at("/etc");
        assert_eq!(error.to_string(), "/etc: router.img: /etc: x");
    }

    #[test]
    fn the_remedy_closest_to_the_cause_is_kept() {
        let error = Error::usage("x").remedy("inner").remedy("outer");
        assert_eq!(error.remedy_text(), Some("inner"));
    }
}
