//! The GUID partition table. The `gpt` crate decodes it; what that crate leaves open (which checksum is wrong and by
//! how much, sizes that it would allocate or assert) is checked here first. The backup is looked at, never demanded:
//! OpenWrt's ptgen writes none.

use gpt::disk::LogicalBlockSize;
use gpt::header::{Header, read_header_from_arbitrary_device};
use gpt::partition::file_read_partitions;

use super::gpt_header::{ENTRIES_CRC, ENTRIES_LBA, ENTRY_COUNT, FIRST_USABLE, LAST_USABLE, RawHeader, SIZE_OF_ENTRY};
use super::mbr::BootRecord;
use super::{Disk, Lba, Partition, PartitionTable, SECTOR, Scheme, Volume};
use crate::error::{At, Error, Result};

/// The only entry size that the kernel accepts (efi.c is_gpt_valid).
const ENTRY_SIZE: u32 = 128;
/// Most entries that are read; ptgen and all common tools write 128.
const MOST_ENTRIES: u32 = 4096;
/// Attribute bit 2: legacy BIOS bootable (UEFI 2.10, table 5-8).
const LEGACY_BOOTABLE: u64 = 1 << 2;

pub(super) const REMEDY: &str = "the partition table is damaged: download or build the image again";

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
    let (first_usable, last_usable) = (header.u64(FIRST_USABLE), header.u64(LAST_USABLE));
    if first_usable > last_usable || last_usable >= sectors {
        return Err(Error::corrupt(format!(
            "usable sectors are LBA {first_usable} to {last_usable}, the disk has {sectors} sectors"
        ))
        .remedy(if last_usable >= sectors { "the image was cut: download or build it again" } else { REMEDY }));
    }
    let (start, count, size) = (header.u64(ENTRIES_LBA), header.u32(ENTRY_COUNT), header.u32(SIZE_OF_ENTRY));
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
    let (crc, stored) = (crc32fast::hash(&bytes), header.u32(ENTRIES_CRC));
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

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;
    use crate::error::ErrorKind as Kind;

    const EFI: &[u8] = include_bytes!("../../../fixtures/openwrt-mini-ib-ext4-combined-efi.img.gz");
    /// Sectors of that image.
    const SECTORS: u64 = 246_335;
    /// Header fields in the disk.
    const HEADER: usize = 512;
    const ENTRIES: usize = 1024;

    /// LBA 0 to 33 of the image.
    fn start() -> Vec<u8> {
        let mut bytes = vec![0; 34 * 512];
        flate2::read::GzDecoder::new(EFI).read_exact(&mut bytes).unwrap();
        bytes
    }

    /// A disk of `sectors` sectors that begins with `bytes`.
    fn disk_of(bytes: &[u8], sectors: u64) -> Disk {
        Disk::from_bytes(bytes).lengthened(sectors * SECTOR)
    }

    fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
        bytes[at..at + value.len()].copy_from_slice(value);
    }

    /// Both checksums made right again.
    fn reseal(bytes: &mut [u8]) {
        let crc = crc32fast::hash(&bytes[ENTRIES..ENTRIES + 128 * 128]);
        put(bytes, HEADER + 0x58, &crc.to_le_bytes());
        put(bytes, HEADER + 0x10, &[0; 4]);
        let crc = crc32fast::hash(&bytes[HEADER..HEADER + 92]);
        put(bytes, HEADER + 0x10, &crc.to_le_bytes());
    }

    fn table(bytes: &[u8]) -> Result<PartitionTable> {
        PartitionTable::read(&disk_of(bytes, SECTORS))
    }

    /// The error after `value` was written at `at` and the checksums were made right.
    fn refusal(at: usize, value: &[u8]) -> (Kind, String) {
        let mut bytes = start();
        put(&mut bytes, at, value);
        reseal(&mut bytes);
        let error = table(&bytes).unwrap_err();
        (error.kind(), error.to_string())
    }

    fn corrupt(line: &str) -> (Kind, String) {
        (Kind::Corrupt, line.into())
    }

    #[test]
    fn an_official_table_without_a_backup_reads_as_sgdisk_reads_it() {
        let table = table(&start()).unwrap();
        assert_eq!(table.scheme, Scheme::Gpt);
        assert_eq!(table.disk_id, "e805ec03-db41-b0f4-2cfc-5a3bba428000");
        assert!(!table.backup);
        assert!(table.remarks.is_empty(), "{:?}", table.remarks);
        let numbers: Vec<_> = table.partitions.iter().map(|partition| partition.number).collect();
        assert_eq!(numbers, [1, 2, 128]);

        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), start()).unwrap();
        file.as_file().set_len(SECTORS * SECTOR).unwrap();
        for partition in &table.partitions {
            let number = partition.number.to_string();
            let output =
                Command::new("sgdisk").args(["-i", &number]).arg(file.path()).output().expect("sgdisk is needed");
            let text = String::from_utf8(output.stdout).unwrap();
            for line in [
                format!("Partition GUID code: {}", partition.type_id),
                format!("Partition unique GUID: {}", partition.partuuid.to_uppercase()),
                format!("First sector: {} ", partition.first.0),
                format!("Last sector: {} ", partition.last().0),
                format!("Partition size: {} sectors", partition.sectors),
                format!("Attribute flags: {:016X}", if partition.bootable { LEGACY_BOOTABLE } else { 0 }),
            ] {
                assert!(text.contains(&line), "{line} is not in {text}");
            }
        }
        assert!(table.partitions[0].bootable);
    }

    #[test]
    fn a_wrong_checksum_is_an_error_with_both_numbers() {
        let mut bytes = start();
        let stored = u32::from_le_bytes(bytes[HEADER + 0x10..][..4].try_into().unwrap());
        bytes[HEADER + 0x38] ^= 1; // disk GUID
        let mut zeroed = bytes[HEADER..HEADER + 92].to_vec();
        put(&mut zeroed, 0x10, &[0; 4]);
        let crc = crc32fast::hash(&zeroed);
        let line = format!("GPT header at LBA 1: header CRC is {crc:#010x}, the header says {stored:#010x}");
        assert_eq!(table(&bytes).unwrap_err().to_string(), line);

        let mut bytes = start();
        let stored = crc32fast::hash(&bytes[ENTRIES..]);
        bytes[ENTRIES + 127 * 128 + 100] ^= 1;
        let crc = crc32fast::hash(&bytes[ENTRIES..]);
        let line = format!(
            "GPT header at LBA 1: CRC of the 128 entries at LBA 2 is {crc:#010x}, the header says {stored:#010x}"
        );
        assert_eq!(table(&bytes).unwrap_err().to_string(), line);
    }

    #[test]
    fn header_fields_that_make_no_sense_are_told_with_their_numbers() {
        let at = |offset: usize| HEADER + offset;
        for (offset, value, line) in [
            (at(0x0C), &91u32.to_le_bytes()[..], "header size is 91 bytes, expected 92"),
            (at(0x0C), &u32::MAX.to_le_bytes(), "header size is 4294967295 bytes, expected 92"),
            (at(0x18), &2u64.to_le_bytes(), "the header says that it lies at LBA 2"),
            (at(0x54), &256u32.to_le_bytes(), "entry size is 256 bytes, expected 128"),
            (at(0x50), &u32::MAX.to_le_bytes(), "4294967295 entries, expected 1 to 4096"),
            (at(0x50), &0u32.to_le_bytes(), "0 entries, expected 1 to 4096"),
            (
                at(0x48),
                &246_330u64.to_le_bytes(),
                "the array of 128 entries lies at LBA 246330 to 246361, the disk has 246335 sectors",
            ),
            (
                at(0x48),
                &u64::MAX.to_le_bytes(),
                "the array of 128 entries lies at LBA 18446744073709551615 to 18446744073709551614, the disk has 246335 sectors",
            ),
            (at(0x30), &246_335u64.to_le_bytes(), "usable sectors are LBA 34 to 246335, the disk has 246335 sectors"),
        ] {
            assert_eq!(refusal(offset, value), corrupt(&format!("GPT header at LBA 1: {line}")));
        }
    }

    #[test]
    fn partitions_out_of_place_are_told_with_their_numbers() {
        let first = |index: usize| ENTRIES + index * 128 + 32;
        let last = |index: usize| ENTRIES + index * 128 + 40;
        for (offset, value, line) in [
            (last(0), 33_280u64, "partition 1 (LBA 512 to 33280) overlaps partition 2 (LBA 33280 to 246271)"),
            (first(127), 512, "partition 128 starts at LBA 512 and ends at LBA 511"),
            (first(127), 33, "partition 128 (LBA 33 to 511) lies on the partition table (LBA 0 to 33)"),
            (first(127), 1, "partition 128 (LBA 1 to 511) lies on the partition table (LBA 0 to 33)"),
            (first(127), 0, "partition 128 starts at LBA 0, on the partition table"),
            (last(1), 246_335, "partition 2 (LBA 33280 to 246335) reaches behind the end of the disk (246335 sectors)"),
        ] {
            assert_eq!(refusal(offset, &value.to_le_bytes()), corrupt(line));
        }
        let mut bytes = start();
        put(&mut bytes, first(127), &0u64.to_le_bytes());
        put(&mut bytes, last(127), &u64::MAX.to_le_bytes());
        reseal(&mut bytes);
        assert_eq!(
            table(&bytes).unwrap_err().to_string(),
            "partition 128 starts at LBA 0 and ends at LBA 18446744073709551615"
        );
    }

    #[test]
    fn a_cut_disk_is_corrupt() {
        let error = PartitionTable::read(&disk_of(&start(), 200_000)).unwrap_err();
        let line = "GPT header at LBA 1: usable sectors are LBA 34 to 246271, the disk has 200000 sectors";
        assert_eq!((error.kind(), error.to_string()), corrupt(line));
        assert_eq!(error.remedy_text(), Some("the image was cut: download or build it again"));
    }

    #[test]
    fn a_partition_outside_the_usable_sectors_is_a_remark() {
        let mut bytes = start();
        put(&mut bytes, HEADER + 0x28, &35u64.to_le_bytes());
        reseal(&mut bytes);
        let remark = "partition 128 (LBA 34 to 511) lies outside the usable sectors of the GPT (LBA 35 to 246271)";
        assert_eq!(table(&bytes).unwrap().remarks, [remark]);
    }

    #[test]
    fn a_valid_backup_is_seen_and_a_broken_one_is_a_remark() {
        let mut disk = disk_of(&start(), SECTORS);
        let mut header = start()[HEADER..HEADER + 512].to_vec();
        put(&mut header, 0x18, &246_304u64.to_le_bytes());
        put(&mut header, 0x20, &1u64.to_le_bytes());
        put(&mut header, 0x10, &[0; 4]);
        let crc = crc32fast::hash(&header[..92]);
        put(&mut header, 0x10, &crc.to_le_bytes());
        disk.write_at(246_304 * SECTOR, &header).unwrap();
        let table = PartitionTable::read(&disk).unwrap();
        assert!(table.backup && table.remarks.is_empty());
        disk.write_at(246_304 * SECTOR + 0x38, &[0xEE]).unwrap();
        let table = PartitionTable::read(&disk).unwrap();
        assert!(!table.backup);
        assert!(table.remarks[0].starts_with("the backup GPT header at LBA 246304 is not valid: header CRC is "));
    }

    #[test]
    fn the_drift_of_the_protective_length_is_normal_and_a_hybrid_mbr_a_remark() {
        let mut bytes = start();
        put(&mut bytes, 458, &246_304u32.to_le_bytes()); // one sector more than older ptgens write
        assert!(table(&bytes).unwrap().remarks.is_empty());
        put(&mut bytes, 458, &300_000u32.to_le_bytes());
        let remark = "the protective MBR covers 300000 sectors from LBA 1, the disk has 246335";
        assert_eq!(table(&bytes).unwrap().remarks, [remark]);
        let mut bytes = start();
        put(&mut bytes, 462, &[0, 0, 0, 0, 0x83, 0, 0, 0, 0, 2, 0, 0, 0, 0x80, 0, 0]);
        assert_eq!(table(&bytes).unwrap().remarks, ["hybrid MBR: entries 2 stand beside the protective one"]);
    }

    #[test]
    fn a_protective_mbr_without_a_gpt_and_a_gpt_without_one_are_refused() {
        let mut bytes = start();
        bytes[HEADER] ^= 1;
        let error = table(&bytes).unwrap_err();
        let line = "LBA 0 is a protective MBR, but LBA 1 holds no GPT header (\"EFI PART\" was looked for)";
        assert_eq!((error.kind(), error.to_string()), (Kind::Unsupported, line.into()));
        let mut bytes = start();
        put(&mut bytes, 446, &[0; 16]);
        let line = "LBA 1 holds a GPT header, but LBA 0 no protective MBR (LBA 0 lists no partition); \
            no kernel would use the GPT";
        let error = table(&bytes).unwrap_err();
        assert_eq!((error.kind(), error.to_string()), corrupt(line));
    }

    #[test]
    fn a_table_without_partitions_is_refused() {
        let mut bytes = start();
        bytes[ENTRIES..].fill(0);
        reseal(&mut bytes);
        let error = table(&bytes).unwrap_err();
        let line = "all 128 entries of the GPT are unused";
        assert_eq!((error.kind(), error.to_string()), (Kind::Unsupported, line.into()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn no_mutation_of_the_first_sectors_panics_and_all_partitions_lie_on_the_disk(
            mutations in prop::collection::vec(
                (prop_oneof![440..512usize, 512..604usize, 1024..1400usize, 0..34 * 512usize], any::<u8>()),
                1..6
            ),
            resealed in any::<bool>(),
        ) {
            let mut bytes = start();
            for (at, byte) in mutations {
                bytes[at] = byte;
            }
            if resealed {
                reseal(&mut bytes);
            }
            let disk = disk_of(&bytes, SECTORS);
            if let Ok(table) = PartitionTable::read(&disk) {
                for partition in &table.partitions {
                    prop_assert!(partition.byte_range().end <= disk.length());
                    prop_assert!(partition.volume(disk.clone()).is_ok());
                }
            }
        }
    }
}
