//! Roots made by mke2fs: other features, block sizes and group counts than OpenWrt's.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::support::{EPOCH, Leaf, Random, Scratch, assert_sound, bytes_of, noise, printed, tree, tree_of, volume};
use crate::filesystem::{Attributes, FileType, VolumeFilesystem, open, problems};

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

/// A filesystem and what should be in it.
struct Modelled {
    filesystem: Box<dyn VolumeFilesystem>,
    expected: BTreeMap<String, Leaf>,
}

impl Modelled {
    fn expect(&mut self, path: &str, file_type: FileType, attributes: Attributes, held: (Option<&str>, Option<&[u8]>)) {
        let link_target = held.0.map(str::to_owned);
        let content = held.1.map(|content| Sha256::digest(content).to_vec());
        self.expected.insert(path.to_owned(), Leaf { file_type, attributes, link_target, content });
    }

    fn write(&mut self, path: &str, content: &[u8], attributes: Attributes) {
        self.filesystem.write(path, content, attributes).unwrap();
        self.expect(path, FileType::Regular, attributes, (None, Some(content)));
    }

    fn link(&mut self, path: &str, target: &str) {
        self.filesystem.symlink(path, target).unwrap();
        self.expect(path, FileType::Symlink, Attributes::root(0o777), (Some(target), None));
    }

    /// One random edit below `/`, among the names that `step` and the model give.
    fn edit(&mut self, random: &mut Random, step: usize) {
        let of = |file_type, expected: &BTreeMap<String, Leaf>| -> Vec<String> {
            let paths = expected.iter().filter(|(_, leaf)| leaf.file_type == file_type);
            paths.map(|(path, _)| path.clone()).filter(|path| path.starts_with("/n")).collect()
        };
        let files = of(FileType::Regular, &self.expected);
        let mut directories = of(FileType::Directory, &self.expected);
        directories.push(String::new());
        let directory = &directories[random.below(directories.len())];
        let fresh = format!("{directory}/n{}-{step}", "a".repeat(random.below(60)));
        let attributes = Attributes { mode: random.below(0o10000) as u16, uid: random.below(99_999) as u32, gid: 3 };
        let file = (!files.is_empty()).then(|| files[random.below(files.len())].clone());
        match (random.below(12), file) {
            (0, _) => {
                self.filesystem.make_directory(&fresh, attributes).unwrap();
                self.expect(&fresh, FileType::Directory, attributes, (None, None));
            }
            (1, _) => self.link(&fresh, &"s".repeat(1 + random.below(200))),
            (2, Some(file)) => self.link(&file, "instead"),
            (3 | 4, Some(file)) => {
                self.filesystem.remove(&file).unwrap();
                self.expected.remove(&file);
            }
            (5, Some(file)) => self.write(&file, &noise(random.next(), random.below(200_000)), attributes),
            (6, Some(file)) => {
                self.filesystem.set_attributes(&file, attributes).unwrap();
                self.expected.get_mut(&file).unwrap().attributes = attributes;
            }
            (7, Some(file)) => {
                // A read in between ends the mount.
                assert_eq!(
                    self.filesystem.read(&file).unwrap().len() as u64,
                    self.filesystem.metadata(&file).unwrap().unwrap().size
                );
            }
            (8, _) if directory.len() > 1 => {
                let inside = format!("{directory}/");
                let empty = !self.expected.keys().any(|path| path.starts_with(&inside));
                assert_eq!(self.filesystem.remove(directory).is_ok(), empty, "{directory}");
                if empty {
                    self.expected.remove(directory);
                }
            }
            _ => {
                let length = if random.below(20) == 0 { random.below(2_000_000) } else { random.below(9000) };
                self.write(&fresh, &noise(random.next(), length), attributes);
            }
        }
    }
}

#[test]
fn random_sequences_leave_a_sound_filesystem_with_the_expected_tree() {
    for (number, (options, size)) in KINDS.iter().enumerate() {
        let seed = 0x1B_0000 + number as u64;
        let what = format!("seed {seed:#x}, {options:?} {size}");
        println!("{what}");
        let mut filesystem = open(volume(&make(options, size)), EPOCH).unwrap();
        let expected = tree(&mut *filesystem);
        let mut modelled = Modelled { filesystem, expected };
        let mut random = Random(seed);
        for step in 0..300 {
            modelled.edit(&mut random, step);
        }
        let after = bytes_of(&modelled.filesystem.finish().unwrap());
        assert_sound(&after, &what);
        let found = tree_of(&after);
        for path in found.keys().chain(modelled.expected.keys()) {
            assert_eq!(found.get(path), modelled.expected.get(path), "{what}: {path}");
        }
    }
}
