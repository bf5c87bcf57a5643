//! The names of an EROFS, and what they name.

use std::collections::BTreeMap;

use erofs_rs::r#async::EroFS;
use erofs_rs::types::Inode;

use super::reader::{Bytes, told, wait};
use crate::error::{Error, Result};
use crate::filesystem::path::components;

/// More names than any root filesystem has; directories of a damaged one may be in each other many times.
const MOST_NAMES: usize = 1 << 20;
/// The longest path that Linux takes.
const LONGEST_PATH: usize = 4096;

/// One file, under one of its names.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) inode: Inode,
    /// Its place in the tree's list, by name; empty where it is no directory.
    pub(super) names: BTreeMap<Vec<u8>, usize>,
}

/// All files; the root is the first.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) nodes: Vec<Node>,
}

impl Tree {
    /// Walks all directories.
    ///
    /// # Errors
    /// Corrupt.
    pub(super) fn read(library: &EroFS<Bytes>) -> Result<Self> {
        let root = wait(library.get_inode(library.super_block().root_inode_id()))?;
        let mut tree = Self { nodes: vec![Node { inode: root, names: BTreeMap::new() }] };
        let mut walk = wait(library.walk_dir("/"))?;
        // The directories above an entry, the root first; as many as its depth.
        let mut above = vec![0];
        while let Some(entry) = wait(async { Ok(walk.next_entry().await) })? {
            let entry = entry.map_err(told)?;
            if tree.nodes.len() > MOST_NAMES {
                return Err(Error::corrupt(format!("EROFS: more than {MOST_NAMES} names")));
            }
            let length = entry.dir_entry.path().as_bytes().len();
            if length > LONGEST_PATH {
                return Err(Error::corrupt(format!("EROFS: a path of {length} bytes (at most {LONGEST_PATH} can be)")));
            }
            let id = tree.nodes.len();
            above.truncate(entry.depth);
            let parent = above.last().and_then(|parent| tree.nodes.get_mut(*parent));
            let parent = parent.ok_or_else(|| Error::corrupt("EROFS: an entry outside all directories"))?;
            parent.names.insert(entry.dir_entry.file_name().to_vec(), id);
            if entry.inode.is_dir() {
                above.push(id);
            }
            tree.nodes.push(Node { inode: entry.inode, names: BTreeMap::new() });
        }
        Ok(tree)
    }

    /// What has the absolute path `path`.
    ///
    /// # Errors
    /// Usage: no path in an image.
    pub(super) fn find(&self, path: &str) -> Result<Option<&Node>> {
        let mut node = self.nodes.first();
        for name in components(path)? {
            node = node.and_then(|node| node.names.get(name.as_bytes())).and_then(|id| self.nodes.get(*id));
        }
        Ok(node)
    }
}
