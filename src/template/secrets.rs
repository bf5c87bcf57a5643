//! What must not be repeated.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Error;

/// What stands in the place of a secret.
const COVER: &str = "<secret>";
/// Characters in a row that tell too much of a secret. Messages shorten and quote values, so that a secret is not always
/// repeated as it is.
const TELLING: usize = 4;

/// The secrets that templates read, to be kept out of all that is printed. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Secrets(Arc<Mutex<BTreeSet<String>>>);

impl Secrets {
    /// Keeps `secret` from being repeated.
    pub(super) fn keep(&self, secret: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(secret.to_owned());
    }

    /// `text` with everything covered that tells of a secret.
    pub(crate) fn cover(&self, text: &str) -> String {
        let folded = fold(text);
        let mut telling = vec![false; folded.len()];
        for secret in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            mark(&folded, &fold(secret), &mut telling);
            mark(&folded, &fold(&secret.escape_debug().to_string()), &mut telling);
        }
        covered(text, &telling)
    }

    /// `error` in words that tell of no secret.
    pub(crate) fn cover_error(&self, error: Error) -> Error {
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
            return error;
        }
        error.reworded(|text| self.cover(text))
    }
}

/// The characters of `text`, without difference between upper and lower case.
fn fold(text: &str) -> Vec<char> {
    text.chars().map(|character| character.to_ascii_lowercase()).collect()
}

/// Marks the characters of `text` that tell of `secret`.
fn mark(text: &[char], secret: &[char], telling: &mut [bool]) {
    let width = secret.len().min(TELLING);
    if width == 0 {
        return;
    }
    let pieces: BTreeSet<&[char]> = secret.windows(width).collect();
    for (start, _) in text.windows(width).enumerate().filter(|(_, piece)| pieces.contains(piece)) {
        telling.iter_mut().skip(start).take(width).for_each(|telling| *telling = true);
    }
}

/// `text` with each run of telling characters replaced.
fn covered(text: &str, telling: &[bool]) -> String {
    let mut covered = String::with_capacity(text.len());
    let mut before = false;
    for (character, telling) in text.chars().zip(telling) {
        match telling {
            false => covered.push(character),
            true if !before => covered.push_str(COVER),
            true => {}
        }
        before = *telling;
    }
    covered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(all: &[&str]) -> Secrets {
        let secrets = Secrets::default();
        all.iter().for_each(|secret| secrets.keep(secret));
        secrets
    }

    #[test]
    fn a_secret_is_covered_whole_cut_quoted_and_in_other_cases() {
        let secrets = secrets(&["Tr0ub4dor\"&3", "äx"]);
        for (text, covered) in [
            ("the value Tr0ub4dor\"&3 is bad", "the value <secret> is bad"),
            ("the value \"Tr0ub4dor\\\"&3\" is bad", "the value \"<secret>\" is bad"),
            ("cut: Tr0ub…", "cut: <secret>…"),
            ("tr0ub4dor", "<secret>"),
            ("short äx äx", "short <secret> <secret>"),
            ("Tr0 is too little to tell", "Tr0 is too little to tell"),
        ] {
            assert_eq!(secrets.cover(text), covered);
        }
    }

    #[test]
    fn an_error_is_covered_in_all_its_parts() {
        let error = Error::usage("hunter2 is short").at("--set a=hunter2").remedy("not hunter2");
        let error = secrets(&["hunter2"]).cover_error(error);
        assert_eq!(error.to_string(), "--set a=<secret>: <secret> is short");
        assert_eq!(error.remedy_text(), Some("not <secret>"));
    }
}
