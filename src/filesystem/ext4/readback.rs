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

    /// `path` has these attributes, whatever else it is.
    pub(super) fn attributes(&mut self, path: &str, attributes: Attributes) {
        let expected = self.0.entry(key(path)).or_default();
        expected.get_or_insert_default().attributes = Some(attributes);
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
        return differs(&format!("its attributes are {:?}, not {attributes:?}", found.attributes));
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
