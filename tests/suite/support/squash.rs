//! The tree of a squashfs as unsquashfs sees it.

use std::path::Path;

use super::oracle::tool;
use super::program::run;
use super::tree::{Entry, Tree, sha256};

/// Whether a filesystem is a squashfs.
pub(crate) fn is_squashfs(filesystem: &Path) -> bool {
    std::fs::read(filesystem).unwrap().starts_with(b"hsqs")
}

/// Copies the whole tree into a folder that exists. Device nodes may be missing when this is not root.
pub(crate) fn extract(filesystem: &Path, folder: &Path) {
    let options = ["-no-progress", "-no-exit-code", "-force", "-dest"];
    run(tool("unsquashfs").args(options).arg(folder).arg(filesystem)).expect_status(0);
}

/// Reads the whole tree: attributes by `unsquashfs -lln`, contents by extraction.
pub(crate) fn read(filesystem: &Path) -> Tree {
    let copy = tempfile::tempdir().unwrap();
    extract(filesystem, copy.path());
    let ran = run(tool("unsquashfs").args(["-no-progress", "-lln", "-dest", ""]).arg(filesystem)).expect_status(0);
    let text = ran.text();
    text.lines().filter_map(|line| entry(line, copy.path())).collect()
}

/// A line such as `-rw-r--r-- 0/0  21 2025-01-01 00:00 /etc/hosts` or, for a device, `5, 1` in place of the length.
fn entry(line: &str, copy: &Path) -> Option<(String, Entry)> {
    let (permissions, rest) = line.split_once(' ').filter(|(permissions, _)| permissions.len() == 10)?;
    let (head, path) = rest.split_at(rest.find(" /")? + 1);
    let (path, target) = path.split_once(" -> ").unwrap_or((path, ""));
    let words: Vec<&str> = head.split_whitespace().collect();
    let local = copy.join(path.trim_start_matches('/'));
    let content =
        if permissions.starts_with('-') { sha256(&std::fs::read(local).unwrap()) } else { target.to_string() };
    // A directory's length depends on where the inodes of its entries lie.
    let inode = if permissions.starts_with('d') { words[2..].join(" ") } else { words[1..].join(" ") };
    let owner = words[0].replace('/', ":");
    Some((path.to_string(), Entry { mode: mode(permissions), owner, content, inode }))
}

/// `-rwsr-xr-x` as `104755`.
fn mode(permissions: &str) -> String {
    let letters: Vec<char> = permissions.chars().collect();
    let kind = match letters[0] {
        '-' => "10",
        'd' => "4",
        'l' => "12",
        'c' => "2",
        'b' => "6",
        'p' => "1",
        other => panic!("{other} in {permissions}"),
    };
    let mut bits = 0;
    for (place, letter) in letters[1..].iter().enumerate() {
        bits |= u32::from(!matches!(letter, '-' | 'S' | 'T')) << (8 - place);
        let special = 0o4000 >> (place / 3);
        bits |= if matches!(letter, 's' | 'S' | 't' | 'T') { special } else { 0 };
    }
    format!("{kind}{bits:04o}")
}
