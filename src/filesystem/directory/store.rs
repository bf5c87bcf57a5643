//! Writing the edited tree, or what changed of it, into another folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::node::{Body, Node, Shared};
use super::{Directory, system};
use crate::error::{Error, Result};
use crate::filesystem::Attributes;
use crate::progress::Progress;

/// How much of the tree is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All of it.
    Whole,
    /// What edits made or changed, and the directories above.
    Changes,
}

/// What was written, and what could not be written as it should be. Paths are those inside the tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Number of files, symlinks included.
    pub(crate) files: usize,
    /// Number of directories, the folder itself left out.
    pub(crate) directories: usize,
    /// Length of all files' content, in bytes.
    pub(crate) bytes: u64,
    /// Device nodes and the like that could not be made.
    pub(crate) specials: Vec<String>,
    /// Paths that could not be given to their owner, with the owner's and group's number.
    pub(crate) owners: Vec<String>,
    /// Paths that could not be given their permissions.
    pub(crate) modes: Vec<String>,
    /// Extended attributes that could not be set.
    pub(crate) extended: Vec<String>,
}

impl Directory {
    /// Writes the tree into the folder `to`, which is there and empty. What edits made is dated `epoch`, in seconds since
    /// 1970; all else keeps its time. Files are copied, never linked to those of the tree.
    ///
    /// # Errors
    /// I/O; corrupt when the tree changed since it was read.
    pub(crate) fn store(&self, to: &Path, extent: Extent, epoch: u64, progress: &dyn Progress) -> Result<Stored> {
        let time = UNIX_EPOCH.checked_add(Duration::from_secs(epoch)).unwrap_or(UNIX_EPOCH);
        let nodes = self.chosen(extent);
        let can_give_away = system::can_give_away();
        let mut writer =
            Writer { directory: self, to, time, can_give_away, links: BTreeMap::new(), stored: Stored::default() };
        for (key, node) in &nodes {
            writer.write(key, node, progress)?;
        }
        // Directories get their permissions and times last, the deepest first: what is written into one changes its time.
        for (key, node) in nodes.iter().rev().filter(|(_, node)| node.body == Body::Directory) {
            writer.finish(key, node).map_err(|error| failed("finish", key, error))?;
        }
        system::settle(to);
        Ok(writer.stored)
    }

    /// Length in bytes of the files that are written.
    pub(crate) fn stored_length(&self, extent: Extent) -> u64 {
        self.chosen(extent).iter().map(|(_, node)| node).filter(|node| node.is_file()).map(|node| node.size()).sum()
    }

    /// What is written, parents before what is in them.
    fn chosen(&self, extent: Extent) -> Vec<(&Path, &Node)> {
        let all = self.nodes.iter().map(|(key, node)| (key.as_path(), node));
        if extent == Extent::Whole {
            return all.collect();
        }
        let changed = self.nodes.iter().filter(|(_, node)| node.is_changed);
        let wanted: BTreeSet<&Path> = changed.flat_map(|(key, _)| key.ancestors()).chain([Path::new("")]).collect();
        all.filter(|(key, _)| wanted.contains(key)).collect()
    }
}

struct Writer<'a> {
    directory: &'a Directory,
    to: &'a Path,
    /// When what edits made was made.
    time: SystemTime,
    can_give_away: bool,
    /// Where the first name of a file with several names was written.
    links: BTreeMap<Shared, PathBuf>,
    stored: Stored,
}

impl Writer<'_> {
    /// Makes what is at `key`; a directory is finished later.
    fn write(&mut self, key: &Path, node: &Node, progress: &dyn Progress) -> Result<()> {
        let to = self.to.join(key);
        match &node.body {
            Body::Directory if key.as_os_str().is_empty() => return Ok(()),
            Body::Directory => {
                self.stored.directories += 1;
                return fs::create_dir(&to).map_err(|error| failed("create", key, error));
            }
            Body::Special(special) => match system::make_special(&to, *special) {
                Ok(()) => {}
                Err(error) if is_refusal(&error) => {
                    self.stored.specials.push(shown(key));
                    return Ok(());
                }
                Err(error) => return Err(failed("create", key, error)),
            },
            Body::Symlink(target) => system::symlink(target, &to).map_err(|error| failed("create", key, error))?,
            Body::Pending(_) | Body::Original(_) => {
                let shared = node.shared();
                if let Some(first) = shared.and_then(|shared| self.links.get(&shared)) {
                    self.stored.files += 1;
                    return fs::hard_link(first, &to).map_err(|error| failed("link", key, error));
                }
                self.fill(key, node, &to)?;
                if let Some(shared) = shared {
                    self.links.insert(shared, to);
                }
            }
        }
        self.stored.files += 1;
        if node.is_file() {
            self.stored.bytes += node.size();
            progress.advance(node.size());
        }
        self.finish(key, node).map_err(|error| failed("finish", key, error))
    }

    /// Writes the content of the file at `key` to `to`.
    fn fill(&self, key: &Path, node: &Node, to: &Path) -> Result<()> {
        let written = match &node.body {
            Body::Pending(bytes) => File::create_new(to).and_then(|mut file| file.write_all(bytes)),
            _ => {
                let mut original = self.directory.open_original(node)?;
                File::create_new(to).and_then(|mut file| io::copy(&mut original, &mut file).map(drop))
            }
        };
        written.map_err(|error| failed("write", key, error))
    }

    /// Gives what is at `key` its owner, extended attributes, permissions and time, in this order: each changes what comes
    /// before it.
    fn finish(&mut self, key: &Path, node: &Node) -> io::Result<()> {
        let to = self.to.join(key);
        let Attributes { mode, uid, gid } = node.attributes;
        if !self.given(&to, uid, gid)? {
            self.stored.owners.push(format!("{} ({uid}:{gid})", shown(key)));
        }
        if let Some(origin) = &node.origin {
            let lost = system::copy_extended(&self.directory.base.join(&origin.place), &to)?;
            self.stored.extended.extend(lost.into_iter().map(|name| format!("{} ({name})", shown(key))));
        }
        if !matches!(node.body, Body::Symlink(_)) && system::set_mode(&to, mode)? != mode {
            self.stored.modes.push(format!("{} ({mode:04o})", shown(key)));
        }
        let original = node.origin.as_ref().filter(|_| !matches!(node.body, Body::Pending(_)));
        system::set_time(&to, original.map_or(self.time, |origin| origin.modified))
    }

    /// Gives `to` to its owner; says whether that was possible. What is root's goes to whoever stands for root, and to
    /// whoever runs this where nothing can be given away.
    fn given(&self, to: &Path, uid: u32, gid: u32) -> io::Result<bool> {
        if !self.can_give_away {
            return Ok((uid, gid) == (0, 0));
        }
        let own = |id: u32, own: u32| if id == 0 { own } else { id };
        match system::give(to, own(uid, self.directory.owner.0), own(gid, self.directory.owner.1)) {
            Ok(()) => Ok(true),
            Err(error) if is_refusal(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Whether the system said that this process may not, rather than that it went wrong. An owner outside of a container's
/// range is an invalid argument.
fn is_refusal(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported)
}

/// How messages name the path `key`: absolute inside the tree.
fn shown(key: &Path) -> String {
    format!("/{}", key.display())
}

fn failed(action: &str, key: &Path, error: io::Error) -> Error {
    Error::io(action, Path::new(&shown(key)), error)
}
