//! Damaged images end in an error or in another tree, never in a panic.

use super::support::{mksquashfs_of, source, used};
use crate::filesystem::tests::support::{EPOCH, Random, Scratch, noise, partition, tree_of, volume};
use crate::filesystem::{Attributes, open, problems};

/// Reads and edits as far as it goes; gives whether all went well.
fn exercise(image: &[u8]) -> bool {
    let sound = problems(&volume(image)).is_ok_and(|problems| problems.is_empty());
    let Ok(mut filesystem) = open(volume(image), EPOCH) else { return false };
    let mut waiting = vec![String::new()];
    while let Some(directory) = waiting.pop() {
        for entry in filesystem.list(if directory.is_empty() { "/" } else { &directory }).unwrap_or_default() {
            let path = format!("{directory}/{}", entry.name);
            if filesystem.metadata(&path).is_ok_and(|found| found.is_some()) {
                let _ = filesystem.read(&path);
                waiting.push(path);
            }
        }
    }
    sound
        && filesystem.write("/new file", b"new", Attributes::root(0o644)).is_ok()
        && filesystem.finish().is_ok_and(|volume| problems(&volume).is_ok())
}

/// An image whose tables are not packed, so that changed bytes reach the structures.
fn plain() -> Vec<u8> {
    let scratch = Scratch::new();
    let folder = scratch.path("root");
    std::fs::create_dir(&folder).unwrap();
    source(&folder, 4096);
    std::fs::remove_dir_all(folder.join("many")).unwrap();
    mksquashfs_of(&folder, &["-comp", "gzip", "-noI", "-noId"], 4096, 1)
}

#[test]
fn changed_bytes_never_panic() {
    let seed = std::env::var("IBWRT_SEED").map_or(4711, |seed| seed.parse().unwrap());
    println!("IBWRT_SEED={seed}");
    let mut random = Random(seed);
    for image in [plain(), partition("openwrt-mini-ib-squashfs-combined.img.gz", 2)[..1 << 20].to_vec()] {
        assert!(exercise(&image));
        let tables = u64::from_le_bytes(image[64..72].try_into().unwrap()) as usize;
        let mut refused = 0;
        for _ in 0..150 {
            let mut damaged = image.clone();
            let (first, length) = match random.below(4) {
                0 => (0, 120),
                _ => (tables, used(&image).len() - tables),
            };
            for _ in 0..=random.below(3) {
                let values = [0, 1, 0x7F, 0x80, 0xFF, random.next() as u8];
                damaged[first + random.below(length)] = values[random.below(values.len())];
            }
            refused += usize::from(!exercise(&damaged));
        }
        assert!(refused > 50, "only {refused} of 150 damaged images were noticed");
    }
}

#[test]
fn a_damaged_block_is_found_by_its_inode_and_an_edit_is_judged_by_what_it_wrote() {
    let scratch = Scratch::new();
    let folder = scratch.path("root");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("a"), noise(6, 1 << 16)).unwrap();
    std::fs::write(folder.join("b"), b"some text of a system\n".repeat(2000)).unwrap();
    std::fs::write(folder.join("c"), noise(7, 1 << 16)).unwrap();
    let mut image = mksquashfs_of(&folder, &["-comp", "xz", "-no-fragments"], 1 << 16, 1);
    // The text, between two blocks that are stored as they are and far from what an edit writes.
    image[96 + (1 << 16) + 40] ^= 0xFF;
    let found = problems(&volume(&image)).unwrap();
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("inode ") && found[0].contains("is damaged"), "{found:?}");

    let mut filesystem = open(volume(&image), EPOCH).unwrap();
    filesystem.write("/new", &b"other text\n".repeat(3000), Attributes::root(0o644)).unwrap();
    let mut edited = filesystem.finish().unwrap();
    assert_eq!(problems(&edited).unwrap(), Vec::<String>::new());
    // The new block lies where the tables were.
    let tables = u64::from_le_bytes(image[64..72].try_into().unwrap());
    edited.write_at(tables + 40, &[0xFF]).unwrap();
    assert_eq!(problems(&edited).unwrap().len(), 1);
}

#[test]
fn every_field_of_the_superblock_is_checked() {
    let image = plain();
    let said = |offset: usize, bytes: &[u8]| {
        let mut damaged = image.clone();
        damaged[offset..offset + bytes.len()].copy_from_slice(bytes);
        let problems = problems(&volume(&damaged)).map_or_else(|error| error.to_string(), |all| all.join("; "));
        assert!(open(volume(&damaged), EPOCH).is_err(), "{problems}");
        problems
    };
    assert_eq!(said(28, &[3]), "squashfs version is 3.0, not 4.0");
    assert!(said(12, &[1]).starts_with("squashfs blocks have 4097 bytes, not a power of two from 4096 to 1048576"));
    assert_eq!(said(22, &[13]), "squashfs blocks have 4096 bytes, but their logarithm is stored as 13");
    assert_eq!(said(20, &[9]), "squashfs compressed with compressor 9 is not supported");
    assert!(said(40, &[0xFF; 8]).starts_with("squashfs uses 18446744073709551615 bytes of a partition of 1048576"));
    assert!(said(4, &[1, 0]).contains("inode number"));
    assert!(said(26, &[0, 0]).contains("0 owners"));
    assert!(said(32, &[0xFF; 8]).contains("lies behind the inode table"));
    assert!(said(48, &[0xFF; 8]).contains("the id table at byte 18446744073709551615 lies behind the end"));
    assert!(said(64, &[0; 8]).contains("the inode table at byte 0 lies before the superblock at 96"));
    assert!(said(72, &[0; 8]).contains("the directory table at byte 0 lies before the inode at"));
    assert!(said(80, &[0; 8]).contains("the fragment table at byte 0 lies before the directory at"));
    assert!(said(88, &[0; 8]).contains("the export table at byte 0 lies before the fragment at"));
    assert!(said(16, &[0xFF, 0xFF, 0xFF]).contains("reach behind the end"));
}

#[test]
fn a_directory_that_contains_itself_is_found() {
    let image = plain();
    // The entry of /empty leads to the root's inode.
    let at = image.windows(5).position(|window| window == b"empty").unwrap() - 8;
    let root = u64::from_le_bytes(image[32..40].try_into().unwrap());
    let mut damaged = image.clone();
    damaged[at..at + 2].copy_from_slice(&((root & 0xFFFF) as u16).to_le_bytes());
    let error = open(volume(&damaged), EPOCH).err().unwrap();
    assert_eq!(error.to_string(), "/empty: squashfs: a directory has two names");
    assert!(tree_of(&image).contains_key("/empty"));
}
