//! Whether the edits fit into the filesystem, said before anything is written.

use std::collections::BTreeMap;

use super::{Change, Content, Edit, SpaceForecast};
use crate::error::{Error, Result};
use crate::filesystem::Space;

/// Longest symlink target in bytes that ext4 keeps in the inode itself (`EXT4_N_BLOCKS * 4 - 1`).
const INLINE_LINK: usize = 59;
/// A file of at most this many blocks needs no extent block of its own, even when every block lies apart.
const INLINE_EXTENTS: u64 = 4;

/// A directory's block holds at least so many bytes less than it has: the checksum at its end, and room at the end that
/// is too short for the longest name.
const DIRECTORY_WASTE: u64 = 12 + 264;
/// Blocks that must stay free beside those in use: the editor asks for the worst before each step.
const SLACK: u64 = 2;

/// The room that a plan's edits take, never less than they really do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Need {
    /// Bytes per block.
    block_size: u32,
    /// Blocks for what is added or replaced. What a replaced file gives back counts only afterwards: until the old content
    /// goes, both need room.
    blocks: u64,
    /// Blocks that replaced files give back.
    replaced: u64,
    /// Blocks that removed files give back; removals come first of all edits.
    removed: u64,
    /// Inodes for what is added.
    inodes: u64,
    /// Inodes of what is removed.
    removed_inodes: u64,
}

impl Need {
    /// What `edits` take in a filesystem with blocks of `block_size` bytes.
    pub(super) fn of(edits: &[Edit], block_size: u32) -> Self {
        let block = u64::from(block_size.max(1));
        let mut need = Self { block_size, blocks: 0, replaced: 0, removed: 0, inodes: 0, removed_inodes: 0 };
        let mut entries: BTreeMap<&str, u64> = BTreeMap::new();
        for edit in edits {
            let before = edit.size_before.unwrap_or(0).div_ceil(block);
            match edit.change {
                Change::Attributes => continue,
                Change::Remove => {
                    need.removed = need.removed.saturating_add(before);
                    need.removed_inodes = need.removed_inodes.saturating_add(1);
                    continue;
                }
                Change::Replace => need.replaced = need.replaced.saturating_add(before),
                Change::Add => {
                    need.inodes = need.inodes.saturating_add(1);
                    let (parent, name) = edit.path.rsplit_once('/').unwrap_or_default();
                    // ext4_dir_entry_2: 8 bytes and the name, rounded up to 4.
                    let entry = (name.len() as u64).saturating_add(8).next_multiple_of(4);
                    let sum = entries.entry(parent).or_default();
                    *sum = sum.saturating_add(entry);
                }
            }
            let content = edit.content.as_ref().map_or(0, |content| content_blocks(content, block));
            need.blocks = need.blocks.saturating_add(content);
        }
        // Each directory that gains names may have to grow; a new one has its first block already.
        let usable = block.saturating_sub(DIRECTORY_WASTE).max(1);
        let growth = entries.values().map(|bytes| bytes.div_ceil(usable)).fold(0, u64::saturating_add);
        need.blocks = need.blocks.saturating_add(growth);
        need
    }

    /// Blocks that must be free before the first edit.
    pub(crate) const fn free_blocks(&self) -> u64 {
        let slack = if self.blocks == 0 { 0 } else { SLACK };
        self.blocks.saturating_add(slack).saturating_sub(self.removed)
    }

    /// Inodes that must be free before the first edit.
    pub(crate) const fn free_inodes(&self) -> u64 {
        self.inodes.saturating_sub(self.removed_inodes)
    }

    /// Predicts the room of a filesystem that has `space` now.
    pub(crate) fn forecast(&self, space: &Space) -> SpaceForecast {
        let blocks = space.free_blocks.saturating_add(self.removed).saturating_sub(self.blocks);
        let inodes = space.free_inodes.saturating_add(self.removed_inodes);
        SpaceForecast {
            block_size: space.block_size,
            free_blocks_before: space.free_blocks,
            free_blocks_after: blocks.saturating_add(self.replaced),
            free_inodes_before: space.free_inodes,
            free_inodes_after: if space.free_inodes == u64::MAX {
                u64::MAX
            } else {
                inodes.saturating_sub(self.inodes)
            },
        }
    }

    /// Refuses what does not fit into a filesystem that has `space` now.
    ///
    /// # Errors
    /// Usage, with the numbers, when blocks or inodes do not suffice.
    pub(crate) fn check(&self, space: &Space) -> Result<()> {
        let block = u64::from(self.block_size);
        let (needed, inodes) = (self.free_blocks(), self.free_inodes());
        if needed > space.free_blocks {
            return Err(Error::usage(format!(
                "not enough room in the root filesystem: {needed} blocks of {block} bytes ({}) are needed, {} ({}) are free",
                mebibytes(needed, block),
                space.free_blocks,
                mebibytes(space.free_blocks, block)
            )));
        }
        if inodes > space.free_inodes {
            return Err(Error::usage(format!(
                "not enough inodes in the root filesystem: {inodes} new files and directories, {} free inodes of {}",
                space.free_inodes, space.inodes
            )));
        }
        Ok(())
    }
}

fn content_blocks(content: &Content, block: u64) -> u64 {
    match content {
        Content::File(bytes) => {
            let data = (bytes.len() as u64).div_ceil(block);
            // An extent tree with one extent per block: 12 bytes each behind a 12-byte header.
            let leaves = data.div_ceil((block / 12).saturating_sub(1).max(1));
            data.saturating_add(if data > INLINE_EXTENTS { leaves.saturating_add(1) } else { 0 })
        }
        Content::Directory => 1,
        Content::Link(_) => 0,
        Content::Symlink(target) => u64::from(target.len() > INLINE_LINK),
    }
}

/// The size of `blocks` blocks of `block` bytes in MiB, with one decimal, rounded down.
pub(crate) fn mebibytes(blocks: u64, block: u64) -> String {
    let tenths = blocks.saturating_mul(block).saturating_mul(10) >> 20;
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filesystem::Attributes;

    fn space(free_blocks: u64, free_inodes: u64) -> Space {
        Space { block_size: 4096, blocks: 26624, free_blocks, inodes: 6656, free_inodes }
    }

    fn file(path: &str, size: usize, size_before: Option<u64>) -> Edit {
        Edit {
            path: path.to_owned(),
            change: if size_before.is_some() { Change::Replace } else { Change::Add },
            content: Some(Content::File(vec![0; size].into())),
            linked_to: None,
            is_own: false,
            attributes: Attributes::root(0o644),
            size_before,
            reason: String::new(),
        }
    }

    fn forecast(space: &Space, edits: &[Edit]) -> Result<SpaceForecast> {
        let need = Need::of(edits, space.block_size);
        need.check(space).map(|()| need.forecast(space))
    }

    #[test]
    fn files_are_counted_in_whole_blocks_and_directories_may_grow() {
        let edits = [file("/a", 4097, None), file("/b", 5 * 4096, None)];
        let forecast = forecast(&space(100, 10), &edits).unwrap();
        // The second file's blocks may all lie apart: an extent block, and one above it.
        assert_eq!(forecast.free_blocks_after, 100 - 2 - (5 + 2) - 1);
        assert_eq!(forecast.free_inodes_after, 8);
    }

    #[test]
    fn what_a_replaced_file_frees_is_no_room_for_its_successor() {
        let edits = [file("/a", 4096, Some(3 * 4096))];
        assert_eq!(forecast(&space(1 + SLACK, 0), &edits).unwrap().free_blocks_after, 3 + SLACK);
        assert!(forecast(&space(SLACK, 0), &edits).is_err());
    }

    #[test]
    fn what_goes_makes_room_for_what_comes() {
        let gone = Edit { change: Change::Remove, content: None, ..file("/old", 0, Some(5 * 4096)) };
        let edits = [gone, file("/b", 2 * 4096, None)];
        let after = forecast(&space(0, 0), &edits).unwrap();
        assert_eq!((after.free_blocks_before, after.free_blocks_after), (0, 2));
        assert!(forecast(&space(0, 0), &edits[1..]).is_err());
    }

    #[test]
    fn too_little_room_is_told_in_numbers() {
        let error = forecast(&space(300, 10), &[file("/a", 2 << 20, None)]).unwrap_err();
        assert_eq!(
            error.message(),
            "not enough room in the root filesystem: 518 blocks of 4096 bytes (2.0 MiB) are needed, 300 (1.1 MiB) are free"
        );
        let error = forecast(&space(300, 1), &[file("/a", 1, None), file("/b", 1, None)]).unwrap_err();
        assert_eq!(
            error.message(),
            "not enough inodes in the root filesystem: 2 new files and directories, 1 free inodes of 6656"
        );
    }

    #[test]
    fn names_that_fill_a_directory_badly_are_counted_as_they_lie() {
        // 1 KiB blocks hold three names of 255 bytes each.
        let edits: Vec<_> = (0..30).map(|number| file(&format!("/{number:0>255}"), 1, None)).collect();
        assert!(Need::of(&edits, 1024).blocks >= 30 + 10);
    }
}
