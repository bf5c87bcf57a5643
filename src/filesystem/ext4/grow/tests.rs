//! Filesystems grown in place, judged by e2fsck, dumpe2fs, debugfs and resize2fs.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use super::*;
use crate::error::ErrorKind;
use crate::filesystem::tests::support::{
    EPOCH, Random, Scratch, mke2fs, noise, partition, printed, run, tree, write_volume,
};
use crate::filesystem::{Attributes, open, problems};
use crate::image::DiskBuilder;

const MIB: u64 = 1 << 20;

/// `bytes` as a volume of `length` bytes.
fn volume(bytes: &[u8], length: u64) -> Volume {
    let mut builder = DiskBuilder::default();
    builder.push(bytes);
    Volume::whole(builder.build().lengthened(length))
}

/// The volume, in a longer one.
fn lengthened(volume: Volume, length: u64) -> Volume {
    Volume::whole(volume.into_disk().lengthened(length))
}

fn saved(scratch: &Scratch, volume: &Volume) -> PathBuf {
    let path = scratch.path("grown");
    write_volume(&path, volume);
    path
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A line of `dumpe2fs -h`.
fn field(path: &Path, name: &str) -> String {
    let all = printed("dumpe2fs", &["-h", text(path)]);
    let line = all.lines().find_map(|line| line.strip_prefix(&format!("{name}:"))).unwrap_or_default();
    line.trim().to_owned()
}

fn assert_sound(path: &Path, what: &str) {
    let output = run("e2fsck", &["-fn", text(path)]);
    assert_eq!(output.status.code(), Some(0), "{what}: {}", String::from_utf8_lossy(&output.stdout));
}

/// What growing must not change.
const KEPT: [&str; 6] =
    ["Filesystem UUID", "Filesystem features", "Filesystem state", "Last write time", "Mount count", "Journal size"];
/// What must become as resize2fs makes it.
const AGREED: [&str; 6] =
    ["Block count", "Inode count", "Blocks per group", "Inodes per group", "Reserved GDT blocks", "Free inodes"];

/// Grows `bytes` to `length` and holds it against what resize2fs makes of a copy; gives what became of it.
fn assert_grows_as_resize2fs_does(bytes: &[u8], length: u64, what: &str) -> Volume {
    let what = format!("{what} to {length}");
    let (grown, growth) = grow(volume(bytes, length)).unwrap_or_else(|error| panic!("{what}: {error}"));
    let scratch = Scratch::new();
    let (path, before, other) = (saved(&scratch, &grown), scratch.path("before"), scratch.path("other"));
    write_volume(&before, &volume(bytes, bytes.len() as u64));
    assert_sound(&path, &what);
    assert_eq!(problems(&grown).unwrap(), Vec::<String>::new(), "{what}");
    for name in KEPT {
        assert_eq!(field(&path, name), field(&before, name), "{what}: {name}");
    }

    // make_ext4fs leaves padding that resize2fs does not take without a check.
    std::fs::copy(&before, &other).unwrap();
    run("e2fsck", &["-fy", text(&other)]);
    OpenOptions::new().write(true).open(&other).unwrap().set_len(length).unwrap();
    printed("resize2fs", &[text(&other)]);
    for name in AGREED {
        assert_eq!(field(&path, name), field(&other, name), "{what}: {name}");
    }
    assert_eq!(growth.blocks_after.to_string(), field(&path, "Block count"));
    assert_eq!(growth.inodes_after.to_string(), field(&path, "Inode count"));

    // What was grown here can be grown there.
    OpenOptions::new().write(true).open(&path).unwrap().set_len(length + 40 * MIB).unwrap();
    printed("resize2fs", &[text(&path)]);
    assert_sound(&path, &format!("{what}, then by resize2fs"));
    grown
}

/// Options after `mke2fs -q -F`, the size, and sizes in MiB to grow to.
const KINDS: &[(&[&str], &str, &[u64])] = &[
    (&["-t", "ext4"], "64M", &[65, 300]),
    (&["-t", "ext4", "-b", "2048"], "48M", &[49, 300]),
    (&["-t", "ext4", "-b", "4096", "-O", "64bit,metadata_csum,dir_index,has_journal"], "160M", &[161, 700]),
    (&["-t", "ext4", "-b", "1024", "-O", "^64bit,^metadata_csum,uninit_bg,^flex_bg"], "64M", &[66, 200]),
    (&["-t", "ext4", "-b", "4096", "-O", "^metadata_csum,uninit_bg,^has_journal"], "200M", &[264, 800]),
    (&["-t", "ext4", "-b", "2048", "-O", "^metadata_csum,^uninit_bg"], "64M", &[80, 250]),
    (&["-t", "ext4", "-b", "1024", "-E", "lazy_itable_init=1,lazy_journal_init=1"], "80M", &[88, 150]),
    (&["-t", "ext4", "-O", "metadata_csum_seed,orphan_file", "-I", "512"], "64M", &[320]),
    (&["-t", "ext4", "-I", "128", "-O", "^metadata_csum,^extra_isize"], "32M", &[150]),
    (&["-t", "ext4", "-b", "1024", "-g", "2048", "-N", "4096"], "30M", &[31, 60]),
    (&["-t", "ext2", "-b", "4096"], "130M", &[600]),
    (&["-t", "ext3", "-b", "1024", "-m", "5"], "40M", &[200]),
    (&["-t", "ext4", "-b", "1024", "-O", "^resize_inode,^sparse_super"], "20M", &[21, 100]),
];

#[test]
fn every_kind_grows_to_what_resize2fs_makes_of_it() {
    for (options, size, targets) in KINDS {
        let bytes = mke2fs(&[options, &[*size][..]].concat());
        for target in *targets {
            assert_grows_as_resize2fs_does(&bytes, target * MIB, &format!("{options:?} {size}"));
        }
    }
}

/// Layouts of OpenWrt's own make_ext4fs.
const FIXTURES: [&str; 3] = [
    "openwrt-mini-ib-ext4-1k-combined-efi.img.gz",
    "openwrt-mini-ib-ext4-combined.img.gz",
    "openwrt-mini-ib-ext4-nojournal-combined.img.gz",
];

#[test]
fn openwrts_own_layouts_grow_and_keep_every_file() {
    for fixture in FIXTURES {
        let bytes = partition(fixture, 2);
        let files = tree(&mut *open(volume(&bytes, bytes.len() as u64), EPOCH).unwrap());
        for target in [105, 400] {
            let grown = assert_grows_as_resize2fs_does(&bytes, target * MIB, fixture);
            assert!(tree(&mut *open(grown, EPOCH).unwrap()) == files, "{fixture}");
        }
    }
}

#[test]
fn growing_again_to_the_same_size_changes_nothing() {
    let bytes = partition(FIXTURES[0], 2);
    let (grown, first) = grow(volume(&bytes, 200 * MIB + 4096)).unwrap();
    let disk = grown.clone().into_disk();
    let (again, second) = grow(grown).unwrap();
    assert_eq!(second.blocks_before, first.blocks_after);
    assert_eq!(second.blocks_after, first.blocks_after);
    let again = again.into_disk();
    for page in 0..disk.length() / 4096 {
        assert!(disk.page(page) == again.page(page), "page {page}");
    }
}

/// Filesystems so full that edits must use what growth brought: options, and size.
const TIGHT: &[(&[&str], &str)] = &[
    (&["-t", "ext4", "-b", "1024", "-N", "32"], "9M"),
    (&["-t", "ext4", "-b", "1024", "-g", "1024", "-N", "256", "-O", "^has_journal,^metadata_csum,uninit_bg"], "6M"),
    (&["-t", "ext4", "-b", "2048", "-O", "^metadata_csum,^uninit_bg,^has_journal"], "20M"),
    (&["-t", "ext4", "-b", "4096", "-g", "4096", "-O", "^flex_bg,64bit", "-E", "resize=40000"], "30M"),
];

#[test]
fn random_growth_and_edits_leave_a_sound_filesystem_with_the_expected_files() {
    for (number, (options, size)) in TIGHT.iter().enumerate() {
        let seed = 0x6E0_0000 + number as u64;
        let what = format!("seed {seed:#x}, {options:?} {size}");
        println!("{what}");
        let mut random = Random(seed);
        let bytes = mke2fs(&[options, &[*size][..]].concat());
        let mut current = volume(&bytes, bytes.len() as u64);
        let mut files: Vec<(String, Vec<u8>)> = Vec::new();
        for step in 0..12 {
            let added = [512, 4096, 20_480, 3 * MIB + 512, 17 * MIB][random.below(5)] * (1 + random.below(2) as u64);
            let length = current.length() + added;
            current = grow(lengthened(current, length)).unwrap_or_else(|error| panic!("{what}: {error}")).0;
            let mut filesystem = open(current, EPOCH).unwrap();
            for file in 0..60 {
                let space = filesystem.space().unwrap();
                let length = [random.below(3000), random.below(400_000)][usize::from(random.below(8) == 0)];
                if space.free_inodes == 0 || space.free_blocks * u64::from(space.block_size) < length as u64 + 65_536 {
                    break;
                }
                let (path, content) = (format!("/file-{step}-{file}"), noise(random.next(), length));
                filesystem.write(&path, &content, Attributes::root(0o644)).unwrap();
                files.push((path, content));
                if random.below(5) == 0 {
                    let (gone, _) = files.swap_remove(random.below(files.len()));
                    filesystem.remove(&gone).unwrap();
                }
            }
            current = filesystem.finish().unwrap();
        }
        let scratch = Scratch::new();
        let path = saved(&scratch, &current);
        assert_sound(&path, &what);
        assert_eq!(problems(&current).unwrap(), Vec::<String>::new(), "{what}");
        let mut filesystem = open(current, EPOCH).unwrap();
        assert!(files.len() > 50, "{what}: {}", files.len());
        for (file, content) in &files {
            assert!(filesystem.read(file).unwrap() == *content, "{what}: {file}");
        }
        let (file, content) = &files[files.len() - 1];
        assert!(run("debugfs", &["-R", &format!("cat {file}"), text(&path)]).stdout == *content, "{what}: {file}");
        printed("resize2fs", &[text(&path), &format!("{}K", (filesystem.space().unwrap().blocks << 12 >> 10) * 4)]);
        assert_sound(&path, &format!("{what}, then by resize2fs"));
    }
}

/// What growing `bytes` to `length` is refused with.
fn refusal(bytes: &[u8], length: u64) -> (ErrorKind, String) {
    let error = grow(volume(bytes, length)).unwrap_err();
    (error.kind(), error.to_string())
}

#[test]
fn where_it_cannot_grow_in_place_the_largest_size_is_told_and_possible() {
    let cases: [(&[&str], u64, &str); 3] = [
        (
            &["-t", "ext4", "-b", "1024", "-O", "^resize_inode", "32M"],
            128,
            "134217728 bytes (128 MiB), not to 268435456 (256 MiB): group descriptors have 1 blocks, with 0 more \
             reserved, and a block holds 16",
        ),
        (
            &["-t", "ext4", "-b", "1024", "-O", "^64bit", "-E", "resize=500000", "32M"],
            512,
            "536870912 bytes (512 MiB), not to 1073741824 (1024 MiB): group descriptors have 1 blocks, with 1 more \
             reserved, and a block holds 32",
        ),
        (
            &["-t", "ext2", "-b", "1024", "-O", "^sparse_super,^resize_inode", "20M"],
            256,
            "268435456 bytes (256 MiB), not to 536870912 (512 MiB): group descriptors have 1 blocks, with 0 more \
             reserved, and a block holds 32",
        ),
    ];
    for (options, most, told) in cases {
        let bytes = mke2fs(options);
        let (kind, message) = refusal(&bytes, 2 * most * MIB);
        assert_eq!(kind, ErrorKind::Unsupported);
        assert!(message.contains(told), "{options:?}: {message}");
        let largest = message.split_whitespace().find_map(|word| word.parse().ok()).unwrap();
        let (grown, growth) = grow(volume(&bytes, largest)).unwrap();
        assert!(growth.blocks_after * u64::from(growth.block_size) + 4096 > largest, "{options:?}: {growth:?}");
        let scratch = Scratch::new();
        assert_sound(&saved(&scratch, &grown), &format!("{options:?}"));
    }
}

#[test]
fn what_is_not_sound_or_not_clean_does_not_grow() {
    let bytes = mke2fs(&["-t", "ext4", "-b", "1024", "32M"]);
    let inode = |command: &str| crate::filesystem::tests::support::debugfs(&bytes, &[command]);
    let (kind, message) = refusal(&inode("sif <7> block[0] 77"), 64 * MIB);
    assert_eq!(kind, ErrorKind::Corrupt);
    assert!(message.starts_with("inode 7 (the resize inode) has mode 0o100600, 1 links, "), "{message}");
    let (kind, message) = refusal(&inode("ssv state 0"), 64 * MIB);
    assert_eq!(kind, ErrorKind::Unsupported);
    assert!(message.contains("not unmounted cleanly"), "{message}");
    let (kind, message) = refusal(&inode("ssv reserved_gdt_blocks 300"), 64 * MIB);
    assert_eq!(kind, ErrorKind::Corrupt);
    assert_eq!(message, "s_reserved_gdt_blocks is 300 (at most 256 are possible here)");
    let meta_bg = mke2fs(&["-t", "ext4", "-O", "meta_bg,^resize_inode", "32M"]);
    assert_eq!(refusal(&meta_bg, 64 * MIB).1, "ext4 superblock: ext4 feature not supported: meta_bg");
}

#[test]
fn the_shortfall_is_enough_and_a_step_less_is_not() {
    for (bytes, step) in [
        (mke2fs(&["-t", "ext4", "-b", "1024", "20M"]), MIB),
        (mke2fs(&["-t", "ext4", "-b", "4096", "30M"]), MIB),
        (mke2fs(&["-t", "ext4", "-b", "1024", "-g", "1024", "6M"]), 4096),
        (partition(FIXTURES[0], 2), MIB),
    ] {
        let before = volume(&bytes, bytes.len() as u64);
        let space = open(before.clone(), EPOCH).unwrap().space().unwrap();
        assert_eq!(shortfall(&before, space.free_blocks, space.free_inodes, step).unwrap(), None);
        for (blocks, inodes) in [(1, 0), (0, 1), (5000, 0), (9000, 3000), (70_000, 10_000)] {
            let wanted = (space.free_blocks + blocks, space.free_inodes + inodes);
            let added = shortfall(&before, wanted.0, wanted.1, step).unwrap().unwrap();
            assert!(added.is_multiple_of(step));
            let free = |added: u64| {
                let (grown, _) = grow(volume(&bytes, bytes.len() as u64 + added)).unwrap();
                let space = open(grown, EPOCH).unwrap().space().unwrap();
                (space.free_blocks, space.free_inodes)
            };
            let enough = |free: (u64, u64)| free.0 >= wanted.0 && free.1 >= wanted.1;
            assert!(enough(free(added)), "{blocks} {inodes}: {added}");
            assert!(added == 0 || !enough(free(added - step)), "{blocks} {inodes}: {added}");
        }
        assert!(shortfall(&before, u64::MAX, 0, step).is_err());
    }
}
