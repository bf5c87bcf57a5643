//! A root filesystem as a tree of files in a folder, behind the `Filesystem` trait.
//!
//! The tree is read into memory when it is opened, names and attributes only; contents stay where they are, and edits stay
//! in memory. The folder itself is never written to: [`Directory::store`] writes the edited tree, or what changed of it,
//! into another one.
//!
//! A symlink is a name with a target and never a way: no path is followed through one, so nothing outside the folder is
//! read. Whoever unpacked a tree as an ordinary user owns all of it; the owner of the folder stands for root.

#[cfg(not(target_os = "linux"))]
#[path = "elsewhere.rs"]
mod system;
#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod system;

mod node;
mod scan;
mod store;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use node::{Body, Node};
pub(crate) use store::{Extent, Stored};

use super::path::{components, join, parent_and_name};
use super::{Attributes, DirectoryEntry, FileType, Filesystem, Kind, Metadata, Space};
use crate::error::{At, Error, Result};

/// The longest target of a symlink, in bytes: the system takes none longer.
const LONGEST_TARGET: usize = 4095;

/// A tree of files in a folder, with edits that are not yet anywhere else. Clones are independent.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    /// The folder.
    base: PathBuf,
    /// Every path below the folder, relative to it; the folder itself is the empty path.
    nodes: BTreeMap<PathBuf, Node>,
    /// Folders that other filesystems are mounted on; what is in those is not part of the tree.
    mounts: Vec<String>,
    /// Who stands for root: the folder's owner and group.
    owner: (u32, u32),
}

impl Directory {
    /// Reads the tree in the folder `base`; changes nothing in it, ever.
    ///
    /// # Errors
    /// Usage when there is no such folder; unsupported when it is no tree that can be a root, or on another system than
    /// Linux; I/O, with the remedy, when part of it cannot be read.
    pub(crate) fn open(base: &Path) -> Result<Self> {
        scan::scan(base)
    }

    /// Folders that other filesystems are mounted on, taken as empty.
    pub(crate) fn mounts(&self) -> &[String] {
        &self.mounts
    }

    /// Whether owners say something: a folder that is not root's was unpacked by a user, who owns all of it.
    pub(crate) fn keeps_owners(&self) -> bool {
        self.owner.0 == 0
    }

    /// Whether what is written can be given to any owner.
    pub(crate) fn can_give_away() -> bool {
        system::can_give_away()
    }

    /// The node at `path`.
    fn node(&self, path: &str) -> Result<Option<&Node>> {
        Ok(self.nodes.get(&key(&components(path)?)))
    }

    /// The key of `path`, whose parent is a directory, and whether something is there.
    fn slot(&self, path: &str) -> Result<(PathBuf, bool)> {
        let (above, name) = parent_and_name(path)?;
        let parent = key(&above);
        match self.nodes.get(&parent).map(|node| &node.body) {
            Some(Body::Directory) => {}
            _ => return Err(Error::usage(format!("there is no directory {}", join(&above)))),
        }
        let path = parent.join(name);
        let is_there = self.nodes.contains_key(&path);
        Ok((path, is_there))
    }

    /// Puts `body` at `path`, in place of a file, symlink or device.
    fn put(&mut self, path: &str, body: Body, attributes: Attributes) -> Result<()> {
        let (key, _) = self.slot(path)?;
        let old = self.nodes.get(&key);
        if old.is_some_and(|old| old.body == Body::Directory) {
            return Err(Error::usage("a directory has that name"));
        }
        // A file that takes another's place keeps its extended attributes.
        let keeps = |old: &&Node| old.is_file() && matches!(body, Body::Pending(_));
        let origin = old.filter(keeps).and_then(|old| old.origin.clone());
        self.nodes.insert(key, Node { body, attributes, origin, is_changed: true });
        Ok(())
    }

    /// Opens the file of the folder that `node` was seen as.
    ///
    /// # Errors
    /// I/O; corrupt when it is no longer the one that was seen.
    fn open_original(&self, node: &Node) -> Result<File> {
        let path = node.origin.as_ref().map_or_else(PathBuf::new, |origin| self.base.join(&origin.place));
        let file = File::open(&path).map_err(|error| Error::io("read", &path, error))?;
        let metadata = file.metadata().map_err(|error| Error::io("look at", &path, error))?;
        let seen = node.origin.as_ref().map(|origin| origin.inode);
        if seen != Some(system::described(&metadata).inode) {
            return Err(Error::corrupt(format!("{} was replaced while the tree was read", path.display()))
                .remedy("run it again when nothing else writes to the tree"));
        }
        Ok(file)
    }
}

/// The key of the path with the names `names`.
fn key(names: &[&str]) -> PathBuf {
    names.iter().collect()
}

impl Filesystem for Directory {
    fn kind(&self) -> Kind {
        Kind::Directory
    }

    fn space(&mut self) -> Result<Space> {
        Ok(Space::UNBOUNDED)
    }

    fn metadata(&mut self, path: &str) -> Result<Option<Metadata>> {
        Ok(self.node(path)?.map(Node::metadata))
    }

    fn list(&mut self, path: &str) -> Result<Vec<DirectoryEntry>> {
        if self.node(path)?.is_none_or(|node| node.body != Body::Directory) {
            return Err(Error::usage("there is no such directory").at(path));
        }
        let directory = key(&components(path)?);
        let below = self.nodes.range::<Path, _>((Bound::Excluded(directory.as_path()), Bound::Unbounded));
        let below = below.take_while(|(path, _)| path.starts_with(&directory));
        let entries = below.filter(|(path, _)| path.parent() == Some(&directory)).map(|(path, node)| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            DirectoryEntry { name, file_type: node.file_type() }
        });
        Ok(entries.collect())
    }

    fn read(&mut self, path: &str) -> Result<Vec<u8>> {
        let key = key(&components(path)?);
        match self.nodes.get(&key) {
            Some(Node { body: Body::Pending(bytes), .. }) => Ok(bytes.to_vec()),
            Some(node) if node.is_file() => {
                let mut file = self.open_original(node)?;
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes).map_err(|error| Error::io("read", &self.base.join(&key), error))?;
                Ok(bytes)
            }
            _ => Err(Error::usage("there is no such file").at(path)),
        }
    }

    fn other_names(&mut self, path: &str) -> Result<Vec<String>> {
        let own = key(&components(path)?);
        let node = self.nodes.get(&own).ok_or_else(|| Error::usage("nothing has that name").at(path))?;
        let Some(shared) = node.shared() else { return Ok(Vec::new()) };
        let others = self.nodes.iter().filter(|(other, node)| **other != own && node.shared() == Some(shared));
        Ok(others.map(|(other, _)| format!("/{}", other.display())).collect())
    }

    fn link(&mut self, path: &str, existing: &str) -> Result<()> {
        let (own, is_there) = self.slot(path).at(|| path.to_owned())?;
        if is_there {
            return Err(Error::usage("something has that name already").at(path));
        }
        let node = self.nodes.get_mut(&key(&components(existing)?)).filter(|node| node.is_file());
        let node = node.ok_or_else(|| Error::usage(format!("there is no file {existing}")).at(path))?;
        if let Some(origin) = &mut node.origin {
            origin.links = origin.links.max(1).saturating_add(1);
        }
        node.is_changed = true;
        let node = node.clone();
        self.nodes.insert(own, node);
        Ok(())
    }

    fn write(&mut self, path: &str, content: &[u8], attributes: Attributes) -> Result<()> {
        self.put(path, Body::Pending(Arc::from(content)), attributes).at(|| path.to_owned())
    }

    fn make_directory(&mut self, path: &str, attributes: Attributes) -> Result<()> {
        if self.slot(path).at(|| path.to_owned())?.1 {
            return Err(Error::usage("something has that name already").at(path));
        }
        self.put(path, Body::Directory, attributes).at(|| path.to_owned())
    }

    fn symlink(&mut self, path: &str, target: &str) -> Result<()> {
        if target.is_empty() || target.len() > LONGEST_TARGET || target.contains('\0') {
            let found = target.len();
            let message = format!("a symlink's target has 1 to {LONGEST_TARGET} bytes and no NUL, not {found}");
            return Err(Error::usage(message).at(path));
        }
        self.put(path, Body::Symlink(target.into()), Attributes::root(0o777)).at(|| path.to_owned())
    }

    fn set_attributes(&mut self, path: &str, attributes: Attributes) -> Result<()> {
        let key = key(&components(path)?);
        let shared = match self.nodes.get_mut(&key) {
            None => return Err(Error::usage("nothing has that name").at(path)),
            Some(Node { body: Body::Symlink(_), .. }) => {
                return Err(Error::usage("a symlink has no permissions of its own").at(path));
            }
            Some(node) => {
                (node.attributes, node.is_changed) = (attributes, true);
                node.shared()
            }
        };
        // The other names of the same file show the same.
        for node in self.nodes.values_mut().filter(|node| shared.is_some() && node.shared() == shared) {
            node.attributes = attributes;
        }
        Ok(())
    }

    fn remove(&mut self, path: &str) -> Result<()> {
        let (key, is_there) = self.slot(path).at(|| path.to_owned())?;
        if !is_there {
            return Err(Error::usage("nothing has that name").at(path));
        }
        if self.nodes.get(&key).is_some_and(|node| node.file_type() == FileType::Directory) {
            let entries = self.list(path)?.len();
            if entries > 0 {
                return Err(Error::usage(format!("the directory is not empty: it has {entries} entries")).at(path));
            }
        }
        self.nodes.remove(&key);
        Ok(())
    }
}
