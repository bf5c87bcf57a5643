//! Filesystems, behind one trait: read, list, metadata, write, make directories, link, remove,
//! free space. Nothing here knows OpenWrt.
//!
//! A filesystem in a partition owns its [`Volume`] while it is open and gives the edited volume back when it is
//! [finished](VolumeFilesystem::finish); a failed edit drops the copy and so can never reach the input.

mod detect;
mod directory;
mod erofs;
mod ext4;
mod extents;
mod fat;
mod foreign;
mod grow;
mod path;
mod proven;
mod squashfs;
#[cfg(test)]
mod tests;
mod trunk;

pub(crate) use detect::{check_editable, detect, open, problems};
pub(crate) use directory::{Directory, Extent, Stored};
pub(crate) use grow::{Growth, grow, overlay_start, shortfall};
pub(crate) use proven::{Later, Proven, proven};
pub(crate) use squashfs::{LiveOverlay, Packing};

use std::ops::Range;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::image::Volume;

/// The filesystem kinds that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// ext2, ext3 or ext4.
    Ext4,
    /// FAT12, FAT16 or FAT32.
    Fat,
    /// Squashfs 4.0: read-only where it is mounted, edited here by appending.
    Squashfs,
    /// EROFS: read, not edited.
    Erofs,
    /// F2FS.
    F2fs,
    /// A LUKS container: encrypted.
    Luks,
    /// No filesystem of its own: a tree of files in a folder.
    Directory,
    /// All zeroes where a superblock would be.
    Empty,
    /// None of the above.
    Unknown,
}

/// What a directory entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FileType {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A device node, FIFO or socket.
    Special,
}

/// Permission bits and owner of an inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub(crate) struct Attributes {
    /// Permission bits with setuid, setgid and sticky (0o0000 to 0o7777).
    pub(crate) mode: u16,
    /// Owner.
    pub(crate) uid: u32,
    /// Group.
    pub(crate) gid: u32,
}

impl Attributes {
    /// `mode` with owner and group root.
    pub(crate) const fn root(mode: u16) -> Self {
        Self { mode, uid: 0, gid: 0 }
    }
}

/// What is known of one path without reading its content. On FAT, mode, uid and gid are 0o755 (or 0o644), 0 and 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Metadata {
    /// What it is; links are not followed.
    pub(crate) file_type: FileType,
    /// Permissions and owner.
    pub(crate) attributes: Attributes,
    /// Content length in bytes; for a symlink the length of its target.
    pub(crate) size: u64,
    /// Where a symlink points, as stored.
    pub(crate) link_target: Option<String>,
}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct DirectoryEntry {
    /// The name, without a slash. Names that are not UTF-8 are shown with replacement characters and cannot be opened.
    pub(crate) name: String,
    /// What it names.
    pub(crate) file_type: FileType,
}

/// Room in a filesystem. Where there are no inodes both inode counts are `u64::MAX`; where nothing bounds the room, as in a
/// tree of files in a folder, so are the blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Space {
    /// Bytes per block (FAT: per cluster).
    pub(crate) block_size: u32,
    /// Blocks in all.
    pub(crate) blocks: u64,
    /// Blocks that a new file may use.
    pub(crate) free_blocks: u64,
    /// Inodes in all.
    pub(crate) inodes: u64,
    /// Inodes that a new file may use.
    pub(crate) free_inodes: u64,
}

impl Space {
    /// Of what nothing bounds.
    pub(crate) const UNBOUNDED: Self =
        Self { block_size: 4096, blocks: u64::MAX, free_blocks: u64::MAX, inodes: u64::MAX, free_inodes: u64::MAX };

    /// Whether there is an end to it.
    pub(crate) fn is_bounded(&self) -> bool {
        self.blocks != u64::MAX
    }
}

/// A tree of files that can be read and edited.
///
/// Paths are absolute, slash-separated, with no `.` or `..`; symlinks in them are **not** followed (the caller, which
/// knows where the root is, resolves them).
pub(crate) trait Filesystem {
    /// Which kind it is.
    fn kind(&self) -> Kind;

    /// Room left.
    ///
    /// # Errors
    /// Corrupt bitmaps or tables.
    fn space(&mut self) -> Result<Space>;

    /// Metadata of `path`, or `None` when nothing has that name.
    ///
    /// # Errors
    /// Corrupt structures on the way.
    fn metadata(&mut self, path: &str) -> Result<Option<Metadata>>;

    /// The entries of the directory `path`, without `.` and `..`, in byte order of their names.
    ///
    /// # Errors
    /// No such directory, or a corrupt one.
    fn list(&mut self, path: &str) -> Result<Vec<DirectoryEntry>>;

    /// The content of the regular file `path`.
    ///
    /// # Errors
    /// No such file, not a regular file, or corrupt.
    fn read(&mut self, path: &str) -> Result<Vec<u8>>;

    /// The other names of the file at `path` (hard links), in byte order; none where it has but one.
    ///
    /// # Errors
    /// No such name, or corrupt structures.
    fn other_names(&mut self, path: &str) -> Result<Vec<String>> {
        let _ = path;
        Ok(Vec::new())
    }

    /// Makes `path`, where nothing is yet, another name of the file `existing`; its parent directory must exist.
    ///
    /// # Errors
    /// As [`Filesystem::write`]; also when something has that name already, when there is no such file, and where files
    /// have one name each.
    fn link(&mut self, path: &str, existing: &str) -> Result<()> {
        Err(Error::unsupported(format!("{path} cannot be another name of {existing}: here every file has one name")))
    }

    /// Creates or replaces the regular file `path`; its parent directory must exist. After an error the filesystem
    /// must be dropped.
    ///
    /// # Errors
    /// No room (with the numbers), no parent, a directory of that name, a read-only kind, or corrupt structures.
    fn write(&mut self, path: &str, content: &[u8], attributes: Attributes) -> Result<()>;

    /// Creates the directory `path`; its parent must exist.
    ///
    /// # Errors
    /// As [`Filesystem::write`]; also when something has that name already.
    fn make_directory(&mut self, path: &str, attributes: Attributes) -> Result<()>;

    /// Creates or replaces the symlink `path`.
    ///
    /// # Errors
    /// As [`Filesystem::write`]; unsupported on FAT.
    fn symlink(&mut self, path: &str, target: &str) -> Result<()>;

    /// Changes permissions and owner of `path`.
    ///
    /// # Errors
    /// As [`Filesystem::write`]; unsupported on FAT.
    fn set_attributes(&mut self, path: &str, attributes: Attributes) -> Result<()>;

    /// Removes the file, symlink or empty directory `path`.
    ///
    /// # Errors
    /// No such name, a directory that is not empty, or corrupt structures.
    fn remove(&mut self, path: &str) -> Result<()>;
}

/// A filesystem that lies in a volume.
pub(crate) trait VolumeFilesystem: Filesystem {
    /// Writes out what is pending and gives the volume back. An unedited filesystem gives back an unchanged volume.
    ///
    /// # Errors
    /// Corrupt structures, or an edit that does not read back.
    fn finish(self: Box<Self>) -> Result<Volume>;

    /// Where the content of the regular file `path` lies: ranges of bytes of the volume, in the order of the file, as long
    /// together as the file. What is written there is in the file, and nothing else of the filesystem changes.
    ///
    /// # Errors
    /// No such file, one with a hole, or corrupt; unsupported where files are compressed.
    fn extents(&mut self, path: &str) -> Result<Vec<Range<u64>>> {
        Err(Error::unsupported("files are packed here, and none lies anywhere as it is").at(path))
    }

    /// Stores the edits so far as what many have in common.
    ///
    /// # Errors
    /// As [`VolumeFilesystem::finish`].
    fn into_trunk(self: Box<Self>) -> Result<Box<dyn Trunk>>;
}

/// Edits that many filesystems have in common, made and stored once.
pub(crate) trait Trunk: Send + Sync {
    /// A filesystem with those edits. To whatever it is edited from here on, it becomes the same bytes as if all edits had
    /// been made in one go.
    ///
    /// # Errors
    /// None in practice: what was stored can be opened.
    fn branch(&self) -> Result<Box<dyn VolumeFilesystem>>;
}
