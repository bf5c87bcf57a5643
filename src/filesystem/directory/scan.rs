//! Reading the tree: every name with its attributes, no content.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::node::{Body, Node, Origin};
use super::{Directory, system};
use crate::error::{Error, Result};
use crate::filesystem::Attributes;

/// Deepest directory that is walked into, and most paths: no root has more.
const DEEPEST: usize = 64;
const MOST_PATHS: usize = 200_000;

/// Reads the tree in the folder `base`.
pub(super) fn scan(base: &Path) -> Result<Directory> {
    system::check()?;
    let metadata = fs::metadata(base).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::usage(format!("there is no folder {}", base.display()))
            .remedy("check the path of the root filesystem's tree"),
        _ => unreadable(base, error),
    })?;
    if !metadata.is_dir() {
        return Err(Error::usage(format!("{} is a file, not a folder with a root filesystem's tree", base.display()))
            .remedy("give an image without --rootdir"));
    }
    let top = system::described(&metadata);
    let mut scan = Scan {
        base,
        nodes: BTreeMap::new(),
        mounts: Vec::new(),
        owner: (top.attributes.uid, top.attributes.gid),
        device: top.inode.0,
    };
    let node = scan.node(PathBuf::new(), &metadata)?;
    scan.nodes.insert(PathBuf::new(), node);
    let mut waiting = vec![(PathBuf::new(), 0)];
    while let Some((directory, depth)) = waiting.pop() {
        if depth > DEEPEST {
            return Err(Error::unsupported(format!("directories are nested deeper than {DEEPEST}"))
                .at(base.join(directory).display().to_string()));
        }
        let below = scan.list(&directory)?;
        waiting.extend(below.into_iter().map(|directory| (directory, depth + 1)));
    }
    let Scan { nodes, mounts, owner, .. } = scan;
    Ok(Directory { base: base.to_owned(), nodes, mounts, owner })
}

struct Scan<'a> {
    base: &'a Path,
    nodes: BTreeMap<PathBuf, Node>,
    mounts: Vec<String>,
    owner: (u32, u32),
    device: u64,
}

impl Scan<'_> {
    /// Takes in the entries of `directory`; returns the directories among them that are to be walked into.
    fn list(&mut self, directory: &Path) -> Result<Vec<PathBuf>> {
        let path = self.base.join(directory);
        let mut directories = Vec::new();
        for entry in fs::read_dir(&path).map_err(|error| unreadable(&path, error))? {
            let entry = entry.map_err(|error| unreadable(&path, error))?;
            let key = directory.join(entry.file_name());
            let metadata = entry.metadata().map_err(|error| unreadable(&entry.path(), error))?;
            let node = self.node(key.clone(), &metadata)?;
            if self.nodes.len() > MOST_PATHS {
                return Err(Error::unsupported(format!("the tree holds more than {MOST_PATHS} paths"))
                    .at(self.base.display().to_string())
                    .remedy("name the folder of an OpenWrt root filesystem"));
            }
            if node.body == Body::Directory {
                // What is mounted on a folder is no part of the root: /proc of a container, for one.
                match node.origin.as_ref().is_some_and(|origin| origin.inode.0 == self.device) {
                    true => directories.push(key.clone()),
                    false => self.mounts.push(format!("/{}", key.display())),
                }
            }
            self.nodes.insert(key, node);
        }
        Ok(directories)
    }

    /// What `metadata` says of the path `key`.
    fn node(&self, key: PathBuf, metadata: &fs::Metadata) -> Result<Node> {
        let path = self.base.join(&key);
        let described = system::described(metadata);
        let body = if metadata.is_dir() {
            Body::Directory
        } else if metadata.is_symlink() {
            Body::Symlink(fs::read_link(&path).map_err(|error| unreadable(&path, error))?.into_os_string())
        } else if let Some(special) = described.special {
            Body::Special(special)
        } else {
            system::check_readable(&path).map_err(|error| unreadable(&path, error))?;
            Body::Original(metadata.len())
        };
        let Attributes { mode, uid, gid } = described.attributes;
        let as_root = |id: u32, own: u32| if id == own { 0 } else { id };
        let modified = metadata.modified().map_err(|error| Error::io("tell the time of", &path, error))?;
        Ok(Node {
            body,
            attributes: Attributes { mode, uid: as_root(uid, self.owner.0), gid: as_root(gid, self.owner.1) },
            origin: Some(Origin { place: key, modified, inode: described.inode, links: described.links }),
            is_changed: false,
        })
    }
}

fn unreadable(path: &Path, error: std::io::Error) -> Error {
    let is_denied = error.kind() == ErrorKind::PermissionDenied;
    let error = Error::io("read", path, error);
    match is_denied {
        true => error.remedy("make the whole tree readable for your user (chmod -R u+rX DIR), or run ibwrt as root"),
        false => error,
    }
}
