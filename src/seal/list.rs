//! The form of `sha256sums`: lines as `sha256sum` writes and checks them.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::ops::Range;
use std::path::Path;

use crate::error::{Error, Result};

/// Longest list that is read; the one of a whole buildbot target has a few MB.
const LONGEST: u64 = 64 << 20;

/// The content of the file at `path`; `None` when there is none.
pub(super) fn read_list(path: &Path) -> Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("open", path, error)),
    };
    let mut content = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut content).map_err(|error| Error::io("read", path, error))?;
    if content.len() as u64 > LONGEST {
        return Err(Error::unsupported(format!("{} is longer than {LONGEST} bytes", path.display()))
            .remedy("move it out of the image's folder"));
    }
    Ok(Some(content))
}

/// One well-formed line: 64 hex digits, a blank, a blank or asterisk, the path.
pub(super) struct Line<'a> {
    /// Where the digest lies in the list.
    place: Range<usize>,
    /// In the spelling of the list.
    pub(super) digest: &'a str,
    path: &'a [u8],
}

impl Line<'_> {
    /// Whether it is of the file `name` beside the list.
    pub(super) fn names(&self, name: &str) -> bool {
        self.path.strip_prefix(b"./").unwrap_or(self.path) == name.as_bytes()
    }
}

/// The well-formed lines of `list`.
pub(super) fn lines(list: &[u8]) -> impl Iterator<Item = Line<'_>> {
    let mut start = 0;
    list.split_inclusive(|byte| *byte == b'\n').filter_map(move |line| {
        let place = start..start + 64;
        start += line.len();
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (digest, rest) = line.split_at_checked(64)?;
        let path = rest.strip_prefix(b" *").or_else(|| rest.strip_prefix(b"  "))?;
        let digest =
            std::str::from_utf8(digest).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        Some(Line { place, digest, path })
    })
}

/// `list` with the entry of `name` replaced where it is, or put in front of the first greater path (the lists are
/// sorted in the C locale). All other bytes stay.
pub(super) fn with_entry(list: &[u8], name: &str, digest: &str) -> Vec<u8> {
    let mut new = list.to_vec();
    let places: Vec<_> = lines(list).filter(|line| line.names(name)).map(|line| line.place).collect();
    if !places.is_empty() {
        for place in places {
            for (old, new) in new.iter_mut().skip(place.start).zip(digest.bytes().take(place.len())) {
                *old = new;
            }
        }
        return new;
    }
    let at = lines(list).find(|line| line.path > name.as_bytes()).map_or(list.len(), |line| line.place.start);
    let mut entry = format!("{digest} *{name}\n");
    if at == list.len() && list.last().is_some_and(|byte| *byte != b'\n') {
        entry.insert(0, '\n');
    }
    new.splice(at..at, entry.into_bytes());
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_lines_keep_their_bytes_whatever_they_are() {
        let digest = "0".repeat(64);
        let list = format!("# made by hand\n{digest}  b\r\nnonsense\n{digest}  ./d\n{digest} *last").into_bytes();
        let ones = "1".repeat(64);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let old = text(list.clone());
        assert_eq!(text(with_entry(&list, "b", &ones)), old.replace(&format!("{digest}  b"), &format!("{ones}  b")));
        assert_eq!(
            text(with_entry(&list, "d", &ones)),
            old.replace(&format!("{digest}  ./d"), &format!("{ones}  ./d"))
        );
        assert_eq!(text(with_entry(&list, "z", &ones)), format!("{old}\n{ones} *z\n"));
    }
}
