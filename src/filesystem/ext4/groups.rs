//! Group descriptors and the bitmaps they point to. Field names are those of the kernel's struct ext4_group_desc.

use std::ops::Range;

use super::bytes::{high16, low16, put, u16_at, u32_at};
use super::checksum::{crc16, crc32c};
use super::superblock::{GroupChecksum, Superblock};
use crate::error::{Error, Result};
use crate::image::Volume;

const BG_CHECKSUM: usize = 0x1E;
const BG_BLOCK_BITMAP_CSUM_LO: usize = 0x18;
const BG_INODE_BITMAP_CSUM_LO: usize = 0x1A;
const BG_BLOCK_BITMAP_CSUM_HI: usize = 0x38;
const BG_INODE_BITMAP_CSUM_HI: usize = 0x3A;
/// Descriptors from this length on have high halves.
const WIDE: usize = 64;

const BG_FLAGS: usize = 0x12;
const FLAG_INODE_UNINIT: u16 = 1;
const FLAG_BLOCK_UNINIT: u16 = 2;
/// The inode table is known to be all zeroes where it was never used.
const FLAG_INODE_ZEROED: u16 = 4;

/// Which of a group's two bitmaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bitmap {
    /// One bit per block.
    Blocks,
    /// One bit per inode.
    Inodes,
}

impl Bitmap {
    /// Its name in messages.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Blocks => "block bitmap",
            Self::Inodes => "inode bitmap",
        }
    }
}

/// One group descriptor.
#[derive(Debug, Clone)]
pub(super) struct Group {
    /// Number of the group.
    pub(super) number: u32,
    raw: Vec<u8>,
    /// Byte offset of the descriptor in the partition.
    offset: u64,
}

impl Group {
    /// All descriptors, in order.
    ///
    /// # Errors
    /// Corrupt: the table reaches behind the partition.
    pub(super) fn read_all(volume: &Volume, superblock: &Superblock) -> Result<Vec<Self>> {
        let read = |number: u32| {
            let mut group = Self::new(superblock, number);
            volume.read_at(group.offset, &mut group.raw)?;
            Ok(group)
        };
        (0..superblock.groups).map(read).collect()
    }

    /// A descriptor that is all zeroes, for the group `number`.
    pub(super) fn new(superblock: &Superblock, number: u32) -> Self {
        let table = u64::from(superblock.first_data_block + 1) * u64::from(superblock.block_size);
        let offset = table + u64::from(number) * u64::from(superblock.descriptor_size);
        Self { number, raw: vec![0; superblock.descriptor_size.into()], offset }
    }

    /// The descriptor's bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.raw
    }

    fn halves(&self, low: usize, high: usize) -> u32 {
        let wide = if self.raw.len() >= WIDE { u16_at(&self.raw, high) } else { 0 };
        u32::from(wide) << 16 | u32::from(u16_at(&self.raw, low))
    }

    fn pointer(&self, low: usize, high: usize) -> u64 {
        let wide = if self.raw.len() >= WIDE { u32_at(&self.raw, high) } else { 0 };
        u64::from(wide) << 32 | u64::from(u32_at(&self.raw, low))
    }

    fn set_halves(&mut self, low: usize, high: usize, value: u32) {
        put(&mut self.raw, low, &low16(value).to_le_bytes());
        if self.raw.len() >= WIDE {
            put(&mut self.raw, high, &high16(value).to_le_bytes());
        }
    }

    fn set_pointer(&mut self, low: usize, high: usize, block: u64) {
        let [a, b, c, d, upper @ ..] = block.to_le_bytes();
        put(&mut self.raw, low, &[a, b, c, d]);
        if self.raw.len() >= WIDE {
            put(&mut self.raw, high, &upper);
        }
    }

    /// Says in which blocks the bitmaps are and the inode table begins.
    pub(super) fn place(&mut self, block_bitmap: u64, inode_bitmap: u64, inode_table: u64) {
        self.set_pointer(0x00, 0x20, block_bitmap);
        self.set_pointer(0x04, 0x24, inode_bitmap);
        self.set_pointer(0x08, 0x28, inode_table);
    }

    /// Counts `count` free blocks.
    pub(super) fn set_free_blocks(&mut self, count: u32) {
        self.set_halves(0x0C, 0x2C, count);
    }

    /// Counts `count` free inodes.
    pub(super) fn set_free_inodes(&mut self, count: u32) {
        self.set_halves(0x0E, 0x2E, count);
    }

    /// Says that none of the group's `count` inodes was ever used: the table is zeroes, and the bitmap's block holds
    /// nothing.
    pub(super) fn mark_inodes_unused(&mut self, count: u32) {
        self.set_halves(0x1C, 0x32, count);
        let flags = u16_at(&self.raw, BG_FLAGS) | FLAG_INODE_UNINIT | FLAG_INODE_ZEROED;
        put(&mut self.raw, BG_FLAGS, &flags.to_le_bytes());
    }

    /// Free blocks in the group, as the descriptor counts them.
    pub(super) fn free_blocks(&self) -> u32 {
        self.halves(0x0C, 0x2C)
    }

    /// Free inodes in the group, as the descriptor counts them.
    pub(super) fn free_inodes(&self) -> u32 {
        self.halves(0x0E, 0x2E)
    }

    /// Inodes at the end of the table that were never used.
    pub(super) fn unused_inodes(&self) -> u32 {
        self.halves(0x1C, 0x32)
    }

    /// First block of the inode table.
    pub(super) fn inode_table(&self) -> u64 {
        self.pointer(0x08, 0x28)
    }

    /// Block of a bitmap; `None` where the bitmap is not initialised and its block holds nothing.
    pub(super) fn bitmap_block(&self, superblock: &Superblock, which: Bitmap) -> Option<u64> {
        let (flag, block) = match which {
            Bitmap::Blocks => (FLAG_BLOCK_UNINIT, self.pointer(0x00, 0x20)),
            Bitmap::Inodes => (FLAG_INODE_UNINIT, self.pointer(0x04, 0x24)),
        };
        let uninit = superblock.group_checksum() != GroupChecksum::None && u16_at(&self.raw, BG_FLAGS) & flag != 0;
        (!uninit).then_some(block)
    }

    /// The bytes of a bitmap, one block, with its block number; `None` as for [`Group::bitmap_block`].
    ///
    /// # Errors
    /// Corrupt: the descriptor points behind the filesystem.
    pub(super) fn bitmap(
        &self,
        volume: &Volume,
        superblock: &Superblock,
        which: Bitmap,
    ) -> Result<Option<(u64, Vec<u8>)>> {
        let Some(block) = self.bitmap_block(superblock, which) else {
            return Ok(None);
        };
        if block <= u64::from(superblock.first_data_block) || block >= superblock.blocks {
            return Err(Error::corrupt(format!(
                "group {}: the {} is said to be in block {block} of {}",
                self.number,
                which.name(),
                superblock.blocks
            )));
        }
        let size = superblock.block_size;
        let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
        volume.read_at(block * u64::from(size), &mut bytes)?;
        Ok(Some((block, bytes)))
    }

    /// The checksum that the descriptor's bytes make; kernel: ext4_group_desc_csum.
    pub(super) fn checksum(&self, superblock: &Superblock) -> u16 {
        let number = self.number.to_le_bytes();
        let before = self.raw.get(..BG_CHECKSUM).unwrap_or_default();
        let after = self.raw.get(BG_CHECKSUM + 2..).unwrap_or_default();
        match superblock.group_checksum() {
            GroupChecksum::None => self.stored_checksum(),
            GroupChecksum::Crc16 => {
                let after = if superblock.is_64bit() { after } else { &[] };
                [superblock.uuid(), &number, before, after].into_iter().fold(!0, crc16)
            }
            GroupChecksum::Crc32c => {
                low16([&number, before, &[0, 0], after].into_iter().fold(superblock.checksum_seed(), crc32c))
            }
        }
    }

    /// `bg_checksum`.
    pub(super) fn stored_checksum(&self) -> u16 {
        u16_at(&self.raw, BG_CHECKSUM)
    }

    const fn bitmap_checksum_fields(which: Bitmap) -> (usize, usize) {
        match which {
            Bitmap::Blocks => (BG_BLOCK_BITMAP_CSUM_LO, BG_BLOCK_BITMAP_CSUM_HI),
            Bitmap::Inodes => (BG_INODE_BITMAP_CSUM_LO, BG_INODE_BITMAP_CSUM_HI),
        }
    }

    /// Whether the stored checksum of a bitmap is that of `bitmap`; always so without metadata_csum.
    pub(super) fn bitmap_checksum_fits(&self, superblock: &Superblock, which: Bitmap, bitmap: &[u8]) -> bool {
        if superblock.group_checksum() != GroupChecksum::Crc32c {
            return true;
        }
        let (low, high) = Self::bitmap_checksum_fields(which);
        let computed = bitmap_checksum(superblock, which, bitmap);
        let wide = self.raw.len() < WIDE || u16_at(&self.raw, high) == high16(computed);
        u16_at(&self.raw, low) == low16(computed) && wide
    }

    /// Stores the checksum of `bitmap`; without metadata_csum there is none.
    pub(super) fn set_bitmap_checksum(&mut self, superblock: &Superblock, which: Bitmap, bitmap: &[u8]) {
        if superblock.group_checksum() == GroupChecksum::Crc32c {
            let (low, high) = Self::bitmap_checksum_fields(which);
            self.set_halves(low, high, bitmap_checksum(superblock, which, bitmap));
        }
    }

    /// Makes the descriptor's own checksum right.
    pub(super) fn seal(&mut self, superblock: &Superblock) {
        let own = self.checksum(superblock);
        put(&mut self.raw, BG_CHECKSUM, &own.to_le_bytes());
    }
}

/// Sets the padding of every bitmap that is in use: make_ext4fs leaves it clear and e2fsck complains.
///
/// # Errors
/// Corrupt: a descriptor points behind the filesystem.
pub(super) fn pad_bitmaps(volume: &mut Volume, superblock: &Superblock, groups: &mut [Group]) -> Result<()> {
    for group in groups {
        for which in [Bitmap::Blocks, Bitmap::Inodes] {
            let Some((block, mut bitmap)) = group.bitmap(volume, superblock, which)? else {
                continue;
            };
            if set_padding(&mut bitmap, used_bits(superblock, group.number, which)) {
                volume.write_at(block * u64::from(superblock.block_size), &bitmap)?;
                group.set_bitmap_checksum(superblock, which, &bitmap);
                group.seal(superblock);
                volume.write_at(group.offset, &group.raw)?;
            }
        }
    }
    Ok(())
}

/// CRC-32C over the bits that a full group uses; kernel: ext4_inode_bitmap_csum_set, ext4_block_bitmap_csum_set.
fn bitmap_checksum(superblock: &Superblock, which: Bitmap, bitmap: &[u8]) -> u32 {
    let bits = match which {
        Bitmap::Blocks => superblock.blocks_per_group,
        Bitmap::Inodes => superblock.inodes_per_group,
    };
    let length = usize::try_from(bits / 8).unwrap_or_default();
    crc32c(superblock.checksum_seed(), bitmap.get(..length).unwrap_or(bitmap))
}

/// Bits of a group's bitmap that stand for something; those behind them are padding.
pub(super) fn used_bits(superblock: &Superblock, group: u32, which: Bitmap) -> u32 {
    match which {
        Bitmap::Blocks => superblock.group_blocks(group).1,
        Bitmap::Inodes => superblock.inodes_per_group,
    }
}

/// Sets the bits from `bits` on; says whether one was clear.
pub(super) fn set_padding(bitmap: &mut [u8], bits: u32) -> bool {
    let mut changed = false;
    for (index, byte) in (0u64..).zip(bitmap.iter_mut()) {
        let start = index * 8;
        let keep = u64::from(bits).saturating_sub(start).min(8);
        let padding = if keep == 8 { 0 } else { 0xFFu8 << keep };
        changed |= *byte & padding != padding;
        *byte |= padding;
    }
    changed
}

/// Sets the bits in `range`.
pub(super) fn set_bits(bitmap: &mut [u8], range: Range<u64>) {
    for_bits(bitmap, range, |byte, mask| *byte |= mask);
}

/// Clears the bits in `range`.
pub(super) fn clear_bits(bitmap: &mut [u8], range: Range<u64>) {
    for_bits(bitmap, range, |byte, mask| *byte &= !mask);
}

fn for_bits(bitmap: &mut [u8], range: Range<u64>, change: impl Fn(&mut u8, u8)) {
    for bit in range {
        if let Some(byte) = usize::try_from(bit / 8).ok().and_then(|index| bitmap.get_mut(index)) {
            change(byte, 1 << (bit % 8));
        }
    }
}

/// Clear bits among the first `bits`.
pub(super) fn count_free(bitmap: &[u8], bits: u32) -> u32 {
    let mut padded = bitmap.to_vec();
    set_padding(&mut padded, bits);
    padded.iter().map(|byte| byte.count_zeros()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_begins_behind_the_last_bit_in_use() {
        let mut bitmap = [0b0000_0001, 0, 0xF0];
        assert_eq!(count_free(&bitmap, 12), 11);
        assert!(set_padding(&mut bitmap, 12));
        assert_eq!(bitmap, [0b0000_0001, 0xF0, 0xFF]);
        assert!(!set_padding(&mut bitmap, 12));
        assert!(!set_padding(&mut bitmap, 24));
    }
}
