//! One sequence of edits, carried out on the same tree in a squashfs and in an ext4: unsquashfs and debugfs must see the
//! same tree in the end.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::operations::{Body, Model, next, seeded};
use super::support::{EPOCH, Scratch, assert_sound, bytes_of, mke2fs, noise, printed, volume};
use crate::filesystem::squashfs::tests::support::{mksquashfs_of, seen as seen_by_unsquashfs};
use crate::filesystem::{Attributes, open};

/// What both programs say of a path.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    /// Type, as in a listing of `ls`, and permissions in octal.
    mode: (char, u16),
    /// `uid/gid`.
    owner: String,
    /// Names of the same file; 1 for a directory.
    names: u64,
    /// Digest of a file, target of a symlink.
    content: (Option<[u8; 32]>, String),
}

/// Where `path` is in the copy in `folder`.
fn local(folder: &Path, path: &str) -> PathBuf {
    folder.join(path.trim_start_matches('/'))
}

/// Puts files, folders, links and a hole below `folder`; gives them as the edits know them.
fn source(folder: &Path) -> Model {
    let mut model = Model::new();
    for directory in ["/etc", "/etc/config", "/lib", "/lib/modules"] {
        std::fs::create_dir(local(folder, directory)).unwrap();
        model.insert(directory.to_owned(), (Body::Directory, Attributes::root(0o755)));
    }
    for number in 0..40 {
        let path = format!("{}/{number}", ["", "/etc", "/etc/config", "/lib/modules"][number % 4]);
        let content = noise(number as u64, number * 700);
        std::fs::write(local(folder, &path), &content).unwrap();
        model.insert(path, (Body::File(content), Attributes::root(0o644)));
    }
    for (old, new) in [("/0", "/lib/hard"), ("/lib/modules/3", "/etc/hard"), ("/lib/modules/7", "/39")] {
        std::fs::hard_link(local(folder, old), local(folder, new)).unwrap();
        model.insert(new.to_owned(), model[old].clone());
    }
    let sparse = [vec![0; 40_000], vec![1]].concat();
    std::fs::write(folder.join("sparse"), &sparse).unwrap();
    model.insert("/sparse".to_owned(), (Body::File(sparse), Attributes::root(0o644)));
    symlink("config/2", folder.join("etc/link")).unwrap();
    model.insert("/etc/link".to_owned(), (Body::Symlink("config/2".to_owned()), Attributes::root(0o777)));
    model
}

/// The tree of a squashfs as unsquashfs sees it.
fn in_squashfs(image: &[u8]) -> BTreeMap<String, Seen> {
    let mut tree = BTreeMap::new();
    for (path, seen) in seen_by_unsquashfs(image) {
        let words: Vec<&str> = seen.listed.split(' ').collect();
        let mode = (words[0].chars().next().unwrap(), seen.mode());
        let target = if mode.0 == 'l' { words.last().unwrap().to_string() } else { String::new() };
        tree.insert(
            path,
            Seen { mode, owner: words[1].to_owned(), names: seen.names, content: (seen.content, target) },
        );
    }
    tree
}

/// The tree of an ext4 as debugfs sees it: contents by `rdump`, all else by `stat`.
fn in_ext4(image: &[u8]) -> BTreeMap<String, Seen> {
    let scratch = Scratch::new();
    let (file, folder, script) = (scratch.path("image"), scratch.path("tree"), scratch.path("script"));
    std::fs::write(&file, image).unwrap();
    std::fs::create_dir(&folder).unwrap();
    printed("debugfs", &["-R", &format!("rdump / {}", folder.display()), file.to_str().unwrap()]);
    let mut paths = vec!["/".to_owned()];
    let mut next = 0;
    while let Some(path) = paths.get(next).cloned() {
        next += 1;
        let copy = local(&folder, &path);
        if copy.is_symlink() || !copy.is_dir() {
            continue;
        }
        let names = std::fs::read_dir(&copy).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        paths.extend(names.map(|name| format!("{}/{name}", path.trim_end_matches('/'))));
    }
    let requests: String = paths.iter().map(|path| format!("stat \"{path}\"\n")).collect();
    std::fs::write(&script, requests).unwrap();
    let said = printed("debugfs", &["-f", script.to_str().unwrap(), file.to_str().unwrap()]);
    let answers = said.split("debugfs: stat ").skip(1);
    paths.iter().zip(answers).map(|(path, answer)| (path.clone(), parsed(answer, &local(&folder, path)))).collect()
}

/// An answer such as `Inode: 12   Type: regular    Mode:  0644   Flags: 0x80000 …`, with the copy of the file.
fn parsed(answer: &str, copy: &Path) -> Seen {
    let word = |label: &str| {
        let behind = answer.split_once(label).unwrap_or_else(|| panic!("no {label} in {answer}")).1;
        behind.split_whitespace().next().unwrap().to_owned()
    };
    let kind = match word("Type:").as_str() {
        "regular" => '-',
        "directory" => 'd',
        "symlink" => 'l',
        other => panic!("{other}"),
    };
    let content = (kind == '-').then(|| Sha256::digest(std::fs::read(copy).unwrap()).into());
    let target =
        if kind == 'l' { std::fs::read_link(copy).unwrap().to_str().unwrap().to_owned() } else { String::new() };
    Seen {
        mode: (kind, u16::from_str_radix(&word("Mode:"), 8).unwrap()),
        owner: format!("{}/{}", word("User:"), word("Group:")),
        names: if kind == 'd' { 1 } else { word("Links:").parse().unwrap() },
        content: (content, target),
    }
}

#[test]
fn the_same_edits_end_in_the_same_tree_on_squashfs_and_ext4() {
    let mut random = seeded(3);
    let scratch = Scratch::new();
    let folder = scratch.path("root");
    std::fs::create_dir(&folder).unwrap();
    let mut model = source(&folder);
    let mut squashfs = mksquashfs_of(&folder, &["-comp", "xz", "-all-root"], 16_384, 16);
    let features = "has_journal,^64bit,^metadata_csum,uninit_bg,^dir_index";
    let options = ["-t", "ext4", "-O", features, "-d", folder.to_str().unwrap(), "-E", "root_owner=0:0", "24M"];
    let mut ext4 = mke2fs(&options);
    for _ in 0..3 {
        let operations: Vec<_> = (0..60).map(|_| next(&mut model, &mut random, 16_384)).collect();
        for image in [&mut squashfs, &mut ext4] {
            let mut filesystem = open(volume(image), EPOCH).unwrap();
            operations.iter().for_each(|operation| operation.carry_out(&mut *filesystem));
            *image = bytes_of(&filesystem.finish().unwrap());
        }
    }
    assert_sound(&ext4, "the edited ext4");
    let (ours, mut theirs) = (in_squashfs(&squashfs), in_ext4(&ext4));
    theirs.remove("/lost+found").unwrap();
    assert_eq!(ours.len(), model.len() + 1);
    for (path, seen) in &ours {
        assert_eq!(Some(seen), theirs.get(path), "{path}");
    }
    assert!(ours.keys().eq(theirs.keys()));
}
