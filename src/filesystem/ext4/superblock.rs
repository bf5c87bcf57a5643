//! The primary superblock: 1024 bytes at byte 1024. Field names are those of the kernel's struct ext4_super_block
//! (fs/ext4/ext4.h).

use super::bytes::{low16, put, u16_at, u32_at, u64_at};
use super::checksum::crc32c;
use super::features::{
    COMPAT_DIR_INDEX, COMPAT_HAS_JOURNAL, COMPAT_RESIZE_INODE, INCOMPAT_64BIT, INCOMPAT_CSUM_SEED, INCOMPAT_FILETYPE,
    INCOMPAT_RECOVER, RO_COMPAT_GDT_CSUM, RO_COMPAT_METADATA_CSUM, RO_COMPAT_SPARSE_SUPER, not_editable,
};
use crate::error::{Error, Result};
use crate::image::Volume;

/// Byte offset of the superblock in the partition.
pub(super) const OFFSET: u64 = 1024;
/// Length of the superblock.
const LENGTH: usize = 1024;
/// Value of `s_magic`.
const MAGIC: u16 = 0xEF53;

const S_INODES_COUNT: usize = 0x00;
const S_BLOCKS_COUNT_LO: usize = 0x04;
const S_R_BLOCKS_COUNT_LO: usize = 0x08;
const S_FREE_BLOCKS_COUNT_LO: usize = 0x0C;
const S_FREE_INODES_COUNT: usize = 0x10;
const S_MAGIC: usize = 0x38;
const S_STATE: usize = 0x3A;
const S_BLOCK_GROUP_NR: usize = 0x5A;
const S_FEATURE_COMPAT: usize = 0x5C;
const S_RESERVED_GDT_BLOCKS: usize = 0xCE;
const S_BLOCKS_COUNT_HI: usize = 0x150;
const S_R_BLOCKS_COUNT_HI: usize = 0x154;
const S_FREE_BLOCKS_COUNT_HI: usize = 0x158;
const S_OVERHEAD_CLUSTERS: usize = 0x248;
const S_LPF_INO: usize = 0x268;
const S_CHECKSUM: usize = 0x3FC;

const STATE_VALID: u16 = 1;
const STATE_ERROR: u16 = 2;
const STATE_ORPHAN: u16 = 4;

const REPAIR: &str = "repair it with e2fsck -f on the partition, then try again";

/// How the group descriptors are checksummed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GroupChecksum {
    /// Not at all.
    None,
    /// CRC-16 (uninit_bg).
    Crc16,
    /// CRC-32C (metadata_csum).
    Crc32c,
}

/// What grows with a filesystem.
#[derive(Debug, Clone, Copy)]
pub(super) struct GrownSize {
    /// Blocks in all.
    pub(super) blocks: u64,
    /// Groups in all.
    pub(super) groups: u32,
    /// Blocks that become free.
    pub(super) free_blocks: u64,
    /// Inodes that come, all free.
    pub(super) inodes: u32,
    /// Reserved GDT blocks that are left.
    pub(super) reserved_descriptor_blocks: u32,
}

/// A superblock whose geometry was found sound.
#[derive(Debug, Clone)]
pub(super) struct Superblock {
    raw: Vec<u8>,
    /// Bytes per block: 1024, 2048 or 4096.
    pub(super) block_size: u32,
    /// Blocks in the filesystem.
    pub(super) blocks: u64,
    /// First block of group 0: 1 with 1 KiB blocks, else 0.
    pub(super) first_data_block: u32,
    /// Blocks per group; a multiple of 8.
    pub(super) blocks_per_group: u32,
    /// Inodes in the filesystem.
    pub(super) inodes: u32,
    /// Inodes per group; a multiple of 8.
    pub(super) inodes_per_group: u32,
    /// Bytes per group descriptor.
    pub(super) descriptor_size: u16,
    /// Groups.
    pub(super) groups: u32,
}

impl Superblock {
    /// Reads the superblock of `volume` and checks its features, and its geometry against the volume's length.
    ///
    /// # Errors
    /// Corrupt, naming the field; unsupported features, revision or block size.
    pub(super) fn read(volume: &Volume) -> Result<Self> {
        let mut raw = vec![0; LENGTH];
        volume.read_at(OFFSET, &mut raw)?;
        Self::from_bytes(raw, volume.length()).map_err(|error| error.at("ext4 superblock"))
    }

    fn from_bytes(raw: Vec<u8>, volume_length: u64) -> Result<Self> {
        let magic = u16_at(&raw, S_MAGIC);
        if magic != MAGIC {
            return Err(Error::corrupt(format!("s_magic is {magic:#06x}, not {MAGIC:#06x}")));
        }
        let log = u32_at(&raw, 0x18);
        let block_size = match log {
            0..=2 => 1024u32 << log,
            3..=6 => {
                return Err(Error::unsupported(format!(
                    "blocks of {} bytes (1024, 2048 and 4096 are)",
                    1024u64 << log
                )));
            }
            _ => return Err(Error::corrupt(format!("s_log_block_size is {log}, which is above 6"))),
        };
        let wide = u32_at(&raw, 0x60) & INCOMPAT_64BIT != 0;
        let blocks = u64_at(&raw, 0x04, 0x150) & if wide { u64::MAX } else { u64::from(u32::MAX) };
        let mut superblock = Self {
            block_size,
            blocks,
            first_data_block: u32_at(&raw, 0x14),
            blocks_per_group: u32_at(&raw, 0x20),
            inodes: u32_at(&raw, 0x00),
            inodes_per_group: u32_at(&raw, 0x28),
            descriptor_size: if wide { u16_at(&raw, 0xFE) } else { 32 },
            groups: 0,
            raw,
        };
        // First, because a feature can change what the other fields mean.
        superblock.check_features()?;
        superblock.check_blocks(volume_length)?;
        superblock.groups = superblock.count_groups()?;
        superblock.check_inodes()?;
        superblock.check_checksum()?;
        Ok(superblock)
    }

    fn check_blocks(&self, volume_length: u64) -> Result<()> {
        let Self { blocks, block_size, blocks_per_group, first_data_block, .. } = *self;
        if blocks.checked_mul(block_size.into()).is_none_or(|length| length > volume_length) {
            return Err(Error::corrupt(format!(
                "s_blocks_count is {blocks} blocks of {block_size} bytes, but the partition has {volume_length} bytes"
            ))
            .remedy("the image is cut short, or its partition table does not belong to this filesystem"));
        }
        if first_data_block != u32::from(block_size == 1024) {
            return Err(Error::corrupt(format!(
                "s_first_data_block is {first_data_block} with {block_size}-byte blocks"
            )));
        }
        if blocks <= u64::from(first_data_block) {
            return Err(Error::corrupt(format!("s_blocks_count is {blocks}")));
        }
        if blocks_per_group < 256 || blocks_per_group % 8 != 0 || blocks_per_group > block_size * 8 {
            return Err(Error::corrupt(format!(
                "s_blocks_per_group is {blocks_per_group}, not a multiple of 8 from 256 to {}",
                block_size * 8
            )));
        }
        Ok(())
    }

    fn count_groups(&self) -> Result<u32> {
        let groups = (self.blocks - u64::from(self.first_data_block)).div_ceil(self.blocks_per_group.into());
        let size = self.descriptor_size;
        if !(32..=1024).contains(&size) || !size.is_power_of_two() || (self.is_64bit() && size < 64) {
            return Err(Error::corrupt(format!("s_desc_size is {size}")));
        }
        u32::try_from(groups).map_err(|_| Error::corrupt(format!("s_blocks_count makes {groups} groups")))
    }

    fn check_inodes(&self) -> Result<()> {
        let Self { inodes, inodes_per_group, block_size, groups, .. } = *self;
        let revision = u32_at(&self.raw, 0x4C);
        if revision != 1 {
            return Err(Error::unsupported(format!("s_rev_level is {revision} (1 is supported)")));
        }
        let inode_size = self.inode_size();
        if inode_size < 128 || !inode_size.is_power_of_two() || u32::from(inode_size) > block_size {
            return Err(Error::corrupt(format!(
                "s_inode_size is {inode_size}, not a power of two from 128 to {block_size}"
            )));
        }
        if inodes_per_group == 0 || inodes_per_group % 8 != 0 || inodes_per_group > block_size * 8 {
            return Err(Error::corrupt(format!(
                "s_inodes_per_group is {inodes_per_group}, not a multiple of 8 from 8 to {}",
                block_size * 8
            )));
        }
        if u64::from(inodes) != u64::from(inodes_per_group) * u64::from(groups) {
            return Err(Error::corrupt(format!(
                "s_inodes_count is {inodes}, but {groups} groups of {inodes_per_group} inodes make {}",
                u64::from(inodes_per_group) * u64::from(groups)
            )));
        }
        let free = (self.free_blocks(), self.free_inodes());
        if free.0 > self.blocks || free.1 > inodes {
            return Err(Error::corrupt(format!(
                "s_free_blocks_count is {} of {} and s_free_inodes_count is {} of {inodes}",
                free.0, self.blocks, free.1
            )));
        }
        Ok(())
    }

    fn check_checksum(&self) -> Result<()> {
        let (stored, computed) = (u32_at(&self.raw, S_CHECKSUM), self.checksum());
        if self.group_checksum() == GroupChecksum::Crc32c && stored != computed {
            return Err(Error::corrupt(format!("s_checksum is {stored:#010x}, the bytes make {computed:#010x}")));
        }
        Ok(())
    }

    /// Refuses features that are not known or that an edit could not keep right, by their names.
    ///
    /// # Errors
    /// Unsupported.
    fn check_features(&self) -> Result<()> {
        let names = not_editable(self.compat(), self.incompat(), u32_at(&self.raw, 0x64));
        let error = if !names.is_empty() {
            Error::unsupported(format!("ext4 feature not supported: {}", names.join(", ")))
                .remedy("make the image without it (mke2fs -O ^feature), or take OpenWrt's own ext4 image")
        } else if self.incompat() & INCOMPAT_FILETYPE == 0 {
            Error::unsupported("an ext4 filesystem without the feature filetype")
                .remedy("switch it on with tune2fs -O filetype and e2fsck -f, or take OpenWrt's own ext4 image")
        } else if self.compat() & COMPAT_HAS_JOURNAL != 0
            && (u32_at(&self.raw, 0xE0) == 0 || u32_at(&self.raw, 0xE4) != 0)
        {
            Error::unsupported("an ext4 journal on another device")
        } else {
            return Ok(());
        };
        Err(error)
    }

    /// Refuses a filesystem that was not left clean.
    ///
    /// # Errors
    /// Unsupported, with the remedy.
    pub(super) fn check_clean(&self) -> Result<()> {
        let state = u16_at(&self.raw, S_STATE);
        let orphan = u32_at(&self.raw, 0xE8);
        let (what, remedy) = if self.incompat() & INCOMPAT_RECOVER != 0 {
            (
                "the journal holds changes that were not written back (needs_recovery)".to_owned(),
                "boot the system once and shut it down cleanly, or run e2fsck -p on the partition",
            )
        } else if state & STATE_ERROR != 0 {
            (format!("s_state is {state}: the kernel recorded errors in this filesystem"), REPAIR)
        } else if state & STATE_VALID == 0 {
            (format!("s_state is {state}: the filesystem was not unmounted cleanly"), REPAIR)
        } else if state & STATE_ORPHAN != 0 || orphan != 0 {
            (format!("s_last_orphan is {orphan}: deleted files were not yet given back"), REPAIR)
        } else {
            return Ok(());
        };
        Err(Error::unsupported(what).remedy(remedy).at("ext4 superblock"))
    }

    /// Whether both say the same but for the free counts and the checksum.
    pub(super) fn has_geometry_of(&self, other: &Self) -> bool {
        let (mut one, mut other) = (self.with_free(0, 0).raw, other.with_free(0, 0).raw);
        one.truncate(S_CHECKSUM);
        other.truncate(S_CHECKSUM);
        one == other
    }

    /// Free blocks, as counted by the filesystem.
    pub(super) fn free_blocks(&self) -> u64 {
        let wide = if self.is_64bit() { u64::MAX } else { u64::from(u32::MAX) };
        u64_at(&self.raw, S_FREE_BLOCKS_COUNT_LO, S_FREE_BLOCKS_COUNT_HI) & wide
    }

    /// Free inodes, as counted by the filesystem.
    pub(super) fn free_inodes(&self) -> u32 {
        u32_at(&self.raw, S_FREE_INODES_COUNT)
    }

    /// Bytes per inode.
    pub(super) fn inode_size(&self) -> u16 {
        u16_at(&self.raw, 0x58)
    }

    fn compat(&self) -> u32 {
        u32_at(&self.raw, S_FEATURE_COMPAT)
    }

    fn incompat(&self) -> u32 {
        u32_at(&self.raw, 0x60)
    }

    /// Whether block numbers have 64 bits and descriptors their second half.
    pub(super) fn is_64bit(&self) -> bool {
        self.incompat() & INCOMPAT_64BIT != 0
    }

    /// Whether the reserved GDT blocks have an owner, and so can be taken.
    pub(super) fn has_resize_inode(&self) -> bool {
        self.compat() & COMPAT_RESIZE_INODE != 0
    }

    /// Whether only some groups hold backups.
    pub(super) fn is_sparse(&self) -> bool {
        u32_at(&self.raw, 0x64) & RO_COMPAT_SPARSE_SUPER != 0
    }

    /// Blocks kept free behind the group descriptors for more of them.
    pub(super) fn reserved_descriptor_blocks(&self) -> u32 {
        u16_at(&self.raw, S_RESERVED_GDT_BLOCKS).into()
    }

    /// How group descriptors are checksummed.
    pub(super) fn group_checksum(&self) -> GroupChecksum {
        let ro_compat = u32_at(&self.raw, 0x64);
        if ro_compat & RO_COMPAT_METADATA_CSUM != 0 {
            GroupChecksum::Crc32c
        } else if ro_compat & RO_COMPAT_GDT_CSUM != 0 {
            GroupChecksum::Crc16
        } else {
            GroupChecksum::None
        }
    }

    /// `s_uuid`.
    pub(super) fn uuid(&self) -> &[u8] {
        self.raw.get(0x68..0x78).unwrap_or_default()
    }

    /// What every CRC-32C but the superblock's own starts from.
    pub(super) fn checksum_seed(&self) -> u32 {
        if self.incompat() & INCOMPAT_CSUM_SEED != 0 { u32_at(&self.raw, 0x270) } else { crc32c(!0, self.uuid()) }
    }

    fn checksum(&self) -> u32 {
        crc32c(!0, self.raw.get(..S_CHECKSUM).unwrap_or_default())
    }

    /// First block of group `group` and the number of blocks in it; the last group may be shorter.
    pub(super) fn group_blocks(&self, group: u32) -> (u64, u32) {
        let start = u64::from(self.first_data_block) + u64::from(group) * u64::from(self.blocks_per_group);
        let left = self.blocks.saturating_sub(start).min(self.blocks_per_group.into());
        (start, u32::try_from(left).unwrap_or(self.blocks_per_group))
    }

    /// The same superblock as the editor shall see it: without the journal, so that no edit goes through it; without
    /// dir_index, so that a directory that outgrows its block stays linear; with a lost+found that is the root
    /// directory, so that a missing one is not made.
    pub(super) fn for_editing(&self) -> Self {
        let mut shown = self.clone();
        put(
            &mut shown.raw,
            S_FEATURE_COMPAT,
            &(self.compat() & !(COMPAT_HAS_JOURNAL | COMPAT_DIR_INDEX)).to_le_bytes(),
        );
        put(&mut shown.raw, S_LPF_INO, &2u32.to_le_bytes());
        shown.seal();
        shown
    }

    /// The same superblock with other free counts: all that an edit changes in it.
    pub(super) fn with_free(&self, blocks: u64, inodes: u32) -> Self {
        let mut counted = self.clone();
        counted.put_blocks(S_FREE_BLOCKS_COUNT_LO, S_FREE_BLOCKS_COUNT_HI, blocks);
        put(&mut counted.raw, S_FREE_INODES_COUNT, &inodes.to_le_bytes());
        counted.seal();
        counted
    }

    /// The superblock of the filesystem grown to `size`. The blocks reserved for root keep their share; the kernel
    /// counts the overhead itself where none is noted.
    pub(super) fn grown(&self, size: &GrownSize) -> Self {
        let reserved = u64_at(&self.raw, S_R_BLOCKS_COUNT_LO, S_R_BLOCKS_COUNT_HI);
        let reserved = if self.is_64bit() { reserved } else { reserved & u64::from(u32::MAX) };
        let share = u128::from(reserved) * u128::from(size.blocks) / u128::from(self.blocks.max(1));
        let mut grown =
            self.with_free(self.free_blocks() + size.free_blocks, self.free_inodes().saturating_add(size.inodes));
        grown.blocks = size.blocks;
        grown.groups = size.groups;
        grown.inodes = self.inodes.saturating_add(size.inodes);
        grown.put_blocks(S_BLOCKS_COUNT_LO, S_BLOCKS_COUNT_HI, size.blocks);
        grown.put_blocks(S_R_BLOCKS_COUNT_LO, S_R_BLOCKS_COUNT_HI, u64::try_from(share).unwrap_or(reserved));
        put(&mut grown.raw, S_INODES_COUNT, &grown.inodes.to_le_bytes());
        put(&mut grown.raw, S_OVERHEAD_CLUSTERS, &[0; 4]);
        if self.has_resize_inode() {
            put(&mut grown.raw, S_RESERVED_GDT_BLOCKS, &low16(size.reserved_descriptor_blocks).to_le_bytes());
        }
        grown.seal();
        grown
    }

    fn put_blocks(&mut self, low: usize, high: usize, blocks: u64) {
        let [a, b, c, d, upper @ ..] = blocks.to_le_bytes();
        put(&mut self.raw, low, &[a, b, c, d]);
        if self.is_64bit() {
            put(&mut self.raw, high, &upper);
        }
    }

    /// Writes a copy for the group `group` to the byte `offset`. As e2fsprogs writes them, a backup does not call its
    /// filesystem clean.
    ///
    /// # Errors
    /// The volume is too short.
    pub(super) fn write_backup(&self, volume: &mut Volume, group: u32, offset: u64) -> Result<()> {
        let mut backup = self.clone();
        put(&mut backup.raw, S_BLOCK_GROUP_NR, &low16(group).to_le_bytes());
        put(&mut backup.raw, S_STATE, &(u16_at(&self.raw, S_STATE) & !STATE_VALID).to_le_bytes());
        backup.seal();
        volume.write_at(offset, &backup.raw)
    }

    fn seal(&mut self) {
        if self.group_checksum() == GroupChecksum::Crc32c {
            let checksum = self.checksum();
            put(&mut self.raw, S_CHECKSUM, &checksum.to_le_bytes());
        }
    }

    /// Writes it to its place.
    ///
    /// # Errors
    /// The volume is too short.
    pub(super) fn write(&self, volume: &mut Volume) -> Result<()> {
        volume.write_at(OFFSET, &self.raw)
    }
}
