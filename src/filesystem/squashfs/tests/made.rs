//! Roots made by mksquashfs with every compressor and option that matters, edited and judged by unsquashfs.

use std::collections::BTreeMap;

use super::backhand;
use super::support::{Seen, assert_seen, edited, file, mksquashfs, mksquashfs_of, seen, summary};
use crate::error::ErrorKind;
use crate::filesystem::tests::support::{EPOCH, Scratch, noise, printed, volume};
use crate::filesystem::{Attributes, Filesystem, open, problems};

/// Edits of every kind on every kind of file.
fn edit(filesystem: &mut dyn Filesystem, module: &[u8]) {
    let root = Attributes::root(0o644);
    filesystem.make_directory("/lib/modules/new", Attributes::root(0o755)).unwrap();
    filesystem.write("/lib/modules/new/module.ko", module, root).unwrap();
    filesystem.write("/lib/modules/new/tiny", b"x", Attributes::root(0o600)).unwrap();
    filesystem.symlink("/lib/modules/new/link", "module.ko").unwrap();
    filesystem.symlink("/etc/network", "config/elsewhere").unwrap();
    filesystem.write("/etc/banner", b"replaced under one of its two names", root).unwrap();
    filesystem.write("/many/a file with the number 500", b"", root).unwrap();
    filesystem.write("/many/a fellow of the others", b"1001", root).unwrap();
    filesystem.remove("/many/a file with the number 77").unwrap();
    filesystem.set_attributes("/lib/modules/odd.ko", Attributes { mode: 0o4700, uid: 7, gid: 8 }).unwrap();
    filesystem.set_attributes("/dev/console", Attributes { mode: 0o620, uid: 0, gid: 70_001 }).unwrap();
    filesystem.set_attributes("/deep/er", Attributes { mode: 0o2755, uid: 1, gid: 1 }).unwrap();
    filesystem.remove("/deep/er/zeroes").unwrap();
    filesystem.remove("/empty/pipe").unwrap();
    filesystem.write("/dev/disk", b"a file in place of a device", root).unwrap();
}

/// What [`edit`] makes of a tree.
fn expect(tree: &mut BTreeMap<String, Seen>, module: &[u8]) {
    let time = EPOCH as i64;
    let new = |listed: &str| Seen { listed: listed.to_owned(), time, names: 1, content: None };
    tree.insert("/lib/modules/new".to_owned(), new("drwxr-xr-x 0/0 "));
    tree.insert("/lib/modules/new/module.ko".to_owned(), file(module, "-rw-r--r--", "0/0"));
    tree.insert("/lib/modules/new/tiny".to_owned(), file(b"x", "-rw-------", "0/0"));
    tree.insert("/lib/modules/new/link".to_owned(), new("lrwxrwxrwx 0/0 9 module.ko"));
    tree.insert("/etc/network".to_owned(), new("lrwxrwxrwx 0/0 16 config/elsewhere"));
    let banner = file(b"replaced under one of its two names", "-rw-r--r--", "0/0");
    tree.insert("/etc/banner".to_owned(), banner);
    tree.get_mut("/deep/er/banner").unwrap().names = 1;
    tree.insert("/many/a file with the number 500".to_owned(), file(b"", "-rw-r--r--", "0/0"));
    tree.insert("/many/a fellow of the others".to_owned(), file(b"1001", "-rw-r--r--", "0/0"));
    tree.remove("/many/a file with the number 77").unwrap();
    for (path, permissions, owner) in [
        ("/lib/modules/odd.ko", "-rws------", "7/8"),
        ("/lib/modules/even.ko", "-rws------", "7/8"),
        ("/dev/console", "crw--w----", "0/70001"),
        ("/deep/er", "drwxr-sr-x", "1/1"),
    ] {
        let listed = &mut tree.get_mut(path).unwrap().listed;
        let rest = listed.splitn(3, ' ').nth(2).unwrap();
        *listed = format!("{permissions} {owner} {rest}");
    }
    for path in ["/deep/er/zeroes", "/empty/pipe"] {
        tree.remove(path).unwrap();
    }
    tree.insert("/dev/disk".to_owned(), file(b"a file in place of a device", "-rw-r--r--", "0/0"));
}

/// Edits an image of `source` and lets unsquashfs and backhand judge. The same lines of `unsquashfs -s` but for sizes,
/// and what the compressor is, must be there after.
fn judge(options: &[&str], block: usize) {
    let what = format!("{options:?}, blocks of {block} bytes");
    let image = mksquashfs(options, block, 8);
    assert_eq!(problems(&volume(&image)).unwrap(), Vec::<String>::new(), "{what}");
    let module = [&b"\x7fELF"[..], &noise(5, block + 9), &vec![0; block], &b"text ".repeat(block / 3)].concat();
    let after = edited(&image, |filesystem| edit(filesystem, &module));
    let mut tree = assert_seen(&image, &after, |tree| expect(tree, &module), &what);
    assert_eq!(summary(&after), summary(&image), "{what}");
    assert_eq!(after[96..tables(&image)], image[96..tables(&image)], "{what}");
    // The second generation of an edit reads like the first. backhand reads no target of 256 bytes.
    let second = edited(&after, |filesystem| filesystem.remove("/deep/long").unwrap());
    tree.remove("/deep/long").unwrap();
    backhand::agrees(&second, &tree, &what);
}

/// Where the tables begin.
fn tables(image: &[u8]) -> usize {
    u64::from_le_bytes(image[64..72].try_into().unwrap()) as usize
}

#[test]
fn xz_as_openwrt_makes_it() {
    // Its own mksquashfs is told -Xpreset 9 -Xe -Xlc 0 -Xlp 2 -Xpb 2 as well, which Debian's does not know; what they
    // change stands in each block and not in the tables. The fixtures were made by it.
    judge(&["-comp", "xz", "-Xbcj", "x86", "-noappend", "-no-xattrs"], 262_144);
}

#[test]
fn xz_with_small_and_large_blocks() {
    judge(&["-comp", "xz"], 4096);
    judge(&["-comp", "xz", "-Xdict-size", "50%"], 1 << 20);
}

#[test]
fn gzip_with_fragments_and_without() {
    judge(&["-comp", "gzip"], 131_072);
    judge(&["-comp", "gzip", "-no-fragments", "-Xcompression-level", "3"], 4096);
    judge(&["-comp", "gzip", "-always-use-fragments", "-no-exports", "-no-sparse"], 65_536);
}

#[test]
fn lz4_and_zstd() {
    judge(&["-comp", "lz4"], 131_072);
    judge(&["-comp", "lz4", "-Xhc"], 8192);
    judge(&["-comp", "zstd", "-Xcompression-level", "5"], 262_144);
    judge(&["-comp", "zstd"], 4096);
}

#[test]
fn tables_and_blocks_that_are_not_packed() {
    judge(&["-comp", "xz", "-noI", "-noId"], 32_768);
    judge(&["-comp", "gzip", "-noD", "-noF"], 32_768);
}

#[test]
fn a_zstd_window_is_no_larger_than_the_kernel_allows() {
    let image = mksquashfs(&["-comp", "zstd"], 4096, 8);
    let after = edited(&image, |filesystem| {
        let text: Vec<u8> = (0..3000).flat_map(|number| format!("line {number}\n").into_bytes()).collect();
        filesystem.write("/text", &text, Attributes::root(0o644)).unwrap();
    });
    let new = &after[tables(&image)..tables(&after)];
    assert_eq!(new[..4], 0xFD2F_B528u32.to_le_bytes());
    assert_eq!(new[4] & 0x20, 0, "a single segment has no window");
    assert_eq!(1024 << (new[5] >> 3), 4096);
}

#[test]
fn lzo_and_lzma_are_refused_by_name() {
    for name in ["lzo", "lzma"] {
        let image = mksquashfs(&["-comp", name], 131_072, 8);
        let error = open(volume(&image), EPOCH).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(error.to_string(), format!("squashfs compressed with {name} is not supported"));
        assert!(problems(&volume(&image)).is_err());
    }
}

#[test]
fn a_directory_of_ten_thousand_names_has_an_index() {
    let scratch = Scratch::new();
    let folder = scratch.path("root");
    std::fs::create_dir(&folder).unwrap();
    let image = mksquashfs_of(&folder, &["-comp", "gzip"], 131_072, 8);
    let after = edited(&image, |filesystem| {
        for number in 0..10_000 {
            let name = format!("/{number:05} is a name with some length to it");
            filesystem.write(&name, format!("{}", number % 7).as_bytes(), Attributes::root(0o644)).unwrap();
        }
    });
    let found = seen(&after);
    assert_eq!(found.len(), 10_001);
    assert_eq!(found["/09999 is a name with some length to it"].listed, "-rw-r--r-- 0/0 1 ");
    // mksquashfs gives a directory of this size an index; unsquashfs does not use it, so its places are checked here.
    let opened = super::super::Squashfs::open(volume(&after), EPOCH).unwrap();
    let mut reader = super::super::Reader::new(&opened.volume, &opened.compressor, opened.superblock.used);
    let root = opened.superblock.inode_table + (opened.superblock.root >> 16);
    let offset = (opened.superblock.root & 0xFFFF) as usize;
    let inode = super::super::inode::Inode::read(&mut reader.stream(root, offset), 131_072, 0).unwrap();
    let super::super::inode::Form::Directory(listing) = inode.form else { panic!("no directory") };
    let blocks = (listing.length as usize).div_ceil(8192);
    assert!((blocks - 2..=blocks).contains(&usize::from(listing.index.0)), "{} of {blocks}", listing.index.0);
    let index = reader.stream(root, offset + 40).take(40 * usize::from(listing.index.0)).unwrap();
    let mut rest = &index[..];
    for _ in 0..listing.index.0 {
        let word = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
        let (position, block, length) = (word(0) as usize, u64::from(word(4)), word(8) as usize + 1);
        let name = rest[12..12 + length].to_vec();
        rest = &rest[12 + length..];
        let at = (usize::from(listing.offset) + position) % 8192;
        let place = opened.superblock.directory_table + block;
        let head = reader.stream(place, at).take(12 + 8 + length).unwrap();
        assert_eq!(head[20..], name, "the head that the index names begins with another name");
        if rest.len() < 64 {
            break;
        }
    }
}

/// Bytes by which the filesystem grows when a program with this content is written.
fn growth(options: &[&str], content: &[u8]) -> usize {
    let scratch = Scratch::new();
    let folder = scratch.path("root");
    std::fs::create_dir(&folder).unwrap();
    let image = mksquashfs_of(&folder, options, 262_144, 4);
    let after = edited(&image, |filesystem| {
        filesystem.write("/program", content, Attributes::root(0o755)).unwrap();
    });
    assert_eq!(seen(&after)["/program"], file(content, "-rwxr-xr-x", "0/0"));
    tables(&after) - tables(&image)
}

#[test]
fn the_branch_filter_is_used_where_it_pays_and_the_image_has_it() {
    let path = printed("sh", &["-c", "command -v unsquashfs"]);
    let mut program = std::fs::read(path.trim()).unwrap();
    let filtered = growth(&["-comp", "xz", "-Xbcj", "x86"], &program);
    let unfiltered = growth(&["-comp", "xz"], &program);
    assert!(filtered < unfiltered, "{filtered} bytes with x86 BCJ, {unfiltered} without");
    // A relocatable file (ET_REL) is packed without trying.
    program[16] = 1;
    assert_eq!(growth(&["-comp", "xz", "-Xbcj", "x86"], &program), growth(&["-comp", "xz"], &program));
}
