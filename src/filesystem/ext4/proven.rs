//! What an edit left as it was: of the blocks that changed it is told whose they are, and to which paths their owners lead.
//!
//! Reading a path takes in the superblock's geometry, the inodes of the path's directories and its own, and their blocks. As
//! long as none of these changed, whatever reads them comes to the same answer. What nobody reads on the way to a path (free
//! blocks, bitmaps, counts) is no part of it: the counts and bitmaps are checked anew each time.

use std::collections::{BTreeMap, BTreeSet};

use super::Ext4;
use super::check::problems_by;
use super::groups::Group;
use super::raw::{FIRST_FREE, JOURNAL, ROOT, Raw, Record};
use super::superblock::Superblock;
use crate::error::Result;
use crate::filesystem::{Filesystem, Later};
use crate::image::Volume;

type Names = BTreeMap<Vec<u8>, u32>;

/// An ext4 in which nothing was found wrong.
pub(in crate::filesystem) struct Proven {
    volume: Volume,
    superblock: Superblock,
    groups: Vec<Group>,
    /// Inode of a directory → what is in it.
    directories: BTreeMap<u32, Names>,
    /// First block of a run → the block behind it, and the inode that it belongs to.
    owners: BTreeMap<u64, (u64, u32)>,
}

impl Proven {
    /// Looks at every inode of `volume`; `None` where it has block maps or directories that are not known here.
    ///
    /// # Errors
    /// As [`Superblock::read`] and [`Group::read_all`].
    pub(in crate::filesystem) fn new(volume: &Volume) -> Result<Option<Self>> {
        let superblock = Superblock::read(volume)?;
        let groups = Group::read_all(volume, &superblock)?;
        let (directories, owners) = (BTreeMap::new(), BTreeMap::new());
        let mut proven = Self { volume: volume.clone(), superblock, groups, directories, owners };
        Ok(proven.look().map(|()| proven))
    }

    fn look(&mut self) -> Option<()> {
        let (volume, superblock, groups) = (self.volume.clone(), self.superblock.clone(), self.groups.clone());
        let raw = Raw { volume: &volume, superblock: &superblock, groups: &groups };
        let mut seen = BTreeSet::from([ROOT, JOURNAL]);
        let mut waiting = vec![ROOT, JOURNAL];
        while let Some(inode) = waiting.pop() {
            let record = raw.record(inode)?;
            let blocks = raw.blocks(&record)?;
            let tree = blocks.tree.iter().map(|block| *block..block.saturating_add(1));
            for range in blocks.data.values().cloned().chain(tree).filter(|range| !range.is_empty()) {
                self.owners.insert(range.start, (range.end, inode));
            }
            if record.is_directory() {
                let names = raw.names(&record)?;
                waiting.extend(names.values().copied().filter(|child| seen.insert(*child)));
                self.directories.insert(inode, names);
            }
        }
        Some(())
    }

    /// The inodes that changed, by their records and by the blocks that belong to them here. A block that is free here counts
    /// for nobody: whoever has it later has another record.
    fn changed_inodes(&self, now: &Raw<'_>, blocks: &[u64]) -> BTreeSet<u32> {
        let size = u64::from(self.superblock.inode_size());
        let per_block = u64::from(self.superblock.block_size) / size;
        let length = u64::from(self.superblock.inodes_per_group).div_ceil(per_block);
        let before = Raw { volume: &self.volume, superblock: &self.superblock, groups: &self.groups };
        let mut inodes = BTreeSet::new();
        for block in blocks {
            let owner = self.owners.range(..=*block).next_back().filter(|(_, (end, _))| block < end);
            inodes.extend(owner.map(|(_, (_, inode))| *inode));
            let table =
                self.groups.iter().find(|group| (group.inode_table()..group.inode_table() + length).contains(block));
            let Some(group) = table else { continue };
            let first = u64::from(group.number) * u64::from(self.superblock.inodes_per_group)
                + (block - group.inode_table()) * per_block
                + 1;
            let numbers = (first..first + per_block).filter_map(|number| u32::try_from(number).ok());
            inodes.extend(numbers.filter(|number| !is_same(before.record(*number), now.record(*number))));
        }
        inodes
    }
}

fn is_same(before: Option<Record>, now: Option<Record>) -> bool {
    matches!((before, now), (Some(before), Some(now)) if before == now)
}

impl super::super::Proven for Proven {
    fn later(&self, volume: &Volume) -> Result<Option<Later>> {
        let unit = usize::try_from(self.superblock.block_size).unwrap_or(0);
        let Some(blocks) = self.volume.differing_units(volume, unit)? else { return Ok(None) };
        let superblock = Superblock::read(volume)?;
        let groups = Group::read_all(volume, &superblock)?;
        let tables = |groups: &[Group]| groups.iter().map(Group::inode_table).collect::<Vec<_>>();
        if !superblock.has_geometry_of(&self.superblock) || tables(&groups) != tables(&self.groups) {
            return Ok(None);
        }
        let now = Raw { volume, superblock: &superblock, groups: &groups };
        let inodes = self.changed_inodes(&now, &blocks);
        if inodes.iter().any(|inode| *inode < FIRST_FREE && *inode != ROOT) {
            return Ok(None);
        }
        let mut walk = Walk { proven: self, now, inodes, changed: BTreeSet::new() };
        if walk.all().is_none() {
            return Ok(None);
        }
        let (changed, root) = (walk.changed, Ext4::open(volume.clone(), 0)?);
        let volume = volume.clone();
        let problems = Box::new(move |reader: &mut dyn Filesystem| problems_by(&volume, reader));
        Ok(Some(Later { changed, root: Box::new(root), problems }))
    }
}

/// Both trees, walked side by side.
struct Walk<'a> {
    proven: &'a Proven,
    now: Raw<'a>,
    /// Those that changed.
    inodes: BTreeSet<u32>,
    changed: BTreeSet<String>,
}

impl Walk<'_> {
    /// Collects the paths; `None` where a directory cannot be read here.
    fn all(&mut self) -> Option<()> {
        let mut waiting = vec![(ROOT, String::new())];
        while let Some((directory, path)) = waiting.pop() {
            let before = self.proven.directories.get(&directory)?;
            let read;
            let now = if self.inodes.contains(&directory) {
                self.changed.insert(if path.is_empty() { "/".to_owned() } else { path.clone() });
                read = self.now.names(&self.now.record(directory).filter(Record::is_directory)?)?;
                &read
            } else {
                before
            };
            for (name, inode) in before {
                let path = below(&path, name);
                if now.get(name) != Some(inode) || self.is_another(*inode) {
                    self.gone(*inode, path);
                } else if self.proven.directories.contains_key(inode) {
                    waiting.push((*inode, path));
                } else if self.inodes.contains(inode) {
                    self.changed.insert(path);
                }
            }
            for (name, inode) in now {
                if before.get(name) != Some(inode) || self.is_another(*inode) {
                    self.come(*inode, below(&path, name))?;
                }
            }
        }
        Some(())
    }

    /// Whether an inode that was, or was no, directory is the opposite now: its number was given away again.
    fn is_another(&self, inode: u32) -> bool {
        let is_directory = || self.now.record(inode).is_some_and(|record| record.is_directory());
        self.inodes.contains(&inode) && is_directory() != self.proven.directories.contains_key(&inode)
    }

    /// Adds a path that led to `inode`, and all below it.
    fn gone(&mut self, inode: u32, path: String) {
        let mut waiting = vec![(inode, path)];
        while let Some((inode, path)) = waiting.pop() {
            let names = self.proven.directories.get(&inode).into_iter().flatten();
            waiting.extend(names.map(|(name, inode)| (*inode, below(&path, name))));
            self.changed.insert(path);
        }
    }

    /// Adds a path that leads to `inode` now, and all below it.
    fn come(&mut self, inode: u32, path: String) -> Option<()> {
        let mut waiting = vec![(inode, path)];
        let mut left = self.proven.superblock.inodes;
        while let Some((inode, path)) = waiting.pop() {
            // Directories in a circle have no end.
            left = left.checked_sub(1)?;
            let record = self.now.record(inode)?;
            if record.is_directory() {
                waiting.extend(self.now.names(&record)?.into_iter().map(|(name, inode)| (inode, below(&path, &name))));
            }
            self.changed.insert(path);
        }
        Some(())
    }
}

fn below(directory: &str, name: &[u8]) -> String {
    format!("{directory}/{}", String::from_utf8_lossy(name))
}
