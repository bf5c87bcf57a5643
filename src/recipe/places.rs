//! Where each key of a table was written.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::error::Error;

/// A line and a column; both count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spot {
    /// The line.
    pub(crate) line: usize,
    /// The column.
    pub(crate) column: usize,
}

/// Where something was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a file.
    File {
        /// What errors call the file.
        name: Arc<str>,
        /// Where the key stands, or the item of a list.
        key: Spot,
        /// Where its value begins.
        value: Spot,
    },
    /// By an option, as it was given.
    Option(Arc<str>),
}

impl Place {
    /// Where the value begins.
    fn of_value(&self) -> String {
        match self {
            Self::File { name, value, .. } => format!("{name}, {value}"),
            Self::Option(_) => self.to_string(),
        }
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { name, key, .. } => write!(f, "{name}, {key}"),
            Self::Option(text) => f.write_str(text),
        }
    }
}

/// Where each key of a table was written, by its path (`ipoib.interface[0].mtu`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Places(BTreeMap<String, Place>);

impl Places {
    /// Notes that `path` was said by the option `option`.
    pub(crate) fn note(&mut self, path: &str, option: &str) {
        self.0.insert(path.to_owned(), Place::Option(option.into()));
    }

    /// Notes that `path` stands at `place`.
    pub(super) fn insert(&mut self, path: String, place: Place) {
        self.0.insert(path, place);
    }

    /// Forgets `path` and everything below it.
    pub(crate) fn forget(&mut self, path: &str) {
        for key in self.keys_below(path) {
            self.0.remove(&key);
        }
    }

    /// Takes over from `other` what it knows of `from` and of what is below it, as `to`.
    pub(super) fn adopt(&mut self, other: &Self, from: &str, to: &str) {
        self.forget(to);
        for key in other.keys_below(from) {
            if let (Some(place), Some(rest)) = (other.0.get(&key), key.get(from.len()..)) {
                self.0.insert(format!("{to}{rest}"), place.clone());
            }
        }
    }

    /// Forgets `path` and what is below it, and answers what was known.
    pub(super) fn take(&mut self, path: &str) -> Self {
        let keys = self.keys_below(path);
        Self(keys.into_iter().filter_map(|key| self.0.remove_entry(&key)).collect())
    }

    /// Notes that `path` is where it is in `other`, without what is below it.
    pub(super) fn note_as_in(&mut self, other: &Self, path: &str) {
        if let Some(place) = other.0.get(path) {
            self.0.insert(path.to_owned(), place.clone());
        }
    }

    /// What is known of the keys of the table `path`, counted from there.
    pub(crate) fn below(&self, path: &str) -> Self {
        let prefix = format!("{path}.");
        let inner = self.0.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix));
        Self(inner.filter_map(|(key, place)| Some((key.get(prefix.len()..)?.to_owned(), place.clone()))).collect())
    }

    /// `path` itself and the keys below it.
    fn keys_below(&self, path: &str) -> Vec<String> {
        let below =
            |key: &str| key.get(path.len()..).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
        let keys = self.0.range(path.to_owned()..).map(|(key, _)| key).take_while(|key| key.starts_with(path));
        keys.filter(|key| below(key)).cloned().collect()
    }

    /// Where `path` was written, or else the closest key around it.
    pub(crate) fn of(&self, path: &str) -> Option<String> {
        self.closest(path).map(ToString::to_string)
    }

    /// Where the value of `path` begins, or else that of the closest key around it.
    pub(crate) fn of_value(&self, path: &str) -> Option<String> {
        self.closest(path).map(Place::of_value)
    }

    fn closest(&self, path: &str) -> Option<&Place> {
        let mut path = path;
        loop {
            if let Some(place) = self.0.get(path) {
                return Some(place);
            }
            path = path.get(..path.rfind(['.', '['])?)?;
        }
    }

    /// `error` with the place of `path`, where it is known.
    pub(crate) fn locate(&self, error: Error, path: &str) -> Error {
        match self.of(path) {
            Some(place) => error.at(place),
            None => error,
        }
    }
}

/// Finds lines and columns in a text.
struct Lines<'a> {
    text: &'a str,
    /// Where each line begins.
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, starts }
    }

    /// Line and column of the byte at `offset`.
    fn spot(&self, offset: usize) -> Spot {
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let before = self.text.get(start..offset).or_else(|| self.text.get(start..)).unwrap_or_default();
        Spot { line, column: before.chars().count() + 1 }
    }
}

/// Places in the text of a file.
pub(crate) struct TextPlaces<'a> {
    name: Arc<str>,
    lines: Lines<'a>,
}

impl<'a> TextPlaces<'a> {
    /// Those in `text`, the content of the file that errors call `name`.
    pub(crate) fn of(text: &'a str, name: &str) -> Self {
        Self { name: name.into(), lines: Lines::of(text) }
    }

    /// The place of what begins at the byte `offset`.
    pub(crate) fn place(&self, offset: usize) -> Place {
        self.key_and_value(offset, offset)
    }

    /// The place of a value at the byte `value`, whose key stands at `key`.
    pub(super) fn key_and_value(&self, key: usize, value: usize) -> Place {
        Place::File { name: Arc::clone(&self.name), key: self.lines.spot(key), value: self.lines.spot(value) }
    }

    /// The place of the byte `offset`, in words.
    pub(crate) fn describe(&self, offset: usize) -> String {
        self.place(offset).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(paths: &[&str]) -> Places {
        let mut places = Places::default();
        for path in paths {
            places.note(path, &format!("at {path}"));
        }
        places
    }

    #[test]
    fn what_is_below_a_key_goes_with_it_and_its_namesakes_stay() {
        let mut known = places(&["a", "a.b", "a[0]", "a[0].c", "ab", "a-b"]);
        known.forget("a");
        assert_eq!(known, places(&["ab", "a-b"]));
    }

    #[test]
    fn places_move_with_the_keys_they_belong_to() {
        let mut known = places(&["list", "list[0]", "list[1]"]);
        known.adopt(&places(&["list[0]", "list[0].x"]), "list[0]", "list[1]");
        assert_eq!(known.of("list[1].x").as_deref(), Some("at list[0].x"));
        assert_eq!(known.of("list[0]").as_deref(), Some("at list[0]"));
        assert_eq!(known.of("list[1].x.deeper").as_deref(), Some("at list[0].x"));
        assert_eq!(known.below("list[1]").of("x").as_deref(), Some("at list[0].x"));
    }

    #[test]
    fn columns_count_characters_and_an_end_is_a_place_too() {
        let lines = Lines::of("äö=1\n\nx");
        let spot = |line, column| Spot { line, column };
        assert_eq!(lines.spot("äö".len()), spot(1, 3));
        assert_eq!(lines.spot("äö=1\n".len()), spot(2, 1));
        assert_eq!(lines.spot("äö=1\n\nx".len()), spot(3, 2));
    }
}
