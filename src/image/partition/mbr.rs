//! The master boot record: four entries of 16 bytes from byte 446 of LBA 0, `55 AA` behind them.

use super::{Disk, Lba, Partition, PartitionTable, SECTOR, Scheme, chs};
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
    pub(super) fn table(&self) -> Result<PartitionTable> {
        let mut partitions = Vec::new();
        let mut remarks = Vec::new();
        for entry in &self.entries {
            if let Some(partition) = self.partition(entry, &mut remarks).at(|| "partition table in LBA 0".into())? {
                partitions.push(partition);
            }
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

/// Gives the disk the signature `signature`, of which an MBR's PARTUUIDs are made.
///
/// # Errors
/// Corrupt when the disk is shorter than a sector.
pub(super) fn set_signature(disk: &mut Disk, signature: u32) -> Result<()> {
    disk.write_at(DISK_SIGNATURE, &signature.to_le_bytes())
}

/// Gives the entry `number` the length `sectors`, in both ways in which it tells its end.
///
/// # Errors
/// Unsupported when an entry cannot tell so many.
pub(super) fn set_length(disk: &mut Disk, number: u32, sectors: u64) -> Result<()> {
    let length = u32::try_from(sectors).map_err(|_| {
        Error::unsupported(format!(
            "entry {number} of the MBR cannot tell {sectors} sectors of {SECTOR} bytes: at most {} (2 TiB)",
            u32::MAX
        ))
        .remedy("take the combined-efi image, whose partition table has room for larger numbers")
    })?;
    let place = ENTRIES + u64::from(number.saturating_sub(1)) * ENTRY;
    let mut raw = [0; 16];
    disk.read_at(place, &mut raw)?;
    let [flag, h0, s0, c0, kind, h1, s1, c1, f0, f1, f2, f3, n0, n1, n2, n3] = raw;
    let first = u64::from(u32::from_le_bytes([f0, f1, f2, f3]));
    let last = |count: u32| first.saturating_add(count.into()).saturating_sub(1);
    let (old, new) = (last(u32::from_le_bytes([n0, n1, n2, n3])), last(length));
    let [h1, s1, c1] = chs::new_end(first, [h0, s0, c0], old, [h1, s1, c1], new);
    let [n0, n1, n2, n3] = length.to_le_bytes();
    disk.write_at(place, &[flag, h0, s0, c0, kind, h1, s1, c1, f0, f1, f2, f3, n0, n1, n2, n3])
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;
    use crate::error::ErrorKind as Kind;

    const BIOS: &[u8] = include_bytes!("../../../fixtures/openwrt-mini-ib-ext4-combined.img.gz");
    /// Sectors of that image.
    const SECTORS: u64 = 246_784;

    /// LBA 0 and 1 of the image.
    fn start() -> Vec<u8> {
        let mut bytes = vec![0; 1024];
        flate2::read::GzDecoder::new(BIOS).read_exact(&mut bytes).unwrap();
        bytes
    }

    fn table(bytes: &[u8]) -> Result<PartitionTable> {
        PartitionTable::read(&Disk::from_bytes(bytes).lengthened(SECTORS * SECTOR))
    }

    /// The entry `number` with these fields.
    fn entry(bytes: &mut [u8], number: usize, kind: u8, start: u32, sectors: u32) {
        let at = 446 + 16 * (number - 1);
        bytes[at + 4] = kind;
        bytes[at + 8..at + 12].copy_from_slice(&start.to_le_bytes());
        bytes[at + 12..at + 16].copy_from_slice(&sectors.to_le_bytes());
    }

    fn refusal(change: impl FnOnce(&mut [u8])) -> (Kind, String) {
        let mut bytes = start();
        change(&mut bytes);
        let error = table(&bytes).unwrap_err();
        (error.kind(), error.to_string())
    }

    #[test]
    fn an_official_table_lists_boot_and_root() {
        let partition = |number, first, sectors, bootable| Partition {
            number,
            first: Lba(first),
            sectors,
            type_id: "0x83".into(),
            partuuid: format!("e805ec03-0{number}"),
            bootable,
        };
        let table = table(&start()).unwrap();
        assert_eq!(table.disk_id, "e805ec03");
        assert_eq!(table.partitions, [partition(1, 512, 32_768, true), partition(2, 33_792, 212_992, false)]);
        assert!(table.remarks.is_empty());
        assert_eq!(table.end(), 126_353_408);
        assert_eq!(table.partition(2).unwrap().byte_range(), 17_301_504..126_353_408);
    }

    #[test]
    fn an_official_table_reads_as_util_linux_reads_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), start()).unwrap();
        file.as_file().set_len(SECTORS * SECTOR).unwrap();
        let output = Command::new("partx")
            .args(["--show", "--noheadings", "--output", "NR,START,SECTORS,TYPE,UUID"])
            .arg(file.path())
            .output()
            .expect("partx is needed");
        let text = String::from_utf8(output.stdout).unwrap();
        let seen: Vec<String> =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        let table = table(&start()).unwrap();
        let ours = table.partitions.iter().map(|partition| {
            let Partition { number, first, sectors, type_id, partuuid, .. } = partition;
            format!("{number} {} {sectors} {type_id} {partuuid}", first.0)
        });
        assert_eq!(ours.collect::<Vec<_>>(), seen);
    }

    #[test]
    fn a_volume_is_its_partition_and_nothing_else() {
        let disk = Disk::from_bytes(&start()).lengthened(SECTORS * SECTOR);
        let table = PartitionTable::read(&disk).unwrap();
        let mut volume = table.partition(2).unwrap().volume(disk).unwrap();
        assert_eq!(volume.length(), 212_992 * 512);
        volume.write_at(0, b"root").unwrap();
        assert!(volume.write_at(212_992 * 512 - 1, b"xy").is_err());
        assert_eq!(volume.into_disk().read_vec(33_792 * 512, 4).unwrap(), b"root");
        let error = table.partition(2).unwrap().volume(Disk::from_bytes(&[0; 512])).unwrap_err();
        assert!(error.to_string().starts_with("partition 2: "), "{error}");
    }

    #[test]
    fn partitions_out_of_place_are_told_with_their_numbers() {
        for (number, first, sectors, line) in [
            (2, 33_279, 100, "partition 1 (LBA 512 to 33279) overlaps partition 2 (LBA 33279 to 33378)"),
            (
                2,
                33_792,
                212_993,
                "partition 2 (LBA 33792 to 246784) reaches behind the end of the disk (246784 sectors)",
            ),
            (
                3,
                u32::MAX,
                u32::MAX,
                "partition 3 (LBA 4294967295 to 8589934589) reaches behind the end of the disk (246784 sectors)",
            ),
            (3, 0, 100, "partition 3 starts at LBA 0, on the partition table"),
        ] {
            let refused = refusal(|bytes| entry(bytes, number, 0x83, first, sectors));
            assert_eq!(refused, (Kind::Corrupt, line.into()));
        }
    }

    #[test]
    fn kinds_that_openwrt_never_writes_are_refused_by_name() {
        let place = "partition table in LBA 0";
        let refused = refusal(|bytes| entry(bytes, 3, 0x0F, 300, 100));
        let line = format!("{place}: entry 3 (LBA 300, 100 sectors) is an extended partition (type 0x0f)");
        assert_eq!(refused, (Kind::Unsupported, line));
        let refused = refusal(|bytes| entry(bytes, 3, 0xEE, 300, 100));
        let line = format!(
            "{place}: entry 3 is protective (type 0xee) but starts at LBA 300, not 1: the kernel ignores such a GPT"
        );
        assert_eq!(refused, (Kind::Unsupported, line));
        let refused = refusal(|bytes| bytes[446] = 0x12);
        let line = format!("{place}: entry 1 has the boot flag 0x12, expected 0x00 or 0x80");
        assert_eq!(refused, (Kind::Corrupt, line));
    }

    #[test]
    fn no_signature_and_no_entries_say_what_was_looked_for() {
        let behind = "(looked for an MBR in LBA 0 and a GPT in LBA 1; the disk has 126353408 bytes)";
        let line = format!("no partition table: LBA 0 does not end in 55 AA {behind}");
        assert_eq!(refusal(|bytes| bytes[511] = 0), (Kind::Unsupported, line));
        let line = format!("no partition table: LBA 0 lists no partition {behind}");
        assert_eq!(refusal(|bytes| bytes[446..510].fill(0)), (Kind::Unsupported, line));
    }

    #[test]
    fn a_bare_filesystem_with_a_boot_signature_is_told_by_name() {
        let refused = refusal(|bytes| {
            bytes[..510].fill(0x20);
            bytes[0x36..0x3B].copy_from_slice(b"FAT16");
        });
        let line = "this is a bare FAT filesystem, not a disk with partitions";
        assert_eq!(refused, (Kind::Unsupported, line.into()));
    }

    #[test]
    fn oddities_that_harm_nobody_are_remarks() {
        let mut bytes = start();
        entry(&mut bytes, 3, 0x82, 5, 0);
        entry(&mut bytes, 4, 0, 1, 100);
        bytes[512..520].copy_from_slice(b"EFI PART");
        assert_eq!(
            table(&bytes).unwrap().remarks,
            [
                "entry 3 of the MBR has type 0x82 and no sectors; it is ignored",
                "partition 4 has type 0x00",
                "LBA 1 holds a GPT header that nothing uses: LBA 0 has no protective entry",
            ]
        );
    }

    proptest! {
        #[test]
        fn no_boot_record_panics_and_all_partitions_lie_on_the_disk(
            tail in prop::collection::vec(prop_oneof![2 => Just(0u8), 1 => any::<u8>()], 70),
        ) {
            let mut bytes = start();
            bytes[440..510].copy_from_slice(&tail);
            if let Ok(table) = table(&bytes) {
                prop_assert!(table.end() <= SECTORS * SECTOR);
            }
        }
    }
}
