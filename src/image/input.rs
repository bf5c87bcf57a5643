//! One pass over the image file: one thread reads ahead, another computes the file's SHA-256, and here what was read is taken
//! apart.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::digest::Sha256Hex;
use crate::error::{Error, Result};
use crate::progress::Progress;

/// Bytes per read.
const CHUNK: usize = 256 * 1024;
/// Chunks that are read ahead.
const QUEUE: usize = 16;

/// Bytes that were read in one piece.
type Chunk = Arc<Vec<u8>>;

/// A file being read from front to back.
pub(super) struct Input<'a> {
    /// The chunks of the file, and why there is no further one.
    chunks: Receiver<io::Result<Chunk>>,
    name: PathBuf,
    progress: &'a dyn Progress,
    /// Bytes of the file that were read and are still of use.
    buffer: Vec<u8>,
    /// Where the buffer begins in the file.
    start: u64,
    /// How many of the buffer's bytes are consumed.
    within: usize,
    /// From where on in the file consumed bytes stay in the buffer.
    held: Option<u64>,
    /// Length of the file, or 0 where it is not known.
    known_length: u64,
    crc: crc32fast::Hasher,
}

impl<'a> Input<'a> {
    /// The file of which `chunks` are read; `name` stands in messages, its `known_length` is 0 where nobody knows it.
    fn new(chunks: Receiver<io::Result<Chunk>>, name: &Path, known_length: u64, progress: &'a dyn Progress) -> Self {
        Self {
            chunks,
            name: name.to_owned(),
            progress,
            buffer: Vec::new(),
            start: 0,
            within: 0,
            held: None,
            known_length,
            crc: crc32fast::Hasher::new(),
        }
    }

    /// Bytes consumed so far.
    pub(super) fn position(&self) -> u64 {
        self.start + self.within as u64
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
        self.peek_many(1)
    }

    /// The bytes that come next, at least `count` unless the file is over before.
    ///
    /// # Errors
    /// I/O.
    pub(super) fn peek_many(&mut self, count: usize) -> Result<&[u8]> {
        while self.buffer.len() - self.within < count && self.read_chunk()? {}
        Ok(self.buffer.get(self.within..).unwrap_or_default())
    }

    /// The whole next chunk, consumed; `None` when the file is over.
    ///
    /// # Errors
    /// I/O.
    pub(super) fn take(&mut self) -> Result<Option<Chunk>> {
        if self.within < self.buffer.len() || self.held.is_some() {
            let bytes = self.peek()?.to_vec();
            self.consume(bytes.len());
            return Ok((!bytes.is_empty()).then(|| Arc::new(bytes)));
        }
        self.drop_consumed();
        let chunk = self.next_chunk()?;
        if let Some(chunk) = &chunk {
            self.crc.update(chunk);
            self.start += chunk.len() as u64;
        }
        Ok(chunk)
    }

    /// Takes `count` of the peeked bytes.
    pub(super) fn consume(&mut self, count: usize) {
        let end = self.within.saturating_add(count).min(self.buffer.len());
        self.crc.update(self.buffer.get(self.within..end).unwrap_or_default());
        self.within = end;
    }

    /// From here on consumed bytes stay within reach.
    pub(super) fn hold(&mut self) {
        self.held = Some(self.position());
    }

    /// From here on consumed bytes stay within reach, up to the end of the file.
    pub(super) fn hold_all(&mut self) {
        /// Most bytes for which memory is taken before they are there.
        const MOST: u64 = 256 << 20;
        let expected = self.known_length.saturating_sub(self.start + self.buffer.len() as u64);
        self.buffer.reserve(usize::try_from(expected.min(MOST)).unwrap_or(0));
        self.hold();
    }

    /// What was held before byte `start` of the file is of no use any more.
    pub(super) fn hold_from(&mut self, start: u64) {
        self.held = Some(start);
    }

    /// The file from byte `start` on, which is held, as far as it was read.
    pub(super) fn held(&self, start: u64) -> &[u8] {
        let within = start.checked_sub(self.start).and_then(|within| usize::try_from(within).ok());
        within.and_then(|within| self.buffer.get(within..)).unwrap_or_default()
    }

    /// The bytes held up to the position, behind as many of the first as the number says. Nothing is held afterwards.
    pub(super) fn release(&mut self) -> (Vec<u8>, usize) {
        let from = self.held.take().and_then(|held| held.checked_sub(self.start));
        let from = from.and_then(|from| usize::try_from(from).ok()).unwrap_or(self.within).min(self.within);
        let rest = self.buffer.split_off(self.within);
        self.start += self.within as u64;
        self.within = 0;
        let mut released = std::mem::replace(&mut self.buffer, rest);
        released.shrink_to_fit();
        (released, from)
    }

    /// Makes the buffer longer by a chunk; `false` when the file is over.
    fn read_chunk(&mut self) -> Result<bool> {
        self.drop_consumed();
        let chunk = self.next_chunk()?;
        self.buffer.extend_from_slice(chunk.as_deref().map(Vec::as_slice).unwrap_or_default());
        Ok(chunk.is_some())
    }

    /// The next chunk of the file; `None` when it is over.
    fn next_chunk(&mut self) -> Result<Option<Chunk>> {
        // Who reads hangs up at the end.
        let Ok(chunk) = self.chunks.recv() else { return Ok(None) };
        let chunk = chunk.map_err(|error| Error::io("read", &self.name, error))?;
        self.progress.advance(chunk.len() as u64);
        Ok(Some(chunk))
    }

    fn drop_consumed(&mut self) {
        let until = self.held.map_or(self.position(), |held| held.min(self.position()));
        let count = until.checked_sub(self.start).and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
        self.buffer.drain(..count);
        self.start += count as u64;
        self.within -= count;
    }
}

/// Lets `work` read `reader`, of `known_length` bytes where that is known, to its end, and returns its result with the
/// SHA-256 of all bytes read.
///
/// # Errors
/// Those of `work`; I/O.
pub(super) fn with_digest<T>(
    reader: &mut (dyn Read + Send),
    name: &Path,
    known_length: Option<u64>,
    progress: &dyn Progress,
    work: impl FnOnce(&mut Input<'_>) -> Result<T>,
) -> Result<(T, String)> {
    let (sender, chunks) = sync_channel(QUEUE);
    let (hashed, to_hash) = sync_channel::<Chunk>(QUEUE);
    std::thread::scope(|scope| {
        scope.spawn(move || read_ahead(reader, &sender, &hashed));
        let digest = scope.spawn(move || {
            let mut digest = Sha256Hex::default();
            to_hash.iter().for_each(|chunk| digest.update(&chunk));
            digest.finish()
        });
        let mut input = Input::new(chunks, name, known_length.unwrap_or(0), progress);
        let result = work(&mut input);
        drop(input); // hangs up: the threads end
        let digest = digest
            .join()
            .map_err(|_| Error::io("compute the SHA-256 of", name, io::Error::other("the hashing thread died")))?;
        Ok((result?, digest))
    })
}

/// Reads `reader` to its end, or until nobody takes the chunks any more.
fn read_ahead(reader: &mut dyn Read, sender: &SyncSender<io::Result<Chunk>>, hashed: &SyncSender<Chunk>) {
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        // A short read is not the end of the file; `take` retries until the chunk is full or the file is over.
        let read = (&mut *reader).take(CHUNK as u64).read_to_end(&mut chunk);
        let chunk = Arc::new(chunk);
        // Were the hashing thread gone, the digest would be missing and be reported.
        let sent = match read {
            Ok(0) => return,
            Ok(_) => hashed.send(Arc::clone(&chunk)).is_ok() && sender.send(Ok(chunk)).is_ok(),
            Err(error) => sender.send(Err(error)).is_ok_and(|()| false),
        };
        if !sent {
            return;
        }
    }
}
