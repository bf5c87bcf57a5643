//! An open EROFS: the library, given the volume's bytes as it asks for them, its answers in our words.

use std::collections::BTreeMap;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use erofs_rs::r#async::EroFS;
use erofs_rs::backend::AsyncImage;
use erofs_rs::types::Inode;
use rayon::prelude::*;

use super::superblock::Superblock;
use super::tree::Tree;
use crate::error::{At, Error, Result};
use crate::filesystem::foreign::fenced;
use crate::filesystem::trunk::Finished;
use crate::filesystem::{
    Attributes, DirectoryEntry, FileType, Filesystem, Kind, Metadata, Space, Trunk, VolumeFilesystem,
};
use crate::image::Volume;

/// The longest file that is read, in bytes.
const LONGEST_READ: u64 = 1 << 30;
/// The longest target of a symlink.
const LONGEST_TARGET: u64 = 4095;
/// Bytes that are unpacked in all to see whether they can be.
const MOST_CHECKED: u64 = 1 << 34;
/// Problems that are told one by one.
const MOST_PROBLEMS: usize = 20;
/// Bytes that are taken at once.
const PIECE: usize = 1 << 16;

/// The blocks of the filesystem in its volume. Of the library's two faces the asynchronous one asks for ranges instead of
/// borrowing from one long slice, so that no partition is copied.
#[derive(Debug, Clone)]
pub(super) struct Bytes {
    volume: Volume,
    length: u64,
}

impl AsyncImage for Bytes {
    async fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> erofs_rs::Result<()> {
        let outside = |message: String| erofs_rs::Error::OutOfBounds(message);
        let length = buffer.len();
        if offset.checked_add(length as u64).is_none_or(|end| end > self.length) {
            let message = format!("{length} bytes at byte {offset}, of {} bytes in all", self.length);
            return Err(outside(message));
        }
        self.volume.read_at(offset, buffer).map_err(|error| outside(error.to_string()))
    }
}

/// Waits for what is ready at once: [`Bytes`] keeps nobody waiting.
pub(super) fn wait<T>(answer: impl Future<Output = erofs_rs::Result<T>>) -> Result<T> {
    match pin!(answer).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer.map_err(told),
        Poll::Pending => Err(Error::corrupt("EROFS: the reader waits for what never comes")),
    }
}

/// An error of the library in our words. What it may not know was refused by the superblock, so whatever else it does not
/// know is damage.
pub(super) fn told(error: erofs_rs::Error) -> Error {
    Error::corrupt(format!("EROFS: {error}"))
}

/// An open EROFS.
pub(super) struct Erofs {
    superblock: Superblock,
    volume: Volume,
    library: EroFS<Bytes>,
    tree: Tree,
}

impl Erofs {
    /// Opens `volume` and reads its names.
    ///
    /// # Errors
    /// Unsupported by name, or corrupt.
    pub(super) fn open(volume: Volume) -> Result<Self> {
        let superblock = Superblock::read(&volume)?;
        superblock.check(&volume)?;
        let bytes = Bytes { volume: volume.clone(), length: superblock.length() };
        let (library, tree) = fenced(|| {
            let library = wait(EroFS::new(bytes))?;
            let tree = Tree::read(&library)?;
            Ok((library, tree))
        })?;
        Ok(Self { superblock, volume, library, tree })
    }

    /// Files and targets that cannot be read. Of a file with several names the first is told.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut contents = BTreeMap::new();
        let mut waiting = vec![(0, String::new())];
        while let Some((id, path)) = waiting.pop() {
            let Some(node) = self.tree.nodes.get(id) else { continue };
            for (name, id) in &node.names {
                waiting.push((*id, format!("{path}/{}", String::from_utf8_lossy(name))));
            }
            if node.inode.is_file() || node.inode.is_symlink() {
                contents.insert(node.inode.id(), (path, node.inode));
            }
        }
        let sizes = contents.values().map(|(_, inode)| inode.data_size());
        let total = sizes.fold(0, u64::saturating_add);
        if total > MOST_CHECKED {
            return vec![format!("its files say to hold {total} bytes (at most {MOST_CHECKED} are read)")];
        }
        let mut problems: Vec<String> =
            contents.par_iter().filter_map(|(_, (path, inode))| self.problem(path, *inode)).collect();
        if let Some(more) = problems.len().checked_sub(MOST_PROBLEMS).filter(|more| *more > 0) {
            problems.truncate(MOST_PROBLEMS);
            problems.push(format!("{more} more files that cannot be read"));
        }
        problems
    }

    fn problem(&self, path: &str, inode: Inode) -> Option<String> {
        let read = match inode.is_symlink() {
            true => self.target(inode).map(|_| ()),
            false => self.pieces(inode, |_| ()),
        };
        read.at(|| path.to_owned()).err().map(|error| error.to_string())
    }

    /// Hands the content of a file on in pieces.
    fn pieces(&self, inode: Inode, mut take: impl FnMut(&[u8])) -> Result<()> {
        let size = inode.data_size();
        if size > LONGEST_READ {
            return Err(Error::unsupported(format!("a file of {size} bytes (at most {LONGEST_READ} are read)")));
        }
        fenced(|| {
            let mut file = self.library.open_inode_file(inode).map_err(told)?;
            let mut piece = vec![0; PIECE];
            let mut seen = 0;
            loop {
                let count = wait(file.read(&mut piece))?;
                if count == 0 {
                    break;
                }
                seen += count as u64;
                take(piece.get(..count).unwrap_or_default());
            }
            if seen == size {
                Ok(())
            } else {
                Err(Error::corrupt(format!("EROFS: {seen} of {size} bytes can be read")))
            }
        })
    }

    /// Where a symlink points.
    fn target(&self, inode: Inode) -> Result<String> {
        let size = inode.data_size();
        if size > LONGEST_TARGET {
            let message = format!("EROFS: a symlink's target of {size} bytes (at most {LONGEST_TARGET} can be)");
            return Err(Error::corrupt(message));
        }
        let target = fenced(|| wait(self.library.read_link_inode(inode)))?;
        Ok(String::from_utf8_lossy(target.as_bytes()).into_owned())
    }

    fn refuse_edit(&self) -> Error {
        self.superblock.not_edited()
    }
}

fn file_type(inode: &Inode) -> FileType {
    match inode {
        inode if inode.is_dir() => FileType::Directory,
        inode if inode.is_file() => FileType::Regular,
        inode if inode.is_symlink() => FileType::Symlink,
        _ => FileType::Special,
    }
}

impl Filesystem for Erofs {
    fn kind(&self) -> Kind {
        Kind::Erofs
    }

    fn space(&mut self) -> Result<Space> {
        Ok(Space {
            block_size: self.superblock.block_size(),
            blocks: self.superblock.blocks.into(),
            free_blocks: 0,
            inodes: self.superblock.inodes,
            free_inodes: 0,
        })
    }

    fn metadata(&mut self, path: &str) -> Result<Option<Metadata>> {
        let Some(node) = self.tree.find(path)? else { return Ok(None) };
        let inode = node.inode;
        let attributes = Attributes { mode: inode.permissions(), uid: inode.uid(), gid: inode.gid() };
        let link_target = inode.is_symlink().then(|| self.target(inode)).transpose().at(|| path.to_owned())?;
        Ok(Some(Metadata { file_type: file_type(&inode), attributes, size: inode.data_size(), link_target }))
    }

    fn list(&mut self, path: &str) -> Result<Vec<DirectoryEntry>> {
        let directory = self.tree.find(path)?.filter(|node| node.inode.is_dir());
        let directory = directory.ok_or_else(|| Error::usage("there is no such directory").at(path))?;
        let entry = |(name, id): (&Vec<u8>, &usize)| {
            let node = self.tree.nodes.get(*id)?;
            Some(DirectoryEntry { name: String::from_utf8_lossy(name).into_owned(), file_type: file_type(&node.inode) })
        };
        Ok(directory.names.iter().filter_map(entry).collect())
    }

    fn read(&mut self, path: &str) -> Result<Vec<u8>> {
        let file = self.tree.find(path)?.filter(|node| node.inode.is_file());
        let file = file.ok_or_else(|| Error::usage("there is no such file").at(path))?;
        let mut content = Vec::new();
        self.pieces(file.inode, |piece| content.extend_from_slice(piece)).at(|| path.to_owned())?;
        Ok(content)
    }

    fn write(&mut self, _: &str, _: &[u8], _: Attributes) -> Result<()> {
        Err(self.refuse_edit())
    }

    fn make_directory(&mut self, _: &str, _: Attributes) -> Result<()> {
        Err(self.refuse_edit())
    }

    fn symlink(&mut self, _: &str, _: &str) -> Result<()> {
        Err(self.refuse_edit())
    }

    fn set_attributes(&mut self, _: &str, _: Attributes) -> Result<()> {
        Err(self.refuse_edit())
    }

    fn remove(&mut self, _: &str) -> Result<()> {
        Err(self.refuse_edit())
    }
}

impl VolumeFilesystem for Erofs {
    fn finish(self: Box<Self>) -> Result<Volume> {
        Ok(self.volume)
    }

    fn into_trunk(self: Box<Self>) -> Result<Box<dyn Trunk>> {
        Ok(Box::new(Finished::new(self.volume, 0)))
    }
}
