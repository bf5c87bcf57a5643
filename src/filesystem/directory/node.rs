//! What one path of the tree holds.

use std::ffi::OsString;
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
    /// Time of the last change to the content.
    pub(super) modified: SystemTime,
    /// Device and inode number.
    pub(super) inode: (u64, u64),
    /// How many names lead to it.
    pub(super) links: u64,
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

    /// The inode of a file of the folder that has several names.
    pub(super) fn shared_inode(&self) -> Option<(u64, u64)> {
        let origin = self.origin.as_ref().filter(|origin| origin.links > 1)?;
        matches!(self.body, Body::Original(_)).then_some(origin.inode)
    }
}
