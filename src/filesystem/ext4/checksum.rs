//! The two checksums of ext4's metadata: CRC-32C (metadata_csum) and CRC-16 (uninit_bg).
//! Source: the kernel's fs/ext4/super.c ext4_group_desc_csum and lib/crc16.c.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_values_of_both_checksums_are_the_published_ones() {
        assert_eq!(!crc32c(!0, b"123456789"), 0xE306_9283);
        assert_eq!(crc16(0, b"123456789"), 0xBB3D);
    }
}
