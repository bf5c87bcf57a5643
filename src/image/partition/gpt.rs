//! The GUID partition table. The `gpt` crate decodes it; what that crate leaves open (which checksum is wrong and by
//! how much, sizes that it would allocate or assert) is checked here first. The backup is looked at, never demanded:
//! OpenWrt's ptgen writes none.

use gpt::disk::LogicalBlockSize;
use gpt::header::{Header, read_header_from_arbitrary_device};
use gpt::partition::file_read_partitions;

use super::mbr::BootRecord;
use super::{Disk, Lba, Partition, PartitionTable, SECTOR, Scheme, Volume};
use crate::error::{At, Error, Result};

const SIGNATURE: [u8; 8] = *b"EFI PART";
/// Bytes of a header whose CRC covers what UEFI 2.10, table 5-5, lists; no other size is in use.
const HEADER_SIZE: u32 = 92;
/// The only entry size that the kernel accepts (efi.c is_gpt_valid).
const ENTRY_SIZE: u32 = 128;
/// Most entries that are read; ptgen and all common tools write 128.
const MOST_ENTRIES: u32 = 4096;
/// Attribute bit 2: legacy BIOS bootable (UEFI 2.10, table 5-8).
const LEGACY_BOOTABLE: u64 = 1 << 2;

const REMEDY: &str = "the partition table is damaged: download or build the image again";

/// The fields of a header that are checked before it is decoded.
struct RawHeader {
    bytes: [u8; 512],
}

impl RawHeader {
    fn read(disk: &Disk, lba: u64) -> Result<Self> {
        let mut bytes = [0; 512];
        disk.read_at(lba.saturating_mul(SECTOR), &mut bytes)?;
        Ok(Self { bytes })
    }

    fn u32(&self, offset: usize) -> u32 {
        self.bytes.get(offset..).and_then(<[u8]>::first_chunk).copied().map_or(0, u32::from_le_bytes)
    }

    fn u64(&self, offset: usize) -> u64 {
        self.bytes.get(offset..).and_then(<[u8]>::first_chunk).copied().map_or(0, u64::from_le_bytes)
    }

    fn has_signature(&self) -> bool {
        self.bytes.starts_with(&SIGNATURE)
    }

    /// CRC-32 of the header with its own CRC field (0x10) taken as zero.
    fn crc(&self) -> u32 {
        let mut bytes = self.bytes;
        for byte in bytes.iter_mut().skip(0x10).take(4) {
            *byte = 0;
        }
        crc32fast::hash(bytes.get(..HEADER_SIZE as usize).unwrap_or_default())
    }

    /// Size, checksum and own place.
    fn check(&self, lba: u64) -> Result<()> {
        let size = self.u32(0x0C);
        if size != HEADER_SIZE {
            return Err(Error::corrupt(format!("header size is {size} bytes, expected {HEADER_SIZE}")).remedy(REMEDY));
        }
        let (crc, stored) = (self.crc(), self.u32(0x10));
        if crc != stored {
            return Err(
                Error::corrupt(format!("header CRC is {crc:#010x}, the header says {stored:#010x}")).remedy(REMEDY)
            );
        }
        let own = self.u64(0x18);
        if own != lba {
            return Err(Error::corrupt(format!("the header says that it lies at LBA {own}")).remedy(REMEDY));
        }
        Ok(())
    }
}

/// Whether LBA 1 holds a GPT header's signature.
pub(super) fn has_header(disk: &Disk) -> bool {
    RawHeader::read(disk, 1).is_ok_and(|header| header.has_signature())
}

/// Reads the GPT behind the protective MBR `record`.
///
/// # Errors
/// Corrupt when header or entries contradict themselves; unsupported when LBA 1 holds no GPT header.
pub(super) fn read(disk: &Disk, record: &BootRecord) -> Result<PartitionTable> {
    let raw = RawHeader::read(disk, 1)?;
    if !raw.has_signature() {
        return Err(Error::unsupported(
            "LBA 0 is a protective MBR, but LBA 1 holds no GPT header (\"EFI PART\" was looked for)",
        )
        .remedy(REMEDY));
    }
    raw.check(1).and_then(|()| check_array(disk, &raw)).at(|| "GPT header at LBA 1".into())?;
    let (header, entries) = decode(disk).map_err(|error| {
        Error::corrupt(format!("the GPT cannot be decoded: {error}")).at("GPT header at LBA 1").remedy(REMEDY)
    })?;
    let mut partitions = Vec::new();
    let mut remarks = remarks_on_mbr(disk, record);
    for (number, entry) in entries.iter().filter(|(_, entry)| entry.is_used()) {
        let partition = partition(*number, entry)?;
        check_usable(&partition, &header, &mut remarks)?;
        partitions.push(partition);
    }
    if partitions.is_empty() {
        return Err(
            Error::unsupported(format!("all {} entries of the GPT are unused", header.num_parts)).remedy(super::REMEDY)
        );
    }
    let backup = backup(disk, &header, &mut remarks);
    let disk_id = header.disk_guid.hyphenated().to_string();
    Ok(PartitionTable { scheme: Scheme::Gpt, disk_id, partitions, backup, remarks })
}

/// The size, place and checksum of the entry array that the header announces.
fn check_array(disk: &Disk, header: &RawHeader) -> Result<()> {
    let sectors = disk.length() / SECTOR;
    let (first_usable, last_usable) = (header.u64(0x28), header.u64(0x30));
    if first_usable > last_usable || last_usable >= sectors {
        return Err(Error::corrupt(format!(
            "usable sectors are LBA {first_usable} to {last_usable}, the disk has {sectors} sectors"
        ))
        .remedy(if last_usable >= sectors { "the image was cut: download or build it again" } else { REMEDY }));
    }
    let (start, count, size) = (header.u64(0x48), header.u32(0x50), header.u32(0x54));
    if size != ENTRY_SIZE {
        return Err(Error::corrupt(format!("entry size is {size} bytes, expected {ENTRY_SIZE}")).remedy(REMEDY));
    }
    if count == 0 || count > MOST_ENTRIES {
        return Err(Error::corrupt(format!("{count} entries, expected 1 to {MOST_ENTRIES}")).remedy(REMEDY));
    }
    let length = u64::from(count) * u64::from(size);
    let end = start.saturating_add(length.div_ceil(SECTOR));
    if start < 2 || end > sectors {
        return Err(Error::corrupt(format!(
            "the array of {count} entries lies at LBA {start} to {}, the disk has {sectors} sectors",
            end.saturating_sub(1)
        ))
        .remedy(REMEDY));
    }
    let bytes = disk.read_vec(start.saturating_mul(SECTOR), usize::try_from(length).unwrap_or(usize::MAX))?;
    let (crc, stored) = (crc32fast::hash(&bytes), header.u32(0x58));
    if crc != stored {
        return Err(Error::corrupt(format!(
            "CRC of the {count} entries at LBA {start} is {crc:#010x}, the header says {stored:#010x}"
        ))
        .remedy(REMEDY));
    }
    Ok(())
}

type Entries = std::collections::BTreeMap<u32, gpt::partition::Partition>;

fn decode(disk: &Disk) -> std::result::Result<(Header, Entries), gpt::GptError> {
    let mut device = Volume::whole(disk.clone());
    let header = read_header_from_arbitrary_device(&mut device, LogicalBlockSize::Lb512)?;
    let entries = file_read_partitions(&mut device, &header, LogicalBlockSize::Lb512)?;
    Ok((header, entries))
}

fn partition(number: u32, entry: &gpt::partition::Partition) -> Result<Partition> {
    let (first, last) = (entry.first_lba, entry.last_lba);
    let sectors = last.checked_sub(first).and_then(|distance| distance.checked_add(1)).ok_or_else(|| {
        Error::corrupt(format!("partition {number} starts at LBA {first} and ends at LBA {last}")).remedy(REMEDY)
    })?;
    Ok(Partition {
        number,
        first: Lba(first),
        sectors,
        type_id: entry.part_type_guid.guid.hyphenated().to_string().to_uppercase(),
        partuuid: entry.part_guid.hyphenated().to_string(),
        bootable: entry.flags & LEGACY_BOOTABLE != 0,
    })
}

/// No partition may lie on the table; one outside the usable sectors is odd, but the kernel takes it.
fn check_usable(partition: &Partition, header: &Header, remarks: &mut Vec<String>) -> Result<()> {
    let (number, first, last) = (partition.number, partition.first.0, partition.last().0);
    let array_end =
        header.part_start.saturating_add((u64::from(header.num_parts) * u64::from(header.part_size)).div_ceil(SECTOR));
    let on_array = first < array_end && last >= header.part_start;
    if first > 0 && (on_array || first == 1) {
        return Err(Error::corrupt(format!(
            "partition {number} (LBA {first} to {last}) lies on the partition table (LBA 0 to {})",
            array_end.saturating_sub(1)
        ))
        .remedy(REMEDY));
    }
    if first < header.first_usable || last > header.last_usable {
        remarks.push(format!(
            "partition {number} (LBA {first} to {last}) lies outside the usable sectors of the GPT (LBA {} to {})",
            header.first_usable, header.last_usable
        ));
    }
    Ok(())
}

/// The length in the protective entry has drifted between versions of ptgen by one sector; more is worth a word, and
/// so is a hybrid MBR.
fn remarks_on_mbr(disk: &Disk, record: &BootRecord) -> Vec<String> {
    let mut remarks = Vec::new();
    let sectors = disk.length() / SECTOR;
    if let Some(entry) = record.protective()
        && entry.sectors != u32::MAX
        && u64::from(entry.sectors) >= sectors
    {
        let count = entry.sectors;
        remarks.push(format!("the protective MBR covers {count} sectors from LBA 1, the disk has {sectors}"));
    }
    let others: Vec<String> = record.others().map(|entry| entry.number.to_string()).collect();
    if !others.is_empty() {
        remarks.push(format!("hybrid MBR: entries {} stand beside the protective one", others.join(", ")));
    }
    remarks
}

/// Whether the alternate LBA holds a valid header. Nothing there is normal; something broken there is worth a word.
fn backup(disk: &Disk, header: &Header, remarks: &mut Vec<String>) -> bool {
    let lba = header.backup_lba;
    let Ok(raw) = RawHeader::read(disk, lba) else {
        return false;
    };
    if !raw.has_signature() {
        return false;
    }
    match raw.check(lba) {
        Ok(()) => true,
        Err(error) => {
            remarks.push(format!("the backup GPT header at LBA {lba} is not valid: {error}"));
            false
        }
    }
}
