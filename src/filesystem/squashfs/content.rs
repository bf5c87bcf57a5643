//! What stored files hold.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::compressor::Compressor;
use super::inode::{Content, NO_FRAGMENT};
use super::tables::{Fragment, PLAIN};
use crate::error::{Error, Result};
use crate::image::Volume;

/// A file longer than this is not read into memory: 1 GiB.
const LONGEST_READ: u64 = 1 << 30;

/// Fragment blocks that are kept unpacked: small files are read one after the other.
const KEPT: usize = 8;

/// The fragment blocks unpacked last, by their first byte.
pub(super) type Cache = Mutex<VecDeque<(u64, Arc<[u8]>)>>;

/// Reads data blocks and fragments.
pub(super) struct Contents<'a> {
    pub(super) volume: &'a Volume,
    pub(super) compressor: &'a Compressor,
    pub(super) block_size: usize,
    pub(super) fragments: &'a [Fragment],
    pub(super) cache: &'a Cache,
}

impl Contents<'_> {
    /// The bytes of the block that begins at byte `start` and is stored as `stored`, at most a block.
    fn block(&self, start: u64, stored: u32) -> Result<Arc<[u8]>> {
        // Every stored length was checked against the block size when it was read.
        let length = usize::try_from(stored & !PLAIN).unwrap_or(usize::MAX).min(self.block_size);
        let read = || {
            let mut bytes = vec![0; length];
            self.volume.read_at(start, &mut bytes).map(|()| bytes)
        };
        if stored & PLAIN != 0 {
            return Ok(read()?.into());
        }
        let unpack = || self.compressor.unpack(&read()?, self.block_size);
        self.volume.made((start, length as u64), self.compressor.way(self.block_size), unpack)
    }

    /// All bytes of a file.
    ///
    /// # Errors
    /// Corrupt blocks, or too long a file.
    pub(super) fn read(&self, content: &Content) -> Result<Vec<u8>> {
        if content.size > LONGEST_READ {
            let message = format!("a file of {} bytes (at most {LONGEST_READ} are read)", content.size);
            return Err(Error::unsupported(message));
        }
        let size = usize::try_from(content.size).unwrap_or(usize::MAX);
        let mut bytes = Vec::new();
        self.blocks(content, &mut |block, length| match block {
            Some(block) => bytes.extend_from_slice(&block),
            None => bytes.resize(bytes.len() + length, 0),
        })?;
        if content.fragment != NO_FRAGMENT {
            bytes.extend(self.tail(content, size.saturating_sub(bytes.len()))?);
        }
        Ok(bytes)
    }

    /// Unpacks all of a file's blocks, and its fragment.
    ///
    /// # Errors
    /// Corrupt blocks.
    pub(super) fn check(&self, content: &Content) -> Result<()> {
        self.blocks(content, &mut |_, _| ())?;
        if content.fragment != NO_FRAGMENT {
            let tail = content.size % self.block_size as u64;
            self.tail(content, usize::try_from(tail).unwrap_or(usize::MAX))?;
        }
        Ok(())
    }

    /// Gives every block of a file to `take`, or `None` and its length for zeroes that are not stored.
    fn blocks(&self, content: &Content, take: &mut dyn FnMut(Option<Arc<[u8]>>, usize)) -> Result<()> {
        let mut place = content.start;
        let mut left = content.size;
        for stored in &content.blocks {
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(self.block_size);
            left -= wanted as u64;
            if *stored == 0 {
                take(None, wanted);
                continue;
            }
            let block = self.block(place, *stored)?;
            if block.len() != wanted {
                let found = block.len();
                let message = format!("squashfs: the block at byte {place} has {found} bytes, not {wanted}");
                return Err(Error::corrupt(message));
            }
            take(Some(block), wanted);
            place += u64::from(*stored & !PLAIN);
        }
        Ok(())
    }

    fn fragment(&self, fragment: Fragment) -> Result<Arc<[u8]>> {
        let lock = || self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, block)) = lock().iter().find(|(start, _)| *start == fragment.start) {
            return Ok(Arc::clone(block));
        }
        let block = self.block(fragment.start, fragment.stored)?;
        let mut kept = lock();
        kept.push_back((fragment.start, Arc::clone(&block)));
        if kept.len() > KEPT {
            kept.pop_front();
        }
        Ok(block)
    }

    /// The `length` bytes of a file in its fragment.
    fn tail(&self, content: &Content, length: usize) -> Result<Vec<u8>> {
        let number = content.fragment;
        let fragment = usize::try_from(number).ok().and_then(|number| self.fragments.get(number));
        let fragment = fragment.ok_or_else(|| Error::corrupt(format!("squashfs: there is no fragment {number}")))?;
        let block = self.fragment(*fragment)?;
        let start = usize::try_from(content.offset).unwrap_or(usize::MAX);
        let tail = block.get(start..).and_then(|rest| rest.get(..length)).ok_or_else(|| {
            let message = format!(
                "squashfs: fragment {number} has {} bytes, a file has {length} from byte {start} on",
                block.len()
            );
            Error::corrupt(message)
        })?;
        Ok(tail.to_vec())
    }
}
