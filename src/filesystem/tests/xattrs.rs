//! Extended attributes of files that are replaced, as debugfs sees them.

use super::support::{EPOCH, Scratch, assert_sound, bytes_of, debugfs, mke2fs, printed, volume};
use crate::filesystem::{Attributes, open};

/// What debugfs tells of the attributes of each of `paths`.
fn told(bytes: &[u8], paths: &[&str]) -> Vec<String> {
    let scratch = Scratch::new();
    let image = scratch.path("image");
    std::fs::write(&image, bytes).unwrap();
    let told = |path: &&str| {
        let command = format!("ea_list {path}");
        let names = printed("debugfs", &["-R", &command, image.to_str().unwrap()]);
        let values = names.lines().filter_map(|line| line.split(['(', ' ', '=']).find(|word| word.contains('.')));
        let value =
            |name: &str| printed("debugfs", &["-R", &format!("ea_get -x {path} {name}"), image.to_str().unwrap()]);
        let values: String = values.map(value).collect();
        names + &values
    };
    paths.iter().map(told).collect()
}

#[test]
fn a_file_that_replaces_a_file_keeps_its_extended_attributes() {
    let values = Scratch::new();
    let long = values.path("long");
    std::fs::write(&long, "long ".repeat(150)).unwrap();
    let options: [&[&str]; 3] = [
        &["-t", "ext4", "-I", "256", "16M"],
        &["-t", "ext4", "-b", "1024", "-I", "512", "-O", "^has_journal,^metadata_csum,^64bit", "16M"],
        &["-t", "ext2", "-I", "256", "16M"],
    ];
    for options in options {
        let mut made = open(volume(&mke2fs(options)), EPOCH).unwrap();
        for path in ["/short", "/long", "/both", "/none", "/one", "/gone"] {
            made.write(path, b"before", Attributes::root(0o644)).unwrap();
        }
        made.link("/other", "/one").unwrap();
        let commands = [
            "ea_set /short user.note short",
            "ea_set /short security.capability caps",
            "ea_set /both user.note short",
            "ea_set /one trusted.one shared",
            "ea_set /gone user.note gone",
        ];
        let external = ["long", "both"].map(|file| format!("ea_set -f {} /{file} user.long", long.display()));
        let commands: Vec<&str> = commands.into_iter().chain(external.iter().map(String::as_str)).collect();
        let before = debugfs(&bytes_of(&made.finish().unwrap()), &commands);
        assert_sound(&before, "as debugfs left it");

        let mut edited = open(volume(&before), EPOCH).unwrap();
        for path in ["/short", "/long", "/both", "/none", "/one"] {
            edited.write(path, &b"after".repeat(3000), Attributes { mode: 0o600, uid: 3, gid: 4 }).unwrap();
        }
        // A name for something else is no successor.
        edited.symlink("/gone", "one").unwrap();
        edited.remove("/gone").unwrap();
        edited.write("/gone", b"new", Attributes::root(0o644)).unwrap();
        let after = bytes_of(&edited.finish().unwrap());
        assert_sound(&after, &format!("{options:?}"));
        let paths = ["/short", "/long", "/both", "/none", "/one", "/other"];
        let (was, is) = (told(&before, &paths), told(&after, &paths));
        assert_eq!(was, is, "{options:?}");
        assert!(was[0].contains("security.capability") && was[1].contains("user.long"), "{was:#?}");
        assert!(was[3].trim().is_empty() && told(&after, &["/gone"])[0].trim().is_empty(), "{was:#?}");
    }
}

#[test]
fn small_inodes_have_no_room_for_them_and_that_is_told_before_they_are_lost() {
    let mut made = open(volume(&mke2fs(&["-t", "ext4", "-I", "128", "-O", "^metadata_csum", "8M"])), EPOCH).unwrap();
    made.write("/f", b"before", Attributes::root(0o644)).unwrap();
    let before = debugfs(&bytes_of(&made.finish().unwrap()), &["ea_set /f user.note short"]);
    let mut edited = open(volume(&before), EPOCH).unwrap();
    let error = edited.write("/f", b"after", Attributes::root(0o644)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/f: a file with extended attributes (user.note) cannot be replaced: in an ext4 with inodes of 128 bytes they would be \
         lost"
    );
    assert_eq!(error.kind(), crate::ErrorKind::Unsupported);
}
