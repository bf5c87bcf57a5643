//! Inodes as they are stored: fourteen types, seven basic ones and the same extended (kernel fs/squashfs/squashfs_fs.h).

use super::fields::Fields;
use super::metadata::Stream;
use crate::error::{Error, Result};

/// The xattr index of an inode without extended attributes.
pub(super) const NO_XATTRS: u32 = u32::MAX;
/// The fragment of a file that has none.
pub(super) const NO_FRAGMENT: u32 = u32::MAX;
/// What is added to the length of a directory's listing, for `.` and `..`.
pub(super) const DOTS: u32 = 3;
/// Basic types; the extended ones are seven more.
pub(super) const DIRECTORY: u16 = 1;
pub(super) const FILE: u16 = 2;
pub(super) const SYMLINK: u16 = 3;
pub(super) const BLOCK_DEVICE: u16 = 4;
pub(super) const CHARACTER_DEVICE: u16 = 5;
pub(super) const FIFO: u16 = 6;
pub(super) const SOCKET: u16 = 7;
const EXTENDED: u16 = 7;
/// The longest target of a symlink that the kernel reads is one page.
const LONGEST_TARGET: u32 = 65_535;

/// Where a file's content lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Content {
    /// Where its first block begins.
    pub(super) start: u64,
    /// Bytes in all.
    pub(super) size: u64,
    /// Bytes in blocks that are not stored because they are zeroes.
    pub(super) sparse: u64,
    /// The fragment block with the last bytes, or [`NO_FRAGMENT`].
    pub(super) fragment: u32,
    /// Where in that block they begin.
    pub(super) offset: u32,
    /// The stored length of each block; bit 24: not packed; 0: zeroes.
    pub(super) blocks: Vec<u32>,
}

/// Where a directory's listing lies.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Listing {
    /// Its block, from the start of the directory table on.
    pub(super) block: u32,
    /// Its offset in that block.
    pub(super) offset: u16,
    /// Its length.
    pub(super) length: u32,
    /// The inode number of the directory above.
    pub(super) parent: u32,
    /// Index entries for fast lookup, as stored, and how many.
    pub(super) index: (u16, Vec<u8>),
}

/// What an inode is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// A directory.
    Directory(Listing),
    /// A regular file.
    File(Content),
    /// A symlink, with its target.
    Symlink(Vec<u8>),
    /// A block device (`true`) or a character device, with its number.
    Device(bool, u32),
    /// A FIFO.
    Fifo,
    /// A socket.
    Socket,
}

impl Form {
    /// The basic type.
    pub(super) fn basic(&self) -> u16 {
        match self {
            Self::Directory(_) => DIRECTORY,
            Self::File(_) => FILE,
            Self::Symlink(_) => SYMLINK,
            Self::Device(true, _) => BLOCK_DEVICE,
            Self::Device(false, _) => CHARACTER_DEVICE,
            Self::Fifo => FIFO,
            Self::Socket => SOCKET,
        }
    }
}

/// One inode. Owner and group are indices into the id table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Inode {
    pub(super) extended: bool,
    pub(super) mode: u16,
    pub(super) uid: u16,
    pub(super) gid: u16,
    pub(super) time: u32,
    pub(super) number: u32,
    pub(super) links: u32,
    pub(super) xattr: u32,
    pub(super) form: Form,
}

impl Inode {
    /// Reads the inode at the start of `stream`, in a filesystem with blocks of `block_size` bytes; the list of a
    /// file's blocks may have at most `longest` entries.
    ///
    /// # Errors
    /// Corrupt, or a file with too many blocks.
    pub(super) fn read(stream: &mut Stream<'_, '_>, block_size: u32, longest: u64) -> Result<Self> {
        let head = stream.take(16)?;
        let mut fields = Fields::new("an inode", &head);
        let stored = fields.u16()?;
        let mut inode = Self {
            extended: stored > EXTENDED,
            mode: fields.u16()?,
            uid: fields.u16()?,
            gid: fields.u16()?,
            time: fields.u32()?,
            number: fields.u32()?,
            links: 1,
            xattr: NO_XATTRS,
            form: Form::Fifo,
        };
        let basic = if inode.extended { stored - EXTENDED } else { stored };
        inode.form = match basic {
            DIRECTORY => inode.read_directory(stream)?,
            FILE => inode.read_file(stream, block_size, longest)?,
            SYMLINK => inode.read_symlink(stream)?,
            BLOCK_DEVICE | CHARACTER_DEVICE => {
                let number = inode.read_links(stream, true)?;
                Form::Device(basic == BLOCK_DEVICE, number)
            }
            FIFO | SOCKET => {
                inode.read_links(stream, false)?;
                if basic == FIFO { Form::Fifo } else { Form::Socket }
            }
            _ => return Err(Error::corrupt(format!("squashfs: inode {} has type {stored}", inode.number))),
        };
        Ok(inode)
    }

    fn read_directory(&mut self, stream: &mut Stream<'_, '_>) -> Result<Form> {
        let bytes = stream.take(if self.extended { 24 } else { 16 })?;
        let mut fields = Fields::new("a directory's inode", &bytes);
        let mut listing = Listing::default();
        let size = if self.extended {
            self.links = fields.u32()?;
            let size = fields.u32()?;
            listing.block = fields.u32()?;
            listing.parent = fields.u32()?;
            listing.index.0 = fields.u16()?;
            listing.offset = fields.u16()?;
            self.xattr = fields.u32()?;
            size
        } else {
            listing.block = fields.u32()?;
            self.links = fields.u32()?;
            let size = u32::from(fields.u16()?);
            listing.offset = fields.u16()?;
            listing.parent = fields.u32()?;
            size
        };
        listing.length = size.saturating_sub(DOTS);
        Ok(Form::Directory(listing))
    }

    fn read_file(&mut self, stream: &mut Stream<'_, '_>, block_size: u32, longest: u64) -> Result<Form> {
        let bytes = stream.take(if self.extended { 40 } else { 16 })?;
        let mut fields = Fields::new("a file's inode", &bytes);
        let mut content =
            Content { start: 0, size: 0, sparse: 0, fragment: NO_FRAGMENT, offset: 0, blocks: Vec::new() };
        if self.extended {
            content.start = fields.u64()?;
            content.size = fields.u64()?;
            content.sparse = fields.u64()?;
            self.links = fields.u32()?;
            content.fragment = fields.u32()?;
            content.offset = fields.u32()?;
            self.xattr = fields.u32()?;
        } else {
            content.start = fields.u32()?.into();
            content.fragment = fields.u32()?;
            content.offset = fields.u32()?;
            content.size = fields.u32()?.into();
        }
        let size = u64::from(block_size);
        let whole = content.fragment != NO_FRAGMENT;
        let count = if whole { content.size / size } else { content.size.div_ceil(size) };
        if count > longest {
            let message = format!("squashfs: inode {} has {count} blocks, more than {longest}", self.number);
            return Err(Error::unsupported(message));
        }
        let words = stream.take(usize::try_from(count).unwrap_or(usize::MAX).saturating_mul(4))?;
        let mut words = Fields::new("a file's list of blocks", &words);
        while !words.is_empty() {
            content.blocks.push(words.u32()?);
        }
        Ok(Form::File(content))
    }

    fn read_symlink(&mut self, stream: &mut Stream<'_, '_>) -> Result<Form> {
        let bytes = stream.take(8)?;
        let mut fields = Fields::new("a symlink's inode", &bytes);
        self.links = fields.u32()?;
        let length = fields.u32()?;
        if length == 0 || length > LONGEST_TARGET {
            let message = format!("squashfs: inode {} is a symlink of {length} bytes", self.number);
            return Err(Error::corrupt(message));
        }
        let target = stream.take(usize::try_from(length).unwrap_or(usize::MAX))?;
        if self.extended {
            self.xattr = Fields::new("a symlink's inode", &stream.take(4)?).u32()?;
        }
        Ok(Form::Symlink(target))
    }

    /// Link count, device number when there is one, and xattrs.
    fn read_links(&mut self, stream: &mut Stream<'_, '_>, device: bool) -> Result<u32> {
        let length = 4 + if device { 4 } else { 0 } + if self.extended { 4 } else { 0 };
        let bytes = stream.take(length)?;
        let mut fields = Fields::new("a device's inode", &bytes);
        self.links = fields.u32()?;
        let number = if device { fields.u32()? } else { 0 };
        if self.extended {
            self.xattr = fields.u32()?;
        }
        Ok(number)
    }

    /// The bytes to store: the extended type when it was that already or the basic one cannot hold it.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let extended = self.extended || self.xattr != NO_XATTRS || self.needs_extended();
        let mut bytes = Vec::new();
        let stored = self.form.basic() + if extended { EXTENDED } else { 0 };
        for field in [stored, self.mode, self.uid, self.gid] {
            bytes.extend(field.to_le_bytes());
        }
        put(&mut bytes, &[self.time, self.number]);
        match &self.form {
            Form::Directory(listing) => self.put_directory(&mut bytes, listing, extended),
            Form::File(content) => self.put_file(&mut bytes, content, extended),
            Form::Symlink(target) => {
                put(&mut bytes, &[self.links, u32::try_from(target.len()).unwrap_or(u32::MAX)]);
                bytes.extend(target);
                put_if(&mut bytes, extended, self.xattr);
            }
            Form::Device(_, number) => {
                put(&mut bytes, &[self.links, *number]);
                put_if(&mut bytes, extended, self.xattr);
            }
            Form::Fifo | Form::Socket => {
                put(&mut bytes, &[self.links]);
                put_if(&mut bytes, extended, self.xattr);
            }
        }
        bytes
    }

    fn needs_extended(&self) -> bool {
        match &self.form {
            Form::Directory(listing) => listing.length + DOTS > u32::from(u16::MAX) || listing.index.0 > 0,
            Form::File(content) => {
                let beyond = |value| u32::try_from(value).is_err();
                self.links > 1 || content.sparse > 0 || beyond(content.start) || beyond(content.size)
            }
            _ => false,
        }
    }

    fn put_directory(&self, bytes: &mut Vec<u8>, listing: &Listing, extended: bool) {
        let size = listing.length + DOTS;
        if extended {
            put(bytes, &[self.links, size, listing.block, listing.parent]);
            bytes.extend(listing.index.0.to_le_bytes());
            bytes.extend(listing.offset.to_le_bytes());
            put(bytes, &[self.xattr]);
            bytes.extend(&listing.index.1);
        } else {
            put(bytes, &[listing.block, self.links]);
            bytes.extend(u16::try_from(size).unwrap_or(u16::MAX).to_le_bytes());
            bytes.extend(listing.offset.to_le_bytes());
            put(bytes, &[listing.parent]);
        }
    }

    fn put_file(&self, bytes: &mut Vec<u8>, content: &Content, extended: bool) {
        let low = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        if extended {
            for field in [content.start, content.size, content.sparse] {
                bytes.extend(field.to_le_bytes());
            }
            put(bytes, &[self.links, content.fragment, content.offset, self.xattr]);
        } else {
            put(bytes, &[low(content.start), content.fragment, content.offset, low(content.size)]);
        }
        put(bytes, &content.blocks);
    }
}

fn put(bytes: &mut Vec<u8>, fields: &[u32]) {
    for field in fields {
        bytes.extend(field.to_le_bytes());
    }
}

fn put_if(bytes: &mut Vec<u8>, wanted: bool, field: u32) {
    if wanted {
        put(bytes, &[field]);
    }
}
