//! Inodes, block maps and directories as they are stored: only as much as it takes to tell whose a block is. What it does not
//! know how to read is `None`, never a guess. Field names are those of the kernel's fs/ext4/ext4.h and ext4_extents.h.

use std::collections::BTreeMap;
use std::ops::Range;

use super::bytes::{u16_at, u32_at};
use super::groups::Group;
use super::superblock::Superblock;
use crate::image::Volume;

/// The root directory's inode.
pub(super) const ROOT: u32 = 2;
/// The journal's.
pub(super) const JOURNAL: u32 = 8;
/// Inodes below this one are the filesystem's own.
pub(super) const FIRST_FREE: u32 = 11;

const TYPE: u16 = 0xF000;
const DIRECTORY: u16 = 0x4000;
const REGULAR: u16 = 0x8000;
const SYMLINK: u16 = 0xA000;
const EXTENTS: u32 = 0x8_0000;
const INLINE_DATA: u32 = 0x1000_0000;
/// A symlink up to this length lies in the inode.
const FAST_SYMLINK: u64 = 59;
/// Blocks that a block map names itself.
const DIRECT: usize = 12;
const EXTENT_MAGIC: u16 = 0xF30A;
/// Deepest extent tree.
const DEEPEST: u16 = 5;
/// A length above this is that of an unwritten extent, plus this.
const LONGEST_WRITTEN: u16 = 32_768;

/// Reads structures of a volume.
pub(super) struct Raw<'a> {
    pub(super) volume: &'a Volume,
    pub(super) superblock: &'a Superblock,
    pub(super) groups: &'a [Group],
}

/// An inode's bytes.
#[derive(PartialEq, Eq)]
pub(super) struct Record(Vec<u8>);

/// Where an inode's blocks are.
#[derive(Default)]
pub(super) struct Blocks {
    /// Those of its content, by the first one's place in the content.
    pub(super) data: BTreeMap<u32, Range<u64>>,
    /// Those of its extent tree.
    pub(super) tree: Vec<u64>,
}

impl Record {
    pub(super) fn is_directory(&self) -> bool {
        self.file_type() == DIRECTORY
    }

    fn file_type(&self) -> u16 {
        u16_at(&self.0, 0) & TYPE
    }

    fn size(&self) -> u64 {
        u64::from(u32_at(&self.0, 0x6C)) << 32 | u64::from(u32_at(&self.0, 0x04))
    }
}

impl Raw<'_> {
    /// The inode `number`; `None` where there is none of that number.
    pub(super) fn record(&self, number: u32) -> Option<Record> {
        let index = number.checked_sub(1)?;
        let group = self.groups.get(usize::try_from(index / self.superblock.inodes_per_group).ok()?)?;
        let size = u64::from(self.superblock.inode_size());
        let within = u64::from(index % self.superblock.inodes_per_group) * size;
        let place = group.inode_table().checked_mul(self.superblock.block_size.into())?.checked_add(within)?;
        let mut bytes = vec![0; usize::try_from(size).ok()?];
        self.volume.read_at(place, &mut bytes).ok()?;
        Some(Record(bytes))
    }

    /// The blocks of an inode. `None` for block maps of more than one level.
    pub(super) fn blocks(&self, record: &Record) -> Option<Blocks> {
        let flags = u32_at(&record.0, 0x20);
        let map = record.0.get(0x28..0x28 + 60)?;
        let is_fast = record.file_type() == SYMLINK && record.size() <= FAST_SYMLINK;
        let has_blocks = matches!(record.file_type(), DIRECTORY | REGULAR | SYMLINK);
        let mut blocks = Blocks::default();
        match () {
            () if flags & INLINE_DATA != 0 => return (!record.is_directory()).then_some(blocks),
            () if flags & EXTENTS != 0 => self.extents(map, DEEPEST, &mut blocks)?,
            () if !has_blocks || is_fast => {}
            () => self.block_map(map, &mut blocks)?,
        }
        Some(blocks)
    }

    /// Adds what a block map leads to (`i_block` as in ext2): twelve blocks, one of further ones, and levels below that which
    /// are not followed. make_ext4fs writes long symlinks so.
    fn block_map(&self, map: &[u8], blocks: &mut Blocks) -> Option<()> {
        let (direct, levels) = map.split_at_checked(4 * DIRECT)?;
        add_listed(direct, 0, blocks);
        let (single, deeper) = levels.split_first_chunk::<4>()?;
        if deeper.iter().any(|byte| *byte != 0) {
            return None;
        }
        let single = u64::from(u32::from_le_bytes(*single));
        if single != 0 {
            blocks.tree.push(single);
            add_listed(&self.block(single)?, DIRECT, blocks);
        }
        Some(())
    }

    /// Adds what an extent node leads to; the tree below it has at most `depth` levels.
    fn extents(&self, node: &[u8], depth: u16, blocks: &mut Blocks) -> Option<()> {
        let found = u16_at(node, 6);
        if u16_at(node, 0) != EXTENT_MAGIC || found > depth {
            return None;
        }
        for number in 1..=usize::from(u16_at(node, 2)) {
            let entry = node.get(number * 12..number * 12 + 12)?;
            if found == 0 {
                let length = u16_at(entry, 4);
                let length = if length > LONGEST_WRITTEN { length - LONGEST_WRITTEN } else { length };
                let start = u64::from(u16_at(entry, 6)) << 32 | u64::from(u32_at(entry, 8));
                blocks.data.insert(u32_at(entry, 0), start..start.checked_add(length.into())?);
            } else {
                let child = u64::from(u16_at(entry, 8)) << 32 | u64::from(u32_at(entry, 4));
                blocks.tree.push(child);
                self.extents(&self.block(child)?, found - 1, blocks)?;
            }
        }
        Some(())
    }

    fn block(&self, number: u64) -> Option<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(self.superblock.block_size).ok()?];
        self.volume.read_at(number.checked_mul(bytes.len() as u64)?, &mut bytes).ok()?;
        Some(bytes)
    }

    /// The names in a directory and their inodes, without `.` and `..`. The index blocks of a large directory look like unused
    /// entries here.
    pub(super) fn names(&self, directory: &Record) -> Option<BTreeMap<Vec<u8>, u32>> {
        let mut names = BTreeMap::new();
        for range in self.blocks(directory)?.data.into_values() {
            for number in range {
                entries(&self.block(number)?, &mut names)?;
            }
        }
        Some(names)
    }
}

/// Adds the blocks that `list` names, the first of which has the place `first` in the content; 0 is a hole.
fn add_listed(list: &[u8], first: usize, blocks: &mut Blocks) {
    let numbers = list.as_chunks::<4>().0.iter().map(|bytes| u64::from(u32::from_le_bytes(*bytes)));
    for (place, number) in (first..).zip(numbers).filter(|(_, number)| *number != 0) {
        blocks.data.extend(u32::try_from(place).map(|place| (place, number..number + 1)));
    }
}

/// Adds the entries of one block of a directory (struct ext4_dir_entry_2).
fn entries(block: &[u8], names: &mut BTreeMap<Vec<u8>, u32>) -> Option<()> {
    let mut rest = block;
    while !rest.is_empty() {
        let (inode, length) = (u32_at(rest, 0), usize::from(u16_at(rest, 4)));
        let name = rest.get(8..8 + usize::from(*rest.get(6)?));
        if length < 8 {
            return None;
        }
        if inode != 0 && !matches!(name?, b"." | b"..") {
            names.insert(name?.to_vec(), inode);
        }
        rest = rest.get(length..)?;
    }
    Some(())
}
