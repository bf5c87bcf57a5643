//! Small files made by hand, each wrong in one way, and what QEMU's own program makes.

use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, ZlibEncoder};
use proptest::prelude::*;

use super::*;
use crate::error::ErrorKind as Kind;

/// Bytes of a cluster of [`qcow2`] and of a sector.
const CLUSTER: usize = 512;
/// In an entry: the cluster is in use once.
const USED: u64 = 1 << 63;
/// Length of the disk in [`qcow2`]: four clusters and a ragged end.
const LENGTH: usize = 4 * CLUSTER + 100;

fn noise(seed: u32, length: usize) -> Vec<u8> {
    let mut state = seed;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(next).collect()
}

fn put(file: &mut [u8], at: usize, bytes: &[u8]) {
    file[at..at + bytes.len()].copy_from_slice(bytes);
}

/// A disk whose five clusters are stored, absent, compressed, zeroes by a mark, and stored; and that disk.
fn qcow2() -> (Vec<u8>, Vec<u8>) {
    let mut disk = [noise(1, CLUSTER), vec![0; CLUSTER], vec![7; CLUSTER], vec![0; CLUSTER]].concat();
    disk.extend(noise(2, 100));
    let mut file = vec![0; 5 * CLUSTER];
    put(&mut file, 0, b"QFI\xFB\0\0\0\x03");
    put(&mut file, 20, &9_u32.to_be_bytes());
    put(&mut file, 24, &(LENGTH as u64).to_be_bytes());
    put(&mut file, 36, &1_u32.to_be_bytes());
    put(&mut file, 40, &(CLUSTER as u64).to_be_bytes());
    put(&mut file, 100, &104_u32.to_be_bytes());
    put(&mut file, CLUSTER, &(USED | (2 * CLUSTER as u64)).to_be_bytes());
    let mut packed = DeflateEncoder::new(Vec::new(), Compression::default());
    packed.write_all(&disk[2 * CLUSTER..3 * CLUSTER]).unwrap();
    put(&mut file, 4 * CLUSTER + 11, &packed.finish().unwrap());
    let entries = [USED | (3 * CLUSTER as u64), 0, (4 * CLUSTER as u64 + 11) | (1 << 62), 1, 5 * CLUSTER as u64];
    for (index, entry) in entries.into_iter().enumerate() {
        put(&mut file, 2 * CLUSTER + index * 8, &entry.to_be_bytes());
    }
    put(&mut file, 3 * CLUSTER, &disk[..CLUSTER]);
    file.extend(&disk[4 * CLUSTER..]);
    (file, disk)
}

/// Bytes of a grain of [`vmdk`].
const GRAIN: usize = 8 * 512;

/// A disk of two grains and a sector: stored, absent, stored. With `compressed`, the grains are.
fn vmdk(compressed: bool) -> (Vec<u8>, Vec<u8>) {
    let disk = [noise(3, GRAIN), vec![0; GRAIN], noise(4, 512)].concat();
    let mut file = vec![0; 4 * 512];
    put(&mut file, 0, b"KDMV\x01\0\0\0");
    put(&mut file, 8, &(if compressed { 0x3_0001 } else { 1_u32 }).to_le_bytes());
    put(&mut file, 12, &(disk.len() as u64 / 512).to_le_bytes());
    for (at, number) in [(20, 8_u64), (28, 1), (36, 1), (56, 2)] {
        put(&mut file, at, &number.to_le_bytes());
    }
    put(&mut file, 44, &4_u32.to_le_bytes());
    put(&mut file, 73, b"\n \r\n");
    put(&mut file, 77, &u16::from(compressed).to_le_bytes());
    let kind = if compressed { "streamOptimized" } else { "monolithicSparse" };
    let text = format!("# Disk DescriptorFile\nCID=1\nparentCID=ffffffff\ncreateType=\"{kind}\"\n");
    put(&mut file, 512, text.as_bytes());
    put(&mut file, 2 * 512, &3_u32.to_le_bytes());
    for (index, start) in [(0, 0), (2, 2 * GRAIN)] {
        let at = file.len() / 512;
        put(&mut file, 3 * 512 + index * 4, &(at as u32).to_le_bytes());
        let grain = &disk[start..disk.len().min(start + GRAIN)];
        if compressed {
            let mut packed = ZlibEncoder::new(Vec::new(), Compression::default());
            packed.write_all(grain).unwrap();
            let packed = packed.finish().unwrap();
            file.extend((start as u64 / 512).to_le_bytes());
            file.extend((packed.len() as u32).to_le_bytes());
            file.extend(packed);
        } else {
            file.extend(grain);
        }
        file.resize(file.len().next_multiple_of(512), 0);
    }
    (file, disk)
}

/// [`vmdk`], compressed, with the place of its directory in a footer.
fn vmdk_with_footer() -> (Vec<u8>, Vec<u8>) {
    let (mut file, disk) = vmdk(true);
    let footer = file[..512].to_vec();
    put(&mut file, 56, &[0xFF; 8]);
    file.extend([0; 512]);
    file.extend(footer);
    file.extend([0; 512]);
    (file, disk)
}

fn read(file: &[u8]) -> Result<Vec<u8>> {
    let disk = unpack(form(file).unwrap(), &Disk::from_bytes(file))?;
    disk.read_vec(0, usize::try_from(disk.length()).unwrap())
}

/// The error of `file` with `bytes` at `at`.
fn refusal(file: &[u8], at: usize, bytes: &[u8]) -> (Kind, String) {
    let mut file = file.to_vec();
    put(&mut file, at, bytes);
    let error = read(&file).map(|disk| disk.len()).unwrap_err();
    assert!(error.remedy_text().is_some(), "{error}");
    (error.kind(), error.message().to_owned())
}

#[test]
fn every_kind_of_cluster_is_read() {
    let (file, disk) = qcow2();
    assert!(read(&file).unwrap() == disk);
}

#[test]
fn every_kind_of_grain_is_read() {
    for (file, disk) in [vmdk(false), vmdk(true), vmdk_with_footer()] {
        assert!(read(&file).unwrap() == disk);
    }
}

#[test]
fn a_qcow2_file_that_is_not_whole_or_needs_more_is_refused_by_name() {
    let (file, _) = qcow2();
    let unsupported = |at, bytes: &[u8], message: &str| {
        assert_eq!(refusal(&file, at, bytes), (Kind::Unsupported, message.to_owned()));
    };
    unsupported(7, &[1], "this is qcow2 of version 1; versions 2 and 3 are read");
    let mut differing = file.clone();
    put(&mut differing, 200, b"base\n.img");
    put(&mut differing, 16, &9_u32.to_be_bytes());
    let message = "this qcow2 file holds only what differs from base.img".to_owned();
    assert_eq!(refusal(&differing, 8, &200_u64.to_be_bytes()), (Kind::Unsupported, message));
    unsupported(35, &[2], "this qcow2 file is encrypted (LUKS)");
    unsupported(35, &[1], "this qcow2 file is encrypted (method 1)");
    unsupported(79, &[1], "this qcow2 file was not closed by the program that wrote it (the dirty bit is set)");
    unsupported(79, &[2], "this qcow2 file is marked as damaged (the corrupt bit is set)");
    unsupported(79, &[4], "this qcow2 file keeps its data in another file");
    unsupported(79, &[16], "this qcow2 file has extended L2 entries, which are not read");
    unsupported(78, &[1], "this qcow2 file needs features that are not known (0x100)");
    let mut packed = file.clone();
    put(&mut packed, 100, &112_u32.to_be_bytes());
    put(&mut packed, 79, &[8]);
    let message = "this qcow2 file is compressed in a way that is not known (9)".to_owned();
    assert_eq!(refusal(&packed, 104, &[9]), (Kind::Unsupported, message));
    unsupported(24, &(1_u64 << 41).to_be_bytes(), "the image holds more than 1099511627776 bytes");
}

#[test]
fn a_qcow2_file_that_contradicts_itself_is_told_with_the_numbers() {
    let (file, _) = qcow2();
    let corrupt = |at, bytes: &[u8], message: &str| {
        assert_eq!(refusal(&file, at, bytes), (Kind::Corrupt, message.to_owned()));
    };
    let entry = |index: usize| 2 * CLUSTER + index * 8;
    corrupt(23, &[22], "the header says clusters of 2^22 bytes, expected 2^9 to 2^21");
    corrupt(23, &[10], "the cluster of the disk's byte 0 lies at byte 1536, no multiple of 1024");
    corrupt(30, &[0xFF], "the L1 table has 1 entries, a disk of 65380 bytes needs 2");
    corrupt(
        40,
        &0x1000_u64.to_be_bytes(),
        "the L1 table (8 bytes at byte 4096) reaches behind the end of the file (2660 bytes)",
    );
    corrupt(
        CLUSTER + 5,
        &[1],
        "the L2 table of entry 0 (512 bytes at byte 66560) reaches behind the end of the file (2660 bytes)",
    );
    corrupt(
        entry(0) + 6,
        &[0xA, 0],
        "the cluster of the disk's byte 0 (512 bytes at byte 2560) reaches behind the end of the file (2660 bytes)",
    );
    corrupt(
        entry(2),
        &((1_u64 << 62) | 4000).to_be_bytes(),
        "the cluster of the disk's byte 1024 (1 bytes at byte 4000) reaches behind the end of the file (2660 bytes)",
    );
    let (kind, message) = refusal(&file, 4 * CLUSTER + 11, &[0xFF]);
    assert_eq!(kind, Kind::Corrupt);
    assert!(
        message.starts_with("the cluster of the disk's byte 1024 (byte 2059 of the file) cannot be unpacked: "),
        "{message}"
    );
    corrupt(
        entry(3),
        &file[entry(2)..entry(3)],
        "the cluster of the disk's byte 1536 lies at byte 2059, which is in use already",
    );
    corrupt(7, &[2], "the cluster of the disk's byte 1536 is marked as zero, which version 2 does not know");
    let cut = read(&file[..60]).unwrap_err();
    assert_eq!(cut.message(), "the header (72 bytes at byte 0) reaches behind the end of the file (60 bytes)");
}

#[test]
fn a_vmdk_file_that_is_not_whole_is_refused_by_name() {
    let (file, _) = vmdk(false);
    let with = |from: &str, to: &str| {
        let text = String::from_utf8(file[512..1024].to_vec()).unwrap();
        refusal(&file, 512, text.replace(from, to).get(..300).unwrap().as_bytes())
    };
    let unsupported = |message: &str| (Kind::Unsupported, message.to_owned());
    let kind = "this VMDK file is of the type custom; monolithicSparse and streamOptimized are read";
    assert_eq!(with("monolithicSparse", "custom"), unsupported(kind));
    let parent = "this VMDK file holds only what differs from base.vmdk";
    assert_eq!(with("CID=ffffffff\n", "CID=12345678\nparentFileNameHint=\"base.vmdk\"\n"), unsupported(parent));
    let parent = "this VMDK file holds only what differs from the disk with CID 12345678";
    assert_eq!(with("CID=ffffffff\n", "CID=12345678\n"), unsupported(parent));
    let extent = "this VMDK file is one extent of a disk in several files";
    assert_eq!(refusal(&file, 28, &[0; 16]), unsupported(extent));
    assert_eq!(refusal(&file, 512, &[0; 512]), unsupported(extent));
    assert_eq!(with("createType", "kreateType"), (Kind::Corrupt, "the description names no createType".to_owned()));
    assert_eq!(refusal(&file, 4, &[4]), unsupported("this is VMDK of version 4; versions 1 to 3 are read"));
    let compressed = "this VMDK file is compressed in a way that is not known (flags 0x10001, algorithm 0)";
    assert_eq!(refusal(&file, 10, &[1]), unsupported(compressed));
}

#[test]
fn a_vmdk_file_that_contradicts_itself_is_told_with_the_numbers() {
    let (file, _) = vmdk(false);
    let length = file.len();
    let corrupt = |message: String| (Kind::Corrupt, message);
    let grains = "the header says grains of 9 sectors, expected a power of two from 8 to 65536";
    assert_eq!(refusal(&file, 20, &[9]), corrupt(grains.into()));
    let entries = "the header says grain tables of 513 entries, expected up to 512";
    assert_eq!(refusal(&file, 44, &[1, 2]), corrupt(entries.into()));
    let newlines = "the header was changed on its way: line ends were converted";
    assert_eq!(refusal(&file, 75, b"\n\n"), corrupt(newlines.into()));
    let end = format!("reaches behind the end of the file ({length} bytes)");
    assert_eq!(refusal(&file, 57, &[1]), corrupt(format!("the grain directory (4 bytes at byte 132096) {end}")));
    assert_eq!(refusal(&file, 1025, &[1]), corrupt(format!("grain table 0 (16 bytes at byte 132608) {end}")));
    let grain = format!("the grain of the disk's byte 4096 (4096 bytes at byte 8388608) {end}");
    assert_eq!(refusal(&file, 1540, &[0, 0x40]), corrupt(grain));
    let description = "the description has 200 sectors, expected up to 128";
    assert_eq!(refusal(&file, 36, &[200]), corrupt(description.into()));
    let (file, _) = vmdk(true);
    let marker = "the marker at byte 2048 is of sector 1, expected 0";
    assert_eq!(refusal(&file, 2048, &[1]), corrupt(marker.into()));
    let packed = "the grain of the disk's byte 0 says 16777216 compressed bytes";
    assert_eq!(refusal(&file, 2056, &[0, 0, 0, 1]), corrupt(packed.into()));
    let (kind, message) = refusal(&file, 2048 + 12, &[0]);
    assert_eq!(kind, Kind::Corrupt);
    assert!(
        message.starts_with("the grain of the disk's byte 0 (byte 2048 of the file) cannot be unpacked: "),
        "{message}"
    );
    let (file, _) = vmdk_with_footer();
    let footer = format!("the footer at byte {} does not begin with KDMV", file.len() - 1024);
    assert_eq!(refusal(&file, file.len() - 1024, b"X"), corrupt(footer));
}

/// What `qemu-img convert` with `options` makes of `disk`.
fn converted(disk: &[u8], format: &str, options: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    std::fs::write(file("raw"), disk).unwrap();
    let mut command = std::process::Command::new("qemu-img");
    command.args(["convert", "-f", "raw", "-O", format]).args(options).args([file("raw"), file("made")]);
    let output = command.output().expect("qemu-img is needed");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(file("made")).unwrap()
}

#[test]
fn what_qemu_makes_is_read_as_the_same_disk() {
    // Noise, text and holes, and an end that is no border of anything.
    let mut disk = noise(5, 200_000);
    disk.resize(3 << 20, 0);
    disk.extend(b"the same again and again ".repeat(50_000));
    disk.resize(9 << 20, 0);
    disk.extend(noise(6, 512 * 7));
    disk.resize(disk.len().next_multiple_of(512), 0);
    for (format, options) in [
        ("qcow2", &["-o", "compat=0.10"][..]),
        ("qcow2", &["-o", "compat=0.10", "-c"]),
        ("qcow2", &["-o", "lazy_refcounts=on,preallocation=metadata"]),
        ("qcow2", &["-o", "preallocation=full"]),
        ("qcow2", &["-c"]),
        ("qcow2", &["-c", "-o", "compression_type=zstd"]),
        ("qcow2", &["-o", "cluster_size=512"]),
        ("qcow2", &["-c", "-o", "cluster_size=512"]),
        ("qcow2", &["-c", "-o", "cluster_size=2M"]),
        ("qcow2", &["-c", "-o", "cluster_size=2M,compression_type=zstd"]),
        ("qcow2", &["-o", "cluster_size=4k,refcount_bits=1"]),
        ("vmdk", &[]),
        ("vmdk", &["-o", "zeroed_grain=on"]),
        ("vmdk", &["-o", "subformat=streamOptimized"]),
    ] {
        let made = converted(&disk, format, options);
        assert!(read(&made).unwrap() == disk, "{format} {options:?}");
    }
}

/// Some bytes changed, and perhaps cut.
fn damaged(file: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    // Most of the tables' bytes stand in front.
    let at = prop_oneof![0..128_usize, 512..1100_usize, 1536..1560_usize, 0..file.len()];
    let changes = prop::collection::vec((at, prop_oneof![Just(0xFF), Just(0), any::<u8>()]), 1..5);
    (changes, prop::option::weighted(0.2, 0..file.len())).prop_map(move |(changes, cut)| {
        let mut file = file.clone();
        for (at, byte) in changes {
            let at = at.min(file.len() - 1);
            file[at] = byte;
        }
        file.truncate(cut.unwrap_or(file.len()));
        file
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn a_damaged_file_never_panics_and_never_becomes_huge(
        file in prop_oneof![
            damaged(qcow2().0), damaged(vmdk(false).0), damaged(vmdk(true).0), damaged(vmdk_with_footer().0)
        ],
    ) {
        if let Some(form) = form(&file) {
            match unpack(form, &Disk::from_bytes(&file)) {
                Ok(disk) => prop_assert!(disk.length() <= 1 << 40),
                Err(error) => prop_assert!(error.remedy_text().is_some(), "no remedy: {}", error),
            }
        }
    }
}
