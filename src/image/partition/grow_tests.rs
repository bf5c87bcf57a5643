//! The last partition grown, as sgdisk and partx see it.

use std::io::Read;
use std::process::Command;

use proptest::prelude::*;

use super::*;
use crate::error::ErrorKind as Kind;

const EFI: &[u8] = include_bytes!("../../../fixtures/openwrt-mini-ib-ext4-combined-efi.img.gz");
const BIOS: &[u8] = include_bytes!("../../../fixtures/openwrt-mini-ib-ext4-combined.img.gz");
/// Sectors of the root partition of both.
const ROOT: u64 = 212_992;

/// The first 34 sectors of an image as a disk of its length.
fn disk(image: &[u8], sectors: u64) -> Disk {
    let mut bytes = vec![0; 34 * 512];
    flate2::read::GzDecoder::new(image).read_exact(&mut bytes).unwrap();
    Disk::from_bytes(&bytes).lengthened(sectors * SECTOR)
}

pub(super) fn efi() -> Disk {
    disk(EFI, 246_335)
}

pub(super) fn bios() -> Disk {
    disk(BIOS, 246_784)
}

fn grow(disk: &Disk, sectors: u64) -> Result<(Disk, PartitionTable)> {
    PartitionTable::read(disk).unwrap().grow(disk, 2, sectors)
}

pub(super) fn back_up(disk: &Disk) -> (Disk, PartitionTable) {
    PartitionTable::read(disk).unwrap().back_up(disk).unwrap()
}

/// `disk` as a sparse file.
fn file(disk: &Disk) -> tempfile::NamedTempFile {
    use std::io::{Seek, SeekFrom, Write};
    let mut file = tempfile::NamedTempFile::new().unwrap();
    for page in (0..disk.length().div_ceil(4096)).filter(|page| disk.page(*page).is_some()) {
        file.seek(SeekFrom::Start(page * 4096)).unwrap();
        file.write_all(disk.page(page).unwrap()).unwrap();
    }
    file.as_file().set_len(disk.length()).unwrap();
    file
}

pub(super) fn printed(program: &str, arguments: &[&str], disk: &Disk) -> String {
    let (file, path) = (file(disk), std::env::var("PATH").unwrap());
    let mut command = Command::new(program);
    command.args(arguments).arg(file.path()).env("PATH", format!("{path}:/usr/sbin:/sbin"));
    String::from_utf8(command.output().unwrap_or_else(|error| panic!("{program} is needed: {error}")).stdout).unwrap()
}

/// What `sgdisk -v` calls a problem.
pub(super) fn problems(disk: &Disk) -> Vec<String> {
    let text = printed("sgdisk", &["-v"], disk);
    let problems: Vec<_> = text.lines().filter(|line| line.starts_with("Problem: ")).map(str::to_owned).collect();
    assert_eq!(problems.is_empty(), text.contains("No problems found"), "{text}");
    problems
}

/// Offsets below LBA 34 whose bytes differ.
pub(super) fn changed(a: &Disk, b: &Disk) -> Vec<u64> {
    let bytes = |disk: &Disk| disk.read_vec(0, 34 * 512).unwrap();
    (0..).zip(bytes(a).iter().zip(&bytes(b))).filter(|(_, (a, b))| a != b).map(|(at, _)| at).collect()
}

#[test]
fn a_grown_gpt_lacks_only_its_backup_as_before() {
    let before = efi();
    // That the backup is not at the end, and that there is none.
    let missing = printed("sgdisk", &["-v"], &before);
    assert!(missing.contains("Identified 2 problems!"), "{missing}");
    for sectors in [ROOT + 2, ROOT + 2048, 2 << 20, 32 << 20] {
        let (after, table) = grow(&before, sectors).unwrap();
        assert_eq!(printed("sgdisk", &["-v"], &after), missing);
        assert_eq!(after.length() - before.length(), (sectors - ROOT) * SECTOR, "the padding stays");
        let root = table.partition(2).unwrap();
        assert_eq!((root.first.0, root.sectors), (33_280, sectors));
        assert!(printed("sgdisk", &["-i", "2"], &after).contains(&format!("Last sector: {} ", 33_280 + sectors - 1)));
        let old = PartitionTable::read(&before).unwrap();
        assert_eq!(table.disk_id, old.disk_id);
        assert_eq!(table.partition(1), old.partition(1));
        assert_eq!(table.partition(128), old.partition(128));
        assert_eq!(root.partuuid, old.partition(2).unwrap().partuuid);
        // The protective entry's end; the header's checksum, places and array checksum; entry 2's end.
        let fields = [451..454, 458..462, 528..532, 544..552, 560..568, 600..604, 1192..1200];
        let others = changed(&before, &after).into_iter().filter(|at| !fields.iter().any(|f| f.contains(at)));
        assert_eq!(others.collect::<Vec<_>>(), Vec::<u64>::new());
    }
}

#[test]
fn a_grown_gpt_is_what_ptgen_would_have_made() {
    let (after, _) = grow(&efi(), 524_288).unwrap();
    let u64_at = |at| u64::from_le_bytes(after.read_vec(at, 8).unwrap().try_into().unwrap());
    let last = 33_280 + 524_288 - 1;
    assert_eq!((u64_at(512 + 0x30), u64_at(512 + 0x20)), (last, last + 33));
    // The fixture's ptgen is of the kind that covers one sector more than the alternate LBA needs.
    assert_eq!(after.read_vec(458, 4).unwrap(), u32::to_le_bytes(last as u32 + 33));
    // Heads 254, sectors 63: ptgen's to_chs of the last sector covered.
    let (sector, track) = ((last + 33) % 63 + 1, (last + 33) / 63);
    let cylinder = track / 254;
    let address = [track % 254, sector | cylinder >> 2 & 0xC0, cylinder & 0xFF].map(|byte| byte as u8);
    assert_eq!(after.read_vec(451, 3).unwrap(), address);
}

#[test]
fn a_backup_gpt_satisfies_sgdisk_with_and_without_growth() {
    for disk in [efi(), grow(&efi(), 2 << 20).unwrap().0] {
        let length = disk.length();
        let (backed, table) = back_up(&disk);
        assert!(table.backup && table.remarks.is_empty(), "{:?}", table.remarks);
        assert_eq!(problems(&backed), Vec::<String>::new());
        assert_eq!(backed.length(), length, "63 sectors of padding are room enough");
        let (again, _) = back_up(&backed);
        assert_eq!(again.read_vec(0, 34 * 512).unwrap(), backed.read_vec(0, 34 * 512).unwrap());
        let (grown, table) = grow(&backed, 3 << 20).unwrap();
        assert!(table.backup);
        assert_eq!(problems(&grown), Vec::<String>::new(), "a backup that was there stays in step");
    }
}

#[test]
fn a_disk_too_short_for_a_backup_becomes_longer_by_what_lacks() {
    for padding in [0, 1, 32, 33, 40] {
        let short = disk(EFI, 246_272 + padding);
        let (backed, _) = back_up(&short);
        assert_eq!(backed.length() / SECTOR, 246_272 + padding.max(33));
        assert_eq!(problems(&backed), Vec::<String>::new());
    }
}

#[test]
fn a_backup_that_is_not_at_the_end_moves_there_and_leaves_nothing_behind() {
    let (backed, _) = back_up(&efi());
    let longer = backed.lengthened(backed.length() + 100 * SECTOR);
    let (moved, table) = back_up(&longer);
    assert!(table.backup);
    assert_eq!(problems(&moved), Vec::<String>::new());
    assert!(moved.read_vec(246_272 * SECTOR, 130 * 512).unwrap().iter().all(|byte| *byte == 0));
}

#[test]
fn a_grown_mbr_reads_as_util_linux_reads_it_and_keeps_ptgens_addresses() {
    let before = bios();
    let old = PartitionTable::read(&before).unwrap();
    for sectors in [ROOT + 1, ROOT + 2048, 2 << 20, 32 << 20] {
        let (after, table) = grow(&before, sectors).unwrap();
        assert_eq!(after.length() - before.length(), (sectors - ROOT) * SECTOR);
        let seen = printed("partx", &["--show", "--noheadings", "--output", "NR,START,SECTORS,TYPE,UUID"], &after);
        let seen: Vec<Vec<&str>> = seen.lines().map(|line| line.split_whitespace().collect()).collect();
        let count = sectors.to_string();
        assert_eq!(seen[1], ["2", "33792", &count, "0x83", "e805ec03-02"]);
        assert_eq!(table.partition(1), old.partition(1));
        // Heads 16, sectors 63, cylinders that wrap.
        let last = 33_792 + sectors - 1;
        let (sector, track) = (last % 63 + 1, last / 63);
        let cylinder = track / 16;
        let address = [track % 16, sector | cylinder >> 2 & 0xC0, cylinder & 0xFF].map(|byte| byte as u8);
        assert_eq!(after.read_vec(446 + 16 + 5, 3).unwrap(), address);
        let others =
            changed(&before, &after).into_iter().filter(|at| !(467..470).contains(at) && !(474..478).contains(at));
        assert_eq!(others.collect::<Vec<_>>(), Vec::<u64>::new());
    }
}

#[test]
fn what_becomes_part_of_the_partition_is_zero() {
    for (mut disk, end) in [(efi(), 246_272), (bios().lengthened(247_000 * SECTOR), 246_784)] {
        disk.write_at((end - 1) * SECTOR, &[0xAA; 1024]).unwrap();
        let (after, _) = grow(&disk, ROOT + 4096).unwrap();
        assert_eq!(after.read_vec((end - 1) * SECTOR, 512).unwrap(), [0xAA; 512]);
        let rest = usize::try_from(after.length() - end * SECTOR).unwrap();
        assert!(after.read_vec(end * SECTOR, rest).unwrap().iter().all(|byte| *byte == 0));
    }
}

fn refusal(outcome: Result<(Disk, PartitionTable)>) -> (Kind, String) {
    let error = outcome.unwrap_err();
    (error.kind(), error.to_string())
}

#[test]
fn what_cannot_grow_is_told_with_its_numbers() {
    let line = "partition 2 has 212992 sectors of 512 bytes, more than the 212991 asked for";
    assert_eq!(refusal(grow(&bios(), ROOT - 1)), (Kind::Usage, line.into()));
    let table = PartitionTable::read(&bios()).unwrap();
    let line = "partition 1 (LBA 512 to 33279) cannot grow: partition 2 (LBA 33792 to 246783) lies behind it";
    assert_eq!(refusal(table.grow(&bios(), 1, 1 << 20)), (Kind::Unsupported, line.into()));
    assert_eq!(refusal(table.grow(&bios(), 3, 1 << 20)), (Kind::Usage, "there is no partition 3".into()));
    let line = "entry 2 of the MBR cannot tell 4294967296 sectors of 512 bytes: at most 4294967295 (2 TiB)";
    assert_eq!(refusal(grow(&bios(), 1 << 32)), (Kind::Unsupported, line.into()));
    let line = "partition 2 cannot grow to 18446744073709551615 sectors: no disk is as large as that";
    assert_eq!(refusal(grow(&efi(), u64::MAX)), (Kind::Usage, line.into()));
    let line = "the disk has an MBR, of which there is no backup";
    assert_eq!(refusal(table.back_up(&bios())), (Kind::Usage, line.into()));
    let mut hybrid = efi();
    hybrid.write_at(462, &[0, 0, 0, 0, 0x83, 0, 0, 0, 0, 2, 0, 0, 0, 0x80, 0, 0]).unwrap();
    let line = "hybrid MBR: entries beside the protective one, which would no longer fit the GPT";
    assert_eq!(refusal(grow(&hybrid, 1 << 20)), (Kind::Unsupported, line.into()));
}

#[test]
fn a_gpt_grows_past_what_its_protective_entry_can_tell() {
    let (after, table) = grow(&efi(), 1 << 33).unwrap();
    assert_eq!(table.partition(2).unwrap().sectors, 1 << 33);
    assert_eq!(after.read_vec(458, 4).unwrap(), [0xFF; 4]);
    let (again, _) = grow(&after, (1 << 33) + 1).unwrap();
    assert_eq!(again.read_vec(458, 4).unwrap(), [0xFF; 4]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn growing_in_steps_is_growing_at_once(steps in prop::collection::vec(0..3_000_000u64, 1..4), gpt in any::<bool>()) {
        let start = if gpt { efi() } else { bios() };
        let mut disk = start.clone();
        let mut sectors = ROOT;
        for step in steps {
            sectors += step;
            disk = grow(&disk, sectors).unwrap().0;
        }
        let (at_once, _) = grow(&start, sectors).unwrap();
        prop_assert_eq!(disk.length(), at_once.length());
        prop_assert_eq!(changed(&disk, &at_once), Vec::<u64>::new());
    }
}
