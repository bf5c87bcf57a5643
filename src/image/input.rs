//! One pass over the image file: the reader takes chunks, a thread beside it computes the file's SHA-256.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use crate::digest::Sha256Hex;
use crate::error::{Error, Result};
use crate::progress::Progress;

/// Bytes per read.
const CHUNK: usize = 256 * 1024;
/// Chunks that may wait for the hashing thread.
const QUEUE: usize = 16;

/// A file being read from front to back.
pub(super) struct Input<'a> {
    reader: &'a mut dyn Read,
    name: PathBuf,
    progress: &'a dyn Progress,
    hasher: SyncSender<Arc<[u8]>>,
    chunk: Arc<[u8]>,
    within: usize,
    position: u64,
    crc: crc32fast::Hasher,
}

impl Input<'_> {
    /// Bytes consumed so far.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// CRC-32 of the bytes consumed so far.
    pub(super) fn crc(&self) -> crc32fast::Hasher {
        self.crc.clone()
    }

    /// The bytes that come next, at least one unless the file is over. They stay next until [consumed](Self::consume).
    ///
    /// # Errors
    /// I/O.
    pub(super) fn peek(&mut self) -> Result<&[u8]> {
        if self.within >= self.chunk.len() {
            self.chunk = self.read_chunk()?;
            self.within = 0;
        }
        Ok(self.chunk.get(self.within..).unwrap_or_default())
    }

    /// The whole next chunk, consumed; `None` when the file is over.
    ///
    /// # Errors
    /// I/O.
    pub(super) fn take(&mut self) -> Result<Option<Vec<u8>>> {
        let bytes = self.peek()?.to_vec();
        self.consume(bytes.len());
        Ok((!bytes.is_empty()).then_some(bytes))
    }

    /// Takes `count` of the peeked bytes.
    pub(super) fn consume(&mut self, count: usize) {
        let end = self.within.saturating_add(count).min(self.chunk.len());
        self.crc.update(self.chunk.get(self.within..end).unwrap_or_default());
        self.position += (end - self.within) as u64;
        self.within = end;
    }

    fn read_chunk(&mut self) -> Result<Arc<[u8]>> {
        let mut bytes = Vec::with_capacity(CHUNK);
        // A short read is not the end of the file; `take` retries until the chunk is full or the file is over.
        (&mut *self.reader)
            .take(CHUNK as u64)
            .read_to_end(&mut bytes)
            .map_err(|error| Error::io("read", &self.name, error))?;
        self.progress.advance(bytes.len() as u64);
        let chunk: Arc<[u8]> = bytes.into();
        // The receiver lives as long as this sender; were it gone, the digest would be missing and be reported.
        let _ = self.hasher.send(Arc::clone(&chunk));
        Ok(chunk)
    }
}

/// Lets `work` read `reader` to its end, and returns its result with the SHA-256 of all bytes read.
///
/// # Errors
/// Those of `work`; I/O.
pub(super) fn with_digest<T>(
    reader: &mut dyn Read,
    name: &Path,
    progress: &dyn Progress,
    work: impl FnOnce(&mut Input<'_>) -> Result<T>,
) -> Result<(T, String)> {
    let (sender, receiver) = sync_channel::<Arc<[u8]>>(QUEUE);
    std::thread::scope(|scope| {
        let digest = scope.spawn(move || {
            let mut digest = Sha256Hex::default();
            for chunk in receiver {
                digest.update(&chunk);
            }
            digest.finish()
        });
        let mut input = Input {
            reader,
            name: name.to_owned(),
            progress,
            hasher: sender,
            chunk: Arc::default(),
            within: 0,
            position: 0,
            crc: crc32fast::Hasher::new(),
        };
        let result = work(&mut input);
        drop(input); // closes the channel: the thread ends
        let digest = digest
            .join()
            .map_err(|_| Error::io("compute the SHA-256 of", name, io::Error::other("the hashing thread died")))?;
        Ok((result?, digest))
    })
}
