//! What was written through a handle, to be read back before the volume is given away.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::filesystem::path::join;
use crate::filesystem::{Attributes, FileType, Filesystem};

/// What is expected of one path.
#[derive(Debug, Default)]
struct Expected {
    file_type: Option<FileType>,
    attributes: Option<Attributes>,
    /// The inode whose attributes were changed: a file of several names has them under each.
    inode: Option<u32>,
    /// Length and SHA-256 of a file.
    content: Option<(u64, [u8; 32])>,
    target: Option<String>,
}

/// Every path that was edited, with its last state; `None` is removed.
#[derive(Debug, Default)]
pub(super) struct Expectations(BTreeMap<String, Option<Expected>>);

impl Expectations {
    /// `path` is a regular file.
    pub(super) fn file(&mut self, path: &str, content: &[u8], attributes: Attributes) {
        let content = Some((content.len() as u64, Sha256::digest(content).into()));
        let file_type = Some(FileType::Regular);
        self.set(path, Expected { file_type, attributes: Some(attributes), content, ..Default::default() });
    }

    /// `path` is another name of the file `existing`, whose inode has these attributes.
    pub(super) fn linked(&mut self, path: &str, existing: &str, inode: u32, attributes: Attributes) {
        if let Some(Some(existing)) = self.0.get_mut(&key(existing)) {
            existing.inode = Some(inode);
        }
        self.set(path, Expected { attributes: Some(attributes), inode: Some(inode), ..Default::default() });
    }

    /// `path` is a directory.
    pub(super) fn directory(&mut self, path: &str, attributes: Attributes) {
        let file_type = Some(FileType::Directory);
        self.set(path, Expected { file_type, attributes: Some(attributes), ..Default::default() });
    }

    /// `path` is a symlink to `target`.
    pub(super) fn symlink(&mut self, path: &str, target: &str) {
        let file_type = Some(FileType::Symlink);
        self.set(path, Expected { file_type, target: Some(target.to_owned()), ..Default::default() });
    }

    /// `path`, a name of `inode`, has these attributes, whatever else it is.
    pub(super) fn attributes(&mut self, path: &str, inode: u32, attributes: Attributes) {
        for other in self.0.values_mut().flatten().filter(|other| other.inode == Some(inode)) {
            other.attributes = Some(attributes);
        }
        let expected = self.0.entry(key(path)).or_default().get_or_insert_default();
        (expected.attributes, expected.inode) = (Some(attributes), Some(inode));
    }

    /// Nothing is called `path`.
    pub(super) fn removed(&mut self, path: &str) {
        self.0.insert(key(path), None);
    }

    fn set(&mut self, path: &str, expected: Expected) {
        self.0.insert(key(path), Some(expected));
    }

    /// Reads everything back.
    ///
    /// # Errors
    /// Corrupt: the first difference.
    pub(super) fn check(&self, filesystem: &mut dyn Filesystem) -> Result<()> {
        for (path, expected) in &self.0 {
            check_one(path, expected.as_ref(), filesystem)?;
        }
        Ok(())
    }
}

fn shown(attributes: Attributes) -> String {
    format!("mode {:04o} and owner {}:{}", attributes.mode, attributes.uid, attributes.gid)
}

/// One spelling per path.
fn key(path: &str) -> String {
    join(&path.split('/').filter(|name| !name.is_empty()).collect::<Vec<_>>())
}

fn check_one(path: &str, expected: Option<&Expected>, filesystem: &mut dyn Filesystem) -> Result<()> {
    let differs = |what: &str| Err(Error::corrupt(format!("{path} does not read back: {what}")));
    let (expected, found) = match (expected, filesystem.metadata(path)?) {
        (None, None) => return Ok(()),
        (None, Some(_)) => return differs("it was removed and is still there"),
        (Some(_), None) => return differs("it is not there"),
        (Some(expected), Some(found)) => (expected, found),
    };
    if let Some(file_type) = expected.file_type
        && file_type != found.file_type
    {
        return differs(&format!("it is {:?}, not {file_type:?}", found.file_type));
    }
    if let Some(attributes) = expected.attributes
        && attributes != found.attributes
    {
        return differs(&format!("it has {}, not {}", shown(found.attributes), shown(attributes)));
    }
    if expected.target.is_some() && expected.target != found.link_target {
        return differs(&format!("it points to {:?}, not {:?}", found.link_target, expected.target));
    }
    if let Some((length, digest)) = expected.content {
        if length != found.size {
            return differs(&format!("it has {} bytes, not {length}", found.size));
        }
        if digest != <[u8; 32]>::from(Sha256::digest(filesystem.read(path)?)) {
            return differs("its content differs");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filesystem::open;
    use crate::filesystem::tests::support::{EPOCH, mke2fs, volume};

    /// Sets what is expected.
    type Expect<'a> = &'a dyn Fn(&mut Expectations);

    #[test]
    fn every_difference_is_told() {
        let mut filesystem = open(volume(&mke2fs(&["-t", "ext4", "8M"])), EPOCH).unwrap();
        let mode = Attributes::root;
        filesystem.write("/f", b"content", mode(0o644)).unwrap();
        filesystem.symlink("/l", "f").unwrap();
        let mut told = |expect: Expect<'_>| {
            let mut expectations = Expectations::default();
            expect(&mut expectations);
            expectations.check(&mut *filesystem).map_or_else(|error| error.to_string(), |()| "nothing".to_owned())
        };
        let same = |e: &mut Expectations| {
            e.file("//f", b"content", mode(0o644));
            e.symlink("/l", "f");
            e.removed("/none");
        };
        assert_eq!(told(&same), "nothing");
        let cases: [(&str, Expect<'_>); 7] = [
            ("/f does not read back: its content differs", &|e| e.file("/f", b"CONTENT", mode(0o644))),
            ("/f does not read back: it has 7 bytes, not 6", &|e| e.file("/f", b"conten", mode(0o644))),
            ("/f does not read back: it has mode 0644 and owner 0:0, not mode 0600 and owner 0:0", &|e| {
                e.attributes("/f", 12, mode(0o600));
            }),
            ("/f does not read back: it is Regular, not Directory", &|e| e.directory("/f", mode(0o644))),
            ("/l does not read back: it points to Some(\"f\"), not Some(\"g\")", &|e| e.symlink("/l", "g")),
            ("/f does not read back: it was removed and is still there", &|e| e.removed("/f")),
            ("/g does not read back: it is not there", &|e| e.symlink("/g", "f")),
        ];
        for (message, expect) in cases {
            assert_eq!(told(expect), message);
        }
    }
}
