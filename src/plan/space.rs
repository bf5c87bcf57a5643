//! Whether the edits fit into the filesystem, said before anything is written.

use std::collections::BTreeMap;

use super::{Change, Content, Edit, SpaceForecast};
use crate::error::{Error, Result};
use crate::filesystem::Space;

/// Longest symlink target in bytes that ext4 keeps in the inode itself (`EXT4_N_BLOCKS * 4 - 1`).
const INLINE_LINK: usize = 59;
/// A file of at most this many blocks needs no extent block of its own, even when every block lies apart.
const INLINE_EXTENTS: u64 = 4;

/// Predicts the room after `edits`. What replaced files give back counts only afterwards: until the old content goes,
/// both need room.
///
/// # Errors
/// Usage, with the numbers, when blocks or inodes do not suffice.
pub(super) fn forecast(space: &Space, edits: &[Edit]) -> Result<SpaceForecast> {
    let block = u64::from(space.block_size.max(1));
    let mut blocks = 0u64;
    let mut freed = 0u64;
    let mut inodes = 0u64;
    let mut entries: BTreeMap<&str, u64> = BTreeMap::new();
    for edit in edits.iter().filter(|edit| matches!(edit.change, Change::Add | Change::Replace)) {
        blocks = blocks.saturating_add(edit.content.as_ref().map_or(0, |content| content_blocks(content, block)));
        freed = freed.saturating_add(edit.size_before.unwrap_or(0).div_ceil(block));
        inodes = inodes.saturating_add(u64::from(edit.change == Change::Add));
        if edit.change == Change::Add {
            let (parent, name) = edit.path.rsplit_once('/').unwrap_or_default();
            // ext4_dir_entry_2: 8 bytes and the name, rounded up to 4.
            let entry = (name.len() as u64).saturating_add(8).next_multiple_of(4);
            let sum = entries.entry(parent).or_default();
            *sum = sum.saturating_add(entry);
        }
    }
    // Each directory that gains names may have to grow; a new one has its first block already.
    let growth = entries.values().map(|bytes| bytes.div_ceil(block)).fold(0u64, u64::saturating_add);
    let needed = blocks.saturating_add(growth);
    let room = after_removals(space, edits, block);
    check(&room, block, needed, inodes)?;
    Ok(SpaceForecast {
        block_size: space.block_size,
        free_blocks_before: space.free_blocks,
        free_blocks_after: room.free_blocks.saturating_sub(needed).saturating_add(freed),
        free_inodes_before: space.free_inodes,
        free_inodes_after: if space.free_inodes == u64::MAX {
            u64::MAX
        } else {
            room.free_inodes.saturating_sub(inodes)
        },
    })
}

/// The room once everything that goes is gone: removals come first of all edits.
fn after_removals(space: &Space, edits: &[Edit], block: u64) -> Space {
    let removed = || edits.iter().filter(|edit| edit.change == Change::Remove);
    let blocks = removed().map(|edit| edit.size_before.unwrap_or(0).div_ceil(block)).fold(0, u64::saturating_add);
    Space {
        free_blocks: space.free_blocks.saturating_add(blocks),
        free_inodes: space.free_inodes.saturating_add(removed().count() as u64),
        ..*space
    }
}

fn content_blocks(content: &Content, block: u64) -> u64 {
    match content {
        Content::File(bytes) => {
            let data = (bytes.len() as u64).div_ceil(block);
            data.saturating_add(u64::from(data > INLINE_EXTENTS))
        }
        Content::Directory => 1,
        Content::Symlink(target) => u64::from(target.len() > INLINE_LINK),
    }
}

fn check(space: &Space, block: u64, needed: u64, inodes: u64) -> Result<()> {
    let remedy = "build the image with a larger CONFIG_TARGET_ROOTFS_PARTSIZE, or leave overlays or modules out";
    if needed > space.free_blocks {
        return Err(Error::usage(format!(
            "not enough room in the root filesystem: {needed} blocks of {block} bytes ({}) are needed, {} ({}) are free",
            mebibytes(needed, block),
            space.free_blocks,
            mebibytes(space.free_blocks, block)
        ))
        .remedy(remedy));
    }
    if inodes > space.free_inodes {
        return Err(Error::usage(format!(
            "not enough inodes in the root filesystem: {inodes} new files and directories, {} free inodes of {}",
            space.free_inodes, space.inodes
        ))
        .remedy(remedy));
    }
    Ok(())
}

/// Size in MiB with one decimal, rounded down.
fn mebibytes(blocks: u64, block: u64) -> String {
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
            attributes: Attributes::root(0o644),
            size_before,
            reason: String::new(),
        }
    }

    #[test]
    fn files_are_counted_in_whole_blocks_and_directories_may_grow() {
        let edits = [file("/a", 4097, None), file("/b", 5 * 4096, None)];
        let forecast = forecast(&space(100, 10), &edits).unwrap();
        assert_eq!(forecast.free_blocks_after, 100 - 2 - 6 - 1);
        assert_eq!(forecast.free_inodes_after, 8);
    }

    #[test]
    fn what_a_replaced_file_frees_is_no_room_for_its_successor() {
        let edits = [file("/a", 4096, Some(3 * 4096))];
        assert_eq!(forecast(&space(1, 0), &edits).unwrap().free_blocks_after, 3);
        assert!(forecast(&space(0, 0), &edits).is_err());
    }

    #[test]
    fn what_goes_makes_room_for_what_comes() {
        let gone = Edit { change: Change::Remove, content: None, ..file("/old", 0, Some(3 * 4096)) };
        let edits = [gone, file("/b", 2 * 4096, None)];
        let forecast = forecast(&space(0, 0), &edits).unwrap();
        assert_eq!((forecast.free_blocks_before, forecast.free_blocks_after), (0, 0));
        assert!(super::forecast(&space(0, 0), &edits[1..]).is_err());
    }

    #[test]
    fn too_little_room_is_told_in_numbers() {
        let error = forecast(&space(300, 10), &[file("/a", 2 << 20, None)]).unwrap_err();
        assert_eq!(
            error.message(),
            "not enough room in the root filesystem: 514 blocks of 4096 bytes (2.0 MiB) are needed, 300 (1.1 MiB) are free"
        );
        assert!(error.remedy_text().unwrap().contains("CONFIG_TARGET_ROOTFS_PARTSIZE"));
        let error = forecast(&space(300, 1), &[file("/a", 1, None), file("/b", 1, None)]).unwrap_err();
        assert_eq!(
            error.message(),
            "not enough inodes in the root filesystem: 2 new files and directories, 1 free inodes of 6656"
        );
    }
}
