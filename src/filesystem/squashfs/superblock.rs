//! The superblock: 96 bytes at the start, as in the kernel's fs/squashfs/squashfs_fs.h (`squashfs_super_block`).

use super::fields::Fields;
use crate::error::{Error, Result};
use crate::image::Volume;

/// Length of the superblock in bytes.
pub(super) const LENGTH: u64 = 96;
/// A table that is not there.
pub(super) const NO_TABLE: u64 = u64::MAX;
/// Flag: inodes and directories are not compressed (`-noI`).
pub(super) const PLAIN_INODES: u16 = 1;
/// Flag: data blocks are not compressed (`-noD`).
pub(super) const PLAIN_DATA: u16 = 1 << 1;
/// Flag: fragments are not compressed (`-noF`).
pub(super) const PLAIN_FRAGMENTS: u16 = 1 << 3;
/// Flag: no fragments are made (`-no-fragments`).
pub(super) const NO_FRAGMENTS: u16 = 1 << 4;
/// Flag: a block of compressor options follows the superblock.
pub(super) const COMPRESSOR_OPTIONS: u16 = 1 << 10;
/// Flag: ids are not compressed (`-noId`).
pub(super) const PLAIN_IDS: u16 = 1 << 11;

/// The fields, in the order in which they are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Superblock {
    /// Inodes; also the largest inode number.
    pub(super) inodes: u32,
    /// When it was made or appended to, in seconds since 1970.
    pub(super) time: u32,
    /// Bytes per data block.
    pub(super) block_size: u32,
    /// Fragment blocks.
    pub(super) fragments: u32,
    /// Number of the compressor.
    pub(super) compressor: u16,
    /// Binary logarithm of the block size.
    pub(super) block_log: u16,
    /// Flags.
    pub(super) flags: u16,
    /// Owners and groups.
    pub(super) ids: u16,
    /// Version, major and minor.
    pub(super) version: (u16, u16),
    /// The root directory's inode: block in the inode table << 16 | offset in the block.
    pub(super) root: u64,
    /// Bytes from the start to the end of the last table.
    pub(super) used: u64,
    /// Where the index of the id table begins.
    pub(super) id_table: u64,
    /// Where the head of the xattr table begins, or [`NO_TABLE`].
    pub(super) xattr_table: u64,
    /// Where the inode table begins.
    pub(super) inode_table: u64,
    /// Where the directory table begins.
    pub(super) directory_table: u64,
    /// Where the index of the fragment table begins, or [`NO_TABLE`].
    pub(super) fragment_table: u64,
    /// Where the index of the export table begins, or [`NO_TABLE`].
    pub(super) export_table: u64,
}

impl Superblock {
    /// The superblock of `volume`, as it is stored.
    ///
    /// # Errors
    /// Corrupt: the volume is too short, or the magic is another.
    pub(super) fn read(volume: &Volume) -> Result<Self> {
        let mut bytes = [0; 96];
        volume.read_at(0, &mut bytes)?;
        Self::from_bytes(&bytes)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut fields = Fields::new("the superblock", bytes);
        if fields.take(4)? != b"hsqs" {
            return Err(Error::corrupt("squashfs: the superblock does not begin with hsqs"));
        }
        Ok(Self {
            inodes: fields.u32()?,
            time: fields.u32()?,
            block_size: fields.u32()?,
            fragments: fields.u32()?,
            compressor: fields.u16()?,
            block_log: fields.u16()?,
            flags: fields.u16()?,
            ids: fields.u16()?,
            version: (fields.u16()?, fields.u16()?),
            root: fields.u64()?,
            used: fields.u64()?,
            id_table: fields.u64()?,
            xattr_table: fields.u64()?,
            inode_table: fields.u64()?,
            directory_table: fields.u64()?,
            fragment_table: fields.u64()?,
            export_table: fields.u64()?,
        })
    }

    /// The bytes to store.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = b"hsqs".to_vec();
        for field in [self.inodes, self.time, self.block_size, self.fragments] {
            bytes.extend(field.to_le_bytes());
        }
        for field in [self.compressor, self.block_log, self.flags, self.ids, self.version.0, self.version.1] {
            bytes.extend(field.to_le_bytes());
        }
        let places = [self.root, self.used, self.id_table, self.xattr_table, self.inode_table];
        for field in places.into_iter().chain([self.directory_table, self.fragment_table, self.export_table]) {
            bytes.extend(field.to_le_bytes());
        }
        bytes
    }

    /// The block size, for lengths in memory.
    pub(super) fn block_length(&self) -> usize {
        usize::try_from(self.block_size).unwrap_or(usize::MAX)
    }

    /// Whether `flag` is set.
    pub(super) fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// What is wrong in the superblock of a volume of `length` bytes, one sentence per defect.
    pub(super) fn problems(&self, length: u64) -> Vec<String> {
        let mut problems = Vec::new();
        if self.version != (4, 0) {
            problems.push(format!("squashfs version is {}.{}, not 4.0", self.version.0, self.version.1));
        }
        if !self.block_size.is_power_of_two() || !(4096..=1 << 20).contains(&self.block_size) {
            let size = self.block_size;
            problems.push(format!("squashfs blocks have {size} bytes, not a power of two from 4096 to 1048576"));
        } else if u32::from(self.block_log) != self.block_size.ilog2() {
            let (log, size) = (self.block_log, self.block_size);
            problems.push(format!("squashfs blocks have {size} bytes, but their logarithm is stored as {log}"));
        }
        if self.used < LENGTH || self.used > length {
            problems.push(format!("squashfs uses {} bytes of a partition of {length}", self.used));
        }
        if self.inodes == 0 || self.ids == 0 {
            problems.push(format!("squashfs has {} inodes and {} owners", self.inodes, self.ids));
        }
        problems.extend(self.order());
        problems
    }

    /// The tables follow each other in one order: the kernel refuses any other.
    fn order(&self) -> Option<String> {
        let tables = [
            ("inode", self.inode_table, false),
            ("directory", self.directory_table, false),
            ("fragment", self.fragment_table, self.fragments == 0),
            ("export", self.export_table, self.export_table == NO_TABLE),
            ("id", self.id_table, false),
            ("xattr", self.xattr_table, self.xattr_table == NO_TABLE),
        ];
        let mut before = ("superblock", LENGTH);
        for (name, place, absent) in tables {
            if absent {
                continue;
            }
            if place < before.1 {
                let (what, where_) = before;
                return Some(format!("squashfs: the {name} table at byte {place} lies before the {what} at {where_}"));
            }
            before = (name, place);
        }
        let (name, place) = before;
        (place >= self.used)
            .then(|| format!("squashfs: the {name} table at byte {place} lies behind the end at {}", self.used))
    }
}

/// The compressor's name by its number.
pub(super) fn compressor_name(number: u16) -> String {
    match number {
        1 => "gzip".to_owned(),
        2 => "lzma".to_owned(),
        3 => "lzo".to_owned(),
        4 => "xz".to_owned(),
        5 => "lz4".to_owned(),
        6 => "zstd".to_owned(),
        other => format!("compressor {other}"),
    }
}
