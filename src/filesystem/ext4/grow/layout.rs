//! How the blocks of a filesystem divide into groups, and which of them hold what. Pure.
//!
//! A group begins with a backup of superblock and descriptors, with room for more descriptors behind them (the reserved
//! GDT blocks), in every group or, with sparse_super, in groups 0, 1 and the powers of 3, 5 and 7. Then come block bitmap,
//! inode bitmap and inode table: in every group that is made here, whether flex_bg would let them lie elsewhere or not.

use crate::error::{Error, Result};
use crate::filesystem::ext4::superblock::Superblock;

/// Blocks that the last group must have beside its metadata; a shorter one is left out, as resize2fs does.
const FEWEST_DATA_BLOCKS: u64 = 50;
/// The filesystem's end is rounded down to this, as resize2fs does: 4 KiB.
const PAGE: u64 = 4096;
/// Most blocks of a filesystem whose block numbers have 32 bits.
const MOST_NARROW: u64 = u32::MAX as u64;

/// A filesystem's division.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// Blocks in all.
    pub(super) blocks: u64,
    /// Groups.
    pub(super) groups: u32,
    /// Blocks of descriptors.
    pub(super) descriptor_blocks: u32,
    /// Reserved GDT blocks behind them.
    pub(super) reserved: u32,
    block_size: u32,
    first_data_block: u32,
    blocks_per_group: u32,
    inodes_per_group: u32,
    table_blocks: u32,
    descriptors_per_block: u32,
    sparse: bool,
    /// Whether block numbers may have more than 32 bits.
    wide: bool,
}

/// Where the parts of a new group begin, as block numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) block_bitmap: u64,
    pub(super) inode_bitmap: u64,
    pub(super) inode_table: u64,
}

impl Layout {
    /// The division of the filesystem as it is.
    ///
    /// # Errors
    /// Corrupt when descriptor blocks are reserved that have no owner, or more than their owner can list.
    pub(super) fn of(superblock: &Superblock) -> Result<Self> {
        let block_size = superblock.block_size;
        let descriptors_per_block = (block_size / u32::from(superblock.descriptor_size)).max(1);
        let reserved = superblock.reserved_descriptor_blocks();
        let most = if superblock.has_resize_inode() { block_size / 4 } else { 0 };
        if reserved > most {
            return Err(Error::corrupt(format!(
                "s_reserved_gdt_blocks is {reserved} (at most {most} are possible here)"
            ))
            .remedy("repair it with e2fsck -f on the partition, then try again"));
        }
        Ok(Self {
            blocks: superblock.blocks,
            groups: superblock.groups,
            descriptor_blocks: superblock.groups.div_ceil(descriptors_per_block),
            reserved,
            block_size,
            first_data_block: superblock.first_data_block,
            blocks_per_group: superblock.blocks_per_group,
            inodes_per_group: superblock.inodes_per_group,
            table_blocks: superblock
                .inodes_per_group
                .saturating_mul(superblock.inode_size().into())
                .div_ceil(block_size),
            descriptors_per_block,
            sparse: superblock.is_sparse(),
            // The resize inode lists its blocks by 32-bit numbers.
            wide: superblock.is_64bit() && !superblock.has_resize_inode(),
        })
    }

    /// The division once the filesystem fills `length` bytes, or as much of them as makes whole groups; never fewer blocks
    /// than now.
    ///
    /// # Errors
    /// Unsupported, with the largest possible length, when the descriptors of so many groups have no room in front of
    /// what is there, or when there would be too many blocks or inodes.
    pub(super) fn filling(&self, length: u64) -> Result<Self> {
        let asked = (length - length % PAGE) / u64::from(self.block_size);
        let (largest, why) = self.largest();
        if asked > largest {
            let size = u64::from(self.block_size);
            let (most, length) = (largest.saturating_mul(size), asked.saturating_mul(size));
            return Err(Error::unsupported(format!(
                "the ext4 filesystem grows in place to at most {most} bytes ({} MiB), not to {length} ({} MiB): {why}",
                most >> 20,
                length.div_ceil(1 << 20)
            ))
            .remedy("ask for that size at most, or build the image with a larger CONFIG_TARGET_ROOTFS_PARTSIZE"));
        }
        Ok(self.with_blocks(asked.max(self.blocks)))
    }

    /// The division of `blocks` blocks, without a last group that is too short to be one.
    fn with_blocks(&self, blocks: u64) -> Self {
        let per_group = u64::from(self.blocks_per_group);
        let behind = blocks.saturating_sub(self.first_data_block.into());
        let groups = |blocks: u64| u32::try_from(blocks.div_ceil(per_group)).unwrap_or(u32::MAX);
        let rest = behind % per_group;
        let last = groups(behind).saturating_sub(1);
        let too_short = rest != 0 && last >= self.groups && rest < self.overhead(last) + FEWEST_DATA_BLOCKS;
        let behind = if too_short { behind - rest } else { behind };
        let groups = groups(behind);
        let descriptor_blocks = groups.div_ceil(self.descriptors_per_block);
        Self {
            blocks: behind + u64::from(self.first_data_block),
            groups,
            descriptor_blocks,
            reserved: self.room().saturating_sub(descriptor_blocks),
            ..*self
        }
    }

    /// Blocks for descriptors between a superblock and the bitmaps: those in use and the reserved ones.
    const fn room(&self) -> u32 {
        self.descriptor_blocks.saturating_add(self.reserved)
    }

    /// Most groups, and what sets that bound.
    fn most_groups(&self) -> (u32, String) {
        let (descriptors, reserved) = (self.descriptor_blocks, self.reserved);
        let per_block = self.descriptors_per_block;
        let by_descriptors = format!(
            "group descriptors have {descriptors} blocks, with {reserved} more reserved, and a block holds {per_block}"
        );
        let largest_overhead = self.overhead(1);
        let fits = largest_overhead + FEWEST_DATA_BLOCKS <= self.blocks_per_group.into();
        let by_overhead = format!(
            "another group of {} blocks would need {largest_overhead} for its own administration",
            self.blocks_per_group
        );
        let bounds = [
            (self.room().saturating_mul(per_block), by_descriptors),
            (u32::MAX / self.inodes_per_group.max(1), "inode numbers have 32 bits".to_owned()),
            // One block of 32-bit numbers lists the backups of a reserved block.
            (
                if self.sparse || reserved == 0 { u32::MAX } else { self.block_size / 4 + 1 },
                "every group holds a backup (no sparse_super)".to_owned(),
            ),
            (if fits { u32::MAX } else { 0 }, by_overhead),
        ];
        let bound = bounds.into_iter().min_by_key(|(groups, _)| *groups);
        bound.map_or((self.groups, String::new()), |(groups, why)| (groups.max(self.groups), why))
    }

    /// Most blocks, and what sets that bound.
    fn largest(&self) -> (u64, String) {
        let (groups, mut why) = self.most_groups();
        let by_groups = u64::from(groups) * u64::from(self.blocks_per_group);
        let mut blocks = by_groups.saturating_add(self.first_data_block.into());
        if !self.wide && blocks > MOST_NARROW {
            blocks = MOST_NARROW;
            "block numbers have 32 bits".clone_into(&mut why);
        }
        let pages = blocks.saturating_mul(self.block_size.into()) / PAGE * PAGE;
        (self.with_blocks(pages / u64::from(self.block_size)).blocks.max(self.blocks), why)
    }

    /// First block of the group `number`, and the number of blocks in it.
    pub(super) fn group(&self, number: u32) -> (u64, u64) {
        let per_group = u64::from(self.blocks_per_group);
        let start = u64::from(self.first_data_block).saturating_add(u64::from(number).saturating_mul(per_group));
        (start, self.blocks.saturating_sub(start).min(per_group))
    }

    /// Whether the group `number` begins with a backup; group 0 with the original.
    pub(super) fn has_backup(&self, number: u32) -> bool {
        let is_power = |base: u32| {
            let mut power = number;
            while power.is_multiple_of(base) && power > 1 {
                power /= base;
            }
            power == 1
        };
        !self.sparse || number <= 1 || [3, 5, 7].into_iter().any(is_power)
    }

    /// Blocks of metadata in the new group `number`, all at its start.
    pub(super) fn overhead(&self, number: u32) -> u64 {
        let backup = if self.has_backup(number) { 1 + u64::from(self.room()) } else { 0 };
        backup + 2 + u64::from(self.table_blocks)
    }

    /// Where the parts of the new group `number` go.
    pub(super) fn places(&self, number: u32) -> Places {
        let (start, _) = self.group(number);
        let inode_table = start + self.overhead(number) - u64::from(self.table_blocks);
        Places { block_bitmap: inode_table - 2, inode_bitmap: inode_table - 1, inode_table }
    }

    /// Blocks that become free when the filesystem grows from `self` to `after`.
    pub(super) fn blocks_gained(&self, after: &Self) -> u64 {
        let overhead: u64 = (self.groups..after.groups).map(|number| after.overhead(number)).sum();
        (after.blocks - self.blocks).saturating_sub(overhead)
    }

    /// Inodes that come with growing from `self` to `after`.
    pub(super) const fn inodes_gained(&self, after: &Self) -> u32 {
        after.groups.saturating_sub(self.groups).saturating_mul(self.inodes_per_group)
    }

    /// The fewest bytes, a multiple of `step`, that a volume of `length` bytes must gain for the filesystem in it to gain
    /// `blocks` free blocks and `inodes` inodes once it fills the volume; `None` when nothing is enough.
    pub(super) fn bytes_to_gain(&self, length: u64, blocks: u64, inodes: u64, step: u64) -> Option<u64> {
        let enough = |steps: u64| {
            let length = steps.checked_mul(step).and_then(|added| length.checked_add(added))?;
            let after = self.filling(length).ok()?;
            let gained = (self.blocks_gained(&after), u64::from(self.inodes_gained(&after)));
            (gained.0 >= blocks && gained.1 >= inodes).then_some(steps)
        };
        let largest = self.largest().0.saturating_mul(self.block_size.into());
        let (mut low, mut high) = (0, enough(largest.saturating_sub(length) / step)?);
        while low < high {
            let middle = low + (high - low) / 2;
            match enough(middle) {
                Some(_) => high = middle,
                None => low = middle + 1,
            }
        }
        high.checked_mul(step)
    }
}
