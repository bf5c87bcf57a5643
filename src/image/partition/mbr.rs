//! The master boot record: four entries of 16 bytes from byte 446 of LBA 0, `55 AA` behind them.

use super::{Disk, Lba, Partition, PartitionTable, Scheme};
use crate::error::{At, Error, Result};

/// Byte of LBA 0 where the disk signature lies.
const DISK_SIGNATURE: u64 = 0x1B8;
/// Byte of LBA 0 where the first entry lies.
const ENTRIES: u64 = 0x1BE;
const ENTRY: u64 = 16;
/// Byte of LBA 0 where `55 AA` lies.
const BOOT_SIGNATURE: u64 = 0x1FE;

const PROTECTIVE: u8 = 0xEE;
const EXTENDED: [u8; 3] = [0x05, 0x0F, 0x85];
const ACTIVE: u8 = 0x80;

/// One of the four entries.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// 1 to 4.
    pub(super) number: u32,
    flag: u8,
    kind: u8,
    pub(super) start: u32,
    pub(super) sectors: u32,
}

/// LBA 0 of a disk, as far as it is a table.
#[derive(Debug)]
pub(super) struct BootRecord {
    signature: u32,
    entries: Vec<Entry>,
}

impl BootRecord {
    /// Reads LBA 0; `None` when it does not end in `55 AA`.
    ///
    /// # Errors
    /// Corrupt when the disk is shorter than a sector.
    pub(super) fn read(disk: &Disk) -> Result<Option<Self>> {
        let mut mark = [0; 2];
        disk.read_at(BOOT_SIGNATURE, &mut mark)?;
        if mark != [0x55, 0xAA] {
            return Ok(None);
        }
        let mut signature = [0; 4];
        disk.read_at(DISK_SIGNATURE, &mut signature)?;
        let mut entries = Vec::new();
        for number in 1..=4u32 {
            let mut raw = [0; 16];
            disk.read_at(ENTRIES + u64::from(number - 1) * ENTRY, &mut raw)?;
            let [flag, _, _, _, kind, _, _, _, s0, s1, s2, s3, n0, n1, n2, n3] = raw;
            let (start, sectors) = (u32::from_le_bytes([s0, s1, s2, s3]), u32::from_le_bytes([n0, n1, n2, n3]));
            entries.push(Entry { number, flag, kind, start, sectors });
        }
        Ok(Some(Self { signature: u32::from_le_bytes(signature), entries }))
    }

    /// Whether an entry of type 0xEE starts at LBA 1: the mark without which the kernel ignores a GPT
    /// (block/partitions/efi.c is_pmbr_valid).
    pub(super) fn is_protective(&self) -> bool {
        self.protective().is_some()
    }

    /// The protective entry.
    pub(super) fn protective(&self) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.kind == PROTECTIVE && entry.start == 1)
    }

    /// Entries in use beside the protective one: a hybrid MBR has some.
    pub(super) fn others(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.sectors != 0 && entry.kind != PROTECTIVE)
    }

    /// The partitions that the entries list.
    ///
    /// # Errors
    /// Corrupt when an entry's flag is none; unsupported for extended and misplaced protective entries.
    pub(super) fn table(&self, disk: &Disk) -> Result<PartitionTable> {
        let mut partitions = Vec::new();
        let mut remarks = Vec::new();
        for entry in &self.entries {
            if let Some(partition) = self.partition(entry, &mut remarks).at(|| "partition table in LBA 0".into())? {
                partitions.push(partition);
            }
        }
        if super::gpt::has_header(disk) {
            remarks.push("LBA 1 holds a GPT header that nothing uses: LBA 0 has no protective entry".into());
        }
        let disk_id = format!("{:08x}", self.signature);
        Ok(PartitionTable { scheme: Scheme::Mbr, disk_id, partitions, backup: false, remarks })
    }

    /// The partition of an entry in use. The kernel goes by the length, not by the type (msdos.c msdos_partition).
    fn partition(&self, entry: &Entry, remarks: &mut Vec<String>) -> Result<Option<Partition>> {
        let Entry { number, flag, kind, start, sectors } = *entry;
        if flag & !ACTIVE != 0 {
            return Err(Error::corrupt(format!("entry {number} has the boot flag {flag:#04x}, expected 0x00 or 0x80"))
                .remedy("LBA 0 is damaged or no partition table: download or build the image again"));
        }
        if sectors == 0 {
            if kind != 0 {
                remarks.push(format!("entry {number} of the MBR has type {kind:#04x} and no sectors; it is ignored"));
            }
            return Ok(None);
        }
        if EXTENDED.contains(&kind) {
            return Err(Error::unsupported(format!(
                "entry {number} (LBA {start}, {sectors} sectors) is an extended partition (type {kind:#04x})"
            ))
            .remedy("only primary partitions, as OpenWrt's images have them, are handled"));
        }
        if kind == PROTECTIVE {
            return Err(Error::unsupported(format!(
                "entry {number} is protective (type 0xee) but starts at LBA {start}, not 1: the kernel ignores such a GPT"
            ))
            .remedy("download or build the image again"));
        }
        if kind == 0 {
            remarks.push(format!("partition {number} has type 0x00"));
        }
        Ok(Some(Partition {
            number,
            first: Lba(start.into()),
            sectors: sectors.into(),
            type_id: format!("{kind:#04x}"),
            partuuid: format!("{:08x}-{number:02x}", self.signature),
            bootable: flag & ACTIVE != 0,
        }))
    }
}
