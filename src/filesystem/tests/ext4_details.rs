//! What an edit leaves in the inodes and in the superblock, and what it leaves alone.

use std::fs;

use super::support::{
    EPOCH, Scratch, assert_sound, bytes_of, debugfs, e2fsck, mke2fs, noise, partition, printed, tree, tree_of, volume,
};
use crate::filesystem::{Attributes, open, problems};

const EFI: &str = "openwrt-mini-ib-ext4-combined-efi.img.gz";

#[test]
fn debugfs_dumps_what_was_written_with_mode_owner_and_time() {
    let mut filesystem = open(volume(&partition(EFI, 2)), EPOCH).unwrap();
    let content = noise(5, 1_234_567);
    let attributes = Attributes { mode: 0o6751, uid: 100_000, gid: 65_534 };
    filesystem.write("/etc/big", &content, attributes).unwrap();
    filesystem.symlink("/etc/short", "banner").unwrap();
    filesystem.symlink("/etc/long", &"l".repeat(99)).unwrap();
    let scratch = Scratch::new();
    let (image, dumped) = (scratch.path("image"), scratch.path("dumped"));
    fs::write(&image, bytes_of(&filesystem.finish().unwrap())).unwrap();
    let image = image.to_str().unwrap();
    printed("debugfs", &["-R", &format!("dump /etc/big {}", dumped.display()), image]);
    assert!(fs::read(dumped).unwrap() == content);
    let stat = printed("debugfs", &["-R", "stat /etc/big", image]);
    assert!(stat.contains("Type: regular    Mode:  06751   Flags: 0x80080"), "{stat}");
    assert!(stat.contains("User: 100000   Group: 65534   Size: 1234567"), "{stat}");
    assert!(stat.contains("Links: 1   Blockcount: 2416"), "{stat}");
    assert_eq!(stat.matches(&format!("0x{EPOCH:08x}:00000000")).count(), 4, "ctime, atime, mtime, crtime: {stat}");
    assert!(stat.contains("Size of extra inode fields: 28"), "{stat}");
    assert!(printed("debugfs", &["-R", "stat /etc/short", image]).contains("Fast link dest: \"banner\""));
    let long = printed("debugfs", &["-R", "stat /etc/long", image]);
    assert!(long.contains("Size: 99") && long.contains("EXTENTS:\n(0):"), "{long}");
}

#[test]
fn reading_changes_no_byte() {
    for (fixture, number) in [(EFI, 2), ("openwrt-mini-ib-ext4-1k-combined-efi.img.gz", 2)] {
        let given = volume(&partition(fixture, number));
        let mut filesystem = open(given, EPOCH).unwrap();
        assert!(tree(&mut *filesystem).len() > 50);
        filesystem.space().unwrap();
        assert!(filesystem.finish().unwrap().into_disk().is_unchanged());
    }
}

#[test]
fn of_the_superblock_only_the_free_counts_change_and_the_journal_stays() {
    for checksummed in [false, true] {
        let before = if checksummed { mke2fs(&["-t", "ext4", "64M"]) } else { partition(EFI, 2) };
        let mut filesystem = open(volume(&before), EPOCH).unwrap();
        filesystem.write("/new", &noise(1, 10_000), Attributes::root(0o644)).unwrap();
        // A read between two edits ends the mount and begins another one.
        assert_eq!(filesystem.read("/new").unwrap().len(), 10_000);
        filesystem.write("/newer", &noise(2, 10_000), Attributes::root(0o644)).unwrap();
        let after = bytes_of(&filesystem.finish().unwrap());
        let changed: Vec<usize> = (0..1024).filter(|at| before[1024 + at] != after[1024 + at]).collect();
        let allowed = |at: &usize| (0x0C..0x14).contains(at) || (checksummed && (0x3FC..0x400).contains(at));
        assert!(!changed.is_empty() && changed.iter().all(allowed), "{changed:x?}");
        let scratch = Scratch::new();
        let journals = [before, after].map(|bytes| {
            let (image, journal) = (scratch.path("image"), scratch.path("journal"));
            fs::write(&image, bytes).unwrap();
            printed("debugfs", &["-R", &format!("dump <8> {}", journal.display()), image.to_str().unwrap()]);
            fs::read(journal).unwrap()
        });
        assert!(journals[0].len() > 1_000_000 && journals[0] == journals[1]);
    }
}

#[test]
fn a_pristine_image_whose_padding_e2fsck_minds_is_left_without_complaint() {
    let before = partition(EFI, 2);
    let (code, text) = e2fsck(&before);
    assert!(code == 4 && text.contains("Padding at end of inode bitmap is not set"), "{code}: {text}");
    assert_eq!(problems(&volume(&before)).unwrap(), [""; 0]);
    let mut filesystem = open(volume(&before), EPOCH).unwrap();
    filesystem.write("/new", b"new", Attributes::root(0o644)).unwrap();
    assert_sound(&bytes_of(&filesystem.finish().unwrap()), "padded");
}

#[test]
fn extended_attributes_of_other_files_stay() {
    let mut before = mke2fs(&["-t", "ext4", "16M"]);
    let scratch = Scratch::new();
    fs::write(scratch.path("f"), "f").unwrap();
    let put = |name: &str| format!("write {} {name}", scratch.path("f").display());
    let long = "v".repeat(600);
    let commands = [
        put("kept"),
        put("gone"),
        "ea_set kept security.capability cap".to_owned(),
        format!("ea_set kept user.long {long}"),
        format!("ea_set gone user.long {long}"),
    ];
    before = debugfs(&before, &commands.iter().map(String::as_str).collect::<Vec<_>>());
    assert_sound(&before, "before");
    let mut filesystem = open(volume(&before), EPOCH).unwrap();
    filesystem.set_attributes("/kept", Attributes::root(0o600)).unwrap();
    filesystem.remove("/gone").unwrap();
    filesystem.write("/gone", b"nothing of the old one", Attributes::root(0o644)).unwrap();
    let after = bytes_of(&filesystem.finish().unwrap());
    assert_sound(&after, "after");
    let image = scratch.path("image");
    fs::write(&image, after).unwrap();
    let attributes = |name: &str| printed("debugfs", &["-R", &format!("ea_list {name}"), image.to_str().unwrap()]);
    assert!(attributes("kept").contains("security.capability (3)") && attributes("kept").contains("user.long (600)"));
    assert!(!attributes("gone").contains("user.long"));
}

#[test]
fn a_missing_lost_and_found_is_not_made() {
    let before = debugfs(&mke2fs(&["-t", "ext4", "16M"]), &["rmdir lost+found"]);
    let mut filesystem = open(volume(&before), EPOCH).unwrap();
    filesystem.write("/only", b"", Attributes::root(0o644)).unwrap();
    let after = bytes_of(&filesystem.finish().unwrap());
    assert_eq!(tree_of(&after).into_keys().collect::<Vec<_>>(), ["/only"]);
}

#[test]
fn timestamps_behind_2038_are_read_around() {
    let sound = partition(EFI, 2);
    let mut commands = Vec::new();
    for path in ["/", "/etc", "/etc/config", "/etc/config/network", "/etc/openwrt_release", "/lib"] {
        commands.extend(["atime", "ctime", "mtime"].map(|field| format!("sif {path} {field} @0xfffffff0")));
    }
    let before = debugfs(&sound, &commands.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(tree_of(&before) == tree_of(&sound), "the same tree is read");
    let given = volume(&before);
    let mut filesystem = open(given, EPOCH).unwrap();
    let listed = tree(&mut *filesystem);
    assert!(filesystem.finish().unwrap().into_disk().is_unchanged());
    let mut filesystem = open(volume(&before), EPOCH).unwrap();
    filesystem.write("/etc/config/new", b"new", Attributes::root(0o600)).unwrap();
    filesystem.symlink("/etc/link", "config/new").unwrap();
    let after = bytes_of(&filesystem.finish().unwrap());
    assert_sound(&after, "late");
    let mut now = tree_of(&after);
    assert!(now.remove("/etc/config/new").is_some() && now.remove("/etc/link").is_some());
    assert!(now == listed);
    let mut filesystem = open(volume(&sound), (1 << 31) + 5).unwrap();
    filesystem.write("/etc/late", b"late", Attributes::root(0o600)).unwrap();
    assert_sound(&bytes_of(&filesystem.finish().unwrap()), "edited in 2038");
}

#[test]
fn ext2_and_ext3_are_edited_too() {
    for options in
        [&["-t", "ext2", "16M"][..], &["-t", "ext3", "16M"], &["-t", "ext2", "-b", "1024", "-I", "128", "24M"]]
    {
        let mut filesystem = open(volume(&mke2fs(options)), EPOCH).unwrap();
        filesystem.make_directory("/d", Attributes::root(0o755)).unwrap();
        for number in 0..100u64 {
            let name = format!("/d/a-rather-long-name-so-that-blocks-fill-{number}");
            filesystem.write(&name, &noise(number, 700 * number as usize), Attributes::root(0o644)).unwrap();
        }
        filesystem.write("/large", &noise(7, 3_000_000), Attributes::root(0o644)).unwrap();
        filesystem.write("/large", &noise(8, 400_000), Attributes::root(0o644)).unwrap();
        filesystem.symlink("/d/link", &"l".repeat(80)).unwrap();
        filesystem.remove("/d/a-rather-long-name-so-that-blocks-fill-50").unwrap();
        let after = bytes_of(&filesystem.finish().unwrap());
        assert_sound(&after, &format!("{options:?}"));
    }
}

#[test]
fn the_check_names_what_was_damaged() {
    let sound = {
        let mut filesystem = open(volume(&partition(EFI, 2)), EPOCH).unwrap();
        filesystem.write("/new", b"new", Attributes::root(0o644)).unwrap();
        bytes_of(&filesystem.finish().unwrap())
    };
    assert_eq!(problems(&volume(&sound)).unwrap(), Vec::<String>::new());
    let flipped = |at: usize, bits: u8| {
        let mut bytes = sound.clone();
        bytes[at] ^= bits;
        problems(&volume(&bytes)).unwrap().join("; ")
    };
    let with = |at: usize| flipped(at, 1);
    let contains = |found: String, words: &str| assert!(found.contains(words), "{found} should say {words}");
    contains(with(1024 + 0x0C), "free blocks, the groups ");
    contains(with(1024 + 0x10), "free inodes, the groups ");
    contains(with(4096 + 0x1E), "group 0: the descriptor's checksum is 0x");
    contains(with(4096 + 0x0C), "free, the block bitmap ");
    contains(with(9 * 4096 + 3000), "free, the block bitmap ");
    contains(with(10 * 4096 + 2), "free, the inode bitmap ");
    // The type of the root directory's inode, which is inode 2.
    contains(flipped(11 * 4096 + 256 + 1, 0x40), "inode 2");
}
