//! What is refused, and in which words.

use std::fs;

use super::support::{
    EPOCH, Random, Scratch, assert_sound, bytes_of, debugfs, mke2fs, noise, partition, printed, run, volume,
};
use crate::error::{Error, ErrorKind};
use crate::filesystem::{Attributes, Kind, detect, grow, open, problems};
use crate::image::Volume;

fn refusal(bytes: &[u8]) -> Error {
    match open(volume(bytes), EPOCH) {
        Ok(_) => panic!("it opened"),
        Err(error) => error,
    }
}

#[test]
fn a_feature_that_an_edit_would_break_is_named() {
    let cases: &[(&[&str], &str)] = &[
        (&["-t", "ext4", "-O", "inline_data", "8M"], "inline_data"),
        (&["-t", "ext4", "-O", "bigalloc", "64M"], "bigalloc"),
        (&["-t", "ext4", "-O", "encrypt", "8M"], "encrypt"),
        (&["-t", "ext4", "-O", "casefold", "8M"], "casefold"),
        (&["-t", "ext4", "-O", "ea_inode", "8M"], "ea_inode"),
        (&["-t", "ext4", "-O", "meta_bg,^resize_inode", "8M"], "meta_bg"),
        (&["-t", "ext4", "-O", "mmp", "8M"], "mmp"),
        (&["-t", "ext4", "-O", "quota", "8M"], "quota"),
        (&["-t", "ext4", "-O", "verity", "8M"], "verity"),
        (&["-t", "ext4", "-O", "sparse_super2", "8M"], "sparse_super2"),
        (&["-t", "ext4", "-O", "large_dir", "8M"], "large_dir"),
    ];
    for (arguments, name) in cases {
        let bytes = mke2fs(arguments);
        let error = refusal(&bytes);
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{name}");
        assert_eq!(error.to_string(), format!("ext4 superblock: ext4 feature not supported: {name}"));
        assert_eq!(problems(&volume(&bytes)).unwrap_err().kind(), ErrorKind::Unsupported);
    }
}

#[test]
fn a_filesystem_that_was_not_left_clean_is_refused_with_the_remedy() {
    let clean = mke2fs(&["-t", "ext4", "8M"]);
    let cases: &[(&str, &str)] = &[
        ("feature needs_recovery", "the journal holds changes that were not written back (needs_recovery)"),
        ("ssv state 3", "s_state is 3: the kernel recorded errors in this filesystem"),
        ("ssv state 0", "s_state is 0: the filesystem was not unmounted cleanly"),
        ("ssv last_orphan 12", "s_last_orphan is 12: deleted files were not yet given back"),
    ];
    for (command, message) in cases {
        let bytes = debugfs(&clean, &[command]);
        let error = refusal(&bytes);
        assert_eq!((error.kind(), error.message()), (ErrorKind::Unsupported, *message));
        assert!(error.remedy_text().unwrap().contains("e2fsck"));
        assert_eq!(problems(&volume(&bytes)).unwrap(), [format!("ext4 superblock: {message}")]);
    }
}

#[test]
fn a_broken_superblock_is_refused_by_field_and_number() {
    let sound = partition("openwrt-mini-ib-ext4-combined-efi.img.gz", 2);
    let mut broken = Vec::new();
    let length = sound.len() as u64;
    let cases: &[(usize, &[u8], &str)] = &[
        (0x18, &[9, 0, 0, 0], "s_log_block_size is 9, which is above 6"),
        (0x04, &[0xFF, 0xFF, 0, 0], "s_blocks_count is 65535 blocks of 4096 bytes"),
        (0x04, &[0, 0, 0, 0], "s_blocks_count is 0"),
        (0x14, &[1, 0, 0, 0], "s_first_data_block is 1 with 4096-byte blocks"),
        (0x20, &[0, 0, 0, 0], "s_blocks_per_group is 0, not a multiple of 8 from 256 to 32768"),
        (0x28, &[0, 0, 0, 0], "s_inodes_per_group is 0, not a multiple of 8 from 8 to 32768"),
        (0x00, &[1, 0, 0, 0], "s_inodes_count is 1, but 1 groups of"),
        (0x58, &[100, 0], "s_inode_size is 100, not a power of two from 128 to 4096"),
        (0x0C, &[0xFF, 0xFF, 0xFF, 0], "s_free_blocks_count is 16777215 of"),
    ];
    for (offset, value, message) in cases {
        broken.clone_from(&sound);
        broken[1024 + offset..][..value.len()].copy_from_slice(value);
        let error = refusal(&broken);
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{message}");
        assert!(error.message().starts_with(message), "{error} should begin with {message}");
        assert_eq!(problems(&volume(&broken)).unwrap(), [error.to_string()]);
    }
    let cut = &sound[..sound.len() / 2];
    let message = format!("but the partition has {} bytes", length / 2);
    assert!(refusal(cut).message().ends_with(&message), "{}", refusal(cut));
    let mut checksummed = mke2fs(&["-t", "ext4", "8M"]);
    checksummed[1024 + 0x78] ^= 1;
    assert!(refusal(&checksummed).message().starts_with("s_checksum is 0x"));
}

#[test]
fn what_does_not_fit_is_refused_with_the_numbers_before_anything_is_written() {
    let bytes = mke2fs(&["-t", "ext4", "-O", "^has_journal", "-m", "0", "4M"]);
    let mut filesystem = open(volume(&bytes), EPOCH).unwrap();
    let free = filesystem.space().unwrap();
    let error = filesystem.write("/big", &noise(1, 5_000_000), Attributes::root(0o644)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    let needed = 5_000_000u64.div_ceil(free.block_size.into());
    let start = format!("no room for /big (5000000 bytes): it needs up to {}", needed / 1000);
    assert!(error.message().starts_with(&start), "{error}");
    assert!(error.message().contains(&format!("free are {} blocks", free.free_blocks)), "{error}");
    let remedy = error.remedy_text().unwrap();
    assert!(remedy.starts_with("give the root more room: --rootfs-size +2M, "), "{remedy}");
    let longer = volume(&bytes).into_disk().lengthened(bytes.len() as u64 + (2 << 20));
    let (grown, _) = grow(Volume::whole(longer)).unwrap();
    open(grown, EPOCH).unwrap().write("/big", &noise(1, 5_000_000), Attributes::root(0o644)).unwrap();
}

#[test]
fn a_filesystem_filled_to_the_brim_stays_sound() {
    for options in [&["-t", "ext4", "-b", "1024", "-m", "0", "12M"][..], &["-t", "ext4", "-N", "64", "12M"]] {
        let bytes = mke2fs(options);
        let mut filesystem = open(volume(&bytes), EPOCH).unwrap();
        let mut written = 0;
        let refused = loop {
            match filesystem.write(&format!("/f{written}"), &noise(written, 40_000), Attributes::root(0o644)) {
                Ok(()) => written += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(refused.kind(), ErrorKind::Usage);
        assert!(refused.message().contains("no room for /f"), "{refused}");
        assert!(written > 20, "{written} files");
        assert_sound(&bytes_of(&filesystem.finish().unwrap()), "full");
    }
}

#[test]
fn wrong_paths_are_the_callers_mistake() {
    let bytes = mke2fs(&["-t", "ext4", "8M"]);
    let mut filesystem = open(volume(&bytes), EPOCH).unwrap();
    let root = Attributes::root(0o755);
    filesystem.make_directory("/a", root).unwrap();
    filesystem.write("/a/f", b"f", root).unwrap();
    filesystem.symlink("/s", "/a").unwrap();
    let refused = |error: Result<(), Error>, message: &str| {
        let error = error.unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Usage, message));
    };
    refused(filesystem.write("/none/f", b"", root), "/none/f: there is no directory /none");
    refused(filesystem.write("/s/f", b"", root), "/s/f: there is no directory /s");
    refused(filesystem.write("/a", b"", root), "/a: a directory has that name");
    refused(filesystem.make_directory("/a/f", root), "/a/f: something has that name already");
    refused(filesystem.remove("/a"), "/a: the directory is not empty");
    refused(filesystem.remove("/b"), "/b: nothing has that name");
    refused(filesystem.symlink("/l", ""), "/l: a symlink's target has 1 to 1023 bytes and no NUL, not 0");
    assert_eq!(filesystem.metadata("/s/f").unwrap(), None);
    assert_eq!(filesystem.metadata("/a/f/g").unwrap(), None);
    assert_eq!(filesystem.list("/s").unwrap_err().kind(), ErrorKind::Usage);
    assert_eq!(filesystem.read("/a").unwrap_err().kind(), ErrorKind::Usage);
    assert_sound(&bytes_of(&filesystem.finish().unwrap()), "after refusals");
}

#[test]
fn a_file_with_preallocated_blocks_is_not_removed() {
    let bytes = mke2fs(&["-t", "ext4", "8M"]);
    let scratch = Scratch::new();
    fs::write(scratch.path("f"), noise(1, 5000)).unwrap();
    let put = format!("write {} f", scratch.path("f").display());
    for range in ["0 30", "10 40"] {
        let bytes = debugfs(&bytes, &[&put, &format!("fallocate f {range}")]);
        let mut filesystem = open(volume(&bytes), EPOCH).unwrap();
        let error = filesystem.remove("/f").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{range}");
        assert!(error.message().contains("preallocated"), "{error}");
    }
}

/// A filesystem of 1 KiB blocks with 400 names in the htree directory /many.
fn indexed() -> Vec<u8> {
    let scratch = Scratch::new();
    let (folder, image) = (scratch.path("root"), scratch.path("image"));
    fs::create_dir_all(folder.join("many")).unwrap();
    for number in 0..400 {
        fs::write(folder.join(format!("many/a-name-of-some-length-{number}")), "").unwrap();
    }
    let (folder, image) = (folder.to_str().unwrap(), image.to_str().unwrap());
    printed("mke2fs", &["-q", "-F", "-t", "ext4", "-b", "1024", "-N", "9000", "-d", folder, image, "16M"]);
    assert!(run("e2fsck", &["-fyD", image]).status.code() <= Some(1));
    assert!(printed("debugfs", &["-R", "htree_dump /many", image]).contains("Root node"));
    fs::read(image).unwrap()
}

#[test]
fn an_indexed_directory_may_change_and_grow() {
    let mut filesystem = open(volume(&indexed()), EPOCH).unwrap();
    assert_eq!(filesystem.list("/many").unwrap().len(), 400);
    filesystem.remove("/many/a-name-of-some-length-7").unwrap();
    filesystem.write("/many/a-name-of-some-length-8", b"new", Attributes::root(0o644)).unwrap();
    for number in 0..2000 {
        filesystem.write(&format!("/many/another-{number}"), b"", Attributes::root(0o644)).unwrap();
    }
    let after = bytes_of(&filesystem.finish().unwrap());
    assert_sound(&after, "grown");
    assert_eq!(open(volume(&after), EPOCH).unwrap().list("/many").unwrap().len(), 2399);
}

#[test]
fn an_indexed_directory_in_many_pieces_does_not_grow() {
    let mut filesystem = open(volume(&indexed()), EPOCH).unwrap();
    let error = (0..6000)
        .find_map(|number| {
            let _ = filesystem.write(&format!("/between-{number}"), b"x", Attributes::root(0o644));
            filesystem.write(&format!("/many/another-{number}"), b"x", Attributes::root(0o644)).err()
        })
        .expect("the directory falls to pieces");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.message().starts_with("an indexed directory (htree) would grow from "), "{error}");
    assert!(error.message().ends_with(" in 5 pieces (at most 4 are supported)"), "{error}");
}

#[test]
fn other_kinds_are_told_apart_and_named() {
    let squashfs = partition("openwrt-mini-ib-squashfs-combined.img.gz", 2);
    assert_eq!(detect(&volume(&squashfs)).unwrap(), Kind::Squashfs);
    assert_eq!(problems(&volume(&squashfs)).unwrap(), Vec::<String>::new());
    let head = |offset: usize, magic: &[u8]| {
        let mut bytes = vec![0; 8192];
        bytes[offset..offset + magic.len()].copy_from_slice(magic);
        bytes
    };
    let cases = [
        (head(1024, &[0x10, 0x20, 0xF5, 0xF2]), Kind::F2fs, "F2FS"),
        (head(0, b"LUKS\xBA\xBE\0\x02"), Kind::Luks, "LUKS"),
        (head(0, b""), Kind::Empty, "empty"),
        (head(100, b"x"), Kind::Unknown, "no filesystem of a known kind"),
    ];
    for (bytes, kind, word) in cases {
        assert_eq!(detect(&volume(&bytes)).unwrap(), kind);
        let error = refusal(&bytes);
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.message().contains(word), "{error}");
    }
    assert_eq!(detect(&volume(&head(1024, &[0xE2, 0xE1, 0xF5, 0xE0]))).unwrap(), Kind::Erofs);
    assert_eq!(detect(&volume(&[1, 2, 3])).unwrap(), Kind::Unknown);
}

#[test]
fn damage_ends_in_an_error_or_a_sound_answer_and_never_in_a_panic() {
    let sound = volume(&partition("openwrt-mini-ib-ext4-1k-combined-efi.img.gz", 2));
    for seed in 0..100 {
        let mut random = Random(seed);
        let mut damaged = sound.clone();
        for _ in 0..1 + random.below(40) {
            // Superblock, descriptors, bitmaps, inode table and the first directories lie here.
            let at = 1024 + random.below(600_000) as u64;
            damaged.write_at(at, &[random.next() as u8]).unwrap();
        }
        let _ = problems(&damaged);
        let Ok(mut filesystem) = open(damaged, EPOCH) else { continue };
        let _ = filesystem.list("/etc");
        let _ = filesystem.read("/etc/openwrt_release");
        let _ = filesystem.write("/etc/new", &noise(seed, 50_000), Attributes::root(0o644));
        let _ = filesystem.remove("/etc/openwrt_release");
        let _ = filesystem.finish();
    }
}

#[test]
fn lengths_that_cannot_be_are_refused_before_memory_is_asked_for() {
    let image = partition("openwrt-mini-ib-ext4-1k-combined-efi.img.gz", 2);
    let target = "t".repeat(100);
    let symlink = format!("symlink /link {target}");
    // With a year from 2038 on in the inode, the second reader looks.
    let commands = [&symlink, "sif /link size 0x700000064", "sif /link mtime @0xfffffff0"];
    let damaged = debugfs(&image, &commands);
    let error = open(volume(&damaged), EPOCH).unwrap().metadata("/link").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.message().starts_with("ext4: inode "), "{error}");
    assert!(error.message().ends_with(" is a symlink of 30064771172 bytes"), "{error}");

    let damaged = debugfs(&image, &["mknod pipe p", "sif /pipe mode 0100644", "sif /pipe size 0x30000000"]);
    let error = open(volume(&damaged), EPOCH).unwrap().read("/pipe").unwrap_err();
    let message = format!("/pipe: a file of 805306368 bytes in a filesystem of {}", image.len());
    assert_eq!(error.to_string(), message);
}
