//! Growing a filesystem in place, to the end of its volume.
//!
//! Nothing that is there moves: the last group becomes longer, new groups follow with their metadata in themselves, and
//! their descriptors take the blocks that were reserved for them. The journal is not touched. Sources: the kernel's
//! fs/ext4/resize.c, e2fsprogs' resize/resize2fs.c and Documentation/filesystems/ext4.

mod layout;
mod resize_inode;
#[cfg(test)]
mod tests;

use layout::Layout;
use resize_inode::ResizeInode;

use super::groups::{Bitmap, Group, clear_bits, pad_bitmaps, set_bits, set_padding};
use super::superblock::{GroupChecksum, GrownSize, Superblock};
use crate::error::{Error, Result};
use crate::filesystem::Growth;
use crate::image::Volume;

/// The filesystem in `volume`, grown as far as the volume goes. One that fills it already is given back as it is.
///
/// # Errors
/// Those of opening it; unsupported, with the largest length possible, where it cannot grow so far in place.
pub(in crate::filesystem) fn grow(mut volume: Volume) -> Result<(Volume, Growth)> {
    let superblock = Superblock::read(&volume)?;
    superblock.check_clean()?;
    let before = Layout::of(&superblock)?;
    let after = before.filling(volume.length())?;
    let growth = Growth {
        block_size: superblock.block_size,
        blocks_before: before.blocks,
        blocks_after: after.blocks,
        inodes_before: superblock.inodes.into(),
        inodes_after: u64::from(superblock.inodes) + u64::from(before.inodes_gained(&after)),
    };
    if after == before {
        return Ok((volume, growth));
    }
    let mut groups = Group::read_all(&volume, &superblock)?;
    let resize_inode = ResizeInode::read(&volume, &superblock, &groups)?;
    let size = u64::from(superblock.block_size);
    volume.clear(before.blocks * size, (after.blocks - before.blocks) * size)?;
    let grown = superblock.grown(&GrownSize {
        blocks: after.blocks,
        groups: after.groups,
        free_blocks: before.blocks_gained(&after),
        inodes: before.inodes_gained(&after),
        reserved_descriptor_blocks: after.reserved,
    });
    if let Some(last) = groups.last_mut() {
        lengthen(&mut volume, &grown, last, &before, &after)?;
    }
    for number in before.groups..after.groups {
        groups.push(add(&mut volume, &grown, number, &after)?);
    }
    pad_bitmaps(&mut volume, &grown, &mut groups)?;
    if let Some(inode) = resize_inode {
        inode.rewrite(&mut volume, &grown, &after)?;
    }
    write_descriptors(&mut volume, &grown, &groups, &after)?;
    grown.write(&mut volume)?;
    Ok((volume, growth))
}

/// The fewest bytes, a multiple of `step`, that `volume` must gain for `blocks` and `inodes` to be free once the filesystem
/// in it was [grown](grow); `None` when they are free as it is.
///
/// # Errors
/// Those of opening it; unsupported when it cannot grow so far in place.
pub(in crate::filesystem) fn shortfall(volume: &Volume, blocks: u64, inodes: u64, step: u64) -> Result<Option<u64>> {
    let superblock = Superblock::read(volume)?;
    let layout = Layout::of(&superblock)?;
    let (free_blocks, free_inodes) = (superblock.free_blocks(), u64::from(superblock.free_inodes()));
    if blocks <= free_blocks && inodes <= free_inodes {
        return Ok(None);
    }
    let (blocks_short, inodes_short) = (blocks.saturating_sub(free_blocks), inodes.saturating_sub(free_inodes));
    layout.bytes_to_gain(volume.length(), blocks_short, inodes_short, step).map(Some).ok_or_else(|| {
        Error::unsupported(format!(
            "the ext4 filesystem cannot grow in place so far that {blocks} blocks and {inodes} inodes are free              ({free_blocks} and {free_inodes} are now)"
        ))
    })
}

/// Whole MiB, in bytes, that a volume of `length` bytes must gain for the filesystem with this superblock to gain
/// `(blocks, inodes)`; `None` where that cannot be in place.
pub(super) fn bytes_to_gain(superblock: &Superblock, length: u64, (blocks, inodes): (u64, u64)) -> Option<u64> {
    Layout::of(superblock).ok()?.bytes_to_gain(length, blocks, inodes, 1 << 20)
}

/// Frees the blocks that the group `last` gains.
fn lengthen(
    volume: &mut Volume,
    superblock: &Superblock,
    last: &mut Group,
    before: &Layout,
    after: &Layout,
) -> Result<()> {
    let (old, new) = (before.group(last.number).1, after.group(last.number).1);
    if let Some((block, mut bitmap)) = last.bitmap(volume, superblock, Bitmap::Blocks)? {
        clear_bits(&mut bitmap, old..new);
        volume.write_at(block * u64::from(superblock.block_size), &bitmap)?;
        last.set_bitmap_checksum(superblock, Bitmap::Blocks, &bitmap);
    }
    let free = u64::from(last.free_blocks()) + new - old;
    last.set_free_blocks(u32::try_from(free).unwrap_or(u32::MAX));
    last.seal(superblock);
    Ok(())
}

/// Makes the group `number`, empty.
fn add(volume: &mut Volume, superblock: &Superblock, number: u32, layout: &Layout) -> Result<Group> {
    let (places, overhead) = (layout.places(number), layout.overhead(number));
    let (_, length) = layout.group(number);
    let size = u64::from(superblock.block_size);
    let mut group = Group::new(superblock, number);
    group.place(places.block_bitmap, places.inode_bitmap, places.inode_table);
    group.set_free_blocks(u32::try_from(length.saturating_sub(overhead)).unwrap_or(u32::MAX));
    group.set_free_inodes(superblock.inodes_per_group);

    let mut bitmap = vec![0; usize::try_from(size).unwrap_or_default()];
    set_bits(&mut bitmap, 0..overhead);
    set_padding(&mut bitmap, u32::try_from(length).unwrap_or(u32::MAX));
    volume.write_at(places.block_bitmap * size, &bitmap)?;
    group.set_bitmap_checksum(superblock, Bitmap::Blocks, &bitmap);

    if superblock.group_checksum() == GroupChecksum::None {
        bitmap.fill(0);
        set_padding(&mut bitmap, superblock.inodes_per_group);
        volume.write_at(places.inode_bitmap * size, &bitmap)?;
    } else {
        group.mark_inodes_unused(superblock.inodes_per_group);
    }
    group.seal(superblock);
    Ok(group)
}

/// Writes all descriptors, and superblock and descriptors to every group with a backup.
fn write_descriptors(volume: &mut Volume, superblock: &Superblock, groups: &[Group], layout: &Layout) -> Result<()> {
    let size = u64::from(superblock.block_size);
    let mut table: Vec<u8> = groups.iter().flat_map(Group::bytes).copied().collect();
    // What lies behind the last descriptor was a list of the resize inode.
    table.resize(usize::try_from(u64::from(layout.descriptor_blocks) * size).unwrap_or(table.len()), 0);
    for number in (0..layout.groups).filter(|number| layout.has_backup(*number)) {
        let start = layout.group(number).0;
        volume.write_at((start + 1) * size, &table)?;
        if number > 0 {
            superblock.write_backup(volume, number, start * size)?;
        }
    }
    Ok(())
}
