//! Where files lie: what is written there is in the file, and foreign programs find nothing wrong.

use super::support::{EPOCH, Scratch, bytes_of, debugfs, mke2fs, noise, partition, printed, run, volume};
use crate::error::ErrorKind;
use crate::filesystem::{Attributes, open};

const FILE: Attributes = Attributes::root(0o644);

/// `bytes` with the file at `path` turned upside down where it lies, and what the file holds then.
fn turned(bytes: &[u8], path: &str) -> (Vec<u8>, Vec<u8>) {
    let mut filesystem = open(volume(bytes), EPOCH).unwrap();
    let mut content = filesystem.read(path).unwrap();
    let extents = filesystem.extents(path).unwrap();
    content.reverse();
    let mut volume = filesystem.finish().unwrap();
    let mut rest = content.as_slice();
    for extent in &extents {
        let (now, later) = rest.split_at((extent.end - extent.start) as usize);
        volume.write_at(extent.start, now).unwrap();
        rest = later;
    }
    assert!(rest.is_empty(), "{} bytes of {path} lie nowhere", rest.len());
    (bytes_of(&volume), content)
}

/// `bytes` with files that lie in pieces: every other one of many is removed, and a long one takes the gaps.
fn in_pieces(bytes: &[u8], piece: usize) -> Vec<u8> {
    let mut filesystem = open(volume(bytes), EPOCH).unwrap();
    filesystem.make_directory("/pieces", Attributes::root(0o755)).unwrap();
    let mut names = (0..).map(|number| format!("/pieces/{number}"));
    let mut written = Vec::new();
    while filesystem.space().unwrap().free_blocks > 40 {
        let name = names.next().unwrap();
        filesystem.write(&name, &noise(written.len() as u64, piece), FILE).unwrap();
        written.push(name);
    }
    for name in written.iter().skip(1).step_by(2) {
        filesystem.remove(name).unwrap();
    }
    let space = filesystem.space().unwrap();
    let most = space.free_blocks as usize * space.block_size as usize / 4 * 3;
    filesystem.write("/long", &noise(99, most + 5), FILE).unwrap();
    let extents = filesystem.extents("/long").unwrap();
    let gaps = extents.windows(2).filter(|pair| pair[0].end != pair[1].start).count();
    assert!(gaps > 4, "it lies in one piece: {extents:?}");
    bytes_of(&filesystem.finish().unwrap())
}

#[test]
fn grub_cfg_is_changed_where_it_lies_on_fat() {
    let before = partition("openwrt-mini-ib-ext4-combined-efi.img.gz", 1);
    let (after, content) = turned(&before, "/boot/grub/grub.cfg");
    let differing = before.iter().zip(&after).filter(|(a, b)| a != b).count();
    assert!(0 < differing && differing <= content.len(), "{differing} bytes differ");
    let scratch = Scratch::new();
    let image = scratch.path("image");
    std::fs::write(&image, &after).unwrap();
    let image = image.to_str().unwrap();
    printed("fsck.fat", &["-n", image]);
    assert!(run("mcopy", &["-n", "-i", image, "::/boot/grub/grub.cfg", "-"]).stdout == content);
}

#[test]
fn grub_cfg_is_changed_where_it_lies_on_ext4() {
    let before = partition("openwrt-mini-ib-ext4-combined.img.gz", 1);
    let (after, content) = turned(&before, "/boot/grub/grub.cfg");
    assert!(before.iter().zip(&after).filter(|(a, b)| a != b).count() <= content.len());
    assert!(cat(&after, "/boot/grub/grub.cfg") == content);
    // make_ext4fs leaves the padding of bitmaps unset, about which e2fsck complains before and after.
    assert_eq!(fsck(&after), fsck(&before));
}

fn fsck(ext4: &[u8]) -> String {
    let scratch = Scratch::new();
    let image = scratch.path("image");
    std::fs::write(&image, ext4).unwrap();
    let output = run("e2fsck", &["-fn", image.to_str().unwrap()]);
    String::from_utf8_lossy(&output.stdout).replace(image.to_str().unwrap(), "IMAGE")
}

fn cat(ext4: &[u8], path: &str) -> Vec<u8> {
    let scratch = Scratch::new();
    let image = scratch.path("image");
    std::fs::write(&image, ext4).unwrap();
    run("debugfs", &["-R", &format!("cat {path}"), image.to_str().unwrap()]).stdout
}

#[test]
fn a_file_in_pieces_is_found_piece_by_piece() {
    let ext4 =
        in_pieces(&mke2fs(&["-t", "ext4", "-b", "1024", "-O", "^metadata_csum,^64bit", "-N", "1024", "2M"]), 12_000);
    assert!(!fsck(&ext4).contains("WARNING"), "{}", fsck(&ext4));
    let (after, content) = turned(&ext4, "/long");
    assert!(cat(&after, "/long") == content);
    assert_eq!(fsck(&after), fsck(&ext4));

    let scratch = Scratch::new();
    let image = scratch.path("fat");
    printed("mkfs.fat", &["--invariant", "-C", image.to_str().unwrap(), "1440"]);
    let fat = in_pieces(&std::fs::read(&image).unwrap(), 12_000);
    let (after, content) = turned(&fat, "/long");
    std::fs::write(&image, after).unwrap();
    assert!(run("mcopy", &["-n", "-i", image.to_str().unwrap(), "::/long", "-"]).stdout == content);
}

#[test]
fn what_lies_nowhere_as_it_is_is_refused() {
    let mut squashfs = open(volume(&partition("openwrt-mini-ib-squashfs-combined.img.gz", 2)), EPOCH).unwrap();
    let error = squashfs.extents("/etc/openwrt_release").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().starts_with("/etc/openwrt_release: files are packed here"), "{error}");

    let sparse = mke2fs(&["-t", "ext4", "-O", "^metadata_csum,^64bit", "4M"]);
    let scratch = Scratch::new();
    let hole = scratch.path("hole");
    std::fs::write(&hole, [vec![1; 4096], vec![0; 8192], vec![2; 10]].concat()).unwrap();
    let sparse = debugfs(&sparse, &[&format!("write {} hole", hole.display())]);
    let error = open(volume(&sparse), EPOCH).unwrap().extents("/hole").unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::Unsupported, "/hole: the file has a hole at byte 4096")
    );
    let error = open(volume(&sparse), EPOCH).unwrap().extents("/none").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
}
