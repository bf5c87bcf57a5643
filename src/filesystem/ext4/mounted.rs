//! The filesystem as `rsext4` mounts it: the editor, and the reader where `ext4-view` refuses a timestamp.

use std::collections::BTreeSet;
use std::ops::Range;

use rsext4::{
    DirectoryCursor, DirectoryEntryType, Ext4, Ext4Error, Ext4ErrorKind, FileExtentState, FileExtentTarget, FileName,
    FilePermissions, InodeFlags, InodeInfo, InodeMetadataUpdate, InodeNumber, MountOptions, MountServices,
    MountedServices, MutationContext, NoopObserver,
};

use super::bytes::u32_at;
use super::device::{Device, FixedClock, SharedVolume};
use super::groups::Group;
use super::superblock::Superblock;
use crate::error::{Error, Result};
use crate::filesystem::{Attributes, DirectoryEntry, FileType, Metadata};

/// A mounted filesystem. Its superblock must be the one of
/// [`Superblock::for_editing`](super::superblock::Superblock::for_editing).
pub(super) struct Mounted(pub(super) Ext4<Device, MountedServices<(), NoopObserver, ()>>, SharedVolume);

/// `i_size_high` in an inode.
const I_SIZE_HIGH: u64 = 0x6C;

/// Free blocks and inodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Free {
    pub(super) blocks: u64,
    pub(super) inodes: u32,
}

pub(super) fn failed(action: &str) -> impl Fn(Ext4Error) -> Error {
    move |error| {
        let message = format!("ext4: cannot {action}: {error}");
        match error.kind() {
            Ext4ErrorKind::NoSpace => Error::usage(message).remedy(super::GROW),
            Ext4ErrorKind::Unsupported | Ext4ErrorKind::UnsupportedFeature | Ext4ErrorKind::TooManyLinks => {
                Error::unsupported(message)
            }
            _ => Error::corrupt(message),
        }
    }
}

pub(super) fn name(name: &str) -> Result<FileName<'_>> {
    FileName::new(name.as_bytes()).map_err(failed("use a name"))
}

fn permissions(attributes: Attributes) -> Result<FilePermissions> {
    FilePermissions::new(attributes.mode)
        .map_err(|_| Error::usage(format!("mode {:#o} has more than the bits 0o7777", attributes.mode)))
}

const fn context(attributes: Attributes) -> MutationContext {
    MutationContext::new(attributes.uid, attributes.gid, 0, 0)
}

impl Mounted {
    /// Mounts `volume` for editing with all new times at `epoch`, or only for reading.
    pub(super) fn mount(volume: SharedVolume, epoch: u64, writable: bool) -> Result<Self> {
        let services = MountServices::new(FixedClock(epoch), (), NoopObserver);
        let options = if writable { MountOptions::read_write() } else { MountOptions::read_only_no_journal_replay() };
        let mounted = Ext4::mount(Device(std::rc::Rc::clone(&volume)), services, options).map_err(failed("mount"))?;
        Ok(Self(mounted, volume))
    }

    /// Writes out what is pending.
    pub(super) fn unmount(mut self) -> Result<Free> {
        self.0.unmount().map_err(failed("write the metadata back"))?;
        Ok(self.free())
    }

    /// Blocks and inodes that are free now.
    pub(super) fn free(&self) -> Free {
        let stats = self.0.statfs();
        Free { blocks: stats.free_blocks, inodes: stats.free_inodes }
    }

    /// The inode behind `names`; `None` when nothing has that name. Symlinks are not followed.
    pub(super) fn find(&mut self, names: &[&str]) -> Result<Option<InodeInfo>> {
        let mut inode = self.0.inode(self.0.root_inode()).map_err(failed("read the root directory"))?;
        for part in names {
            if !inode.is_directory() {
                return Ok(None);
            }
            match self.0.lookup_child(inode.number, name(part)?).map_err(failed("look up a name"))? {
                Some(child) => inode = child,
                None => return Ok(None),
            }
        }
        Ok(Some(inode))
    }

    /// As [`View::metadata`](super::view::View::metadata).
    pub(super) fn metadata(&mut self, names: &[&str]) -> Result<Option<Metadata>> {
        let Some(inode) = self.find(names)? else {
            return Ok(None);
        };
        let file_type = file_type(inode.file_type());
        let link_target = if file_type == FileType::Symlink {
            self.check_short(&inode)?;
            Some(String::from_utf8_lossy(&self.content(&inode, 4096)?).into_owned())
        } else {
            None
        };
        let attributes = Attributes { mode: inode.mode & 0o7777, uid: inode.uid, gid: inode.gid };
        Ok(Some(Metadata { file_type, attributes, size: inode.size, link_target }))
    }

    /// Refuses a symlink whose length has a high half: `rsext4` leaves that half out of what it tells, and allocates
    /// as many bytes as both halves say.
    fn check_short(&self, inode: &InodeInfo) -> Result<()> {
        let volume = self.1.borrow();
        let superblock = Superblock::read(&volume)?;
        let index = u64::from(inode.number.raw()).saturating_sub(1);
        let per_group = u64::from(superblock.inodes_per_group).max(1);
        let groups = Group::read_all(&volume, &superblock)?;
        let group = usize::try_from(index / per_group).ok().and_then(|number| groups.get(number));
        let table = group.map(|group| group.inode_table().saturating_mul(superblock.block_size.into()));
        let offset = (index % per_group).saturating_mul(superblock.inode_size().into()).saturating_add(I_SIZE_HIGH);
        let mut raw = [0; 4];
        volume.read_at(table.unwrap_or(u64::MAX).saturating_add(offset), &mut raw)?;
        match u64::from(u32_at(&raw, 0)) {
            0 => Ok(()),
            high => Err(Error::corrupt(format!(
                "ext4: inode {} is a symlink of {} bytes",
                inode.number.raw(),
                high << 32 | inode.size & 0xFFFF_FFFF
            ))),
        }
    }

    /// As [`View::list`](super::view::View::list).
    pub(super) fn list(&mut self, directory: InodeNumber) -> Result<Vec<DirectoryEntry>> {
        let found = self.0.read_directory(directory, DirectoryCursor::Start, usize::MAX - 1);
        let entries = found.map_err(failed("read a directory"))?;
        let named = entries.into_iter().filter(|entry| entry.name != b"." && entry.name != b"..");
        Ok(named
            .map(|entry| DirectoryEntry {
                name: String::from_utf8_lossy(&entry.name).into_owned(),
                file_type: file_type(entry.file_type),
            })
            .collect())
    }

    /// The bytes of a regular file or symlink of at most `longest` bytes.
    pub(super) fn content(&mut self, inode: &InodeInfo, longest: u64) -> Result<Vec<u8>> {
        let length = usize::try_from(inode.size)
            .ok()
            .filter(|_| inode.size <= longest)
            .ok_or_else(|| Error::unsupported(format!("a file of {} bytes (at most {longest})", inode.size)))?;
        let mut bytes = vec![0; length];
        let mut done = 0;
        while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.0.read_inode(inode.number, done as u64, rest).map_err(failed("read a file"))? {
                0 => return Err(Error::corrupt(format!("ext4: a file of {length} bytes ends at byte {done}"))),
                count => done += count,
            }
        }
        Ok(bytes)
    }

    /// Where the content of the regular file `names` lies: ranges of bytes of the volume, in the order of the file.
    ///
    /// # Errors
    /// No such file, or one that does not lie in blocks of its own from its first byte to its last.
    pub(super) fn extents(&mut self, names: &[&str]) -> Result<Vec<Range<u64>>> {
        let file = self.find(names)?.ok_or_else(|| Error::usage("there is no such file"))?;
        let mut extents = Vec::new();
        if file.size == 0 {
            return Ok(extents);
        }
        let map = self.0.inode_extents(file.number, 0, file.size, FileExtentTarget::Data, usize::MAX);
        let map = map.map_err(failed("read a file's block map"))?;
        let mut end = 0;
        for extent in map.extents {
            if extent.state != FileExtentState::Initialized || extent.logical_start != end {
                return Err(Error::unsupported(format!("the file has a hole at byte {end}")));
            }
            let length = extent.length.min(file.size.saturating_sub(end));
            extents.push(extent.physical_start..extent.physical_start.saturating_add(length));
            end = end.saturating_add(length);
        }
        if end == file.size {
            Ok(extents)
        } else {
            Err(Error::unsupported(format!("the file has a hole at byte {end}")))
        }
    }

    /// Creates the regular file `file` in `parent`; the name must be free.
    pub(super) fn create(
        &mut self,
        parent: &InodeInfo,
        file: &str,
        content: &[u8],
        attributes: Attributes,
    ) -> Result<()> {
        let created = self
            .0
            .create_regular_file(context(attributes), parent.number, name(file)?, permissions(attributes)?)
            .map_err(failed("create a file"))?;
        self.0.write_inode(created.number, 0, content).map_err(failed("write a file"))?;
        self.settle(parent, file, attributes)
    }

    /// Creates the empty directory `directory` in `parent`; the name must be free.
    pub(super) fn create_directory(
        &mut self,
        parent: &InodeInfo,
        directory: &str,
        attributes: Attributes,
    ) -> Result<()> {
        self.0
            .create_directory(context(attributes), parent.number, name(directory)?, permissions(attributes)?)
            .map_err(failed("create a directory"))?;
        self.settle(parent, directory, attributes)
    }

    /// Creates the symlink `link` in `parent`, owned by root; the name must be free.
    pub(super) fn create_symlink(&mut self, parent: &InodeInfo, link: &str, target: &str) -> Result<()> {
        self.0
            .create_symlink(context(Attributes::root(0o777)), parent.number, name(link)?, target.as_bytes())
            .map_err(failed("create a symlink"))?;
        self.settle(parent, link, Attributes::root(0o777))
    }

    /// Makes `link` in `parent` another name of `inode`; the name must be free. Returns the attributes of the inode.
    pub(super) fn link(&mut self, parent: &InodeInfo, link: &str, inode: &InodeInfo) -> Result<Attributes> {
        self.0.hard_link(inode.number, parent.number, name(link)?).map_err(failed("make another name"))?;
        self.check_growth(parent)?;
        Ok(Attributes { mode: inode.mode & 0o7777, uid: inode.uid, gid: inode.gid })
    }

    /// All names of a file, as absolute paths in byte order; none where it has but one, or is a directory.
    pub(super) fn names_of(&mut self, inode: &InodeInfo) -> Result<Vec<String>> {
        let mut names = Vec::new();
        if inode.links < 2 || inode.is_directory() {
            return Ok(names);
        }
        let mut waiting = vec![(String::new(), self.0.root_inode())];
        // A damaged tree may have loops.
        let mut seen = BTreeSet::new();
        while let Some((path, directory)) = waiting.pop() {
            if !seen.insert(directory.raw()) {
                continue;
            }
            let found = self.0.read_directory(directory, DirectoryCursor::Start, usize::MAX - 1);
            for entry in found.map_err(failed("read a directory"))? {
                let path = format!("{path}/{}", String::from_utf8_lossy(&entry.name));
                match entry.file_type {
                    _ if entry.name == b"." || entry.name == b".." => {}
                    DirectoryEntryType::Directory => waiting.push((path, entry.inode)),
                    _ if entry.inode == inode.number => names.push(path),
                    _ => {}
                }
            }
        }
        names.sort();
        Ok(names)
    }

    /// Gives a new inode its exact attributes (a set-gid parent hands down its group) and refuses what the editor
    /// gets wrong in the parent.
    fn settle(&mut self, parent: &InodeInfo, child: &str, attributes: Attributes) -> Result<()> {
        self.check_growth(parent)?;
        let inode = self.0.lookup_child(parent.number, name(child)?).map_err(failed("look up a name"))?;
        let inode = inode.ok_or_else(|| Error::corrupt("ext4: a new name cannot be found"))?;
        if (inode.mode & 0o7777, inode.uid, inode.gid) != (attributes.mode, attributes.uid, attributes.gid) {
            self.set_attributes(&inode, attributes)?;
        }
        Ok(())
    }

    /// When an indexed directory grows past the four extents that fit in its inode, the editor forgets to count the
    /// block of the extent tree. Its size is that of its blocks as long as there is no such block.
    fn check_growth(&mut self, before: &InodeInfo) -> Result<()> {
        let now = self.0.inode(before.number).map_err(failed("read a directory"))?;
        if !now.flags.contains(InodeFlags::DIRECTORY_INDEX) || now.size == before.size {
            return Ok(());
        }
        let extents = self.0.inode_extents(now.number, 0, u64::MAX, FileExtentTarget::Data, 0);
        let extents = extents.map_err(failed("read a directory's block map"))?.mapped_extents;
        let flat = |inode: &InodeInfo| inode.blocks.checked_mul(512) == Some(inode.size);
        if extents <= 4 && flat(before) && flat(&now) {
            return Ok(());
        }
        Err(Error::unsupported(format!(
            "an indexed directory (htree) would grow from {} to {} bytes in {extents} pieces (at most 4 are supported)",
            before.size, now.size
        ))
        .remedy("remove entries from it, or make the filesystem without dir_index (mke2fs -O ^dir_index)"))
    }

    /// Changes permissions and owner of an inode.
    pub(super) fn set_attributes(&mut self, inode: &InodeInfo, attributes: Attributes) -> Result<()> {
        // Two steps: a change of owner drops setuid and setgid.
        let owner = InodeMetadataUpdate { owner: Some((attributes.uid, attributes.gid)), ..Default::default() };
        let mode = InodeMetadataUpdate { permissions: Some(permissions(attributes)?), ..Default::default() };
        for update in [owner, mode] {
            self.0.update_inode_metadata(inode.number, update).map_err(failed("change attributes"))?;
        }
        Ok(())
    }

    /// Removes the name `child` of `inode` from `parent`, and the inode when that was its last name. A directory must
    /// be empty.
    pub(super) fn remove(&mut self, parent: &InodeInfo, child: &str, inode: &InodeInfo) -> Result<()> {
        let outcome = if inode.is_directory() {
            self.0.remove_empty_directory(parent.number, name(child)?).map_err(|error| match error.kind() {
                Ext4ErrorKind::NotEmpty => Error::usage("the directory is not empty"),
                _ => failed("remove a directory")(error),
            })?
        } else {
            self.check_removable(inode)?;
            self.0.unlink(parent.number, name(child)?).map_err(failed("remove a name"))?
        };
        if outcome.requires_reap() {
            self.0.reap_unlinked_inode(outcome.inode).map_err(failed("free an inode"))?;
        }
        Ok(())
    }

    /// Removing a file with preallocated blocks, unwritten or behind its end, would lose those blocks.
    fn check_removable(&mut self, inode: &InodeInfo) -> Result<()> {
        if inode.file_type() != DirectoryEntryType::RegularFile || inode.links > 1 {
            return Ok(());
        }
        let map = self.0.inode_extents(inode.number, 0, u64::MAX, FileExtentTarget::Data, usize::MAX);
        let map = map.map_err(failed("read a file's block map"))?;
        let unwritten = map.extents.iter().any(|extent| extent.state == FileExtentState::Unwritten);
        let mapped: u64 = map.extents.iter().map(|extent| extent.length).fold(0, u64::saturating_add);
        // Extended attributes take a block; block maps one in 64 or less, and some to begin with.
        let size = self.0.statfs().block_size;
        let slack = size.saturating_mul(6).saturating_add(mapped / 64);
        if unwritten || inode.blocks.saturating_mul(512) > mapped.saturating_add(slack) {
            return Err(Error::unsupported("a file with preallocated, unwritten blocks cannot be replaced or removed")
                .remedy("copy the file in the running system and put the copy in its place"));
        }
        Ok(())
    }
}

fn file_type(file_type: DirectoryEntryType) -> FileType {
    match file_type {
        DirectoryEntryType::RegularFile => FileType::Regular,
        DirectoryEntryType::Directory => FileType::Directory,
        DirectoryEntryType::Symlink => FileType::Symlink,
        _ => FileType::Special,
    }
}
