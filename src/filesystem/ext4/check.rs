//! The structural check: what e2fsck -fn would say about counters, checksums and bitmaps, and whether everything can
//! be read.

use super::Ext4;
use super::groups::{Bitmap, Group, count_free, used_bits};
use super::superblock::Superblock;
use crate::error::{ErrorKind, Result};
use crate::filesystem::{FileType, Filesystem};
use crate::image::Volume;

/// Problems after this many are not listed.
const MOST: usize = 50;

/// One sentence per problem; empty is sound.
///
/// # Errors
/// Unsupported features.
pub(in crate::filesystem) fn problems(volume: &Volume) -> Result<Vec<String>> {
    found(volume, |superblock, problems| match Ext4::open(volume.clone(), 0) {
        Ok(mut filesystem) => walk(&mut filesystem, superblock, problems),
        Err(error) => problems.push(error.to_string()),
    })
}

/// The same, where the tree is read by `reader`.
///
/// # Errors
/// As [`problems`].
pub(super) fn problems_by(volume: &Volume, reader: &mut dyn Filesystem) -> Result<Vec<String>> {
    found(volume, |superblock, problems| walk(reader, superblock, problems))
}

fn found(volume: &Volume, walk: impl FnOnce(&Superblock, &mut Vec<String>)) -> Result<Vec<String>> {
    let superblock = match Superblock::read(volume) {
        Ok(superblock) => superblock,
        Err(error) if error.kind() == ErrorKind::Unsupported => return Err(error),
        Err(error) => return Ok(vec![error.to_string()]),
    };
    if let Err(error) = superblock.check_clean() {
        return Ok(vec![error.to_string()]);
    }
    let mut problems = Vec::new();
    match Group::read_all(volume, &superblock) {
        Ok(groups) => check_groups(volume, &superblock, &groups, &mut problems),
        Err(error) => problems.push(format!("group descriptors: {error}")),
    }
    if problems.len() < MOST {
        walk(&superblock, &mut problems);
    }
    problems.truncate(MOST);
    Ok(problems)
}

fn check_groups(volume: &Volume, superblock: &Superblock, groups: &[Group], problems: &mut Vec<String>) {
    let (mut blocks, mut inodes) = (0u64, 0u64);
    for group in groups {
        if problems.len() >= MOST {
            return;
        }
        let number = group.number;
        let (stored, computed) = (group.stored_checksum(), group.checksum(superblock));
        if stored != computed {
            problems.push(format!(
                "group {number}: the descriptor's checksum is {stored:#06x}, the bytes make {computed:#06x}"
            ));
        }
        let table = u64::from(superblock.inodes_per_group) * u64::from(superblock.inode_size());
        let end = group.inode_table().checked_add(table.div_ceil(superblock.block_size.into()));
        if group.inode_table() == 0 || end.is_none_or(|end| end > superblock.blocks) {
            problems.push(format!(
                "group {number}: the inode table at block {} reaches behind the {} blocks",
                group.inode_table(),
                superblock.blocks
            ));
        }
        if group.unused_inodes() > superblock.inodes_per_group {
            problems.push(format!(
                "group {number}: {} of {} inodes were never used",
                group.unused_inodes(),
                superblock.inodes_per_group
            ));
        }
        for which in [Bitmap::Blocks, Bitmap::Inodes] {
            check_bitmap(volume, superblock, group, which, problems);
        }
        blocks += u64::from(group.free_blocks());
        inodes += u64::from(group.free_inodes());
    }
    let (free_blocks, free_inodes) = (superblock.free_blocks(), superblock.free_inodes());
    if blocks != free_blocks {
        problems.push(format!("the superblock counts {free_blocks} free blocks, the groups {blocks}"));
    }
    if inodes != u64::from(free_inodes) {
        problems.push(format!("the superblock counts {free_inodes} free inodes, the groups {inodes}"));
    }
}

fn check_bitmap(volume: &Volume, superblock: &Superblock, group: &Group, which: Bitmap, problems: &mut Vec<String>) {
    let (number, name) = (group.number, which.name());
    let bits = used_bits(superblock, number, which);
    let counted = match which {
        Bitmap::Blocks => group.free_blocks(),
        Bitmap::Inodes => group.free_inodes(),
    };
    let bitmap = match group.bitmap(volume, superblock, which) {
        Ok(Some((_, bitmap))) => bitmap,
        Ok(None) => {
            if which == Bitmap::Inodes && counted != bits {
                problems.push(format!("group {number}: no inode was ever used, but {counted} of {bits} are free"));
            }
            return;
        }
        Err(error) => {
            problems.push(error.to_string());
            return;
        }
    };
    if !group.bitmap_checksum_fits(superblock, which, &bitmap) {
        problems.push(format!("group {number}: the checksum of the {name} is wrong"));
    }
    let free = count_free(&bitmap, bits);
    if free != counted {
        problems.push(format!("group {number}: the descriptor counts {counted} free, the {name} {free}"));
    }
    // Padding bits that are not set are no problem: make_ext4fs leaves them clear in every image it makes, and the
    // kernel does not look. (e2fsck does, so an edit sets them.)
}

/// Looks at every inode that has a name.
fn walk(filesystem: &mut dyn Filesystem, superblock: &Superblock, problems: &mut Vec<String>) {
    let mut directories = 0u32;
    let mut waiting = vec!["/".to_owned()];
    while let Some(directory) = waiting.pop() {
        directories = directories.saturating_add(1);
        if directories > superblock.inodes || directory.len() > 4096 {
            problems.push(format!("the directories loop: there are more of them than {} inodes", superblock.inodes));
            return;
        }
        let entries = match filesystem.list(&directory) {
            Ok(entries) => entries,
            Err(error) => {
                problems.push(error.to_string());
                continue;
            }
        };
        for entry in entries {
            if problems.len() >= MOST {
                return;
            }
            let path = format!("{}/{}", directory.trim_end_matches('/'), entry.name);
            match filesystem.metadata(&path) {
                Ok(Some(found)) if found.file_type != entry.file_type => problems.push(format!(
                    "{path}: its directory calls it {:?}, its inode {:?}",
                    entry.file_type, found.file_type
                )),
                Ok(Some(found)) if found.file_type == FileType::Directory => waiting.push(path),
                Ok(Some(_)) => {}
                // Shown with replacement characters: it cannot be looked up by this name.
                Ok(None) if entry.name.contains('\u{FFFD}') => {}
                Ok(None) => problems.push(format!("{path} is in its directory but cannot be found")),
                Err(error) => problems.push(error.to_string()),
            }
        }
    }
}
