//! The root as it was before it was patched, over the root as it is. For reading only.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{State, packed_path, unpack};
use crate::error::{At, Error, Result};
use crate::filesystem::{Attributes, DirectoryEntry, FileType, Filesystem, Kind, Metadata, Space};

/// The view. What is laid over the filesystem are paths with what they are to show; nothing may lie below a path that shows
/// no directory.
pub(crate) struct View {
    filesystem: Box<dyn Filesystem>,
    over: Arc<BTreeMap<String, State>>,
}

impl View {
    /// Lays `over` over `filesystem`, which holds what is [kept](super::Record::kept) of the files in it.
    pub(crate) fn new(filesystem: Box<dyn Filesystem>, over: Arc<BTreeMap<String, State>>) -> Self {
        Self { filesystem, over }
    }

    /// What is laid over the names in the directory `path`.
    fn over(&self, path: &str) -> impl Iterator<Item = (&str, &State)> {
        let prefix = if path == "/" { path.to_owned() } else { format!("{path}/") };
        let from = prefix.clone();
        let below = self.over.range(from..).map_while({
            let prefix = prefix.clone();
            move |(path, state)| path.starts_with(&prefix).then_some((path.as_str(), state))
        });
        below.filter_map(move |(path, state)| {
            let name = path.strip_prefix(&prefix).filter(|name| !name.contains('/'))?;
            Some((name, state))
        })
    }
}

fn is_directory(metadata: Option<&Metadata>) -> bool {
    metadata.is_some_and(|metadata| metadata.file_type == FileType::Directory)
}

fn refused() -> Error {
    Error::usage("what a root was before it was patched cannot be written to")
}

impl Filesystem for View {
    fn kind(&self) -> Kind {
        self.filesystem.kind()
    }

    fn space(&mut self) -> Result<Space> {
        self.filesystem.space()
    }

    fn metadata(&mut self, path: &str) -> Result<Option<Metadata>> {
        match self.over.get(path) {
            Some(State::Special) | None => self.filesystem.metadata(path),
            Some(state) => Ok(state.metadata()),
        }
    }

    fn list(&mut self, path: &str) -> Result<Vec<DirectoryEntry>> {
        if !is_directory(self.metadata(path)?.as_ref()) {
            return Err(Error::usage("there is no such directory").at(path));
        }
        let listed = match is_directory(self.filesystem.metadata(path)?.as_ref()) {
            true => self.filesystem.list(path)?,
            false => Vec::new(),
        };
        let mut names: BTreeMap<String, FileType> =
            listed.into_iter().map(|entry| (entry.name, entry.file_type)).collect();
        for (name, state) in self.over(path) {
            match state.metadata() {
                Some(metadata) => drop(names.insert(name.to_owned(), metadata.file_type)),
                None if *state == State::Absent => drop(names.remove(name)),
                None => {}
            }
        }
        Ok(names.into_iter().map(|(name, file_type)| DirectoryEntry { name, file_type }).collect())
    }

    fn read(&mut self, path: &str) -> Result<Vec<u8>> {
        match self.over.get(path) {
            Some(State::File { sha256, .. }) => {
                // Where only permissions were changed the content is still there.
                let own = packed_path(sha256);
                if self.filesystem.metadata(&own)?.is_none() {
                    return self.filesystem.read(path);
                }
                unpack(&self.filesystem.read(&own)?, sha256).at(|| path.to_owned())
            }
            Some(State::Special) | None => self.filesystem.read(path),
            Some(_) => Err(Error::usage("there is no such file").at(path)),
        }
    }

    fn write(&mut self, _path: &str, _content: &[u8], _attributes: Attributes) -> Result<()> {
        Err(refused())
    }

    fn make_directory(&mut self, _path: &str, _attributes: Attributes) -> Result<()> {
        Err(refused())
    }

    fn symlink(&mut self, _path: &str, _target: &str) -> Result<()> {
        Err(refused())
    }

    fn set_attributes(&mut self, _path: &str, _attributes: Attributes) -> Result<()> {
        Err(refused())
    }

    fn remove(&mut self, _path: &str) -> Result<()> {
        Err(refused())
    }
}
