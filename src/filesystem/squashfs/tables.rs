//! The tables beside inodes and directories: owners, fragments, extended attributes, and the NFS export table.

use super::fields::Fields;
use super::metadata::{BLOCK, Reader};
use super::superblock::{NO_TABLE, Superblock};
use crate::error::{Error, Result};

/// Set in a stored length of a data or fragment block that is not packed.
pub(super) const PLAIN: u32 = 1 << 24;
/// At most so many bytes of extended attributes are carried over.
const LARGEST_XATTRS: u64 = 64 << 20;

/// Where a fragment block lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fragment {
    /// Its first byte.
    pub(super) start: u64,
    /// Its stored length, with [`PLAIN`].
    pub(super) stored: u32,
}

/// The extended attributes: carried over byte by byte, since all places in them count from their start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Xattrs {
    /// How many lists of attributes inodes can name.
    pub(super) count: u32,
    /// Where the lists began.
    start: u64,
    /// From there to the head.
    blocks: Vec<u8>,
    /// Where the blocks of the table of lists began.
    index: Vec<u64>,
}

/// All of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tables {
    /// Owners and groups.
    pub(super) ids: Vec<u32>,
    /// Fragment blocks.
    pub(super) fragments: Vec<Fragment>,
    /// Extended attributes, when there are any.
    pub(super) xattrs: Option<Xattrs>,
}

impl Tables {
    /// Reads them.
    ///
    /// # Errors
    /// Corrupt tables.
    pub(super) fn read(reader: &mut Reader<'_>, superblock: &Superblock) -> Result<Self> {
        let (bytes, _) = reader.indexed(superblock.id_table, usize::from(superblock.ids) * 4)?;
        let mut fields = Fields::new("the id table", &bytes);
        let mut ids = Vec::new();
        while !fields.is_empty() {
            ids.push(fields.u32()?);
        }
        Ok(Self { ids, fragments: fragments(reader, superblock)?, xattrs: Xattrs::read(reader, superblock)? })
    }
}

fn fragments(reader: &mut Reader<'_>, superblock: &Superblock) -> Result<Vec<Fragment>> {
    let length = usize::try_from(superblock.fragments).unwrap_or(usize::MAX).saturating_mul(16);
    let (bytes, _) = reader.indexed(superblock.fragment_table, length).map_err(|error| error.at("fragment table"))?;
    let mut fields = Fields::new("the fragment table", &bytes);
    let mut fragments = Vec::new();
    while !fields.is_empty() {
        let fragment = Fragment { start: fields.u64()?, stored: fields.u32()? };
        fields.u32()?;
        check_block(superblock, fragment.start, fragment.stored)?;
        fragments.push(fragment);
    }
    Ok(fragments)
}

/// Checks that a stored block lies between the superblock and the inode table and is no longer than a block; gives
/// where it ends.
///
/// # Errors
/// Corrupt.
pub(super) fn check_block(superblock: &Superblock, start: u64, stored: u32) -> Result<u64> {
    let length = stored & !PLAIN;
    let end = start.saturating_add(length.into());
    let inodes = superblock.inode_table;
    if length > superblock.block_size || length > 0 && start < super::superblock::LENGTH || end > inodes {
        return Err(Error::corrupt(format!(
            "squashfs: a block of {length} bytes at byte {start} is not a block of at most {} bytes before the inode \
             table at byte {inodes}",
            superblock.block_size
        )));
    }
    Ok(end)
}

impl Xattrs {
    fn read(reader: &mut Reader<'_>, superblock: &Superblock) -> Result<Option<Self>> {
        let place = superblock.xattr_table;
        if place == NO_TABLE {
            return Ok(None);
        }
        let head = reader.raw(place, 16)?;
        let mut head = Fields::new("the head of the xattr table", &head);
        let (start, count) = (head.u64()?, head.u32()?);
        let places = usize::try_from(count).unwrap_or(usize::MAX).saturating_mul(16).div_ceil(BLOCK);
        let index = reader.raw(place + 16, places.saturating_mul(8))?;
        let mut fields = Fields::new("the index of the xattr table", &index);
        let mut index = Vec::new();
        while !fields.is_empty() {
            index.push(fields.u64()?);
        }
        let length = place.checked_sub(start).filter(|_| index.iter().all(|at| (start..place).contains(at)));
        let length = length.ok_or_else(|| {
            Error::corrupt(format!("squashfs: the xattr table at byte {place} names blocks outside {start} to {place}"))
        })?;
        if length > LARGEST_XATTRS {
            return Err(Error::unsupported(format!("squashfs: {length} bytes of extended attributes are too many")));
        }
        let blocks = reader.raw(start, usize::try_from(length).unwrap_or(usize::MAX))?;
        Ok(Some(Self { count, start, blocks, index }))
    }

    /// The table moved to byte `place`: its bytes, and where its head begins.
    pub(super) fn at(&self, place: u64) -> (Vec<u8>, u64) {
        let mut bytes = self.blocks.clone();
        let head = place + bytes.len() as u64;
        bytes.extend(place.to_le_bytes());
        bytes.extend(self.count.to_le_bytes());
        bytes.extend([0; 4]);
        for old in &self.index {
            // Every place was found to lie behind the start when it was read.
            bytes.extend((old - self.start + place).to_le_bytes());
        }
        (bytes, head)
    }

    /// Whether both hold the same, wherever they lie.
    pub(super) fn same(&self, other: &Self) -> bool {
        self.at(0) == other.at(0)
    }
}
