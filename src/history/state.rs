//! What stands at a path, by its digest.

use crate::digest::sha256_hex;
use crate::error::Result;
use crate::filesystem::{Attributes, FileType, Filesystem, Metadata};

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing.
    Absent,
    /// A regular file.
    File {
        /// SHA-256 of its content, 64 lower-case hex digits.
        sha256: String,
        /// Its length in bytes.
        size: u64,
        /// Permissions and owner.
        attributes: Attributes,
    },
    /// A directory, whatever is in it.
    Directory(Attributes),
    /// A symlink.
    Symlink {
        /// Where it points, as stored.
        target: String,
        /// Its owner; permissions of symlinks mean nothing.
        attributes: Attributes,
    },
    /// A device node, FIFO or socket.
    Special,
}

impl State {
    /// What stands at `path` of `filesystem`; nothing where its parents are no directories.
    ///
    /// # Errors
    /// Corrupt structures.
    pub(crate) fn of(filesystem: &mut dyn Filesystem, path: &str) -> Result<Self> {
        let Some(metadata) = filesystem.metadata(path)? else { return Ok(Self::Absent) };
        let Metadata { file_type, attributes, size, link_target } = metadata;
        Ok(match file_type {
            FileType::Regular => Self::File { sha256: sha256_hex(&filesystem.read(path)?), size, attributes },
            FileType::Directory => Self::Directory(attributes),
            FileType::Symlink => Self::Symlink { target: link_target.unwrap_or_default(), attributes },
            FileType::Special => Self::Special,
        })
    }

    /// Permissions and owner, where it has any.
    pub(crate) fn attributes(&self) -> Option<Attributes> {
        match self {
            Self::File { attributes, .. } | Self::Directory(attributes) | Self::Symlink { attributes, .. } => {
                Some(*attributes)
            }
            Self::Absent | Self::Special => None,
        }
    }

    /// Whether it holds the same as `other`, whatever permissions and owners are.
    pub(crate) fn holds_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File { sha256: one, .. }, Self::File { sha256: two, .. }) => one == two,
            (Self::Symlink { target: one, .. }, Self::Symlink { target: two, .. }) => one == two,
            (Self::Absent, Self::Absent) | (Self::Directory(_), Self::Directory(_)) => true,
            _ => false,
        }
    }

    /// Whether it is the same as `other`. Permissions of symlinks do not count, and owners only where they are `owned`.
    pub(crate) fn is_as(&self, other: &Self, owned: bool) -> bool {
        let is_symlink = matches!(self, Self::Symlink { .. });
        let shown = |state: &Self| {
            let attributes = state.attributes()?;
            Some((
                if is_symlink { 0 } else { attributes.mode },
                if owned { (attributes.uid, attributes.gid) } else { (0, 0) },
            ))
        };
        self.holds_as(other) && shown(self) == shown(other)
    }

    /// As a filesystem tells it; `None` where nothing is there.
    pub(super) fn metadata(&self) -> Option<Metadata> {
        let attributes = self.attributes()?;
        let (file_type, size, link_target) = match self {
            Self::File { size, .. } => (FileType::Regular, *size, None),
            Self::Symlink { target, .. } => (FileType::Symlink, target.len() as u64, Some(target.clone())),
            _ => (FileType::Directory, 0, None),
        };
        Some(Metadata { file_type, attributes, size, link_target })
    }
}
