//! Squashfs 4.0, little endian, behind the `Filesystem` trait.
//!
//! The tree is read into memory when it is opened; contents stay where they are. At the end of an edit every data and
//! fragment block keeps its place and bytes, new blocks go where the tables began, and new tables go behind them.

mod check;
mod compressor;
mod content;
mod data;
mod directory;
mod fields;
mod inode;
mod metadata;
mod overlay;
mod packer;
mod proven;
mod readback;
mod superblock;
mod tables;
#[cfg(test)]
pub(super) mod tests;
mod tree;
mod trunk;
mod writer;

use std::collections::BTreeMap;

pub(super) use check::problems;
use compressor::Compressor;
pub(crate) use compressor::Packing;
use content::{Cache, Contents};
use inode::NO_XATTRS;
use metadata::Reader;
pub(crate) use overlay::LiveOverlay;
pub(super) use overlay::overlay_start;
use packer::{Packed, Packer};
pub(super) use proven::Proven;
use superblock::Superblock;
use tables::Tables;
use tree::{Body, Id, Node, Tree};
use trunk::Settled;

use super::path::{components, join, parent_and_name};
use super::{Attributes, DirectoryEntry, FileType, Filesystem, Kind, Metadata, Space, Trunk, VolumeFilesystem};
use crate::error::{At, Error, Result};
use crate::image::Volume;

/// Unit in which room is told, in bytes.
const PAGE: u32 = 4096;

/// The longest target of a symlink that the kernel reads, which is less than a page.
const LONGEST_TARGET: usize = 4095;
/// Permission bits in the mode of an inode.
const PERMISSIONS: u16 = 0o7777;

/// An open squashfs.
pub(super) struct Squashfs {
    volume: Volume,
    superblock: Superblock,
    compressor: Compressor,
    packed: Packed,
    tables: Tables,
    tree: Tree,
    cache: Cache,
    epoch: u32,
    edited: bool,
    /// Where new blocks go: where the tables began, or behind what was [settled](Settled).
    data_end: u64,
}

impl Squashfs {
    /// Opens `volume`; changes nothing in it before the end of an edit.
    ///
    /// # Errors
    /// Corrupt, another version, or a compressor that is not supported.
    pub(super) fn open(volume: Volume, epoch: u64) -> Result<Self> {
        let superblock = Superblock::read(&volume)?;
        if superblock.version != (4, 0) {
            let (major, minor) = superblock.version;
            return Err(Error::unsupported(format!("squashfs version {major}.{minor}, not 4.0")));
        }
        if let Some(problem) = superblock.problems(volume.length()).into_iter().next() {
            return Err(Error::corrupt(problem));
        }
        let compressor = Compressor::read(&volume, &superblock)?;
        let mut reader = Reader::new(&volume, &compressor, superblock.used);
        let tables = Tables::read(&mut reader, &superblock)?;
        let tree = Tree::read(&mut reader, &superblock, &tables)?;
        let epoch = u32::try_from(epoch).unwrap_or(u32::MAX);
        let (packed, cache) = (Packed::default(), Cache::default());
        let data_end = superblock.inode_table;
        Ok(Self { volume, superblock, compressor, packed, tables, tree, cache, epoch, edited: false, data_end })
    }

    fn packer(&self) -> Packer<'_> {
        Packer { compressor: &self.compressor, packed: &self.packed }
    }

    fn contents(&self) -> Contents<'_> {
        Contents {
            volume: &self.volume,
            compressor: &self.compressor,
            block_size: self.superblock.block_length(),
            fragments: &self.tables.fragments,
            cache: &self.cache,
        }
    }

    /// Begins an edit.
    fn begin(&mut self) -> Result<()> {
        if !self.edited {
            overlay::refuse_live(&self.volume, self.superblock.used)?;
            self.edited = true;
        }
        Ok(())
    }

    /// The directory above `path`, the last name in it, and what has that name.
    fn slot(&self, path: &str) -> Result<(Id, Vec<u8>, Option<Id>)> {
        let (above, name) = parent_and_name(path)?;
        let parent = match self.tree.find(&above)? {
            Some(id) if matches!(self.tree.node(id)?.body, Body::Directory(_)) => id,
            _ => return Err(Error::usage(format!("there is no directory {}", join(&above)))),
        };
        let child = self.tree.names(parent)?.get(name.as_bytes()).copied();
        Ok((parent, name.as_bytes().to_vec(), child))
    }

    fn new_node(&self, attributes: Attributes, body: Body) -> Node {
        Node {
            extended: false,
            number: 0,
            mode: attributes.mode & PERMISSIONS,
            uid: attributes.uid,
            gid: attributes.gid,
            time: self.epoch,
            xattr: NO_XATTRS,
            links: 1,
            body,
        }
    }

    /// Puts a node with `body` under `path`, in place of a file, symlink or device. A file that replaces a file keeps
    /// its extended attributes, and its number when no other name leads to the old one.
    fn replace(&mut self, path: &str, attributes: Attributes, body: Body) -> Result<()> {
        let (parent, name, old) = self.slot(path)?;
        let mut node = self.new_node(attributes, body);
        if let Some(old) = old {
            let before = self.tree.node(old)?;
            match &before.body {
                Body::Directory(_) => return Err(Error::usage("a directory has that name")),
                Body::Stored(_) | Body::Pending(_) if matches!(node.body, Body::Pending(_)) => {
                    node.xattr = before.xattr;
                }
                _ => {}
            }
            if before.links <= 1 {
                node.number = before.number;
            }
            self.unlink(old)?;
        }
        self.begin()?;
        let id = self.tree.add(node);
        self.tree.names_mut(parent)?.insert(name, id);
        Ok(())
    }

    /// One name less leads to `id`.
    fn unlink(&mut self, id: Id) -> Result<()> {
        let node = self.tree.node_mut(id)?;
        node.links = node.links.saturating_sub(1);
        Ok(())
    }

    fn metadata_of(&self, id: Id) -> Result<Metadata> {
        let node = self.tree.node(id)?;
        let attributes = Attributes { mode: node.mode & PERMISSIONS, uid: node.uid, gid: node.gid };
        let mut link_target = None;
        let size = match &node.body {
            Body::Stored(content) => content.size,
            Body::Pending(bytes) => bytes.len() as u64,
            Body::Symlink(target) => {
                link_target = Some(String::from_utf8_lossy(target).into_owned());
                target.len() as u64
            }
            Body::Directory(names) => names.len() as u64,
            Body::Device(..) | Body::Fifo | Body::Socket => 0,
        };
        Ok(Metadata { file_type: file_type(&node.body), attributes, size, link_target })
    }
}

fn file_type(body: &Body) -> FileType {
    match body {
        Body::Directory(_) => FileType::Directory,
        Body::Stored(_) | Body::Pending(_) => FileType::Regular,
        Body::Symlink(_) => FileType::Symlink,
        Body::Device(..) | Body::Fifo | Body::Socket => FileType::Special,
    }
}

impl Filesystem for Squashfs {
    fn kind(&self) -> Kind {
        Kind::Squashfs
    }

    fn space(&mut self) -> Result<Space> {
        // The filesystem's own blocks are compressed and a small file takes only a part of one, so a count of them would
        // tell nothing of the room. Pages, in which the kernel reads the device, do.
        let length = self.volume.length();
        let page = u64::from(PAGE);
        Ok(Space {
            block_size: PAGE,
            blocks: length / page,
            free_blocks: length.saturating_sub(self.superblock.used) / page,
            inodes: u64::MAX,
            free_inodes: u64::MAX,
        })
    }

    fn metadata(&mut self, path: &str) -> Result<Option<Metadata>> {
        self.tree.find(&components(path)?)?.map(|id| self.metadata_of(id)).transpose()
    }

    fn list(&mut self, path: &str) -> Result<Vec<DirectoryEntry>> {
        let missing = || Error::usage("there is no such directory").at(path);
        let id = self.tree.find(&components(path)?)?.ok_or_else(missing)?;
        let Body::Directory(names) = &self.tree.node(id)?.body else {
            return Err(missing());
        };
        let entry = |(name, id): (&Vec<u8>, &Id)| {
            let name = String::from_utf8_lossy(name).into_owned();
            Ok(DirectoryEntry { name, file_type: file_type(&self.tree.node(*id)?.body) })
        };
        names.iter().map(entry).collect()
    }

    fn read(&mut self, path: &str) -> Result<Vec<u8>> {
        let id = self.tree.find(&components(path)?)?;
        match id.map(|id| self.tree.node(id)).transpose()?.map(|node| &node.body) {
            Some(Body::Stored(content)) => self.contents().read(content).at(|| path.to_owned()),
            Some(Body::Pending(bytes)) => Ok(bytes.clone()),
            _ => Err(Error::usage("there is no such file").at(path)),
        }
    }

    fn other_names(&mut self, path: &str) -> Result<Vec<String>> {
        let names = components(path)?;
        let id = self.tree.find(&names)?.ok_or_else(|| Error::usage("nothing has that name").at(path))?;
        let mut others = self.tree.names_of(id)?;
        others.retain(|other| *other != join(&names));
        Ok(others)
    }

    fn link(&mut self, path: &str, existing: &str) -> Result<()> {
        let (parent, name, old) = self.slot(path).at(|| path.to_owned())?;
        if old.is_some() {
            return Err(Error::usage("something has that name already").at(path));
        }
        let id = self.tree.find(&components(existing)?)?;
        let is_file = |id: &Id| self.tree.node(*id).is_ok_and(|node| !matches!(node.body, Body::Directory(_)));
        let missing = || Error::usage(format!("there is no file {existing}")).at(path);
        let id = id.filter(is_file).ok_or_else(missing)?;
        self.begin().at(|| path.to_owned())?;
        let node = self.tree.node_mut(id)?;
        node.links = node.links.saturating_add(1);
        self.tree.names_mut(parent)?.insert(name, id);
        Ok(())
    }

    fn write(&mut self, path: &str, content: &[u8], attributes: Attributes) -> Result<()> {
        self.replace(path, attributes, Body::Pending(content.to_vec())).at(|| path.to_owned())
    }

    fn make_directory(&mut self, path: &str, attributes: Attributes) -> Result<()> {
        let (.., old) = self.slot(path).at(|| path.to_owned())?;
        if old.is_some() {
            return Err(Error::usage("something has that name already").at(path));
        }
        self.replace(path, attributes, Body::Directory(BTreeMap::new())).at(|| path.to_owned())
    }

    fn symlink(&mut self, path: &str, target: &str) -> Result<()> {
        if target.is_empty() || target.len() > LONGEST_TARGET || target.contains('\0') {
            let found = target.len();
            let message = format!("a symlink's target has 1 to {LONGEST_TARGET} bytes and no NUL, not {found}");
            return Err(Error::usage(message).at(path));
        }
        let body = Body::Symlink(target.as_bytes().to_vec());
        self.replace(path, Attributes::root(0o777), body).at(|| path.to_owned())
    }

    fn set_attributes(&mut self, path: &str, attributes: Attributes) -> Result<()> {
        let id = self.tree.find(&components(path)?)?;
        let id = id.ok_or_else(|| Error::usage("nothing has that name").at(path))?;
        self.begin().at(|| path.to_owned())?;
        let node = self.tree.node_mut(id)?;
        node.mode = node.mode & !PERMISSIONS | attributes.mode & PERMISSIONS;
        node.uid = attributes.uid;
        node.gid = attributes.gid;
        Ok(())
    }

    fn remove(&mut self, path: &str) -> Result<()> {
        let (parent, name, old) = self.slot(path).at(|| path.to_owned())?;
        let old = old.ok_or_else(|| Error::usage("nothing has that name").at(path))?;
        if let Body::Directory(names) = &self.tree.node(old)?.body
            && !names.is_empty()
        {
            return Err(Error::usage(format!("the directory is not empty: it has {} entries", names.len())).at(path));
        }
        self.begin().at(|| path.to_owned())?;
        self.unlink(old)?;
        self.tree.names_mut(parent)?.remove(&name);
        Ok(())
    }
}

impl VolumeFilesystem for Squashfs {
    fn finish(self: Box<Self>) -> Result<Volume> {
        if !self.edited {
            return Ok(self.volume);
        }
        writer::write(*self)
    }

    fn into_trunk(self: Box<Self>) -> Result<Box<dyn Trunk>> {
        Ok(Box::new(Settled::new(*self)?))
    }
}
