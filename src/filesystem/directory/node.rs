//! What one path of the tree holds.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use crate::filesystem::{Attributes, FileType, Metadata};

/// A device node, FIFO or socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Special {
    /// A character device, with its number as the system packs it.
    Character(u64),
    /// A block device, likewise.
    Block(u64),
    /// A FIFO.
    Fifo,
    /// A socket.
    Socket,
}

/// What a path's metadata say.
pub(super) struct Described {
    /// Permissions and owner.
    pub(super) attributes: Attributes,
    /// Device and inode number.
    pub(super) inode: (u64, u64),
    /// How many names lead to it.
    pub(super) links: u64,
    /// What it is, where it is neither file nor directory nor symlink.
    pub(super) special: Option<Special>,
}

/// The content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Body {
    /// A directory.
    Directory,
    /// A file of the folder, with its length in bytes.
    Original(u64),
    /// A file that an edit made.
    Pending(Arc<[u8]>),
    /// A symlink with its target.
    Symlink(OsString),
    /// Anything else.
    Special(Special),
}

/// What was seen of a path in the folder.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    /// Where it was seen, relative to the folder.
    pub(super) place: PathBuf,
    /// Time of the last change to the content.
    pub(super) modified: SystemTime,
    /// Device and inode number.
    pub(super) inode: (u64, u64),
    /// How many names lead to it.
    pub(super) links: u64,
}

/// What tells the names of one file from those of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shared {
    /// Device and inode number of a file of the folder.
    Inode((u64, u64)),
    /// Where the content of a file that an edit made lies in memory.
    Content(usize),
}

/// One path.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// The content.
    pub(super) body: Body,
    /// Permissions and owner; the folder's owner stands here as root.
    pub(super) attributes: Attributes,
    /// What was in the folder; `None` for what an edit made.
    pub(super) origin: Option<Origin>,
    /// Whether an edit made or changed it.
    pub(super) is_changed: bool,
}

impl Node {
    pub(super) fn is_file(&self) -> bool {
        self.file_type() == FileType::Regular
    }

    pub(super) fn file_type(&self) -> FileType {
        match self.body {
            Body::Directory => FileType::Directory,
            Body::Original(_) | Body::Pending(_) => FileType::Regular,
            Body::Symlink(_) => FileType::Symlink,
            Body::Special(_) => FileType::Special,
        }
    }

    /// Length of the content in bytes.
    pub(super) fn size(&self) -> u64 {
        match &self.body {
            Body::Original(size) => *size,
            Body::Pending(bytes) => bytes.len() as u64,
            Body::Symlink(target) => target.len() as u64,
            Body::Directory | Body::Special(_) => 0,
        }
    }

    pub(super) fn metadata(&self) -> Metadata {
        let link_target = match &self.body {
            Body::Symlink(target) => Some(target.to_string_lossy().into_owned()),
            _ => None,
        };
        Metadata { file_type: self.file_type(), attributes: self.attributes, size: self.size(), link_target }
    }

    /// The file, where it has or may have several names.
    pub(super) fn shared(&self) -> Option<Shared> {
        match &self.body {
            Body::Original(_) => {
                self.origin.as_ref().filter(|origin| origin.links > 1).map(|origin| Shared::Inode(origin.inode))
            }
            // Every write holds its content in a place of its own.
            Body::Pending(bytes) => Some(Shared::Content(bytes.as_ptr().addr())),
            Body::Directory | Body::Symlink(_) | Body::Special(_) => None,
        }
    }
}
