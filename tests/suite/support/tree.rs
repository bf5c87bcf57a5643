//! The tree of a filesystem as foreign programs see it: debugfs for ext4, unsquashfs for squashfs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::oracle::{debugfs, rdump};
use super::squash;

/// One path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// `st_mode` in octal, type included, such as `100644`.
    pub(crate) mode: String,
    /// `uid:gid`.
    pub(crate) owner: String,
    /// SHA-256 of a regular file's content, target of a symlink, empty for a directory.
    pub(crate) content: String,
    /// Everything debugfs says about the inode: number, times, links, extents; or what unsquashfs lists: length, time.
    pub(crate) inode: String,
}

impl Entry {
    /// Whether it is a directory.
    pub(crate) fn is_directory(&self) -> bool {
        self.mode.starts_with("40")
    }
}

/// Absolute paths and what is there.
pub(crate) type Tree = BTreeMap<String, Entry>;

/// Hex SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Reads the whole tree: names and modes by `ls -p`, inodes by `stat`, contents by `rdump`.
pub(crate) fn read(filesystem: &Path) -> Tree {
    if squash::is_squashfs(filesystem) {
        return squash::read(filesystem);
    }
    let mut tree = list(filesystem);
    let requests: Vec<String> = tree.keys().map(|path| format!("stat \"{path}\"")).collect();
    let stats = debugfs(filesystem, &requests);
    let copy = tempfile::tempdir().unwrap();
    rdump(filesystem, copy.path());
    for (path, entry) in &mut tree {
        entry.inode.clone_from(&stats[&format!("stat \"{path}\"")]);
        let local = copy.path().join(path.trim_start_matches('/'));
        if entry.mode.starts_with("100") {
            entry.content = sha256(&std::fs::read(&local).unwrap());
        } else if entry.mode.starts_with("120") {
            entry.content = std::fs::read_link(&local).unwrap().to_str().unwrap().to_string();
        }
    }
    tree
}

fn list(filesystem: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut open = vec![String::new()];
    while !open.is_empty() {
        let requests: Vec<String> = open.iter().map(|folder| format!("ls -p \"{folder}/\"")).collect();
        let answers = debugfs(filesystem, &requests);
        let mut next = Vec::new();
        for (folder, request) in open.iter().zip(&requests) {
            for line in answers[request].lines().filter(|line| !line.trim().is_empty()) {
                // /inode/mode/uid/gid/name/size/
                let fields: Vec<&str> = line.split('/').collect();
                let &[_, _inode, mode, uid, gid, name, ..] = fields.as_slice() else { panic!("debugfs ls: {line}") };
                if name == "." || name == ".." {
                    continue;
                }
                let entry = Entry {
                    mode: mode.trim_start_matches('0').to_string(),
                    owner: format!("{uid}:{gid}"),
                    content: String::new(),
                    inode: String::new(),
                };
                let path = format!("{folder}/{name}");
                if entry.is_directory() {
                    next.push(path.clone());
                }
                tree.insert(path, entry);
            }
        }
        open = next;
    }
    tree
}
