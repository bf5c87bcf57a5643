//! Room for the root: `--rootfs-size` and `--backup-gpt`, judged by sgdisk, e2fsck, resize2fs and unsquashfs.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::support::{
    BootKind, Job, Ran, RootKind, SECTOR, e2fsck, fixture, fixture_modules, image, partitions, raw_disk, run, sha256,
    system_of_fixture, tool, write_partition,
};

const MIB: usize = 1 << 20;

fn json(ran: &Ran) -> Value {
    serde_json::from_slice(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran}"))
}

/// What was said on the standard error, in one line.
fn refusal(ran: &Ran) -> String {
    ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What `sgdisk -v` says of a disk.
fn sgdisk_says(disk: &[u8], folder: &Path) -> String {
    let path = folder.join("judged-disk");
    std::fs::write(&path, disk).unwrap();
    run(tool("sgdisk").arg("-v").arg(&path)).text()
}

/// The root partition of `disk` in a file.
fn root_in(disk: &[u8], folder: &Path) -> PathBuf {
    let path = folder.join("judged-root");
    write_partition(disk, partitions(disk)[1], &path);
    path
}

/// Everything but the table's own fields is where and what it was, boot code and boot partition byte for byte.
fn assert_kept(before: &[u8], after: &[u8]) {
    let [boot, root] = partitions(before);
    let [grown_boot, grown_root] = partitions(after);
    assert_eq!((boot, root.start), (grown_boot, grown_root.start), "a partition moved");
    assert!(before[boot.range()] == after[boot.range()], "the boot partition changed");
    assert!(before[..440] == after[..440], "the boot code changed");
    assert!(before[440..446] == after[440..446], "the disk's identifier changed");
    let gap = if before[SECTOR..].starts_with(b"EFI PART") { 34 } else { 1 } * SECTOR;
    assert!(before[gap..boot.range().start] == after[gap..boot.range().start], "GRUB's core changed");
    let behind = |disk: &[u8], end: usize| disk.len() - end;
    assert_eq!(behind(before, root.range().end), behind(after, grown_root.range().end), "the padding changed");
}

#[test]
fn a_grown_gpt_image_is_sound_with_and_without_a_backup_and_patched_twice_the_same() {
    let name = "openwrt-mini-ib-ext4-1k-combined-efi.img.gz";
    let folder = tempfile::tempdir().unwrap();
    let job = Job::connectx3(&fixture(name), &fixture_modules());
    let size = ["--rootfs-size", "130M"];
    let said = job.patch(folder.path(), &fixture(name), &[&size[..], &["-o", "a.img"]].concat()).expect_status(0);
    assert!(said.text().contains("104 MiB -> 130 MiB"), "{said}");
    assert!(said.text().contains("106496 -> 133120 blocks of 1024 bytes, 26624 -> 34816 inodes"), "{said}");
    let (before, after) = (raw_disk(&fixture(name)), raw_disk(&folder.path().join("a.img")));
    assert_kept(&before, &after);
    assert_eq!(partitions(&after)[1].sectors * SECTOR, 130 * MIB);
    let only_the_backup = sgdisk_says(&before, folder.path());
    assert_eq!(sgdisk_says(&after, folder.path()), only_the_backup);
    let root = root_in(&after, folder.path());
    e2fsck(&root).expect_status(0);
    job.verify(folder.path(), &folder.path().join("a.img")).expect_status(0);

    let again = [&size[..], &["-o", "b.img"]].concat();
    let said = job.patch(folder.path(), &folder.path().join("a.img"), &again).expect_status(0);
    assert!(said.text().contains("as before"), "{said}");
    assert!(after == std::fs::read(folder.path().join("b.img")).unwrap(), "a second patch changed something");

    let backed = [&size[..], &["--backup-gpt", "-o", "c.img.gz"]].concat();
    job.patch(folder.path(), &folder.path().join("a.img"), &backed).expect_status(0);
    let backed = raw_disk(&folder.path().join("c.img.gz"));
    let said = sgdisk_says(&backed, folder.path());
    assert!(said.contains("No problems found"), "{said}");
    assert!(backed[partitions(&after)[1].range()] == after[partitions(&after)[1].range()], "the root changed");

    // What was grown here can be grown by resize2fs.
    std::fs::OpenOptions::new().write(true).open(&root).unwrap().set_len(200 * MIB as u64).unwrap();
    run(tool("resize2fs").arg(&root)).expect_status(0);
    e2fsck(&root).expect_status(0);
}

#[test]
fn a_grown_mbr_image_is_sound() {
    let name = "openwrt-mini-ib-ext4-combined.img.gz";
    let folder = tempfile::tempdir().unwrap();
    let job = Job::connectx3(&fixture(name), &fixture_modules());
    let grown = ["--rootfs-size", "+100M", "-o", "a.img.gz"];
    job.patch(folder.path(), &fixture(name), &grown).expect_status(0);
    let (before, after) = (raw_disk(&fixture(name)), raw_disk(&folder.path().join("a.img.gz")));
    assert_kept(&before, &after);
    assert_eq!(partitions(&after)[1].sectors * SECTOR, 204 * MIB);
    e2fsck(&root_in(&after, folder.path())).expect_status(0);
    job.verify(folder.path(), &folder.path().join("a.img.gz")).expect_status(0);
}

/// An image whose root has no room for the modules.
fn full_image(folder: &Path, boot: BootKind) -> PathBuf {
    let (tree, kernel) = system_of_fixture("openwrt-mini-ib-ext4-combined-efi.img.gz", folder);
    std::fs::write(tree.join("ballast"), vec![0x5A; 6 * MIB + MIB / 4]).unwrap();
    let path = folder.join("full.img");
    let features = "^has_journal,^64bit,^metadata_csum,uninit_bg,^dir_index";
    image(&path, boot, RootKind { block_size: 1024, features, mebibytes: 8 }, &tree, &kernel);
    path
}

#[test]
fn without_room_the_size_that_would_do_is_told_and_does_and_min_finds_it() {
    let input = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let full = full_image(input.path(), BootKind::Efi);
    let job = Job::connectx3(&full, &fixture_modules());
    let refused = refusal(&job.patch(folder.path(), &full, &["-o", "a.img"]).expect_status(2));
    assert!(refused.contains("not enough room in the root filesystem: "), "{refused}");
    let words: Vec<&str> = refused.split_whitespace().collect();
    let told = words.windows(2).find(|pair| pair[0] == "--rootfs-size").map(|pair| pair[1]);
    let told = told.unwrap_or_else(|| panic!("no size is told: {refused}"));
    let mebibytes: usize = told.trim_start_matches('+').trim_end_matches('M').parse().unwrap();
    assert!(told.starts_with('+') && mebibytes < 8, "{told}");

    job.patch(folder.path(), &full, &["--rootfs-size", told, "-o", "told.img"]).expect_status(0);
    let after = raw_disk(&folder.path().join("told.img"));
    assert_eq!(partitions(&after)[1].sectors * SECTOR, (8 + mebibytes) * MIB);
    e2fsck(&root_in(&after, folder.path())).expect_status(0);
    let less = format!("+{}K", mebibytes * 1024 - 1024);
    job.patch(folder.path(), &full, &["--rootfs-size", &less, "-o", "less.img"]).expect_status(2);

    let dry = job.patch(folder.path(), &full, &["--rootfs-size", "min", "-n", "--format", "json"]).expect_status(0);
    let growth = &json(&dry)["growth"];
    let needed = &growth["needed"];
    assert!(needed["blocks"].as_u64() > needed["free_blocks"].as_u64(), "{dry}");
    job.patch(folder.path(), &full, &["--rootfs-size", "min", "-o", "min.img"]).expect_status(0);
    assert!(after == raw_disk(&folder.path().join("min.img")), "min is not what was told");
    assert_eq!(growth["bytes_after"].as_u64(), Some(((8 + mebibytes) * MIB) as u64));

    // Where it fits already nothing grows.
    let done = folder.path().join("min.img");
    let said = job.patch(folder.path(), &done, &["--rootfs-size", "min", "-o", "again.img"]).expect_status(0);
    assert!(said.text().contains("0 blocks of 1024 bytes"), "{said}");
    assert!(after == raw_disk(&folder.path().join("again.img")));
}

#[test]
fn a_squashfs_root_gets_room_behind_it_and_the_other_overlay_is_told() {
    let folder = tempfile::tempdir().unwrap();
    // The image as if built with a root partition of 64 MiB.
    let mut small = raw_disk(&fixture("openwrt-mini-ib-squashfs-combined.img.gz"));
    small[446 + 16 + 12..446 + 16 + 16].copy_from_slice(&131_072_u32.to_le_bytes());
    small.truncate(partitions(&small)[1].range().end);
    let image = folder.path().join("small.img");
    std::fs::write(&image, &small).unwrap();
    let job = Job::connectx3(&image, &fixture_modules());
    job.patch(folder.path(), &image, &["-o", "as-it-was.img"]).expect_status(0);
    let before = raw_disk(&folder.path().join("as-it-was.img"));
    for (size, becomes_f2fs) in [("90M", false), ("200M", true)] {
        let arguments = ["--rootfs-size", size, "-o", "grown.img", "-f", "--format", "json"];
        let report = json(&job.patch(folder.path(), &image, &arguments).expect_status(0));
        let findings = report["findings"].as_array().unwrap();
        let told = findings.iter().find(|finding| finding["id"] == "overlay-f2fs");
        assert_eq!(told.is_some(), becomes_f2fs, "{size}: {report}");
        // The fixture has no mkfs.f2fs.
        assert!(told.is_none_or(|finding| finding["severity"] == "warning"), "{report}");
        let after = raw_disk(&folder.path().join("grown.img"));
        assert_kept(&before, &after);
        let [old, new] = [&before, &after].map(|disk| partitions(disk)[1].range());
        assert!(after[new.clone()].starts_with(&before[old.clone()]), "the squashfs changed");
        assert!(after[new.start + old.len()..new.end].iter().all(|byte| *byte == 0));
        let root = root_in(&after, folder.path());
        run(tool("unsquashfs").arg("-l").arg(root)).expect_status(0);
    }
}

#[test]
fn what_cannot_be_is_refused_with_its_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let bios = fixture("openwrt-mini-ib-ext4-combined.img.gz");
    let job = Job::connectx3(&bios, &fixture_modules());
    let refused = |image: &Path, arguments: &[&str], status: i32| {
        let arguments = [arguments, &["-o", "none.img"]].concat();
        let ran = job.patch(folder.path(), image, &arguments).expect_status(status);
        assert!(!folder.path().join("none.img").exists());
        refusal(&ran)
    };
    let text = refused(&bios, &["--rootfs-size", "64M"], 2);
    assert!(text.contains("the root has 109051904 bytes (104.0 MiB), more than these 67108864 (64.0 MiB)"), "{text}");
    let text = refused(&bios, &["--rootfs-size", "64MB"], 2);
    assert!(text.contains("`64MB` is no size: `MB` is no unit"), "{text}");
    let text = refused(&bios, &["--backup-gpt"], 2);
    assert!(text.contains("the disk has an MBR, of which there is no backup"), "{text}");
    let text = refused(&bios, &["--rootfs-size", "1T"], 2);
    assert!(text.contains("more than the 1099511627776 (1 TiB) that are handled"), "{text}");
    let text = refused(&bios, &["--rootfs-size", "500G"], 3);
    assert!(text.contains("grows in place to at most 137438953472 bytes (131072 MiB)"), "{text}");

    let mut disk = raw_disk(&bios);
    let behind = disk.len() / SECTOR;
    disk.resize(disk.len() + MIB, 0);
    disk[446 + 32 + 4] = 0x83;
    disk[446 + 32 + 8..446 + 32 + 12].copy_from_slice(&(behind as u32).to_le_bytes());
    disk[446 + 32 + 12..446 + 32 + 16].copy_from_slice(&2048_u32.to_le_bytes());
    let third = folder.path().join("third.img");
    std::fs::write(&third, disk).unwrap();
    let text = refused(&third, &["--rootfs-size", "+1M"], 3);
    assert!(text.contains("partition 2 (LBA 33792 to 246783) cannot grow: partition 3 (LBA 246784 to"), "{text}");
}

#[test]
fn a_root_without_a_disk_around_it_grows_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let disk = raw_disk(&fixture("openwrt-mini-ib-ext4-combined.img.gz"));
    let bare = folder.path().join("openwrt-rootfs.img");
    write_partition(&disk, partitions(&disk)[1], &bare);
    let sum = sha256(&std::fs::read(&bare).unwrap());
    let job = Job::connectx3(&bare, &fixture_modules());
    job.patch(folder.path(), &bare, &["--rootfs-size", "200M", "-o", "grown.img"]).expect_status(0);
    let grown = folder.path().join("grown.img");
    assert_eq!(std::fs::metadata(&grown).unwrap().len(), 200 * MIB as u64);
    e2fsck(&grown).expect_status(0);
    assert_eq!(sha256(&std::fs::read(&bare).unwrap()), sum, "the input was written to");
    let refused = job.patch(folder.path(), &bare, &["--backup-gpt", "-o", "none.img"]).expect_status(2);
    assert!(refusal(&refused).contains("the image has no partition table"), "{refused}");
}
