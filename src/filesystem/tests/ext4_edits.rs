//! Edits of OpenWrt's ext4 partitions.

use super::support::{EPOCH, assert_sound, bytes_of, noise, partition, tree_of, volume};
use crate::filesystem::{Attributes, Kind, detect, open, problems};

/// Every ext4 partition in the fixtures.
const PARTITIONS: &[(&str, usize)] = &[
    ("openwrt-mini-ib-ext4-combined-efi.img.gz", 2),
    ("openwrt-mini-ib-ext4-combined.img.gz", 1),
    ("openwrt-mini-ib-ext4-combined.img.gz", 2),
    ("openwrt-mini-ib-ext4-1k-combined-efi.img.gz", 2),
    ("openwrt-mini-ib-ext4-nojournal-combined.img.gz", 2),
    ("openwrt-mini-stock-ext4-combined-efi.img.gz", 2),
];

/// The edits of a patch: new, empty, small, large, replaced, deep, links, removed, changed.
fn edit(bytes: &[u8]) -> Vec<u8> {
    let mut filesystem = open(volume(bytes), EPOCH).unwrap();
    let root = Attributes::root;
    filesystem.make_directory("/new", root(0o755)).unwrap();
    filesystem.make_directory("/new/deep", Attributes { mode: 0o1700, uid: 7, gid: 70_000 }).unwrap();
    filesystem.write("/new/empty", &[], root(0o600)).unwrap();
    filesystem.write("/new/one", b"1", Attributes { mode: 0o4755, uid: 1000, gid: 100 }).unwrap();
    filesystem.write("/new/deep/some", &noise(1, 60_000), root(0o644)).unwrap();
    filesystem.write("/new/deep/large", &noise(2, 5_000_000), root(0o644)).unwrap();
    filesystem.write("/new/again", &noise(3, 70_000), root(0o755)).unwrap();
    filesystem.write("/new/again", b"shorter", root(0o640)).unwrap();
    filesystem.symlink("/new/short", "deep/some").unwrap();
    filesystem.symlink("/new/long", &"../".repeat(30)).unwrap();
    filesystem.write("/new/gone", &noise(4, 9000), root(0o644)).unwrap();
    filesystem.remove("/new/gone").unwrap();
    filesystem.make_directory("/new/gone-too", root(0o755)).unwrap();
    filesystem.remove("/new/gone-too").unwrap();
    filesystem.set_attributes("/new/empty", Attributes { mode: 0o2711, uid: 5, gid: 6 }).unwrap();
    bytes_of(&filesystem.finish().unwrap())
}

#[test]
fn a_file_gets_further_names_and_tells_them() {
    let before = partition("openwrt-mini-ib-ext4-combined-efi.img.gz", 2);
    let mut filesystem = open(volume(&before), EPOCH).unwrap();
    filesystem.write("/etc/one", b"shared", Attributes { mode: 0o640, uid: 3, gid: 4 }).unwrap();
    filesystem.link("/two", "/etc/one").unwrap();
    filesystem.link("/etc/config/three", "/two").unwrap();
    assert_eq!(filesystem.other_names("/two").unwrap(), ["/etc/config/three", "/etc/one"]);
    assert_eq!(filesystem.other_names("/etc/passwd").unwrap(), Vec::<String>::new());
    filesystem.write("/two", b"alone", Attributes::root(0o600)).unwrap();
    assert_eq!(filesystem.other_names("/etc/one").unwrap(), ["/etc/config/three"]);
    filesystem.set_attributes("/etc/one", Attributes::root(0o644)).unwrap();
    for (path, existing) in [("/two", "/etc/one"), ("/new", "/missing"), ("/new", "/etc"), ("/none/new", "/two")] {
        assert_eq!(filesystem.link(path, existing).unwrap_err().kind(), crate::ErrorKind::Usage, "{path}");
    }
    assert_eq!(filesystem.other_names("/missing").unwrap_err().kind(), crate::ErrorKind::Usage);
    let after = bytes_of(&filesystem.finish().unwrap());
    assert_sound(&after, "hard links");
    let mut again = open(volume(&after), EPOCH).unwrap();
    assert_eq!(again.read("/etc/config/three").unwrap(), b"shared");
    assert_eq!(again.other_names("/etc/config/three").unwrap(), ["/etc/one"]);
    assert_eq!(again.metadata("/etc/config/three").unwrap().unwrap().attributes, Attributes::root(0o644));
}

#[test]
fn every_ext4_partition_takes_edits_and_e2fsck_finds_nothing() {
    for (fixture, number) in PARTITIONS {
        let before = partition(fixture, *number);
        assert_eq!(detect(&volume(&before)).unwrap(), Kind::Ext4);
        let after = edit(&before);
        assert_sound(&after, fixture);
        assert_eq!(problems(&volume(&after)).unwrap(), Vec::<String>::new(), "{fixture}");
        assert!(edit(&before) == after, "{fixture}: two runs differ");
        let (old, mut new) = (tree_of(&before), tree_of(&after));
        new.retain(|path, _| !path.starts_with("/new"));
        assert!(old == new, "{fixture}: an untouched file changed");
    }
}
