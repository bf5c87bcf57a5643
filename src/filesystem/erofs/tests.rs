//! What `mkfs.erofs` wrote is read as it was, and what was damaged after that never ends in a panic.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::filesystem::tests::support::{Random, Scratch, volume};
use crate::filesystem::{Attributes, FileType, open, problems};

/// Files by their name in `/data`: text that compresses, noise that does not, tails of all kinds, and holes.
fn files() -> Vec<(String, Vec<u8>)> {
    let mut random = Random(7);
    let noise: Vec<u8> = (0..150_001).map(|_| random.next() as u8).collect();
    let text: Vec<u8> =
        (0..40_000u32).flat_map(|line| format!("line {} of a log\n", line % 977).into_bytes()).collect();
    let mut mixed = text[..70_000].to_vec();
    mixed.extend(&noise[..9_000]);
    mixed.extend(vec![0; 100_000]);
    mixed.extend(&text[5..20_000]);
    let mut files = vec![
        ("empty".to_owned(), Vec::new()),
        ("byte".to_owned(), vec![1]),
        ("block".to_owned(), text[..4096].to_vec()),
        ("block-and-byte".to_owned(), text[..4097].to_vec()),
        ("text".to_owned(), text.clone()),
        ("noise".to_owned(), noise),
        ("mixed".to_owned(), mixed),
        ("holes".to_owned(), vec![0; 300_000]),
    ];
    files.extend((0..400).map(|number| (format!("many-{number:03}-{}", "n".repeat(40)), text[..number].to_vec())));
    files
}

/// An EROFS of a tree of those files, made with `options`.
fn made(options: &[&str]) -> Vec<u8> {
    let scratch = Scratch::new();
    let tree = scratch.path("tree");
    std::fs::create_dir_all(tree.join("data")).unwrap();
    for (name, content) in files() {
        std::fs::write(tree.join("data").join(name), content).unwrap();
    }
    std::fs::hard_link(tree.join("data/text"), tree.join("again")).unwrap();
    std::fs::set_permissions(tree.join("data/text"), PermissionsExt::from_mode(0o4750)).unwrap();
    symlink("/data/text", tree.join("link")).unwrap();
    symlink("l".repeat(4000), tree.join("long")).unwrap();
    let image = scratch.path("image");
    made_of(&tree, &image, options);
    std::fs::read(image).unwrap()
}

fn made_of(tree: &Path, image: &Path, options: &[&str]) {
    let fixed = ["--all-root", "-T1735689600", "-x-1"];
    let output = Command::new("mkfs.erofs").args(fixed).args(options).arg(image).arg(tree).output().unwrap();
    assert!(output.status.success(), "{options:?}: {}", String::from_utf8_lossy(&output.stderr));
}

const PACKED: [&str; 3] = ["-zlz4hc,12", "-C65536", "-Eztailpacking"];

#[test]
fn what_mkfs_erofs_wrote_is_read_as_it_was() {
    let kinds: [&[&str]; 7] = [
        &[],
        &["-Eforce-inode-extended"],
        &["--chunksize=4096"],
        &["-zlz4"],
        &["-zlz4hc,12", "-Elegacy-compress"],
        &["-zlz4hc,12", "-C262144"],
        &PACKED,
    ];
    for options in kinds {
        let image = made(options);
        assert_eq!(problems(&volume(&image)).unwrap(), Vec::<String>::new(), "{options:?}");
        let mut filesystem = open(volume(&image), 0).unwrap();
        let files = files();
        assert_eq!(filesystem.list("/data").unwrap().len(), files.len(), "{options:?}");
        let top: Vec<_> =
            filesystem.list("/").unwrap().into_iter().map(|entry| (entry.name, entry.file_type)).collect();
        let expected = [
            ("again", FileType::Regular),
            ("data", FileType::Directory),
            ("link", FileType::Symlink),
            ("long", FileType::Symlink),
        ];
        assert_eq!(top, expected.map(|(name, kind)| (name.to_owned(), kind)), "{options:?}");
        for (name, content) in files {
            let path = format!("/data/{name}");
            assert!(filesystem.read(&path).unwrap() == content, "{options:?}: {path}");
            assert_eq!(filesystem.metadata(&path).unwrap().unwrap().size, content.len() as u64);
        }
        let again = filesystem.metadata("/again").unwrap().unwrap();
        assert_eq!(again.attributes, Attributes::root(0o4750));
        for (path, target) in [("/link", "/data/text".to_owned()), ("/long", "l".repeat(4000))] {
            assert_eq!(filesystem.metadata(path).unwrap().unwrap().link_target, Some(target), "{options:?}");
        }
    }
}

#[test]
fn nothing_is_written_to_it_and_it_is_given_back_as_it_was() {
    let image = made(&PACKED);
    let mut filesystem = open(volume(&image), 0).unwrap();
    let error = filesystem.write("/new", b"x", Attributes::root(0o644)).unwrap_err();
    assert_eq!(error.message(), "EROFS (LZ4, packed tails) is read, but not edited");
    assert!(filesystem.remove("/link").is_err());
    assert!(
        filesystem.read("/link").is_err() && filesystem.read("/data").is_err() && filesystem.list("/link").is_err()
    );
    assert_eq!(filesystem.metadata("/none").unwrap(), None);
    let given_back = filesystem.finish().unwrap();
    let mut bytes = vec![0; image.len()];
    given_back.read_at(0, &mut bytes).unwrap();
    assert!(bytes == image);
}

#[test]
fn a_cut_one_and_a_damaged_file_are_told() {
    let image = made(&PACKED);
    for length in [1200, 4096, (image.len() / 2) & !4095, image.len() - 4096] {
        assert!(open(volume(&image[..length]), 0).is_err(), "{length} bytes");
    }
    // The blocks of the noise are stored; those of the text behind them are not, and LZ4 notices what is no LZ4.
    let mut told = 0;
    for block in 1..image.len() / 4096 {
        let mut damaged = image.clone();
        damaged[block * 4096..][..4096].fill(0xFF);
        told += usize::from(!problems(&volume(&damaged)).is_ok_and(|problems| problems.is_empty()));
    }
    assert!(told > 3, "damage in {told} of {} blocks was told", image.len() / 4096);
}

#[test]
fn damage_ends_in_an_error_or_an_answer_and_never_in_a_panic() {
    for (kind, options) in [&PACKED[..], &[], &["--chunksize=4096"]].into_iter().enumerate() {
        let sound = made(options);
        for seed in 0..40 {
            println!("kind {kind}, seed {seed}");
            let mut random = Random(seed + 1);
            let mut damaged = sound.clone();
            // No checksum, or no damage would come further than the superblock.
            damaged[1024 + 8] &= !1;
            for _ in 0..1 + random.below(30) {
                let at = 1024 + random.below(damaged.len() - 1024);
                damaged[at] = random.next() as u8;
            }
            let _ = problems(&volume(&damaged));
            let Ok(mut filesystem) = open(volume(&damaged), 0) else { continue };
            for entry in filesystem.list("/data").unwrap_or_default() {
                let _ = filesystem.read(&format!("/data/{}", entry.name));
            }
            let _ = filesystem.metadata("/long");
        }
    }
}
