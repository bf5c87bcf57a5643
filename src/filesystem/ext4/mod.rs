//! ext4 (and ext2, ext3) behind the `Filesystem` trait.
//!
//! Reads go through `ext4-view`, edits through `rsext4`, never both at once: an edit ends the view, a read ends the
//! mount. While it is mounted the superblock on the volume is the one of [`Superblock::for_editing`]; at the end the
//! original comes back with new free counts, so times, mount counts and the journal stay as they were.

mod bytes;
mod check;
mod checksum;
mod device;
mod features;
mod groups;
mod grow;
mod mounted;
mod proven;
mod raw;
mod readback;
mod superblock;
mod view;
mod xattrs;

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

pub(super) use check::problems;
use device::SharedVolume;
use groups::{Group, pad_bitmaps};
pub(super) use grow::{grow, shortfall};
use mounted::{Free, Mounted};
pub(super) use proven::Proven;
use readback::Expectations;
use rsext4::{DirectoryEntryType, InodeInfo};
use superblock::Superblock;
use view::{LONGEST_READ, ReadError, View};
use xattrs::{SMALL_INODE, Xattrs};

use super::extents::same_content;
use super::foreign::fenced;
use super::grow::more_room;
use super::path::{components, join, parent_and_name};
use super::trunk::Finished;
use super::{Attributes, DirectoryEntry, FileType, Filesystem, Kind, Metadata, Space, Trunk, VolumeFilesystem};
use crate::error::{At, Error, Result};
use crate::image::Volume;

/// What to do when there is no room.
const GROW: &str = "give the root more room (--rootfs-size +SIZE, or a larger CONFIG_TARGET_ROOTFS_PARTSIZE in the build), or \
                    choose fewer overlays";

/// Who looks at the volume now.
enum Holder {
    /// Nobody.
    None,
    /// The reader.
    View(View),
    /// The second reader, on a copy of its own.
    Fallback(Mounted),
    /// The editor.
    Editor(Mounted),
}

/// An open ext4 filesystem.
pub(super) struct Ext4 {
    volume: SharedVolume,
    superblock: Superblock,
    epoch: u64,
    holder: Holder,
    /// Free blocks and inodes as of the end of the last edit; `None` before the first.
    edited: Option<Free>,
    expectations: Expectations,
}

impl Ext4 {
    /// Opens `volume`; changes nothing in it before the first edit.
    ///
    /// # Errors
    /// Corrupt or unsupported superblock.
    pub(super) fn open(volume: Volume, epoch: u64) -> Result<Self> {
        let superblock = Superblock::read(&volume)?;
        superblock.check_clean()?;
        Ok(Self {
            volume: Rc::new(RefCell::new(volume)),
            superblock,
            epoch,
            holder: Holder::None,
            edited: None,
            expectations: Expectations::default(),
        })
    }

    /// Ends whoever holds the volume; afterwards the superblock is sound and true.
    fn release(&mut self) -> Result<()> {
        if let Holder::Editor(editor) = std::mem::replace(&mut self.holder, Holder::None) {
            let free = fenced(|| editor.unmount())?;
            self.edited = Some(free);
            self.superblock = self.superblock.with_free(free.blocks, free.inodes);
            self.superblock.write(&mut self.volume.borrow_mut())?;
        }
        Ok(())
    }

    fn editor(&mut self) -> Result<&mut Mounted> {
        if !matches!(self.holder, Holder::Editor(_)) {
            self.release()?;
            self.superblock.for_editing().write(&mut self.volume.borrow_mut())?;
            let mounted = fenced(|| Mounted::mount(Rc::clone(&self.volume), self.epoch, true))?;
            self.holder = Holder::Editor(mounted);
        }
        match &mut self.holder {
            Holder::Editor(editor) => Ok(editor),
            _ => Err(Error::corrupt("ext4: the editor is not mounted")),
        }
    }

    /// A reader on a copy, so that reading cannot write.
    fn fall_back(&mut self) -> Result<()> {
        self.release()?;
        let mut copy = self.volume.borrow().clone();
        self.superblock.for_editing().write(&mut copy)?;
        let mounted = fenced(|| Mounted::mount(Rc::new(RefCell::new(copy)), self.epoch, false))?;
        self.holder = Holder::Fallback(mounted);
        Ok(())
    }

    /// Runs a read on the view, or where that refuses a timestamp, on the fallback.
    fn reading<T>(
        &mut self,
        on_view: impl Fn(&View) -> Result<T, ReadError>,
        on_fallback: impl Fn(&mut Mounted) -> Result<T>,
    ) -> Result<T> {
        if matches!(self.holder, Holder::None | Holder::Editor(_)) {
            self.release()?;
            match fenced(|| Ok(View::open(Rc::clone(&self.volume))))? {
                Ok(view) => self.holder = Holder::View(view),
                Err(ReadError::Other(error)) => return Err(error),
                Err(ReadError::Timestamp) => self.fall_back()?,
            }
        }
        if let Holder::View(view) = &self.holder {
            match fenced(|| Ok(on_view(view)))? {
                Ok(value) => return Ok(value),
                Err(ReadError::Other(error)) => return Err(error),
                Err(ReadError::Timestamp) => self.fall_back()?,
            }
        }
        match &mut self.holder {
            Holder::Fallback(mounted) => fenced(|| on_fallback(mounted)),
            _ => Err(Error::corrupt("ext4: no reader is open")),
        }
    }

    fn metadata_of(&mut self, names: &[&str]) -> Result<Option<Metadata>> {
        self.reading(|view| view.metadata(names), |mounted| mounted.metadata(names))
    }

    fn free(&self) -> Free {
        match &self.holder {
            Holder::Editor(editor) => editor.free(),
            _ => Free { blocks: self.superblock.free_blocks(), inodes: self.superblock.free_inodes() },
        }
    }

    /// Refuses what does not fit: `bytes` of content and one inode more in the worst layout, and a block by which the
    /// directory may grow.
    fn check_room(&mut self, path: &str, bytes: u64) -> Result<()> {
        let size = u64::from(self.superblock.block_size);
        let data = bytes.div_ceil(size);
        // An extent tree with one extent per block: 12 bytes each behind a 12-byte header, 4 extents in the inode.
        let tree = if data > 4 { data.div_ceil(size / 12 - 1) + 1 } else { 0 };
        let needed = data + tree + 1;
        let free = self.free();
        if free.inodes == 0 || needed > free.blocks {
            return Err(Error::usage(format!(
                "no room for {path} ({bytes} bytes): it needs up to {needed} blocks of {size} bytes and 1 inode, free are {} \
                 blocks and {} inodes",
                free.blocks, free.inodes
            ))
            .remedy(self.more_room(needed)));
        }
        Ok(())
    }

    /// What to do where `blocks` and an inode are not free.
    fn more_room(&self, blocks: u64) -> String {
        let (free, length) = (self.free(), self.volume.borrow().length());
        let short = (blocks.saturating_sub(free.blocks), 1u64.saturating_sub(free.inodes.into()));
        grow::bytes_to_gain(&self.superblock, length, short).map_or_else(|| GROW.to_owned(), more_room)
    }

    /// The parent of `path`, and what has that name already.
    fn slot(&mut self, path: &str) -> Result<(InodeInfo, Option<InodeInfo>)> {
        let (above, name) = parent_and_name(path)?;
        let editor = self.editor()?;
        fenced(|| {
            let parent = editor.find(&above)?.filter(InodeInfo::is_directory);
            let parent = parent.ok_or_else(|| Error::usage(format!("there is no directory {}", join(&above))))?;
            let child = editor.find(&[&above[..], &[name]].concat())?;
            Ok((parent, child))
        })
    }

    /// Makes the name `path` free for a file or symlink of `bytes` bytes. Gives the parent, and the extended attributes of the
    /// file that went.
    fn clear(&mut self, path: &str, bytes: u64) -> Result<(InodeInfo, Xattrs)> {
        let (parent, old) = self.slot(path)?;
        let Some(old) = old else {
            return Ok((parent, Xattrs::new()));
        };
        if old.is_directory() {
            return Err(Error::usage("a directory has that name"));
        }
        let (_, name) = parent_and_name(path)?;
        let has_room = self.superblock.inode_size() > SMALL_INODE;
        let editor = self.editor()?;
        let xattrs = fenced(|| {
            let xattrs =
                if old.file_type() == DirectoryEntryType::RegularFile { editor.xattrs(&old)? } else { Xattrs::new() };
            if !xattrs.is_empty() && !has_room {
                return Err(xattrs::lost(&xattrs));
            }
            editor.remove(&parent, name, &old)?;
            Ok(xattrs)
        })?;
        self.check_room(path, bytes)?;
        self.slot(path).map(|(parent, _)| (parent, xattrs))
    }

    /// Runs an edit on the editor; the place of an error is `path`.
    fn edit<T>(&mut self, path: &str, edit: impl FnOnce(&mut Mounted) -> Result<T>) -> Result<T> {
        let editor = self.editor()?;
        fenced(|| edit(editor)).at(|| path.to_owned())
    }
}

impl Filesystem for Ext4 {
    fn kind(&self) -> Kind {
        Kind::Ext4
    }

    fn space(&mut self) -> Result<Space> {
        let free = self.free();
        Ok(Space {
            block_size: self.superblock.block_size,
            blocks: self.superblock.blocks,
            free_blocks: free.blocks,
            inodes: self.superblock.inodes.into(),
            free_inodes: free.inodes.into(),
        })
    }

    fn metadata(&mut self, path: &str) -> Result<Option<Metadata>> {
        self.metadata_of(&components(path)?).at(|| path.to_owned())
    }

    fn list(&mut self, path: &str) -> Result<Vec<DirectoryEntry>> {
        let names = components(path)?;
        let length = self.volume.borrow().length();
        match self.metadata_of(&names).at(|| path.to_owned())? {
            Some(directory) if directory.file_type == FileType::Directory && directory.size > length => {
                return Err(Error::corrupt(format!("a directory of {} bytes", directory.size)).at(path));
            }
            Some(directory) if directory.file_type == FileType::Directory => {}
            _ => return Err(Error::usage("there is no such directory").at(path)),
        }
        let on_fallback = |mounted: &mut Mounted| match mounted.find(&names)? {
            Some(directory) => mounted.list(directory.number),
            None => Ok(Vec::new()),
        };
        let mut entries = self.reading(|view| view.list(&names), on_fallback).at(|| path.to_owned())?;
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn read(&mut self, path: &str) -> Result<Vec<u8>> {
        let names = components(path)?;
        let length = self.volume.borrow().length();
        match self.metadata_of(&names).at(|| path.to_owned())? {
            Some(file) if file.file_type == FileType::Regular && file.size > LONGEST_READ => {
                let message = format!("a file of {} bytes (at most {LONGEST_READ} are read)", file.size);
                return Err(Error::unsupported(message).at(path));
            }
            Some(file) if file.file_type == FileType::Regular && file.size > length => {
                // As sparse as that, nothing that a system boots from is.
                let message = format!("a file of {} bytes in a filesystem of {length}", file.size);
                return Err(Error::corrupt(message).at(path));
            }
            Some(file) if file.file_type == FileType::Regular => {}
            _ => return Err(Error::usage("there is no such file").at(path)),
        }
        let on_fallback = |mounted: &mut Mounted| match mounted.find(&names)? {
            Some(file) => mounted.content(&file, LONGEST_READ),
            None => Ok(Vec::new()),
        };
        self.reading(|view| view.read(&names), on_fallback).at(|| path.to_owned())
    }

    fn other_names(&mut self, path: &str) -> Result<Vec<String>> {
        let names = components(path)?;
        // Of the readers only the second one tells inode numbers.
        self.fall_back()?;
        let Holder::Fallback(mounted) = &mut self.holder else {
            return Err(Error::corrupt("ext4: no reader is open"));
        };
        let found = fenced(|| {
            let inode = mounted.find(&names)?.ok_or_else(|| Error::usage("nothing has that name"))?;
            mounted.names_of(&inode)
        });
        self.holder = Holder::None;
        let own = join(&names);
        let mut others = found.at(|| path.to_owned())?;
        others.retain(|other| *other != own);
        Ok(others)
    }

    fn link(&mut self, path: &str, existing: &str) -> Result<()> {
        let (_, name) = parent_and_name(path)?;
        let names = components(existing)?;
        let (parent, old) = self.slot(path).at(|| path.to_owned())?;
        if old.is_some() {
            return Err(Error::usage("something has that name already").at(path));
        }
        self.check_room(path, 1)?;
        let (inode, attributes) = self.edit(path, |editor| {
            let inode = editor.find(&names)?.filter(|inode| !inode.is_directory());
            let inode = inode.ok_or_else(|| Error::usage(format!("there is no file {existing}")))?;
            Ok((inode.number.raw(), editor.link(&parent, name, &inode)?))
        })?;
        self.expectations.linked(path, existing, inode, attributes);
        Ok(())
    }

    fn write(&mut self, path: &str, content: &[u8], attributes: Attributes) -> Result<()> {
        let (_, name) = parent_and_name(path)?;
        let (parent, xattrs) = self.clear(path, content.len() as u64).at(|| path.to_owned())?;
        // The block by which a directory may grow is one for what does not fit into the inode where a file is replaced.
        self.check_room(path, content.len() as u64)?;
        self.edit(path, |editor| {
            editor.create(&parent, name, content, attributes)?;
            editor.set_xattrs(&parent, name, &xattrs)
        })?;
        self.expectations.file(path, content, attributes);
        Ok(())
    }

    fn make_directory(&mut self, path: &str, attributes: Attributes) -> Result<()> {
        let (_, name) = parent_and_name(path)?;
        let (parent, old) = self.slot(path).at(|| path.to_owned())?;
        if old.is_some() {
            return Err(Error::usage("something has that name already").at(path));
        }
        self.check_room(path, 1)?;
        self.edit(path, |editor| editor.create_directory(&parent, name, attributes))?;
        self.expectations.directory(path, attributes);
        Ok(())
    }

    fn symlink(&mut self, path: &str, target: &str) -> Result<()> {
        let (_, name) = parent_and_name(path)?;
        let longest = self.superblock.block_size as usize - 1;
        if target.is_empty() || target.len() > longest || target.contains('\0') {
            let message = format!("a symlink's target has 1 to {longest} bytes and no NUL, not {}", target.len());
            return Err(Error::usage(message).at(path));
        }
        let (parent, _) = self.clear(path, target.len() as u64).at(|| path.to_owned())?;
        self.check_room(path, target.len() as u64)?;
        self.edit(path, |editor| editor.create_symlink(&parent, name, target))?;
        self.expectations.symlink(path, target);
        Ok(())
    }

    fn set_attributes(&mut self, path: &str, attributes: Attributes) -> Result<()> {
        let names = components(path)?;
        let inode = self.edit(path, |editor| {
            let inode = editor.find(&names)?.ok_or_else(|| Error::usage("nothing has that name"))?;
            editor.set_attributes(&inode, attributes)?;
            Ok(inode.number.raw())
        })?;
        self.expectations.attributes(path, inode, attributes);
        Ok(())
    }

    fn remove(&mut self, path: &str) -> Result<()> {
        let (_, name) = parent_and_name(path)?;
        let (parent, child) = self.slot(path).at(|| path.to_owned())?;
        let child = child.ok_or_else(|| Error::usage("nothing has that name").at(path))?;
        self.edit(path, |editor| editor.remove(&parent, name, &child))?;
        self.expectations.removed(path);
        Ok(())
    }
}

impl VolumeFilesystem for Ext4 {
    fn finish(mut self: Box<Self>) -> Result<Volume> {
        self.release()?;
        if self.edited.is_some() {
            self.holder = Holder::None;
            let volume = &mut *self.volume.borrow_mut();
            let mut groups = Group::read_all(volume, &self.superblock)?;
            pad_bitmaps(volume, &self.superblock, &mut groups)?;
        }
        if self.edited.is_some() {
            let expectations = std::mem::take(&mut self.expectations);
            expectations.check(&mut *self)?;
        }
        let Self { volume, holder, .. } = *self;
        drop(holder);
        let volume = Rc::try_unwrap(volume).map_err(|_| Error::corrupt("ext4: the volume is still in use"))?;
        Ok(volume.into_inner())
    }

    fn extents(&mut self, path: &str) -> Result<Vec<Range<u64>>> {
        let content = self.read(path)?;
        let names = components(path)?;
        self.fall_back()?;
        let extents = match &mut self.holder {
            Holder::Fallback(mounted) => fenced(|| mounted.extents(&names)),
            _ => Err(Error::corrupt("ext4: no reader is open")),
        };
        let extents = extents.at(|| path.to_owned())?;
        same_content(&self.volume.borrow(), &extents, &content).at(|| path.to_owned())?;
        Ok(extents)
    }

    fn into_trunk(self: Box<Self>) -> Result<Box<dyn Trunk>> {
        let epoch = self.epoch;
        Ok(Box::new(Finished::new(self.finish()?, epoch)))
    }
}
