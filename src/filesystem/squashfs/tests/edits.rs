//! Edits of the fixtures, and what is refused.

use super::support::{Seen, assert_seen, edited, file, seen, used};
use crate::error::ErrorKind;
use crate::filesystem::tests::support::{EPOCH, bytes_of, noise, partition, tree_of, volume};
use crate::filesystem::{Attributes, Filesystem, LiveOverlay, open, problems};

const FIXTURE: &str = "openwrt-mini-ib-squashfs-combined.img.gz";

/// An edit of every kind.
fn every_edit(filesystem: &mut dyn Filesystem) {
    filesystem.make_directory("/etc/new", Attributes::root(0o750)).unwrap();
    filesystem.write("/etc/new/file", b"small\n", Attributes { mode: 0o4711, uid: 7, gid: 8 }).unwrap();
    filesystem.write("/etc/new/noise", &noise(9, 600_000), Attributes::root(0o644)).unwrap();
    filesystem.write("/etc/openwrt_release", b"other\n", Attributes::root(0o600)).unwrap();
    filesystem.symlink("/etc/new/link", &"far/".repeat(200)).unwrap();
    filesystem.set_attributes("/etc/init.d", Attributes { mode: 0o700, uid: 99, gid: 0 }).unwrap();
    filesystem.remove("/etc/passwd").unwrap();
}

#[test]
fn the_fixture_is_read_as_unsquashfs_reads_it() {
    let image = partition(FIXTURE, 2);
    assert_eq!(problems(&volume(&image)).unwrap(), Vec::<String>::new());
    let ours = tree_of(&image);
    let theirs = seen(&image);
    assert_eq!(ours.len() + 1, theirs.len());
    for (path, leaf) in ours {
        assert_eq!(leaf.content.map(|hash| hash.try_into().unwrap()), theirs[&path].content, "{path}");
    }
}

#[test]
fn unsquashfs_sees_the_edit_and_nothing_else() {
    let image = partition(FIXTURE, 2);
    let after = edited(&image, every_edit);
    assert_seen(
        &image,
        &after,
        |tree| {
            let directory = |listed: &str| Seen { listed: listed.into(), time: EPOCH as i64, names: 1, content: None };
            tree.insert("/etc/new".to_owned(), directory("drwxr-x--- 0/0 "));
            tree.insert("/etc/new/link".to_owned(), directory(&format!("lrwxrwxrwx 0/0 800 {}", "far/".repeat(200))));
            tree.insert("/etc/new/file".to_owned(), file(b"small\n", "-rws--x--x", "7/8"));
            tree.insert("/etc/new/noise".to_owned(), file(&noise(9, 600_000), "-rw-r--r--", "0/0"));
            tree.insert("/etc/openwrt_release".to_owned(), file(b"other\n", "-rw-------", "0/0"));
            tree.get_mut("/etc/init.d").unwrap().listed = "drwx------ 99/0 ".to_owned();
            tree.remove("/etc/passwd").unwrap();
        },
        "every edit",
    );
    // Superblock apart, all bytes before the old tables stay.
    let tables = u64::from_le_bytes(image[64..72].try_into().unwrap()) as usize;
    assert_eq!(after[96..tables], image[96..tables]);
    assert!(used(&after).len() > tables + 600_000);
    assert!(after[used(&after).len()..].iter().all(|byte| *byte == 0));
}

#[test]
fn a_file_gets_further_names_and_tells_them() {
    let image = partition(FIXTURE, 2);
    let link = |filesystem: &mut dyn Filesystem| {
        filesystem.write("/etc/one", b"shared\n", Attributes::root(0o640)).unwrap();
        filesystem.link("/two", "/etc/one").unwrap();
        filesystem.link("/etc/config/three", "/etc/passwd").unwrap();
        assert_eq!(filesystem.other_names("/two").unwrap(), ["/etc/one"]);
        assert_eq!(filesystem.other_names("/etc/passwd").unwrap(), ["/etc/config/three"]);
        assert_eq!(filesystem.other_names("/etc/shadow").unwrap(), Vec::<String>::new());
        for (path, existing) in [("/two", "/etc/one"), ("/new", "/missing"), ("/new", "/etc"), ("/none/new", "/two")] {
            assert_eq!(filesystem.link(path, existing).unwrap_err().kind(), ErrorKind::Usage, "{path}");
        }
    };
    let after = edited(&image, link);
    let twice = |mut seen: Seen| {
        seen.names = 2;
        seen
    };
    assert_seen(
        &image,
        &after,
        |tree| {
            tree.insert("/etc/one".to_owned(), twice(file(b"shared\n", "-rw-r-----", "0/0")));
            tree.insert("/two".to_owned(), twice(file(b"shared\n", "-rw-r-----", "0/0")));
            let passwd = tree.get_mut("/etc/passwd").unwrap();
            passwd.names = 2;
            let passwd = passwd.clone();
            tree.insert("/etc/config/three".to_owned(), passwd);
        },
        "hard links",
    );
    let mut again = open(volume(&after), EPOCH).unwrap();
    assert_eq!(again.other_names("/etc/config/three").unwrap(), ["/etc/passwd"]);
}

#[test]
fn the_same_edit_gives_the_same_bytes_and_no_edit_the_same_volume() {
    let image = partition(FIXTURE, 2);
    assert_eq!(edited(&image, every_edit), edited(&image, every_edit));
    assert_eq!(edited(&image, |_| {}), image);
    let filesystem = open(volume(&image), EPOCH).unwrap();
    assert!(filesystem.finish().unwrap().into_disk().is_unchanged());
}

#[test]
fn a_shorter_filesystem_leaves_no_stale_byte_behind_it() {
    let image = partition(FIXTURE, 2);
    let grown = edited(&image, |filesystem| {
        for number in 0..3000 {
            filesystem.write(&format!("/{number}"), b"", Attributes::root(0o644)).unwrap();
        }
    });
    let shrunk = edited(&grown, |filesystem| {
        for number in 0..3000 {
            filesystem.remove(&format!("/{number}")).unwrap();
        }
    });
    assert!(used(&shrunk).len() < used(&grown).len());
    assert!(shrunk[used(&shrunk).len()..].iter().all(|byte| *byte == 0));
    assert_eq!(seen(&shrunk), seen(&image));
}

#[test]
fn an_image_that_has_run_is_read_but_not_edited() {
    let image = partition(FIXTURE, 2);
    let overlay = used(&image).len().next_multiple_of(1 << 16);
    let kinds: [(usize, &[u8], &str); 4] = [
        (0, &[0x1F, 0x8B, 8, 0], "a configuration archive (tar.gz)"),
        (0, &[0xDE, 0xAD, 0xC0, 0xDE], "the end mark of a jffs2 overlay (DEADC0DE)"),
        (0x400, &[0x10, 0x20, 0xF5, 0xF2], "an F2FS overlay"),
        (0x438, &[0x53, 0xEF], "an ext4 overlay"),
    ];
    for (offset, magic, name) in kinds {
        let mut live = image.clone();
        live[overlay + offset..][..magic.len()].copy_from_slice(magic);
        let mut filesystem = open(volume(&live), EPOCH).unwrap();
        assert!(!filesystem.read("/etc/openwrt_release").unwrap().is_empty());
        let error = filesystem.write("/new", b"", Attributes::root(0o644)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let expected = format!(
            "/new: behind the squashfs, at byte {overlay}, lies {name}: what was written since the image was made, and an \
             edit would lose it"
        );
        assert_eq!(error.to_string(), expected);
        let remedy = error.remedy_text().unwrap();
        assert!(remedy.contains("fresh image") && remedy.contains("--discard-overlay"), "{remedy}");

        // Given up, nothing of it is left, and the filesystem is as it was.
        live[image.len() - 1] = 7;
        let mut given_up = volume(&live);
        LiveOverlay::discard(&mut given_up).unwrap();
        assert!(bytes_of(&given_up) == image, "{name}");
        assert_eq!(LiveOverlay::find(&given_up).unwrap(), None);
    }
}

#[test]
fn the_head_of_the_overlay_is_cleared_where_the_new_filesystem_ends() {
    let mut image = partition(FIXTURE, 2);
    let stale = used(&image).len().next_multiple_of(1 << 16) + (10 << 16);
    image[stale..stale + (9 << 16)].fill(0xAA);
    let after = edited(&image, |filesystem| {
        filesystem.write("/noise", &noise(3, 11 << 16), Attributes::root(0o644)).unwrap();
    });
    let end = used(&after).len();
    let cleared = end.next_multiple_of(1 << 16) + (1 << 16);
    assert!(end > stale && cleared < stale + (9 << 16));
    assert!(after[end..cleared].iter().all(|byte| *byte == 0));
    assert_eq!(after[cleared..], image[cleared..]);
}

#[test]
fn what_does_not_fit_is_told_with_the_numbers() {
    let mut image = partition(FIXTURE, 2);
    image.truncate(1 << 20);
    let mut filesystem = open(volume(&image), EPOCH).unwrap();
    let space = filesystem.space().unwrap();
    assert_eq!((space.block_size, space.blocks, space.free_blocks, space.inodes), (4096, 256, 220, u64::MAX));
    filesystem.write("/noise", &noise(4, 1 << 20), Attributes::root(0o644)).unwrap();
    let error = filesystem.finish().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    let start = "no room in the squashfs: with 1048576 bytes of new packed data it needs ";
    assert!(error.to_string().starts_with(start), "{error}");
    assert!(error.to_string().ends_with(", the partition has 1048576"), "{error}");
    let mut filesystem = open(volume(&image), EPOCH).unwrap();
    filesystem.write("/noise", &noise(4, 1 << 19), Attributes::root(0o644)).unwrap();
    assert_eq!(bytes_of(&filesystem.finish().unwrap()).len(), 1 << 20);
}

#[test]
fn what_cannot_be_done_is_said() {
    let mut filesystem = open(volume(&partition(FIXTURE, 2)), EPOCH).unwrap();
    let root = Attributes::root(0o644);
    let long = "x".repeat(4096);
    let said: Vec<String> = [
        filesystem.write("/none/file", b"", root),
        filesystem.write("/etc", b"", root),
        filesystem.write("/etc/openwrt_release/file", b"", root),
        filesystem.write("/", b"", root),
        filesystem.make_directory("/etc", root),
        filesystem.symlink("/etc", "x"),
        filesystem.symlink("/link", ""),
        filesystem.symlink("/link", &long),
        filesystem.set_attributes("/none", root),
        filesystem.remove("/none"),
        filesystem.remove("/etc/config"),
    ]
    .into_iter()
    .map(|result| result.unwrap_err().to_string())
    .collect();
    let expected = [
        "/none/file: there is no directory /none",
        "/etc: a directory has that name",
        "/etc/openwrt_release/file: there is no directory /etc/openwrt_release",
        "/: the root directory cannot be made, replaced or removed",
        "/etc: something has that name already",
        "/etc: a directory has that name",
        "/link: a symlink's target has 1 to 4095 bytes and no NUL, not 0",
        "/link: a symlink's target has 1 to 4095 bytes and no NUL, not 4096",
        "/none: nothing has that name",
        "/none: nothing has that name",
        "/etc/config: the directory is not empty: it has 2 entries",
    ];
    assert_eq!(said, expected);
    assert!(filesystem.read("/etc").unwrap_err().to_string().contains("there is no such file"));
    assert!(filesystem.list("/none").unwrap_err().to_string().contains("there is no such directory"));
    assert_eq!(filesystem.metadata("/none").unwrap(), None);
}
