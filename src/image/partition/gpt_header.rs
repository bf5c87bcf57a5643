//! A GPT header: one sector, whose first 92 bytes are checksummed (UEFI 2.10, table 5-5).

use super::gpt::REMEDY;
use super::{Disk, SECTOR};
use crate::error::{Error, Result};

const SIGNATURE: [u8; 8] = *b"EFI PART";
/// Bytes of a header whose CRC covers what table 5-5 lists; no other size is in use.
const HEADER_SIZE: u32 = 92;

const SIZE: usize = 0x0C;
const HEADER_CRC: usize = 0x10;
/// The LBA of this header.
pub(super) const MY_LBA: usize = 0x18;
/// The LBA of the other header.
pub(super) const ALTERNATE_LBA: usize = 0x20;
/// First LBA that a partition may use.
pub(super) const FIRST_USABLE: usize = 0x28;
/// Last LBA that a partition may use.
pub(super) const LAST_USABLE: usize = 0x30;
/// The disk's GUID.
pub(super) const DISK_GUID: usize = 0x38;
/// First LBA of this header's array of entries.
pub(super) const ENTRIES_LBA: usize = 0x48;
/// Number of entries.
pub(super) const ENTRY_COUNT: usize = 0x50;
/// Bytes per entry.
pub(super) const SIZE_OF_ENTRY: usize = 0x54;
/// CRC-32 of the array.
pub(super) const ENTRIES_CRC: usize = 0x58;

/// A header's bytes.
#[derive(Debug, Clone)]
pub(super) struct RawHeader {
    bytes: [u8; 512],
}

impl RawHeader {
    /// The sector `lba` of `disk`, whatever it holds.
    ///
    /// # Errors
    /// Corrupt when it lies behind the end.
    pub(super) fn read(disk: &Disk, lba: u64) -> Result<Self> {
        let mut bytes = [0; 512];
        disk.read_at(lba.saturating_mul(SECTOR), &mut bytes)?;
        Ok(Self { bytes })
    }

    /// The u32 at byte `offset`.
    pub(super) fn u32(&self, offset: usize) -> u32 {
        self.bytes.get(offset..).and_then(<[u8]>::first_chunk).copied().map_or(0, u32::from_le_bytes)
    }

    /// The u64 at byte `offset`.
    pub(super) fn u64(&self, offset: usize) -> u64 {
        self.bytes.get(offset..).and_then(<[u8]>::first_chunk).copied().map_or(0, u64::from_le_bytes)
    }

    /// Puts `value` at byte `offset`; the checksum is made when it is [written](RawHeader::write).
    pub(super) fn put(&mut self, offset: usize, value: &[u8]) {
        if let Some(field) = self.bytes.get_mut(offset..offset + value.len()) {
            field.copy_from_slice(value);
        }
    }

    /// Whether it is a header at all.
    pub(super) fn has_signature(&self) -> bool {
        self.bytes.starts_with(&SIGNATURE)
    }

    /// Length of the array of entries in sectors.
    pub(super) fn array_sectors(&self) -> u64 {
        (u64::from(self.u32(ENTRY_COUNT)) * u64::from(self.u32(SIZE_OF_ENTRY))).div_ceil(SECTOR)
    }

    /// CRC-32 of the header with its own CRC field taken as zero.
    fn crc(&self) -> u32 {
        let mut zeroed = self.clone();
        zeroed.put(HEADER_CRC, &[0; 4]);
        crc32fast::hash(zeroed.bytes.get(..HEADER_SIZE as usize).unwrap_or_default())
    }

    /// Checks size, checksum and own place.
    ///
    /// # Errors
    /// Corrupt, with both numbers.
    pub(super) fn check(&self, lba: u64) -> Result<()> {
        let size = self.u32(SIZE);
        if size != HEADER_SIZE {
            return Err(Error::corrupt(format!("header size is {size} bytes, expected {HEADER_SIZE}")).remedy(REMEDY));
        }
        let (crc, stored) = (self.crc(), self.u32(HEADER_CRC));
        if crc != stored {
            return Err(
                Error::corrupt(format!("header CRC is {crc:#010x}, the header says {stored:#010x}")).remedy(REMEDY)
            );
        }
        let own = self.u64(MY_LBA);
        if own != lba {
            return Err(Error::corrupt(format!("the header says that it lies at LBA {own}")).remedy(REMEDY));
        }
        Ok(())
    }

    /// Makes the checksum right and writes the header to the LBA that it says it has.
    ///
    /// # Errors
    /// Corrupt when that lies behind the end of `disk`.
    pub(super) fn write(&mut self, disk: &mut Disk) -> Result<()> {
        let crc = self.crc();
        self.put(HEADER_CRC, &crc.to_le_bytes());
        disk.write_at(self.u64(MY_LBA).saturating_mul(SECTOR), &self.bytes)
    }
}
