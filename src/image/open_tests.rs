use std::io::Write;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::*;
use crate::digest::sha256_hex;
use crate::error::ErrorKind as Kind;
use crate::image::limits::{LONGEST_DISK, MOST_CONTENT, check_lengths};
use crate::image::{Scheme, TrailerKind};
use crate::progress::Silent;

const EFI: &[u8] = include_bytes!("../../fixtures/openwrt-mini-ib-ext4-combined-efi.img.gz");
const BIOS: &[u8] = include_bytes!("../../fixtures/openwrt-mini-ib-ext4-combined.img.gz");

fn open(bytes: &[u8]) -> Result<Image> {
    Image::from_reader(&mut &bytes[..], &mut |_| {}, Keep::DiskAndStream, Path::new("dir/router.img"), None, &Silent)
}

/// The error of opening `bytes`: kind and whole line.
fn refusal(bytes: &[u8]) -> (Kind, String) {
    let error = open(bytes).unwrap_err();
    (error.kind(), error.to_string())
}

fn unpack(bytes: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    Read::read_to_end(&mut GzDecoder::new(bytes), &mut all).unwrap();
    all
}

fn pack(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Where the gzip member of a fixture ends: its trailer has 18 + 16 bytes.
fn member(fixture: &[u8]) -> &[u8] {
    &fixture[..fixture.len() - 34]
}

#[test]
fn an_official_image_opens_without_its_trailer() {
    for (bytes, scheme) in [(EFI, Scheme::Gpt), (BIOS, Scheme::Mbr)] {
        let image = open(bytes).unwrap();
        assert_eq!(image.container.form, Form::Gzip);
        assert_eq!(image.container.file_length, bytes.len() as u64);
        assert_eq!(image.container.sha256, sha256_hex(bytes));
        let trailer = Trailer { kind: TrailerKind::Signature, payload_length: 18, crc_matches: true };
        assert_eq!(image.container.trailers, [trailer]);
        assert_eq!(image.container.unknown_tail, 0);
        assert_eq!(image.table.unwrap().scheme, scheme);
        let content = unpack(bytes);
        assert!(image.disk.read_vec(0, content.len()).unwrap() == content);
        assert_eq!(image.disk.length(), content.len() as u64);
    }
}

/// `payload` as an fwtool chunk behind `file`.
fn with_trailer(file: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut bytes = [file, payload].concat();
    let crc = !crc32fast::hash(&bytes);
    bytes.extend_from_slice(b"FWx0");
    bytes.extend_from_slice(&crc.to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&(payload.len() as u32 + 16).to_be_bytes());
    bytes
}

#[test]
fn a_raw_image_opens_as_the_same_disk_with_its_trailers_cut_off() {
    let content = unpack(EFI);
    let stacked = with_trailer(&with_trailer(&content, b"{}"), b"# fake certificate");
    for (bytes, trailers) in [(content.clone(), 0), (stacked, 2)] {
        let image = open(&bytes).unwrap();
        assert_eq!(image.container.form, Form::Raw);
        assert_eq!(image.container.trailers.len(), trailers);
        assert!(image.container.trailers.iter().all(|trailer| trailer.crc_matches));
        assert_eq!(image.container.file_length, bytes.len() as u64);
        assert_eq!(image.disk.length(), content.len() as u64);
        assert!(image.disk.read_vec(0, content.len()).unwrap() == content);
    }
}

#[test]
fn a_trailer_with_a_wrong_crc_is_reported_and_cut_off_behind_the_partitions() {
    let content = unpack(EFI);
    let mut bytes = with_trailer(&content, b"# fake certificate");
    bytes[100] ^= 1; // in the boot code
    let image = open(&bytes).unwrap();
    assert!(!image.container.trailers[0].crc_matches);
    assert_eq!(image.disk.length(), content.len() as u64);
    let mut packed = EFI.to_vec();
    let crc_byte = packed.len() - 12;
    packed[crc_byte] ^= 1;
    assert!(!open(&packed).unwrap().container.trailers[0].crc_matches);
}

#[test]
fn what_looks_like_a_trailer_inside_a_partition_is_content() {
    let mut content = unpack(BIOS);
    let end = usize::try_from(open(&content).unwrap().table.unwrap().end()).unwrap();
    content.truncate(end);
    content[end - 16..end - 12].copy_from_slice(b"FWx0");
    content[end - 4..].copy_from_slice(&34u32.to_be_bytes());
    let image = open(&content).unwrap();
    assert!(image.container.trailers.is_empty());
    assert_eq!(image.disk.length(), end as u64);
}

#[test]
fn an_image_bigger_than_its_partitions_keeps_its_length() {
    let mut content = unpack(BIOS);
    content.resize(content.len() + 5_000_001, 0);
    content.push(9);
    assert_eq!(open(&content).unwrap().disk.length(), content.len() as u64);
    assert_eq!(open(&pack(&content)).unwrap().disk.length(), content.len() as u64);
}

#[test]
fn unknown_bytes_behind_the_member_are_counted() {
    let image = open(&[member(EFI), b"something else"].concat()).unwrap();
    assert_eq!(image.container.unknown_tail, 14);
    assert!(image.container.trailers.is_empty());
}

#[test]
fn all_header_fields_of_a_member_are_skipped() {
    let mut bytes = vec![0x1F, 0x8B, 8, 0x1E, 1, 2, 3, 4, 0, 3];
    bytes.extend_from_slice(b"\x03\x00abcname.img\0a comment\0\x12\x34");
    bytes.extend_from_slice(&member(BIOS)[10..]);
    assert_eq!(open(&bytes).unwrap().disk.length(), open(BIOS).unwrap().disk.length());
}

#[test]
fn a_truncated_gzip_names_the_byte_where_it_ends() {
    let half = &EFI[..EFI.len() / 2];
    let (kind, line) = refusal(half);
    assert_eq!(kind, Kind::Corrupt);
    let mut decoder = GzDecoder::new(half);
    let mut unpacked = Vec::new();
    Read::read_to_end(&mut decoder, &mut unpacked).unwrap_err();
    let expected = format!(
        "dir/router.img: the gzip data ends too early, at byte {}; {} bytes were unpacked",
        half.len(),
        unpacked.len()
    );
    assert_eq!(line, expected);
    for length in [2, 5, 9, member(EFI).len() - 8, member(EFI).len() - 1] {
        let (kind, line) = refusal(&EFI[..length]);
        assert_eq!(kind, Kind::Corrupt);
        assert!(line.contains(&format!("ends too early, at byte {length};")), "{line}");
    }
}

#[test]
fn a_wrong_footer_is_an_error_with_both_numbers() {
    let content = unpack(BIOS);
    let (crc, length) = (crc32fast::hash(&content), content.len());
    let footer = member(BIOS).len() - 8;
    let mut bytes = member(BIOS).to_vec();
    bytes[footer] ^= 1;
    let line = format!(
        "dir/router.img: CRC-32 of the {length} unpacked bytes is {crc:#010x}, the gzip footer at byte {footer} says {:#010x}",
        crc ^ 1
    );
    assert_eq!(refusal(&bytes), (Kind::Corrupt, line));
    bytes[footer] ^= 1;
    bytes[footer + 4] ^= 1;
    let line = format!(
        "dir/router.img: {length} bytes were unpacked, the gzip footer at byte {footer} says {} (modulo 4 GiB)",
        length ^ 1
    );
    assert_eq!(refusal(&bytes), (Kind::Corrupt, line));
}

#[test]
fn a_damaged_gzip_header_or_stream_is_corrupt() {
    let mut bytes = EFI.to_vec();
    bytes[2] = 7;
    assert_eq!(refusal(&bytes).1, "dir/router.img: gzip method 7 in byte 2, expected 8 (deflate)");
    bytes[2] = 8;
    bytes[3] = 0x20;
    assert_eq!(refusal(&bytes).1, "dir/router.img: reserved gzip flags 0x20 in byte 3");
    bytes[3] = 0;
    bytes[10] = 0x07; // final block of the reserved type 3
    let (kind, line) = refusal(&bytes);
    assert_eq!(kind, Kind::Corrupt);
    assert!(line.starts_with("dir/router.img: broken compressed data near byte 10, behind 0 unpacked bytes"), "{line}");
}

#[test]
fn gzip_of_something_else_says_what_was_looked_for() {
    let line = "dir/router.img: no partition table: LBA 0 does not end in 55 AA \
        (looked for an MBR in LBA 0 and a GPT in LBA 1; the disk has 6000 bytes)";
    assert_eq!(refusal(&pack(&b"hello ".repeat(1000))), (Kind::Unsupported, line.into()));
    let line = "dir/router.img: the disk has 5 bytes, too few for a partition table (LBA 0 and 1)";
    assert_eq!(refusal(&pack(b"hello")), (Kind::Unsupported, line.into()));
}

#[test]
fn other_formats_are_told_by_name_with_the_way_out() {
    let mut vhdx = vec![0; 4096];
    vhdx[..8].copy_from_slice(b"vhdxfile");
    let error = open(&vhdx).unwrap_err();
    let message = "this is a VHDX image; images are read plain, gzip- or zstd-compressed, as qcow2 and as VMDK";
    assert_eq!((error.kind(), error.message()), (Kind::Unsupported, message));
    assert_eq!(error.remedy_text(), Some("convert it first: qemu-img convert -f vhdx -O raw FILE disk.img"));
    let error = open(&pack(&[&b"QFI\xFB"[..], &[0; 4096]].concat())).unwrap_err();
    assert!(error.message().starts_with("this is a qcow2 image within another file"), "{error}");
    let mut boot = vec![0; 4096];
    boot[0x36..0x3A].copy_from_slice(b"FAT1");
    let line = "dir/router.img: this is a bare FAT filesystem, not a disk with partitions";
    assert_eq!(refusal(&pack(&boot)), (Kind::Unsupported, line.into()));
}

#[test]
fn a_root_filesystem_that_fills_the_image_opens_without_a_partition_table() {
    for (offset, magic) in [(0, &b"hsqs"[..]), (0x438, b"\x53\xEF"), (0x400, b"\xE2\xE1\xF5\xE0")] {
        let mut root = vec![0; 8192];
        root[offset..offset + magic.len()].copy_from_slice(magic);
        // A boot record without a partition does not make it a disk.
        root[510..512].copy_from_slice(&[0x55, 0xAA]);
        for file in [root.clone(), pack(&root)] {
            let image = open(&file).unwrap();
            assert_eq!((image.table, image.disk.length()), (None, 8192));
        }
    }
}

#[test]
fn a_second_member_is_refused_with_its_place() {
    let line = format!(
        "dir/router.img: a second gzip member begins at byte {}; only images of one member are handled",
        member(EFI).len()
    );
    assert_eq!(refusal(&[member(EFI), &pack(b"more")].concat()), (Kind::Unsupported, line));
}

#[cfg(unix)]
#[test]
fn a_device_that_does_not_end_is_not_read() {
    let error = Image::open(Path::new("/dev/zero"), &Silent).unwrap_err();
    let message = "/dev/zero is a character device, not an image";
    assert_eq!((error.kind(), error.message()), (Kind::Usage, message));
}

#[test]
fn an_empty_file_a_folder_and_no_file_are_different_errors() {
    assert_eq!(refusal(b""), (Kind::Corrupt, "dir/router.img: the file is empty (0 bytes)".into()));
    let folder = tempfile::tempdir().unwrap();
    let error = Image::open(folder.path(), &Silent).unwrap_err();
    let message = format!("{} is a folder, not an image", folder.path().display());
    assert_eq!((error.kind(), error.message()), (Kind::Usage, message.as_str()));
    let missing = folder.path().join("no.img");
    let error = Image::open(&missing, &Silent).unwrap_err();
    let message = format!("there is no file {}", missing.display());
    assert_eq!((error.kind(), error.message()), (Kind::Usage, message.as_str()));
}

#[test]
fn a_reader_that_fails_is_an_io_error() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("bad sector"))
        }
    }
    let error =
        Image::from_reader(&mut Broken, &mut |_| {}, Keep::Disk, Path::new("a.img"), None, &Silent).unwrap_err();
    assert_eq!(error.kind(), Kind::Io);
    assert_eq!(error.to_string(), "cannot read a.img: bad sector");
}

#[test]
fn a_bomb_is_refused_before_memory_runs_out() {
    let mut builder = DiskBuilder::default();
    builder.push(&[1]);
    assert!(check_size(&builder).is_ok());
    let message = check_lengths(LONGEST_DISK + 1, 0).unwrap_err();
    assert_eq!(message.message(), "the image holds more than 1099511627776 bytes");
    let message = check_lengths(LONGEST_DISK, MOST_CONTENT + 1).unwrap_err();
    assert_eq!(message.message(), "the image holds more than 4294967296 bytes that are not zero");
}

/// 64 sectors: an MBR, one partition from LBA 1 on, something in it.
fn small_disk() -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..64 * 512u32).map(|i| (i / 7) as u8).collect();
    bytes[446..512].fill(0);
    bytes[446 + 4] = 0x83;
    bytes[446 + 8] = 1;
    bytes[446 + 12] = 63;
    bytes[510..512].copy_from_slice(&[0x55, 0xAA]);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn a_damaged_file_never_panics_and_never_opens_as_another_disk(
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1..=255u8), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let content = small_disk();
        let mut bytes = with_trailer(&with_trailer(&pack(&content), b"{}"), b"cert");
        for (at, flip) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
        }
        bytes.truncate(cut.map_or(bytes.len(), |cut| cut.index(bytes.len())));
        if let Ok(image) = open(&bytes) {
            prop_assert_eq!(image.container.sha256, sha256_hex(&bytes));
            prop_assert_eq!(image.disk.length(), content.len() as u64);
            prop_assert!(image.disk.read_vec(0, content.len()).unwrap() == content);
        }
    }
}
