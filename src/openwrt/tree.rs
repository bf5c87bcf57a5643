//! A snapshot of a root filesystem: every path with its metadata, and the content of those files that were asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{At as _, Error, Result};
use crate::filesystem::{Attributes, FileType, Filesystem, Metadata};

/// Deepest directory that is walked into.
const MAX_DEPTH: usize = 64;
/// Most paths that are walked. A full OpenWrt root holds some ten thousand.
const MAX_NODES: usize = 200_000;
/// Most symlinks that one path may run through, as in the kernel (`MAXSYMLINKS`).
const MAX_LINKS: usize = 40;
/// Most bytes of one file that are loaded, whoever asks for it.
pub(crate) const MAX_LOADED: u64 = 64 << 20;

/// One path of the snapshot.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Type, permissions, size, link target.
    pub(crate) metadata: Metadata,
    /// Content, where it was loaded.
    pub(crate) content: Option<Arc<[u8]>>,
}

/// The snapshot. Keys are absolute paths without a trailing slash; the root itself is `/`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tree {
    /// Path → what is there; links are not followed.
    pub(crate) nodes: BTreeMap<String, Node>,
}

impl Tree {
    /// Walks `root` without reading any content. Names that are not UTF-8 cannot be opened and are left out.
    ///
    /// # Errors
    /// Corrupt structures; a tree deeper than 64 directories or with more than 200,000 paths (unsupported).
    pub(crate) fn walk(root: &mut dyn Filesystem) -> Result<Self> {
        let top = Metadata {
            file_type: FileType::Directory,
            attributes: Attributes::root(0o755),
            size: 0,
            link_target: None,
        };
        let metadata = root.metadata("/").at(|| "/".to_owned())?.unwrap_or(top);
        let mut nodes = BTreeMap::from([("/".to_owned(), Node { metadata, content: None })]);
        let mut pending = vec![(String::new(), 0)];
        while let Some((directory, depth)) = pending.pop() {
            let place = if directory.is_empty() { "/" } else { &directory };
            if depth > MAX_DEPTH {
                return Err(Error::unsupported(format!("directories are nested deeper than {MAX_DEPTH}")).at(place));
            }
            for entry in root.list(place).at(|| place.to_owned())? {
                let path = format!("{directory}/{}", entry.name);
                let Some(metadata) = root.metadata(&path).at(|| path.clone())? else { continue };
                if nodes.len() >= MAX_NODES {
                    return Err(Error::unsupported(format!("the filesystem holds more than {MAX_NODES} paths")));
                }
                if metadata.file_type == FileType::Directory {
                    pending.push((path.clone(), depth + 1));
                }
                nodes.insert(path, Node { metadata, content: None });
            }
        }
        Ok(Self { nodes })
    }

    /// Loads the content of the regular file that `path` leads to, unless it is longer than `limit` bytes, or no
    /// regular file.
    ///
    /// # Errors
    /// Corrupt structures.
    pub(crate) fn load(&mut self, root: &mut dyn Filesystem, path: &str, limit: u64) -> Result<()> {
        if !self.lacks(path, limit) {
            return Ok(());
        }
        let Some(path) = self.resolve(path) else { return Ok(()) };
        if let Some(node) = self.nodes.get_mut(&path) {
            node.content = Some(root.read(&path).at(|| path.clone())?.into());
        }
        Ok(())
    }

    /// Whether `path` leads to a regular file of up to `limit` bytes whose content was not loaded.
    pub(crate) fn lacks(&self, path: &str, limit: u64) -> bool {
        let node = self.resolve(path).and_then(|path| self.nodes.get(&path));
        node.is_some_and(|node| {
            node.content.is_none() && node.metadata.file_type == FileType::Regular && node.metadata.size <= limit
        })
    }

    /// Where `path` leads when every symlink on it is followed, as the running system would: absolute targets start at
    /// the root, `..` stops there. `None` when nothing is there or the links go round in circles.
    pub(crate) fn resolve(&self, path: &str) -> Option<String> {
        self.follow(path, true).filter(|path| self.nodes.contains_key(path))
    }

    /// Where something that is created as `path` ends up: symlinks among its parents are followed, the last name is
    /// not, and what does not exist yet stays as written. `None` when the links go round in circles.
    pub(crate) fn place(&self, path: &str) -> Option<String> {
        self.follow(path, false)
    }

    fn follow(&self, path: &str, follow_last: bool) -> Option<String> {
        let mut pending: Vec<&str> = path.split('/').rev().filter(|name| !name.is_empty()).collect();
        let mut links = 0;
        let mut resolved = String::new();
        while let Some(name) = pending.pop() {
            match name {
                "." => {}
                ".." => resolved.truncate(resolved.rfind('/').unwrap_or(0)),
                _ => {
                    let candidate = format!("{resolved}/{name}");
                    let target = self.nodes.get(&candidate).and_then(|node| node.metadata.link_target.as_deref());
                    match target {
                        Some(target) if follow_last || !pending.is_empty() => {
                            links += 1;
                            if links > MAX_LINKS {
                                return None;
                            }
                            if target.starts_with('/') {
                                resolved.clear();
                            }
                            pending.extend(target.split('/').rev().filter(|name| !name.is_empty()));
                        }
                        _ => resolved = candidate,
                    }
                }
            }
        }
        Some(if resolved.is_empty() { "/".to_owned() } else { resolved })
    }

    /// Metadata of what `path` leads to, symlinks followed.
    pub(crate) fn metadata(&self, path: &str) -> Option<&Metadata> {
        Some(&self.nodes.get(&self.resolve(path)?)?.metadata)
    }

    /// What stands at `path` itself, symlinks not followed.
    pub(crate) fn node(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// Content of the file that `path` leads to, where it was loaded.
    pub(crate) fn content(&self, path: &str) -> Option<&Arc<[u8]>> {
        self.nodes.get(&self.resolve(path)?)?.content.as_ref()
    }

    /// The same as text; what is not UTF-8 becomes replacement characters.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        self.content(path).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// Names and nodes in the directory `path` (symlinks in it followed), in byte order.
    pub(crate) fn children(&self, path: &str) -> Vec<(&str, &Node)> {
        let Some(path) = self.resolve(path) else { return Vec::new() };
        let prefix = if path == "/" { path } else { format!("{path}/") };
        self.below(&prefix).filter(|(name, _)| !name.is_empty() && !name.contains('/')).collect()
    }

    /// Paths and nodes anywhere below the directory `path` (symlinks in it followed), in byte order of their full paths.
    pub(crate) fn descendants(&self, path: &str) -> Vec<(String, &Node)> {
        let Some(path) = self.resolve(path) else { return Vec::new() };
        let prefix = if path == "/" { path } else { format!("{path}/") };
        self.below(&prefix).map(|(rest, node)| (format!("{prefix}{rest}"), node)).collect()
    }

    fn below<'a>(&'a self, prefix: &str) -> impl Iterator<Item = (&'a str, &'a Node)> {
        let own = prefix.to_owned();
        self.nodes
            .range(own.clone()..)
            .take_while({
                let own = own.clone();
                move |(path, _)| path.starts_with(&own)
            })
            .filter_map(move |(path, node)| Some((path.strip_prefix(&own)?, node)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::MemoryFilesystem;
    use super::*;

    fn tree() -> Tree {
        let mut root = MemoryFilesystem::new();
        root.add_file("/usr/lib/os-release", "x");
        root.add_link("/etc/os-release", "../usr/lib/os-release");
        root.add_link("/var", "tmp");
        root.add_directory("/tmp");
        root.add_link("/lib64", "/lib");
        root.add_file("/lib/libc.so", "c");
        root.add_link("/up", "../../../../lib/libc.so");
        root.add_link("/a", "b");
        root.add_link("/b", "a");
        root.add_link("/gone", "/nowhere");
        Tree::walk(&mut root).unwrap()
    }

    #[test]
    fn links_are_followed_within_the_root() {
        let tree = tree();
        assert_eq!(tree.resolve("/etc/os-release").as_deref(), Some("/usr/lib/os-release"));
        assert_eq!(tree.resolve("/lib64/libc.so").as_deref(), Some("/lib/libc.so"));
        assert_eq!(tree.resolve("/up").as_deref(), Some("/lib/libc.so"), "`..` stops at the root");
        assert_eq!(tree.resolve("/../../lib/./libc.so").as_deref(), Some("/lib/libc.so"));
        assert_eq!(tree.resolve("/").as_deref(), Some("/"));
    }

    #[test]
    fn circles_and_dangling_links_lead_nowhere() {
        let tree = tree();
        assert_eq!(tree.resolve("/a"), None);
        assert_eq!(tree.resolve("/gone"), None);
        assert_eq!(tree.resolve("/missing"), None);
        assert_eq!(tree.place("/a/x"), None);
    }

    #[test]
    fn a_new_file_below_a_linked_directory_ends_up_where_the_link_points() {
        let tree = tree();
        assert_eq!(tree.place("/var/new/file").as_deref(), Some("/tmp/new/file"));
        assert_eq!(tree.place("/etc/os-release").as_deref(), Some("/etc/os-release"), "the last name is not followed");
    }

    #[test]
    fn children_are_those_of_one_directory_only() {
        let tree = tree();
        let names: Vec<&str> = tree.children("/usr").iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["lib"]);
        let names: Vec<&str> = tree.children("/").iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["a", "b", "etc", "gone", "lib", "lib64", "tmp", "up", "usr", "var"]);
        assert_eq!(tree.descendants("/usr").len(), 2);
    }

    #[test]
    fn a_tree_without_end_is_refused() {
        let mut root = MemoryFilesystem::new();
        root.add_file(&format!("{}/file", "/d".repeat(80)), "x");
        let error = Tree::walk(&mut root).unwrap_err();
        assert_eq!(error.message(), "directories are nested deeper than 64");
    }
}
