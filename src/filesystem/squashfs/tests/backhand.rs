//! A second reader that shares nothing with unsquashfs: the program in `tests/backhand`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use sha2::{Digest, Sha256};

use super::support::{Seen, used};
use crate::filesystem::tests::support::{Scratch, run};

/// The program, built once. It has dependencies of its own, which are none of this package's.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let target = here.join("target/backhand");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--locked", "--manifest-path"]).arg(here.join("tests/backhand/Cargo.toml"));
        let output = build.arg("--target-dir").arg(&target).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        target.join("debug/squashfs-by-backhand")
    })
}

/// What it says of one path: type, mode, owner, time, and what follows.
#[derive(Debug)]
struct Node {
    kind: char,
    mode: u16,
    owner: String,
    time: i64,
    bytes: Vec<u8>,
}

fn tree(image: &[u8]) -> BTreeMap<String, Node> {
    let scratch = Scratch::new();
    let file = scratch.path("image");
    std::fs::write(&file, used(image)).unwrap();
    let output = run(program().to_str().unwrap(), &[file.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut nodes = BTreeMap::new();
    let mut rest = &output.stdout[..];
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap();
        let line = std::str::from_utf8(&rest[..end]).unwrap();
        let [kind, mode, uid, gid, time, length, path] = line.splitn(7, ' ').collect::<Vec<_>>()[..] else {
            panic!("{line:?}")
        };
        let (bytes, behind) = rest[end + 1..].split_at(length.parse().unwrap());
        let node = Node {
            kind: kind.chars().next().unwrap(),
            mode: u16::from_str_radix(mode, 8).unwrap(),
            owner: format!("{uid}/{gid}"),
            time: time.parse().unwrap(),
            bytes: bytes.to_vec(),
        };
        nodes.insert(path.to_owned(), node);
        rest = behind;
    }
    nodes
}

/// Fails unless backhand sees in `image` what unsquashfs has `seen` there.
pub(super) fn agrees(image: &[u8], seen: &BTreeMap<String, Seen>, what: &str) {
    let tree = tree(image);
    assert!(tree.keys().eq(seen.keys()), "{what}: {:?}", tree.keys());
    for (path, node) in tree {
        let Seen { listed, time, content, .. } = &seen[&path];
        let mut words = listed.split(' ');
        let permissions = words.next().unwrap();
        assert!(permissions.starts_with(node.kind), "{what}: {path}: {listed}");
        assert_eq!(seen[&path].mode(), node.mode, "{what}: {path}: {listed}");
        assert_eq!(words.next(), Some(node.owner.as_str()), "{what}: {path}");
        assert!("cb".contains(node.kind) || *time == node.time, "{what}: {path}: {} not {time}", node.time);
        match node.kind {
            '-' => assert_eq!(Some(Sha256::digest(&node.bytes).into()), *content, "{what}: {path}"),
            'l' => assert!(listed.ends_with(std::str::from_utf8(&node.bytes).unwrap()), "{what}: {path}: {listed}"),
            _ => {}
        }
    }
}
