//! Edits made once for many: whoever goes on from them ends where it would have ended without the break.

use proptest::prelude::*;

use super::support::{EPOCH, bytes_of, partition, volume};
use crate::filesystem::{Attributes, Filesystem, open};

const ROOTS: [(&str, usize); 6] = [
    ("openwrt-mini-ib-ext4-1k-combined-efi.img.gz", 2),
    ("openwrt-mini-ib-ext4-combined.img.gz", 2),
    ("openwrt-mini-ib-ext4-nojournal-combined.img.gz", 2),
    ("openwrt-mini-ib-squashfs-combined.img.gz", 2),
    ("openwrt-mini-ib-squashfs-combined-efi.img.gz", 2),
    ("openwrt-mini-ib-ext4-combined-efi.img.gz", 1),
];

/// An edit. Each has a path of its own, as those of a plan have.
#[derive(Debug, Clone)]
enum Edit {
    /// A new file of so many bytes.
    File(u32),
    /// A file that is there already.
    Replace(usize, u32),
    Directory,
    Link(usize),
    /// Another name of the new file, if there is one, that came so many before.
    HardLink(usize),
    Attributes(usize),
    Remove(usize),
}

const REPLACED: [&str; 3] = ["/etc/openwrt_release", "/etc/passwd", "/etc/shadow"];
const CHANGED: [&str; 2] = ["/etc/init.d", "/etc/config"];
const REMOVED: [&str; 2] = ["/etc/banner", "/etc/group"];

fn edit() -> impl Strategy<Value = Edit> {
    let length = prop_oneof![6 => 0..5000u32, 3 => 5000..70_000u32, 1 => 70_000..400_000u32];
    prop_oneof![
        9 => length.clone().prop_map(Edit::File),
        2 => (0..REPLACED.len(), length).prop_map(|(which, length)| Edit::Replace(which, length)),
        2 => Just(Edit::Directory),
        2 => (1..200usize).prop_map(Edit::Link),
        3 => (1..24usize).prop_map(Edit::HardLink),
        1 => (0..CHANGED.len()).prop_map(Edit::Attributes),
        1 => (0..REMOVED.len()).prop_map(Edit::Remove),
    ]
}

/// Bytes that pack neither badly nor well.
fn content(length: u32, seed: usize) -> Vec<u8> {
    (0..length as usize).map(|at| ((at / 7) * (seed + 3) % 251) as u8).collect()
}

fn carry_out(filesystem: &mut dyn Filesystem, edits: &[(usize, Edit)], is_unix: bool) {
    let attributes = Attributes::root(0o644);
    for (number, edit) in edits {
        let path = |kind: &str| format!("/{kind}{number}");
        let there = |filesystem: &mut dyn Filesystem, path: &str| filesystem.metadata(path).unwrap().is_some();
        match edit {
            Edit::File(length) => filesystem.write(&path("f"), &content(*length, *number), attributes).unwrap(),
            Edit::Directory => filesystem.make_directory(&path("d"), Attributes::root(0o755)).unwrap(),
            Edit::Replace(which, length) if there(filesystem, REPLACED[*which]) => {
                filesystem.write(REPLACED[*which], &content(*length, *number), attributes).unwrap();
            }
            Edit::Link(length) if is_unix => filesystem.symlink(&path("l"), &"x".repeat(*length)).unwrap(),
            Edit::HardLink(before) if is_unix && *before <= *number => {
                let file = format!("/f{}", number - before);
                if there(filesystem, &file) {
                    filesystem.link(&path("h"), &file).unwrap();
                }
            }
            Edit::Attributes(which) if is_unix && there(filesystem, CHANGED[*which]) => {
                filesystem.set_attributes(CHANGED[*which], Attributes { mode: 0o700, uid: 9, gid: 0 }).unwrap();
            }
            Edit::Remove(which) if there(filesystem, REMOVED[*which]) => filesystem.remove(REMOVED[*which]).unwrap(),
            _ => {}
        }
    }
}

/// One edit per path: of those of one file that is there, the first.
fn plan(edits: Vec<Edit>) -> Vec<(usize, Edit)> {
    let mut seen = std::collections::BTreeSet::new();
    let numbered = edits.into_iter().enumerate();
    numbered
        .filter(|(number, edit)| {
            seen.insert(match edit {
                Edit::Replace(which, _) => format!("r{which}"),
                Edit::Attributes(which) => format!("a{which}"),
                Edit::Remove(which) => format!("x{which}"),
                _ => number.to_string(),
            })
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_branch_becomes_what_it_would_have_become_without_the_break(
        root in 0..ROOTS.len(),
        edits in prop::collection::vec(edit(), 0..24),
        cut in any::<prop::sample::Index>(),
    ) {
        let (image, number) = ROOTS[root];
        let is_unix = number == 2;
        let start = volume(&partition(image, number));
        let edits = plan(edits);
        let (common, own) = edits.split_at(cut.index(edits.len() + 1));
        let mut straight = open(start.clone(), EPOCH).unwrap();
        carry_out(straight.as_mut(), &edits, is_unix);
        let straight = bytes_of(&straight.finish().unwrap());

        let mut trunk = open(start, EPOCH).unwrap();
        carry_out(trunk.as_mut(), common, is_unix);
        let trunk = trunk.into_trunk().unwrap();
        for _ in 0..2 {
            let mut branch = trunk.branch().unwrap();
            carry_out(branch.as_mut(), own, is_unix);
            let branch = bytes_of(&branch.finish().unwrap());
            let first = straight.iter().zip(&branch).position(|(a, b)| a != b);
            prop_assert_eq!(first, None, "{}, {} of {} edits in common", image, common.len(), edits.len());
        }
    }
}
