//! The two checksums of ext4's metadata: CRC-32C (metadata_csum) and CRC-16 (uninit_bg).
//! Source: the kernel's fs/ext4/super.c ext4_group_desc_csum, fs/ext4/inode.c ext4_inode_csum and lib/crc16.c.

use super::bytes::{high16, low16, put, u16_at};
use super::superblock::{GroupChecksum, Superblock};

/// CRC-32C with reflected polynomial 0x82F63B78, continued from `crc`, without a final inversion: as ext4 stores it.
pub(super) fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
    rsext4::crc32c::crc32c_append(crc, bytes)
}

/// CRC-16 with reflected polynomial 0xA001, continued from `crc`.
pub(super) fn crc16(crc: u16, bytes: &[u8]) -> u16 {
    bytes.iter().fold(crc, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| if crc & 1 == 0 { crc >> 1 } else { crc >> 1 ^ 0xA001 })
    })
}

const I_CHECKSUM_LO: usize = 0x7C;
const I_EXTRA_ISIZE: usize = 0x80;
const I_CHECKSUM_HI: usize = 0x82;
/// `i_extra_isize` from which an inode has the high half of its checksum.
const EXTRA_WITH_CHECKSUM: u16 = 4;

/// Makes the checksum of the inode `number`, whose bytes are `raw`, right; without metadata_csum there is none.
pub(super) fn seal_inode(superblock: &Superblock, number: u32, raw: &mut [u8]) {
    if superblock.group_checksum() != GroupChecksum::Crc32c {
        return;
    }
    let wide = raw.len() > I_EXTRA_ISIZE && u16_at(raw, I_EXTRA_ISIZE) >= EXTRA_WITH_CHECKSUM;
    put(raw, I_CHECKSUM_LO, &[0; 2]);
    if wide {
        put(raw, I_CHECKSUM_HI, &[0; 2]);
    }
    let generation = raw.get(0x64..0x68).unwrap_or_default();
    let checksum = [&number.to_le_bytes()[..], generation, raw].into_iter().fold(superblock.checksum_seed(), crc32c);
    put(raw, I_CHECKSUM_LO, &low16(checksum).to_le_bytes());
    if wide {
        put(raw, I_CHECKSUM_HI, &high16(checksum).to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_values_of_both_checksums_are_the_published_ones() {
        assert_eq!(!crc32c(!0, b"123456789"), 0xE306_9283);
        assert_eq!(crc16(0, b"123456789"), 0xBB3D);
    }
}
