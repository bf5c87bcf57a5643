//! The whole tree in memory: every inode once, every directory with its names. Contents stay on the volume.

use std::collections::BTreeMap;

use super::directory::{self, Entry};
use super::inode::{Content, DIRECTORY, Form, Inode, NO_FRAGMENT, NO_XATTRS};
use super::metadata::Reader;
use super::superblock::Superblock;
use super::tables::{PLAIN, Tables, check_block};
use crate::error::{At, Error, Result};

/// At most so many blocks in all lists of blocks.
const MOST_BLOCKS: u64 = 4 << 20;
/// At most so many bytes of directories.
const LONGEST_LISTINGS: u64 = 16 << 20;

/// The longest path: the kernel takes none that is longer.
const LONGEST_PATH: usize = 4096;

/// The place of a node in [`Tree::nodes`].
pub(super) type Id = usize;

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Body {
    /// Names and their nodes.
    Directory(BTreeMap<Vec<u8>, Id>),
    /// A file whose content is on the volume.
    Stored(Content),
    /// A file whose content is not yet on the volume.
    Pending(Vec<u8>),
    /// A symlink's target.
    Symlink(Vec<u8>),
    /// A block device (`true`) or a character device, with its number.
    Device(bool, u32),
    /// A FIFO.
    Fifo,
    /// A socket.
    Socket,
}

/// An inode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    /// Whether it is stored in the extended form even where the basic one would do.
    pub(super) extended: bool,
    /// The inode number; 0 is none yet.
    pub(super) number: u32,
    /// The mode as stored: permission bits.
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Time of the last change, in seconds since 1970.
    pub(super) time: u32,
    /// Index of its extended attributes.
    pub(super) xattr: u32,
    /// Link count as it was stored.
    pub(super) links: u32,
    pub(super) body: Body,
}

/// All nodes; the ones that no name leads to are gone.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    /// The root directory.
    pub(super) root: Id,
    /// Link counts that were found wrong, one sentence each.
    pub(super) wrong_links: Vec<String>,
    /// Inode number → where its inode was read.
    places: BTreeMap<u32, u64>,
}

impl Tree {
    /// Reads the tree.
    ///
    /// # Errors
    /// Corrupt, or larger than what is held in memory.
    pub(super) fn read(reader: &mut Reader<'_>, superblock: &Superblock, tables: &Tables) -> Result<Self> {
        let mut loader = Loader {
            reader,
            superblock,
            tables,
            nodes: Vec::new(),
            known: BTreeMap::new(),
            places: BTreeMap::new(),
            blocks: tables.fragments.iter().map(|fragment| (fragment.start, fragment.stored)).collect(),
            listed: 0,
            waiting: Vec::new(),
        };
        let root = loader.inode(superblock.root, None)?;
        while let Some((id, path, place, offset, length)) = loader.waiting.pop() {
            loader.directory(id, &path, (place, offset, length))?;
        }
        let Loader { nodes, places, blocks, .. } = loader;
        check_overlaps(blocks)?;
        let mut tree = Self { nodes, root, wrong_links: Vec::new(), places };
        if !matches!(tree.node(root)?.body, Body::Directory(_)) {
            return Err(Error::corrupt("squashfs: the root is not a directory"));
        }
        tree.count_links()?;
        Ok(tree)
    }

    /// Sets every link count to what it is, and notes what was stored.
    fn count_links(&mut self) -> Result<()> {
        for (id, references) in self.references()? {
            let links = self.links(id, references)?;
            let node = self.node_mut(id)?;
            if node.links != links {
                let (number, stored) = (node.number, node.links);
                node.links = links;
                self.wrong_links.push(format!("squashfs: inode {number} has {links} links, {stored} are stored"));
            }
        }
        Ok(())
    }

    /// Where the inode with this number was read: block in the inode table << 16 | offset in the block.
    pub(super) fn place_of(&self, number: u32) -> Option<u64> {
        self.places.get(&number).copied()
    }

    /// The node `id`.
    ///
    /// # Errors
    /// Never: ids come from the tree.
    pub(super) fn node(&self, id: Id) -> Result<&Node> {
        self.nodes.get(id).ok_or_else(|| Error::corrupt(format!("squashfs: there is no node {id}")))
    }

    /// The node `id`, to be changed.
    ///
    /// # Errors
    /// As [`Tree::node`].
    pub(super) fn node_mut(&mut self, id: Id) -> Result<&mut Node> {
        self.nodes.get_mut(id).ok_or_else(|| Error::corrupt(format!("squashfs: there is no node {id}")))
    }

    /// The names in the directory `id`.
    ///
    /// # Errors
    /// Usage: not a directory.
    pub(super) fn names(&self, id: Id) -> Result<&BTreeMap<Vec<u8>, Id>> {
        match &self.node(id)?.body {
            Body::Directory(names) => Ok(names),
            _ => Err(Error::usage("it is not a directory")),
        }
    }

    /// The names in the directory `id`, to be changed.
    ///
    /// # Errors
    /// As [`Tree::names`].
    pub(super) fn names_mut(&mut self, id: Id) -> Result<&mut BTreeMap<Vec<u8>, Id>> {
        match &mut self.node_mut(id)?.body {
            Body::Directory(names) => Ok(names),
            _ => Err(Error::usage("it is not a directory")),
        }
    }

    /// The node that `names` lead to, if they do.
    ///
    /// # Errors
    /// Never.
    pub(super) fn find(&self, names: &[&str]) -> Result<Option<Id>> {
        let mut id = self.root;
        for name in names {
            let Body::Directory(entries) = &self.node(id)?.body else { return Ok(None) };
            let Some(next) = entries.get(name.as_bytes()) else { return Ok(None) };
            id = *next;
        }
        Ok(Some(id))
    }

    /// All names of the file `id`, as absolute paths in byte order; none where it has but one, or is a directory.
    ///
    /// # Errors
    /// Never.
    pub(super) fn names_of(&self, id: Id) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let node = self.node(id)?;
        if node.links < 2 || matches!(node.body, Body::Directory(_)) {
            return Ok(found);
        }
        let mut waiting = vec![(String::new(), self.root)];
        while let Some((above, directory)) = waiting.pop() {
            for (name, child) in self.names(directory)? {
                let path = format!("{above}/{}", String::from_utf8_lossy(name));
                if *child == id {
                    found.push(path);
                } else if matches!(self.node(*child)?.body, Body::Directory(_)) {
                    waiting.push((path, *child));
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// Adds a node without a name.
    pub(super) fn add(&mut self, node: Node) -> Id {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// How many names lead to each node that is still there. The root counts one.
    ///
    /// # Errors
    /// Never.
    pub(super) fn references(&self) -> Result<BTreeMap<Id, u32>> {
        let mut references = BTreeMap::from([(self.root, 1)]);
        let mut waiting = vec![self.root];
        while let Some(id) = waiting.pop() {
            for child in self.names(id)?.values() {
                let count = references.entry(*child).or_insert(0u32);
                *count += 1;
                if *count == 1 && matches!(self.node(*child)?.body, Body::Directory(_)) {
                    waiting.push(*child);
                }
            }
        }
        Ok(references)
    }

    /// The link count of the node `id` to which `references` names lead.
    ///
    /// # Errors
    /// Never.
    pub(super) fn links(&self, id: Id, references: u32) -> Result<u32> {
        let Body::Directory(names) = &self.node(id)?.body else { return Ok(references) };
        let mut links = 2u32;
        for child in names.values() {
            if matches!(self.node(*child)?.body, Body::Directory(_)) {
                links = links.saturating_add(1);
            }
        }
        Ok(links)
    }
}

/// A directory to be read: node, path, block, offset, length.
type Waiting = (Id, String, u64, usize, u32);

struct Loader<'r, 'a> {
    reader: &'r mut Reader<'a>,
    superblock: &'r Superblock,
    tables: &'r Tables,
    nodes: Vec<Node>,
    /// Inode reference → node.
    known: BTreeMap<u64, Id>,
    /// Inode number → inode reference.
    places: BTreeMap<u32, u64>,
    /// Where all stored blocks begin, and their stored lengths.
    blocks: Vec<(u64, u32)>,
    listed: u64,
    waiting: Vec<Waiting>,
}

impl Loader<'_, '_> {
    fn directory(&mut self, id: Id, path: &str, (place, offset, length): (u64, usize, u32)) -> Result<()> {
        self.listed += u64::from(length);
        if self.listed > LONGEST_LISTINGS {
            let message = format!("squashfs: directories of more than {LONGEST_LISTINGS} bytes are not held in memory");
            return Err(Error::unsupported(message));
        }
        if length == 0 {
            return Ok(());
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let here = || format!("{path}/");
        if path.len() > LONGEST_PATH {
            return Err(Error::unsupported(format!(
                "squashfs: a path of {} bytes, more than {LONGEST_PATH}",
                path.len()
            )));
        }
        let bytes = self.reader.stream(place, offset).take(length).at(here)?;
        let mut names = BTreeMap::new();
        for entry in directory::read(&bytes).at(here)? {
            let shown = || format!("{path}/{}", String::from_utf8_lossy(&entry.name));
            let child = self.inode(entry.inode, Some((&entry, shown()))).at(shown)?;
            if names.insert(entry.name.clone(), child).is_some() {
                return Err(Error::corrupt("squashfs: a name is there twice").at(shown()));
            }
        }
        if let Some(Body::Directory(old)) = self.nodes.get_mut(id).map(|node| &mut node.body) {
            *old = names;
        }
        Ok(())
    }

    /// The node of the inode at `reference`, which `entry` names at a path.
    fn inode(&mut self, reference: u64, entry: Option<(&Entry, String)>) -> Result<Id> {
        if let Some(id) = self.known.get(&reference) {
            let node = self.nodes.get(*id);
            if node.is_none_or(|node| matches!(node.body, Body::Directory(_))) {
                return Err(Error::corrupt("squashfs: a directory has two names"));
            }
            if let (Some((entry, _)), Some(node)) = (&entry, node) {
                check_entry(entry, basic(&node.body), node.number)?;
            }
            return Ok(*id);
        }
        let inodes = self.superblock.inode_table;
        let place = inodes.saturating_add(reference >> 16);
        let offset = usize::try_from(reference & 0xFFFF).unwrap_or(usize::MAX);
        if place >= self.superblock.directory_table {
            return Err(Error::corrupt(format!("squashfs: an inode at byte {place} lies behind the inode table")));
        }
        let left = MOST_BLOCKS.saturating_sub(self.blocks.len() as u64);
        let inode = Inode::read(&mut self.reader.stream(place, offset), self.superblock.block_size, left)?;
        if let Some((entry, _)) = &entry {
            check_entry(entry, inode.form.basic(), inode.number)?;
        }
        if inode.number == 0
            || inode.number > self.superblock.inodes
            || self.places.insert(inode.number, reference).is_some()
        {
            let (number, all) = (inode.number, self.superblock.inodes);
            return Err(Error::corrupt(format!(
                "squashfs: inode number {number} is used twice or not among 1 to {all}"
            )));
        }
        let id = self.nodes.len();
        self.known.insert(reference, id);
        if let Form::Directory(listing) = &inode.form {
            let place = self.superblock.directory_table.saturating_add(listing.block.into());
            let path = entry.map(|(_, path)| path).unwrap_or_default();
            self.waiting.push((id, path, place, listing.offset.into(), listing.length));
        }
        let node = self.node(inode)?;
        self.nodes.push(node);
        Ok(id)
    }

    fn node(&mut self, inode: Inode) -> Result<Node> {
        let id_of = |index: u16| {
            self.tables.ids.get(usize::from(index)).copied().ok_or_else(|| {
                let count = self.tables.ids.len();
                Error::corrupt(format!("squashfs: inode {} has owner {index} of {count}", inode.number))
            })
        };
        let lists = self.tables.xattrs.as_ref().map_or(0, |xattrs| xattrs.count);
        if inode.xattr != NO_XATTRS && inode.xattr >= lists {
            let message =
                format!("squashfs: inode {} has extended attributes {} of {lists}", inode.number, inode.xattr);
            return Err(Error::corrupt(message));
        }
        let (uid, gid) = (id_of(inode.uid)?, id_of(inode.gid)?);
        let body = match inode.form {
            Form::Directory(_) => Body::Directory(BTreeMap::new()),
            Form::File(content) => {
                self.check(&content).map_err(|error| error.at(format!("inode {}", inode.number)))?;
                Body::Stored(content)
            }
            Form::Symlink(target) => Body::Symlink(target),
            Form::Device(block, number) => Body::Device(block, number),
            Form::Fifo => Body::Fifo,
            Form::Socket => Body::Socket,
        };
        let Inode { extended, number, mode, time, xattr, links, .. } = inode;
        Ok(Node { extended, number, mode, uid, gid, time, xattr, links, body })
    }

    /// Checks that all of a file's blocks lie where data lies.
    fn check(&mut self, content: &Content) -> Result<()> {
        let mut place = content.start;
        for stored in content.blocks.iter().filter(|stored| **stored != 0) {
            self.blocks.push((place, *stored));
            place = check_block(self.superblock, place, *stored)?;
        }
        if content.fragment == NO_FRAGMENT {
            return Ok(());
        }
        let count = self.tables.fragments.len();
        let tail = content.size % u64::from(self.superblock.block_size);
        let end = u64::from(content.offset) + tail;
        if u64::from(content.fragment) >= count as u64 || end > self.superblock.block_size.into() {
            return Err(Error::corrupt(format!(
                "squashfs: the last {tail} bytes lie at byte {} of fragment {} of {count}",
                content.offset, content.fragment
            )));
        }
        Ok(())
    }
}

/// Files may share blocks, but only whole ones.
fn check_overlaps(mut blocks: Vec<(u64, u32)>) -> Result<()> {
    blocks.sort_unstable();
    blocks.dedup();
    let mut end = 0;
    for (start, stored) in blocks {
        if start < end {
            return Err(Error::corrupt(format!(
                "squashfs: the block at byte {start} begins in one that ends at {end}"
            )));
        }
        end = start.saturating_add((stored & !PLAIN).into());
    }
    Ok(())
}

fn check_entry(entry: &Entry, basic: u16, number: u32) -> Result<()> {
    if (entry.basic, entry.number) == (basic, number) {
        return Ok(());
    }
    Err(Error::corrupt(format!(
        "squashfs: the directory says inode {} of type {}, the inode says {number} of type {basic}",
        entry.number, entry.basic
    )))
}

/// The basic type of a node.
pub(super) fn basic(body: &Body) -> u16 {
    match body {
        Body::Directory(_) => DIRECTORY,
        Body::Stored(_) | Body::Pending(_) => super::inode::FILE,
        Body::Symlink(_) => super::inode::SYMLINK,
        Body::Device(true, _) => super::inode::BLOCK_DEVICE,
        Body::Device(false, _) => super::inode::CHARACTER_DEVICE,
        Body::Fifo => super::inode::FIFO,
        Body::Socket => super::inode::SOCKET,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_may_be_shared_whole_but_not_in_part() {
        check_overlaps(vec![(96, 10), (106, 4 | PLAIN), (96, 10)]).unwrap();
        let error = check_overlaps(vec![(105, 4), (96, 10)]).unwrap_err();
        assert_eq!(error.to_string(), "squashfs: the block at byte 105 begins in one that ends at 106");
    }
}
