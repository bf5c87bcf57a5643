//! Roots made by mke2fs: other features, block sizes and group counts than OpenWrt's.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::support::{
    EPOCH, Leaf, Random, Scratch, assert_sound, bytes_of, e2fsck, noise, printed, run, tree, tree_of, volume,
};
use crate::error::ErrorKind;
use crate::filesystem::{Attributes, FileType, Filesystem, open, problems};

/// Options after `mke2fs -q -F`, and the size.
const KINDS: &[(&[&str], &str)] = &[
    (&["-t", "ext4"], "64M"),
    (&["-t", "ext4", "-b", "1024"], "64M"),
    (&["-t", "ext4", "-b", "2048"], "48M"),
    (&["-t", "ext4", "-b", "4096", "-O", "64bit,metadata_csum,dir_index,has_journal"], "160M"),
    (&["-t", "ext4", "-b", "1024", "-O", "64bit,metadata_csum,^has_journal,^resize_inode"], "40M"),
    (&["-t", "ext4", "-b", "1024", "-O", "^64bit,^metadata_csum,uninit_bg,^flex_bg"], "64M"),
    (&["-t", "ext4", "-b", "4096", "-O", "^metadata_csum,uninit_bg,^has_journal"], "200M"),
    (&["-t", "ext4", "-b", "2048", "-O", "^metadata_csum,^uninit_bg"], "64M"),
    (&["-t", "ext4", "-b", "1024", "-E", "lazy_itable_init=1,lazy_journal_init=1"], "80M"),
    (&["-t", "ext4", "-O", "metadata_csum_seed,orphan_file", "-I", "512"], "64M"),
    (&["-t", "ext4", "-I", "128", "-O", "^metadata_csum,^extra_isize"], "32M"),
    (&["-t", "ext4", "-b", "1024", "-g", "2048", "-N", "4096"], "30M"),
];

fn source(folder: &Path) {
    fs::create_dir_all(folder.join("etc/many")).unwrap();
    fs::write(folder.join("etc/banner"), "hello\n").unwrap();
    fs::write(folder.join("large"), noise(9, 3_000_000)).unwrap();
    fs::hard_link(folder.join("etc/banner"), folder.join("linked")).unwrap();
    symlink("etc/banner", folder.join("pointer")).unwrap();
    symlink("x".repeat(100), folder.join("far")).unwrap();
    for number in 0..40 {
        fs::write(folder.join(format!("etc/many/file-{number:03}")), noise(number, 100 * number as usize)).unwrap();
    }
}

fn make(options: &[&str], size: &str) -> Vec<u8> {
    let scratch = Scratch::new();
    let (folder, image) = (scratch.path("root"), scratch.path("image"));
    source(&folder);
    let mut arguments = vec!["-q", "-F", "-d", folder.to_str().unwrap()];
    arguments.extend(options);
    arguments.extend([image.to_str().unwrap(), size]);
    printed("mke2fs", &arguments);
    fs::read(image).unwrap()
}

#[test]
fn every_kind_of_root_takes_edits_and_e2fsck_finds_nothing() {
    for (options, size) in KINDS {
        let what = format!("{options:?} {size}");
        let before = make(options, size);
        assert_eq!(problems(&volume(&before)).unwrap(), Vec::<String>::new(), "{what}");
        let mut filesystem = open(volume(&before), EPOCH).unwrap();
        let untouched = tree(&mut *filesystem);
        filesystem.make_directory("/lib", Attributes::root(0o755)).unwrap();
        for number in 0..60usize {
            let path = format!("/lib/module-with-a-rather-long-name-{number}.ko");
            filesystem.write(&path, &noise(number as u64, number * 5000), Attributes::root(0o644)).unwrap();
        }
        filesystem.symlink("/lib/link", &"t".repeat(59)).unwrap();
        filesystem.symlink("/lib/link60", &"t".repeat(60)).unwrap();
        filesystem.write("/linked", b"of its own now", Attributes::root(0o644)).unwrap();
        filesystem.remove("/large").unwrap();
        let after = bytes_of(&filesystem.finish().unwrap());
        assert_sound(&after, &what);
        assert_eq!(problems(&volume(&after)).unwrap(), Vec::<String>::new(), "{what}");
        let now = tree_of(&after);
        for (path, leaf) in &untouched {
            if path != "/linked" && path != "/large" {
                assert_eq!(now.get(path), Some(leaf), "{what}: {path}");
            }
        }
    }
}

/// What a random sequence should have left.
fn apply_random(filesystem: &mut dyn Filesystem, random: &mut Random, steps: usize) {
    let mut directories = vec![String::new()];
    let mut files: Vec<String> = Vec::new();
    for step in 0..steps {
        let directory = directories[random.below(directories.len())].clone();
        let fresh = format!("{directory}/{}-{step}", "n".repeat(random.below(60)));
        let attributes = Attributes { mode: random.below(0o10000) as u16, uid: random.below(99_999) as u32, gid: 3 };
        match random.below(10) {
            0 => {
                filesystem.make_directory(&fresh, attributes).unwrap();
                directories.push(fresh);
            }
            1 => {
                filesystem.symlink(&fresh, &"s".repeat(1 + random.below(200))).unwrap();
                files.push(fresh);
            }
            2 | 3 if !files.is_empty() => {
                let file = files.swap_remove(random.below(files.len()));
                filesystem.remove(&file).unwrap();
            }
            4 if !files.is_empty() => {
                let file = &files[random.below(files.len())];
                filesystem.write(file, &noise(random.next(), random.below(200_000)), attributes).unwrap();
            }
            5 if !files.is_empty() => {
                let file = &files[random.below(files.len())];
                if filesystem.metadata(file).unwrap().unwrap().file_type == FileType::Regular {
                    filesystem.set_attributes(file, attributes).unwrap();
                }
            }
            _ => {
                let length = if random.below(20) == 0 { random.below(2_000_000) } else { random.below(9000) };
                filesystem.write(&fresh, &noise(random.next(), length), attributes).unwrap();
                files.push(fresh);
            }
        }
    }
}

#[test]
fn random_sequences_leave_a_sound_filesystem() {
    for (number, (options, size)) in KINDS.iter().enumerate() {
        let seed = 0x1B_0000 + number as u64;
        let what = format!("seed {seed:#x}, {options:?} {size}");
        println!("{what}");
        let before = make(options, size);
        let mut filesystem = open(volume(&before), EPOCH).unwrap();
        apply_random(&mut *filesystem, &mut Random(seed), 250);
        let expected = tree(&mut *filesystem);
        let after = bytes_of(&filesystem.finish().unwrap());
        assert_sound(&after, &what);
        assert!(tree_of(&after) == expected, "{what}: the tree changed at the end");
    }
}
