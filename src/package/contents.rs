//! The files of a package, made safe: every path stays in the image, and what cannot be put into one is refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{Error, Result};

/// Most files and directories of one package.
const MOST_ENTRIES: usize = 65_536;
/// Most bytes that the files of one package may hold; tests would not want to make so many.
pub(crate) const LARGEST_CONTENT: u64 = if cfg!(test) { 16 << 20 } else { 512 << 20 };
/// Longest path in bytes.
const LONGEST_PATH: usize = 4095;

/// Whom a file belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A number.
    Id(u32),
    /// A name, which only the image can tell the number of.
    Name(String),
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EntryKind {
    /// A directory.
    Directory,
    /// A regular file.
    File(Arc<[u8]>),
    /// A symlink to this target.
    Symlink(String),
}

/// One path of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Absolute.
    pub(crate) path: String,
    /// What is there.
    pub(crate) kind: EntryKind,
    /// Permission bits.
    pub(crate) mode: u16,
    /// Owner.
    pub(crate) user: Owner,
    /// Group.
    pub(crate) group: Owner,
    /// The path that it shares its content with in the package, where it is a hard link.
    pub(crate) linked_to: Option<String>,
}

/// Collects a package's entries, each checked as it comes.
#[derive(Debug, Default)]
pub(super) struct Contents {
    entries: Vec<Entry>,
    /// Which entry stands at a path.
    by_path: BTreeMap<String, usize>,
    bytes: u64,
}

impl Contents {
    /// Takes an entry; its path may still be as stored (`./etc/x`, `etc/x`, `/etc/x`). The root itself is left out.
    ///
    /// # Errors
    /// Corrupt: a path or link that leaves the root, one below a file or symlink of the same package, one that stands
    /// twice, or more than can be meant.
    pub(super) fn add(&mut self, stored: &str, mut entry: Entry) -> Result<()> {
        let Some(path) = clean(stored)? else { return Ok(()) };
        if self.entries.len() >= MOST_ENTRIES {
            return Err(suspicious(format!("it holds more than {MOST_ENTRIES} files")));
        }
        self.check_parents(&path)?;
        match &entry.kind {
            EntryKind::Symlink(target) => check_target(&path, target)?,
            EntryKind::File(bytes) if entry.linked_to.is_none() => self.count(bytes.len() as u64)?,
            EntryKind::File(_) | EntryKind::Directory => {}
        }
        if let Some(known) = self.by_path.get(&path).and_then(|index| self.entries.get(*index)) {
            let same = known.kind == EntryKind::Directory && entry.kind == EntryKind::Directory;
            return if same { Ok(()) } else { Err(suspicious(format!("{path} stands in it twice"))) };
        }
        entry.path.clone_from(&path);
        self.by_path.insert(path, self.entries.len());
        self.entries.push(entry);
        Ok(())
    }

    /// Counts bytes that are about to be read.
    ///
    /// # Errors
    /// Unsupported when they are more than a package may hold.
    pub(super) fn count(&mut self, bytes: u64) -> Result<()> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > LARGEST_CONTENT {
            return Err(Error::unsupported(format!("its files hold more than {} MiB", LARGEST_CONTENT >> 20))
                .remedy("give a package that fits into an image"));
        }
        Ok(())
    }

    /// The file at `stored`, which a hard link names.
    ///
    /// # Errors
    /// Corrupt when the package has had no such file so far.
    pub(super) fn linked(&self, path: &str, stored: &str) -> Result<(Arc<[u8]>, String)> {
        let target = clean(stored)?.unwrap_or_default();
        let index = self.by_path.get(&target);
        match index.and_then(|index| self.entries.get(*index)).map(|entry| &entry.kind) {
            Some(EntryKind::File(bytes)) => Ok((Arc::clone(bytes), target)),
            _ => Err(suspicious(format!(
                "the hard link {path} names {stored:?}, which is no file of the package before it"
            ))),
        }
    }

    /// The content of the file at the absolute `path`.
    pub(super) fn file(&self, path: &str) -> Option<&Arc<[u8]>> {
        match &self.entries.get(*self.by_path.get(path)?)?.kind {
            EntryKind::File(bytes) => Some(bytes),
            EntryKind::Directory | EntryKind::Symlink(_) => None,
        }
    }

    /// What came together.
    pub(super) fn finish(self) -> Vec<Entry> {
        self.entries
    }

    /// A file below a symlink of the same package would go wherever that points.
    fn check_parents(&self, path: &str) -> Result<()> {
        for (index, _) in path.match_indices('/').skip(1) {
            let Some(parent) = path.get(..index) else { continue };
            let above = self.by_path.get(parent).and_then(|index| self.entries.get(*index));
            let what = match above.map(|entry| &entry.kind) {
                None | Some(EntryKind::Directory) => continue,
                Some(EntryKind::Symlink(target)) => format!("a symlink to {target}"),
                Some(EntryKind::File(_)) => "a file".to_owned(),
            };
            return Err(suspicious(format!("{path} goes through {parent}, which is {what} in the same package")));
        }
        Ok(())
    }
}

/// The error for a package that no builder makes.
fn suspicious(message: String) -> Error {
    Error::corrupt(message).remedy("do not install this package; fetch or build it anew")
}

/// `stored` as an absolute path; nothing for the root itself.
///
/// # Errors
/// Corrupt: `..`, control characters, or a name or path that is too long.
fn clean(stored: &str) -> Result<Option<String>> {
    let refuse = |why: &str| Err(suspicious(format!("the path {:?} {why}", shown(stored))));
    let mut path = String::new();
    for name in stored.split('/').filter(|name| !matches!(*name, "" | ".")) {
        if name == ".." {
            return refuse("has .. in it and would leave its place");
        }
        if name.len() > 255 {
            return refuse("has a name of more than 255 bytes");
        }
        if name.chars().any(char::is_control) {
            return refuse("has a control character in it");
        }
        path.push('/');
        path.push_str(name);
    }
    if path.len() > LONGEST_PATH {
        return refuse("is longer than 4095 bytes");
    }
    Ok((!path.is_empty()).then_some(path))
}

/// The beginning of what may be very long.
fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

/// Refuses the target of a symlink that climbs above the root, or that no filesystem can hold.
fn check_target(path: &str, target: &str) -> Result<()> {
    let refuse = |why: &str| Err(suspicious(format!("the symlink {path} points to {:?}, which {why}", shown(target))));
    if target.is_empty() || target.len() > LONGEST_PATH || target.chars().any(char::is_control) {
        return refuse("no symlink can point to");
    }
    let mut depth = if target.starts_with('/') { 0 } else { path.matches('/').count().saturating_sub(1) };
    for name in target.split('/').filter(|name| !matches!(*name, "" | ".")) {
        if name != ".." {
            depth = depth.saturating_add(1);
        } else if depth == 0 {
            return refuse("leads out of the root");
        } else {
            depth = depth.saturating_sub(1);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: EntryKind) -> Entry {
        Entry { path: String::new(), kind, mode: 0o644, user: Owner::Id(0), group: Owner::Id(0), linked_to: None }
    }

    fn file() -> Entry {
        entry(EntryKind::File(Arc::from(&b"x"[..])))
    }

    fn link(target: &str) -> Entry {
        entry(EntryKind::Symlink(target.to_owned()))
    }

    fn added(entries: &[(&str, Entry)]) -> Result<Vec<String>> {
        let mut contents = Contents::default();
        for (path, entry) in entries {
            contents.add(path, entry.clone())?;
        }
        Ok(contents.finish().into_iter().map(|entry| entry.path).collect())
    }

    #[test]
    fn stored_paths_become_absolute_ones() {
        let directory = entry(EntryKind::Directory);
        let paths = added(&[
            ("./", directory.clone()),
            ("./etc/", directory.clone()),
            ("etc", directory.clone()),
            ("./etc/a", file()),
            ("/usr//b", file()),
            ("usr/c", link("../bin/busybox")),
            ("usr/d", link("/tmp/resolv.conf")),
        ]);
        assert_eq!(paths.unwrap(), ["/etc", "/etc/a", "/usr/b", "/usr/c", "/usr/d"]);
    }

    #[test]
    fn whatever_would_leave_its_place_is_refused() {
        let long = "n".repeat(256);
        for (entries, message) in [
            (vec![("./../etc/passwd", file())], "the path \"./../etc/passwd\" has .. in it and would leave its place"),
            (
                vec![("etc/..", entry(EntryKind::Directory))],
                "the path \"etc/..\" has .. in it and would leave its place",
            ),
            (vec![("a\nb", file())], "the path \"a\\nb\" has a control character in it"),
            (vec![(long.as_str(), file())], "has a name of more than 255 bytes"),
            (vec![("a", file()), ("./a", file())], "/a stands in it twice"),
            (
                vec![("a", link("/etc")), ("a/passwd", file())],
                "/a/passwd goes through /a, which is a symlink to /etc in the same package",
            ),
            (vec![("a", file()), ("a/b", file())], "/a/b goes through /a, which is a file in the same package"),
            (
                vec![("usr/a", link("../../etc"))],
                "the symlink /usr/a points to \"../../etc\", which leads out of the root",
            ),
            (vec![("a", link("/../x"))], "the symlink /a points to \"/../x\", which leads out of the root"),
            (vec![("a", link(""))], "the symlink /a points to \"\", which no symlink can point to"),
        ] {
            let error = added(&entries).unwrap_err();
            assert!(error.message().ends_with(message), "{error}");
            assert!(error.remedy_text().is_some());
        }
    }

    #[test]
    fn a_hard_link_names_a_file_that_came_before() {
        let mut contents = Contents::default();
        contents.add("./usr/bin/a", file()).unwrap();
        assert_eq!(contents.linked("/usr/bin/b", "./usr/bin/a").unwrap().1, "/usr/bin/a");
        let error = contents.linked("/usr/bin/b", "usr/bin/c").unwrap_err();
        assert!(error.message().starts_with("the hard link /usr/bin/b names \"usr/bin/c\""), "{error}");
    }
}
