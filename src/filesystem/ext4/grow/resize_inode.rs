//! The resize inode, number 7: a file without content that owns the reserved GDT blocks, so that nobody else takes them.
//!
//! Its double-indirect block names the reserved blocks behind the primary descriptors, each at the index of the
//! descriptor block that it would become, modulo the addresses per block; each of those lists its copies in the groups
//! with backups (the kernel's fs/ext4/resize.c reserve_backup_gdb; e2fsprogs' lib/ext2fs/res_gdt.c). It is made anew
//! whenever the filesystem grows. make_ext4fs enters the blocks modulo their own number, with one of them doubled, which
//! the kernel refuses to work with: that is mended along the way.

use super::layout::Layout;
use crate::error::{Error, Result};
use crate::filesystem::ext4::bytes::{put, u16_at, u32_at};
use crate::filesystem::ext4::checksum::seal_inode;
use crate::filesystem::ext4::groups::Group;
use crate::filesystem::ext4::superblock::Superblock;
use crate::image::Volume;

/// Its number.
const NUMBER: u32 = 7;

const I_SIZE_LO: usize = 0x04;
const I_LINKS_COUNT: usize = 0x1A;
const I_BLOCKS_LO: usize = 0x1C;
const I_FLAGS: usize = 0x20;
const I_BLOCK: usize = 0x28;
const I_SIZE_HIGH: usize = 0x6C;
const I_BLOCKS_HIGH: usize = 0x74;
/// Entries of `i_block`.
const BLOCKS: usize = 15;
/// The one with the double-indirect block.
const DOUBLE_INDIRECT: usize = 13;
/// Direct blocks of an inode.
const DIRECT: u64 = 12;
/// `S_IFREG`, and the bits of the mode that tell the type.
const REGULAR: u16 = 0x8000;
const TYPE: u16 = 0xF000;

/// The inode as it was read.
pub(super) struct ResizeInode {
    raw: Vec<u8>,
    /// Byte offset in the partition.
    offset: u64,
    double_indirect: u64,
}

impl ResizeInode {
    /// Reads it; `None` for a filesystem without one.
    ///
    /// # Errors
    /// Corrupt when it is not what it should be.
    pub(super) fn read(volume: &Volume, superblock: &Superblock, groups: &[Group]) -> Result<Option<Self>> {
        let Some(first) = groups.first().filter(|_| superblock.has_resize_inode()) else {
            return Ok(None);
        };
        let size = superblock.inode_size();
        let index = u64::from(NUMBER - 1) * u64::from(size);
        let offset = first.inode_table().saturating_mul(superblock.block_size.into()).saturating_add(index);
        let mut raw = vec![0; size.into()];
        volume.read_at(offset, &mut raw)?;
        let block = |index: usize| u32_at(&raw, I_BLOCK + 4 * index);
        let double_indirect = u64::from(block(DOUBLE_INDIRECT));
        let others = (0..BLOCKS).filter(|index| *index != DOUBLE_INDIRECT).any(|index| block(index) != 0);
        let regular = u16_at(&raw, 0) & TYPE == REGULAR && u16_at(&raw, I_LINKS_COUNT) != 0;
        let inside = double_indirect > u64::from(superblock.first_data_block) && double_indirect < superblock.blocks;
        if others || !regular || !inside {
            return Err(Error::corrupt(format!(
                "inode {NUMBER} (the resize inode) has mode {:#o}, {} links, flags {:#x} and its double-indirect block at \
                 {double_indirect} of {}",
                u16_at(&raw, 0),
                u16_at(&raw, I_LINKS_COUNT),
                u32_at(&raw, I_FLAGS),
                superblock.blocks
            ))
            .remedy("repair it with e2fsck -f on the partition, then try again"));
        }
        Ok(Some(Self { raw, offset, double_indirect }))
    }

    /// Writes it as `layout` wants it, with the blocks that it leads to; `superblock` is the grown one.
    ///
    /// # Errors
    /// The volume is too short.
    pub(super) fn rewrite(mut self, volume: &mut Volume, superblock: &Superblock, layout: &Layout) -> Result<()> {
        let size = u64::from(superblock.block_size);
        let length = usize::try_from(size).unwrap_or_default();
        let addresses = size / 4;
        let mut top = vec![0; length];
        let mut owned = 1;
        for index in 0..u64::from(layout.reserved) {
            let descriptor_block = u64::from(layout.descriptor_blocks) + index;
            let block = u64::from(superblock.first_data_block) + 1 + descriptor_block;
            enter(&mut top, descriptor_block % addresses, block)?;
            let mut list = vec![0; length];
            let backups = (1..layout.groups).filter(|group| layout.has_backup(*group));
            for (entry, group) in (0..).zip(backups) {
                let copy = layout.group(group).0 + 1 + descriptor_block;
                enter(&mut list, entry, copy)?;
                owned += 1;
            }
            volume.write_at(block * size, &list)?;
            owned += 1;
        }
        volume.write_at(self.double_indirect * size, &top)?;
        // As mke2fs sets it: all that twelve direct, one indirect and one double-indirect block reach.
        let [a, b, c, d, high @ ..] = ((addresses * addresses + addresses + DIRECT) * size).to_le_bytes();
        put(&mut self.raw, I_SIZE_LO, &[a, b, c, d]);
        put(&mut self.raw, I_SIZE_HIGH, &high);
        let [a, b, c, d, e, f, ..] = (owned * (size / 512)).to_le_bytes();
        put(&mut self.raw, I_BLOCKS_LO, &[a, b, c, d]);
        put(&mut self.raw, I_BLOCKS_HIGH, &[e, f]);
        seal_inode(superblock, NUMBER, &mut self.raw);
        volume.write_at(self.offset, &self.raw)
    }
}

/// Puts `block` at `index` of a block of addresses.
fn enter(addresses: &mut [u8], index: u64, block: u64) -> Result<()> {
    let wrong = || Error::corrupt(format!("block {block} has no place at index {index} of a list of reserved blocks"));
    let index = usize::try_from(index).ok().filter(|index| index * 4 + 4 <= addresses.len()).ok_or_else(wrong)?;
    let block = u32::try_from(block).map_err(|_| wrong())?;
    put(addresses, index * 4, &block.to_le_bytes());
    Ok(())
}
