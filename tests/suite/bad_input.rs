//! Bad input: each case is refused with its exit code and words that name the place; nothing is left behind and nothing
//! that was given is touched.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::support::{
    Job, SECTOR, debugfs, fix_gpt_checksums, fixture, fixture_modules, listing, partitions, raw_disk, run, sha256,
    tool, write_partition,
};

const IMAGE: &str = "openwrt-mini-ib-ext4-combined-efi.img.gz";

/// Patches `image` with `modules` into `output` and asserts the refusal.
#[track_caller]
fn refused(image: &Path, modules: &Path, status: i32, words: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let beside = listing(image.parent().unwrap());
    let before = sha256(&std::fs::read(image).unwrap());
    let ran = Job::connectx3(image, modules).patch(folder.path(), image, &["-o", "router.img.gz"]);
    let ran = ran.expect_status(status);
    for word in words {
        assert!(ran.stderr.to_lowercase().contains(&word.to_lowercase()), "no word of {word}: {ran}");
    }
    assert!(!ran.stderr.contains("panicked"), "{ran}");
    assert_eq!(listing(folder.path()), Vec::<String>::new(), "left behind in the output's folder");
    assert_eq!(listing(image.parent().unwrap()), beside, "left behind beside the input");
    assert_eq!(sha256(&std::fs::read(image).unwrap()), before, "the input was written to");
}

/// A folder with one image, made from the fixture by a change to the file's bytes.
fn with_file(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

/// As [`with_file`], by a change to the disk's bytes.
fn with_disk(change: impl FnOnce(&mut Vec<u8>)) -> (tempfile::TempDir, PathBuf) {
    let mut disk = raw_disk(&fixture(IMAGE));
    change(&mut disk);
    with_file("changed.img", &disk)
}

/// Changes the root filesystem's superblock.
fn with_superblock(change: impl FnOnce(&mut [u8])) -> (tempfile::TempDir, PathBuf) {
    with_disk(|disk| {
        let superblock = partitions(disk)[1].start * SECTOR + 1024;
        change(&mut disk[superblock..superblock + 1024]);
    })
}

#[test]
fn a_truncated_gzip() {
    let bytes = std::fs::read(fixture(IMAGE)).unwrap();
    let (_kept, image) = with_file("cut.img.gz", &bytes[..bytes.len() / 2]);
    refused(&image, &fixture_modules(), 4, &["gzip", "cut.img.gz"]);
}

#[test]
fn a_gzip_with_a_wrong_checksum() {
    let mut bytes = Vec::new();
    let mut writer = flate2::write::GzEncoder::new(&mut bytes, flate2::Compression::fast());
    writer.write_all(&raw_disk(&fixture(IMAGE))).unwrap();
    writer.finish().unwrap();
    let checksum = bytes.len() - 8;
    bytes[checksum] ^= 1;
    let (_kept, image) = with_file("wrong.img.gz", &bytes);
    refused(&image, &fixture_modules(), 4, &["gzip", "CRC"]);
}

#[test]
fn a_gzip_of_something_else() {
    let mut bytes = Vec::new();
    let mut writer = flate2::write::GzEncoder::new(&mut bytes, flate2::Compression::fast());
    writer.write_all(&b"no disk at all\n".repeat(400)).unwrap();
    writer.finish().unwrap();
    let (_kept, image) = with_file("text.img.gz", &bytes);
    refused(&image, &fixture_modules(), 3, &["text.img.gz", "partition table"]);
}

#[test]
fn an_empty_file() {
    let (_kept, image) = with_file("empty.img", &[]);
    refused(&image, &fixture_modules(), 4, &["empty.img"]);
}

#[test]
fn a_cut_image_with_a_gpt() {
    let (_kept, image) = with_disk(|disk| disk.truncate(disk.len() / 2));
    refused(&image, &fixture_modules(), 4, &["GPT header", "246271", "123167 sectors", "cut"]);
}

#[test]
fn a_cut_image_with_an_mbr() {
    let mut disk = raw_disk(&fixture("openwrt-mini-ib-ext4-combined.img.gz"));
    disk.truncate(disk.len() / 2);
    let (_kept, image) = with_file("cut.img", &disk);
    refused(&image, &fixture_modules(), 4, &["partition 2", "123392 sectors", "cut"]);
}

#[test]
fn a_gpt_header_with_a_wrong_checksum() {
    let (_kept, image) = with_disk(|disk| disk[SECTOR + 16] ^= 1);
    refused(&image, &fixture_modules(), 4, &["GPT header", "CRC"]);
}

#[test]
fn gpt_entries_with_a_wrong_checksum() {
    let (_kept, image) = with_disk(|disk| disk[2 * SECTOR + 56] ^= 1);
    refused(&image, &fixture_modules(), 4, &["GPT", "entries", "CRC"]);
}

#[test]
fn overlapping_partitions() {
    let (_kept, image) = with_disk(|disk| {
        let boot = partitions(disk)[0];
        let last_lba_of_boot = 2 * SECTOR + 40;
        let into_root = (boot.start + boot.sectors + 7) as u64;
        disk[last_lba_of_boot..last_lba_of_boot + 8].copy_from_slice(&into_root.to_le_bytes());
        fix_gpt_checksums(disk);
    });
    refused(&image, &fixture_modules(), 4, &["overlap", "1", "2"]);
}

#[test]
fn an_ext4_superblock_with_a_block_size_that_cannot_be() {
    // s_log_block_size at 0x18.
    let (_kept, image) = with_superblock(|superblock| superblock[0x18] = 77);
    refused(&image, &fixture_modules(), 4, &["superblock", "77"]);
}

#[test]
fn an_ext4_superblock_that_counts_more_blocks_than_the_partition_holds() {
    // s_blocks_count_lo at 0x04.
    let (_kept, image) = with_superblock(|superblock| superblock[0x04..0x08].fill(0x7F));
    refused(&image, &fixture_modules(), 4, &["superblock", "blocks"]);
}

#[test]
fn a_journal_that_needs_recovery() {
    // s_feature_incompat at 0x60, INCOMPAT_RECOVER = 0x4.
    let (_kept, image) = with_superblock(|superblock| superblock[0x60] |= 0x04);
    refused(&image, &fixture_modules(), 3, &["needs_recovery", "journal"]);
}

#[test]
fn an_incompatible_feature_that_is_not_known() {
    let (_kept, image) = with_superblock(|superblock| superblock[0x63] |= 0x40);
    refused(&image, &fixture_modules(), 3, &["feature", "0x40000000"]);
}

#[test]
fn an_encrypted_root() {
    let (_kept, image) = with_disk(|disk| {
        let root = partitions(disk)[1].range();
        disk[root.clone()].fill(0);
        disk[root.start..root.start + 8].copy_from_slice(b"LUKS\xBA\xBE\x00\x02");
    });
    refused(&image, &fixture_modules(), 3, &["LUKS"]);
}

/// A folder with the fixtures' modules, unpacked.
fn module_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let archive = lzma_rust2::XzReader::new(std::fs::File::open(fixture_modules()).unwrap(), true);
    tar::Archive::new(archive).unpack(folder.path()).unwrap();
    folder
}

#[test]
fn a_module_of_no_length() {
    let modules = module_folder();
    std::fs::write(modules.path().join("mlx4_core.ko"), []).unwrap();
    refused(&fixture(IMAGE), modules.path(), 2, &["mlx4_core.ko", "0 bytes"]);
}

#[test]
fn a_module_for_another_architecture() {
    let modules = module_folder();
    let path = modules.path().join("mlx4_core.ko");
    let mut bytes = std::fs::read(&path).unwrap();
    // e_machine at 0x12: AArch64 is 183.
    bytes[0x12] = 183;
    std::fs::write(&path, bytes).unwrap();
    refused(&fixture(IMAGE), modules.path(), 2, &["mlx4_core.ko", "AArch64"]);
}

#[test]
fn modules_of_another_release() {
    let modules = module_folder();
    for name in listing(modules.path()) {
        let path = modules.path().join(name);
        let mut bytes = std::fs::read(&path).unwrap();
        let wanted = b"vermagic=6.12.117 ";
        let at = bytes.windows(wanted.len()).position(|window| window == wanted).unwrap();
        bytes[at..at + wanted.len()].copy_from_slice(b"vermagic=6.12.118 ");
        std::fs::write(&path, bytes).unwrap();
    }
    refused(&fixture(IMAGE), modules.path(), 2, &["6.12.118", "6.12.117"]);
}

#[test]
fn two_modules_that_fit_and_differ() {
    let modules = module_folder();
    let other = modules.path().join("elsewhere");
    std::fs::create_dir(&other).unwrap();
    let mut bytes = std::fs::read(modules.path().join("ib_core.ko")).unwrap();
    let license = b"license=";
    let at = bytes.windows(license.len()).position(|window| window == license).unwrap() + license.len();
    bytes[at] ^= 0x20;
    std::fs::write(other.join("ib_core.ko"), bytes).unwrap();
    refused(&fixture(IMAGE), modules.path(), 2, &["elsewhere/ib_core.ko", "ib_core.ko"]);
}

#[test]
fn no_module_at_all() {
    let modules = tempfile::tempdir().unwrap();
    refused(&fixture(IMAGE), modules.path(), 2, &["module", modules.path().to_str().unwrap()]);
}

#[test]
fn a_set_without_a_module_that_another_depends_on() {
    let modules = module_folder();
    std::fs::remove_file(modules.path().join("ib_core.ko")).unwrap();
    refused(&fixture(IMAGE), modules.path(), 2, &["mlx4_ib needs ib_core"]);
}

#[test]
fn a_full_filesystem() {
    let scratch = tempfile::tempdir().unwrap();
    let mut disk = raw_disk(&fixture(IMAGE));
    let root = partitions(&disk)[1];
    let part = scratch.path().join("root");
    write_partition(&disk, root, &part);
    let free = free_blocks(&part);
    // Two blocks less, for the file's own extent blocks and its place in the directory.
    let filler = scratch.path().join("filler");
    std::fs::write(&filler, vec![0xA5; (free - 2) * 4096]).unwrap();
    let request = format!("write {} filler", filler.display());
    run(tool("debugfs").arg("-w").arg("-R").arg(request).arg(&part)).expect_status(0);
    let left = free_blocks(&part);
    assert!(left <= 2, "{left} blocks are left");
    disk[root.range()].copy_from_slice(&std::fs::read(&part).unwrap());
    let (_kept, image) = with_file("full.img", &disk);
    refused(&image, &fixture_modules(), 2, &["free", &left.to_string(), "blocks"]);
}

fn free_blocks(filesystem: &Path) -> usize {
    let request = "show_super_stats -h".to_string();
    let answer = &debugfs(filesystem, std::slice::from_ref(&request))[&request];
    let line = answer.lines().find(|line| line.starts_with("Free blocks:")).unwrap();
    line.split_whitespace().last().unwrap().parse().unwrap()
}

#[test]
fn an_output_folder_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let job = Job::connectx3(&fixture(IMAGE), &fixture_modules());
    let ran = job.patch(folder.path(), &job.image, &["-o", "nowhere/router.img.gz"]).expect_status(2);
    assert!(ran.stderr.contains("nowhere"), "{ran}");
    assert_eq!(listing(folder.path()), Vec::<String>::new());
}

#[test]
fn an_output_that_is_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("router.img.gz")).unwrap();
    let job = Job::connectx3(&fixture(IMAGE), &fixture_modules());
    let ran = job.patch(folder.path(), &job.image, &["-o", "router.img.gz", "--force"]);
    assert!([2, 5].contains(&ran.status), "{ran}");
    assert!(ran.stderr.contains("router.img.gz"), "{ran}");
    assert_eq!(listing(folder.path()), ["router.img.gz"]);
}

#[test]
fn an_output_folder_that_cannot_be_written() {
    // Also root may not create files there.
    let folder = tempfile::tempdir().unwrap();
    let job = Job::connectx3(&fixture(IMAGE), &fixture_modules());
    let ran = job.patch(folder.path(), &job.image, &["-o", "/proc/self/router.img.gz"]).expect_status(5);
    assert!(ran.stderr.contains("/proc/self"), "{ran}");
}

#[test]
fn an_output_that_is_the_input() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join(IMAGE);
    std::fs::copy(fixture(IMAGE), &image).unwrap();
    let before = sha256(&std::fs::read(&image).unwrap());
    let job = Job::connectx3(&image, &fixture_modules());
    // By another spelling, and even when replacing is allowed.
    let other = format!("./{IMAGE}");
    for more in [vec!["-o", IMAGE], vec!["-o", &other, "--force"]] {
        let ran = job.patch(folder.path(), &image, &more).expect_status(2);
        assert!(ran.stderr.contains("input"), "{ran}");
        assert_eq!(sha256(&std::fs::read(&image).unwrap()), before, "the input was written to");
        assert_eq!(listing(folder.path()), [IMAGE]);
    }
}

#[test]
fn an_output_that_exists_is_replaced_only_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("router.img.gz");
    std::fs::write(&output, b"mine").unwrap();
    let job = Job::connectx3(&fixture(IMAGE), &fixture_modules());
    let ran = job.patch(folder.path(), &job.image, &["-o", "router.img.gz"]).expect_status(2);
    assert!(ran.stderr.contains("router.img.gz") && ran.stderr.contains("--force"), "{ran}");
    assert_eq!(std::fs::read(&output).unwrap(), b"mine");
    job.patch(folder.path(), &job.image, &["-o", "router.img.gz", "--force"]).expect_status(0);
    assert_ne!(std::fs::read(&output).unwrap(), b"mine");
    assert_eq!(listing(folder.path()), ["router.img.gz"]);
}
