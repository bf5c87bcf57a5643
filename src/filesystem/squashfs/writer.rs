//! Writes an edited tree: new blocks where the tables began, new tables behind them, and the superblock.

use std::collections::{BTreeMap, BTreeSet};

use super::data::{self, Last, NewData};
use super::directory::{self, Entry};
use super::inode::{Content, Form, Inode, Listing};
use super::metadata::{Writer, indexed};
use super::superblock::{NO_TABLE, PLAIN_IDS, PLAIN_INODES, Superblock};
use super::tree::{Body, Id, Tree, basic};
use super::{Squashfs, overlay, readback};
use crate::error::{Error, Result};
use crate::filesystem::grow::more_room;
use crate::image::Volume;

/// The kernel reads a partition in units of up to 4 KiB.
const UNIT: u64 = 4096;

/// Writes `edited` to its volume, reads everything back and gives the volume.
///
/// # Errors
/// No room, with the numbers; or an edit that does not read back.
pub(super) fn write(mut edited: Squashfs) -> Result<Volume> {
    number(&mut edited.tree)?;
    let before = edited.superblock.clone();
    let start = edited.data_end;
    let data = edited.pack(Last::Stored)?;
    let (tables, superblock) = tables(&mut edited, &data, start + data.bytes.len() as u64)?;
    check_room(&edited.volume, superblock.used, start + data.bytes.len() as u64 - before.inode_table)?;
    let mut volume = edited.volume.clone();
    volume.write_at(start, &data.bytes)?;
    volume.write_at(start + data.bytes.len() as u64, &tables)?;
    volume.write_at(0, &superblock.to_bytes())?;
    overlay::clear(&mut volume, superblock.used, before.used)?;
    readback::check(&edited, &data.contents, volume)
}

/// Whether a filesystem that ends at byte `used`, with `packed` bytes of new data in it, has room in `volume`.
///
/// # Errors
/// Usage, with the numbers, when it has not.
pub(super) fn check_room(volume: &Volume, used: u64, packed: u64) -> Result<()> {
    let (needed, length) = (used.next_multiple_of(UNIT), volume.length());
    if needed <= length {
        return Ok(());
    }
    Err(Error::usage(format!(
        "no room in the squashfs: with {packed} bytes of new packed data it needs {needed} bytes, the partition has {length}"
    ))
    .remedy(more_room(needed - length)))
}

impl Squashfs {
    /// Packs the pending files for where new blocks go.
    ///
    /// # Errors
    /// As [`data::pack`].
    pub(super) fn pack(&self, last: Last) -> Result<NewData> {
        let files = pending(&self.tree)?;
        let fragments = self.tables.fragments.len();
        data::pack(&files, self.packer(), &self.superblock, self.data_end, fragments, last)
    }
}

/// The files whose content is not on the volume yet, in the order in which they were made.
fn pending(tree: &Tree) -> Result<Vec<(Id, &[u8])>> {
    let mut files = Vec::new();
    for id in tree.references()?.into_keys() {
        if let Body::Pending(bytes) = &tree.node(id)?.body {
            files.push((id, bytes.as_slice()));
        }
    }
    Ok(files)
}

/// Makes the numbers of inodes 1 to their count, which the superblock tells and readers rely on: new inodes, and those
/// whose number lies beyond, get the numbers that removed ones left.
fn number(tree: &mut Tree) -> Result<()> {
    let ids: Vec<Id> = tree.references()?.into_keys().collect();
    let beyond = |_| Error::unsupported(format!("squashfs: more than {} inodes", u32::MAX));
    let count = u32::try_from(ids.len()).map_err(beyond)?;
    let mut free: BTreeSet<u32> = (1..=count).collect();
    let mut without = Vec::new();
    for id in ids {
        let number = tree.node(id)?.number;
        // New ones have none yet.
        if !free.remove(&number) {
            without.push((number == 0, number, id));
        }
    }
    without.sort_unstable();
    for ((.., id), number) in without.into_iter().zip(free) {
        tree.node_mut(id)?.number = number;
    }
    Ok(())
}

/// The owners' table, to which owners are added as they come.
struct Ids {
    list: Vec<u32>,
    places: BTreeMap<u32, u16>,
}

impl Ids {
    fn new(list: &[u32]) -> Self {
        let mut places = BTreeMap::new();
        for (place, id) in (0u16..).zip(list) {
            places.entry(*id).or_insert(place);
        }
        Self { list: list.to_vec(), places }
    }

    fn place(&mut self, id: u32) -> Result<u16> {
        if let Some(place) = self.places.get(&id) {
            return Ok(*place);
        }
        let count = self.list.len();
        let place = u16::try_from(count).ok().filter(|place| *place < u16::MAX);
        let place = place.ok_or_else(|| Error::unsupported(format!("squashfs: more than {count} owners")))?;
        self.list.push(id);
        self.places.insert(id, place);
        Ok(place)
    }
}

/// Inode table and directory table in the making.
struct Making<'a> {
    tree: &'a Tree,
    data: &'a NewData,
    links: BTreeMap<Id, u32>,
    ids: Ids,
    inodes: Writer<'a>,
    directories: Writer<'a>,
    /// Node → place of its inode: block << 16 | offset.
    written: BTreeMap<Id, u64>,
}

impl Making<'_> {
    fn inode(&mut self, id: Id, listing: Option<Listing>) -> Result<u64> {
        if let Some(place) = self.written.get(&id) {
            return Ok(*place);
        }
        let node = self.tree.node(id)?;
        let missing = || Error::corrupt("squashfs: a node has nowhere to lie");
        let form = match &node.body {
            Body::Directory(_) => Form::Directory(listing.ok_or_else(missing)?),
            Body::Stored(content) => Form::File(content.clone()),
            Body::Pending(_) => Form::File(self.data.contents.get(&id).cloned().ok_or_else(missing)?),
            Body::Symlink(target) => Form::Symlink(target.clone()),
            Body::Device(block, number) => Form::Device(*block, *number),
            Body::Fifo => Form::Fifo,
            Body::Socket => Form::Socket,
        };
        let references = self.links.get(&id).copied().unwrap_or(1);
        let inode = Inode {
            extended: node.extended,
            mode: node.mode,
            uid: self.ids.place(node.uid)?,
            gid: self.ids.place(node.gid)?,
            time: node.time,
            number: node.number,
            links: self.tree.links(id, references)?,
            xattr: node.xattr,
            form,
        };
        let (block, offset) = self.inodes.position();
        self.inodes.push(&inode.to_bytes())?;
        let place = block << 16 | offset as u64;
        self.written.insert(id, place);
        Ok(place)
    }

    /// A directory: first what is in it, then its listing, then its own inode. Directories in it are written already.
    fn directory(&mut self, id: Id, parent: u32) -> Result<u64> {
        let mut entries = Vec::new();
        for (name, child) in self.tree.names(id)? {
            let inode = self.inode(*child, None)?;
            let node = self.tree.node(*child)?;
            entries.push(Entry { name: name.clone(), inode, number: node.number, basic: basic(&node.body) });
        }
        let listing = directory::write(&mut self.directories, &entries)?;
        self.inode(id, Some(Listing { parent, ..listing }))
    }
}

/// Every directory, the one above before those in it, with the inode number of the one above.
fn directories(tree: &Tree, above_root: u32) -> Result<Vec<(Id, u32)>> {
    let mut found = Vec::new();
    let mut waiting = vec![(tree.root, above_root)];
    while let Some((id, parent)) = waiting.pop() {
        found.push((id, parent));
        let number = tree.node(id)?.number;
        for child in tree.names(id)?.values().rev() {
            if matches!(tree.node(*child)?.body, Body::Directory(_)) {
                waiting.push((*child, number));
            }
        }
    }
    Ok(found)
}

/// All tables, from byte `place` on, and the superblock that leads to them.
fn tables(edited: &mut Squashfs, data: &NewData, place: u64) -> Result<(Vec<u8>, Superblock)> {
    let before = &edited.superblock;
    let packer = edited.packer();
    let plain = before.has(PLAIN_INODES);
    let links = edited.tree.references()?;
    let count = u32::try_from(links.len()).unwrap_or(u32::MAX);
    let mut making = Making {
        tree: &edited.tree,
        data,
        links,
        ids: Ids::new(&edited.tables.ids),
        inodes: Writer::new(packer, plain),
        directories: Writer::new(packer, plain),
        written: BTreeMap::new(),
    };
    // As mksquashfs does: what is above the root is one number behind the last.
    for (id, parent) in directories(&edited.tree, count.saturating_add(1))?.into_iter().rev() {
        making.directory(id, parent)?;
    }
    let root = making.written.get(&edited.tree.root).copied();
    let export = export_table(&edited.tree, &making.written, count)?;
    let Making { ids, inodes, directories, .. } = making;
    let mut superblock = before.clone();
    superblock.inodes = count;
    superblock.root = root.ok_or_else(|| Error::corrupt("squashfs: the root was not written"))?;
    superblock.inode_table = place;
    let mut bytes = inodes.finish()?;
    superblock.directory_table = place + bytes.len() as u64;
    bytes.extend(directories.finish()?);
    edited.tables.fragments.extend(&data.fragments);
    edited.tables.ids = ids.list;
    rest(edited, &mut superblock, &mut bytes, &export)?;
    Ok((bytes, superblock))
}

/// The place of each inode by its number, of which there are `count`.
fn export_table(tree: &Tree, written: &BTreeMap<Id, u64>, count: u32) -> Result<Vec<u8>> {
    let mut places = vec![u64::MAX; usize::try_from(count).unwrap_or(usize::MAX)];
    for (id, place) in written {
        let slot = tree.node(*id)?.number.checked_sub(1).and_then(|number| usize::try_from(number).ok());
        if let Some(slot) = slot.and_then(|slot| places.get_mut(slot)) {
            *slot = *place;
        }
    }
    Ok(places.into_iter().flat_map(u64::to_le_bytes).collect())
}

/// Adds the fragment, export, id and xattr tables to `bytes`, which begin at the inode table.
fn rest(edited: &Squashfs, superblock: &mut Superblock, bytes: &mut Vec<u8>, export: &[u8]) -> Result<()> {
    let start = superblock.inode_table;
    let beyond = || Error::unsupported("squashfs: a table grows beyond what the format can hold");
    let (plain, plain_ids) = (superblock.has(PLAIN_INODES), superblock.has(PLAIN_INODES | PLAIN_IDS));
    let mut add = |plain: bool, table: &[u8]| {
        let (packed, index) = indexed(edited.packer(), plain, table, start + bytes.len() as u64)?;
        bytes.extend(packed);
        Ok(index)
    };
    let mut fragments = Vec::new();
    for fragment in &edited.tables.fragments {
        fragments.extend(fragment.start.to_le_bytes());
        fragments.extend(fragment.stored.to_le_bytes());
        fragments.extend([0; 4]);
    }
    superblock.fragments = u32::try_from(edited.tables.fragments.len()).map_err(|_| beyond())?;
    superblock.fragment_table = add(plain, &fragments)?;
    if superblock.export_table != NO_TABLE {
        superblock.export_table = add(plain, export)?;
    }
    superblock.ids = u16::try_from(edited.tables.ids.len()).map_err(|_| beyond())?;
    let ids: Vec<u8> = edited.tables.ids.iter().flat_map(|id| id.to_le_bytes()).collect();
    superblock.id_table = add(plain_ids, &ids)?;
    if let Some(xattrs) = &edited.tables.xattrs {
        let (table, head) = xattrs.at(start + bytes.len() as u64);
        bytes.extend(table);
        superblock.xattr_table = head;
    }
    superblock.used = start + bytes.len() as u64;
    Ok(())
}

/// Where the content of `id` lies after the edit; `None` when it is no file.
///
/// # Errors
/// Never.
pub(super) fn content_of<'a>(tree: &'a Tree, new: &'a BTreeMap<Id, Content>, id: Id) -> Result<Option<&'a Content>> {
    Ok(match &tree.node(id)?.body {
        Body::Stored(content) => Some(content),
        Body::Pending(_) => new.get(&id),
        _ => None,
    })
}
