//! An output file that is written from front to back: every byte is hashed, and zeroes become holes. It may hold something
//! already; then only what differs is written.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};

use super::gzip::Target;
use super::model::{Model, Over};
use crate::digest::Sha256Hex;
use crate::parallel::both;

/// So many bytes take longer to hash than a thread takes to begin.
const LONG: usize = 1 << 20;
/// Zeroes hashed in one piece.
static ZEROES: [u8; 64 * 1024] = [0; 64 * 1024];

/// Writes a file in order.
pub(super) struct Stream<'a> {
    sink: Sink<'a>,
    digest: Sha256Hex,
    /// Whether the digest of what comes is known to who writes.
    is_paused: bool,
    length: u64,
}

/// Where it goes.
enum Sink<'a> {
    /// Only the digest is wanted.
    Nowhere,
    /// An empty file.
    File(BufWriter<&'a mut File>),
    /// A file that is a clone of another one.
    Clone(&'a File, Over<'a>),
}

impl<'a> Stream<'a> {
    /// Begins to write the empty `file`.
    pub(super) fn new(file: &'a mut File) -> Self {
        Self::into_sink(Sink::File(BufWriter::with_capacity(256 * 1024, file)))
    }

    /// Begins to write `file`, which is a clone of `model`.
    pub(super) fn over(file: &'a File, model: &'a Model) -> Self {
        Self::into_sink(Sink::Clone(file, Over::new(file, model)))
    }

    /// Hashes what is written, and stores nothing.
    pub(super) fn to_nowhere() -> Self {
        Self::into_sink(Sink::Nowhere)
    }

    fn into_sink(sink: Sink<'a>) -> Self {
        Self { sink, digest: Sha256Hex::default(), is_paused: false, length: 0 }
    }

    /// Appends `count` zeroes without storing them, where the filesystem can do that.
    ///
    /// # Errors
    /// I/O.
    pub(super) fn zeroes(&mut self, count: u64) -> io::Result<()> {
        if count == 0 {
            // Moving would write out what is buffered.
            return Ok(());
        }
        let mut left = if self.is_paused { 0 } else { count };
        while left > 0 {
            let now = usize::try_from(left).unwrap_or(usize::MAX).min(ZEROES.len());
            self.digest.update(ZEROES.get(..now).unwrap_or(&ZEROES));
            left -= now as u64;
        }
        let position = self.length;
        self.length += count;
        match &mut self.sink {
            Sink::Nowhere => Ok(()),
            Sink::File(file) => file.seek(SeekFrom::Start(self.length)).map(|_| ()),
            Sink::Clone(_, over) => over.clear(position, count),
        }
    }

    /// Ends the file where it was written up to, and lets it reach the disk. Returns its length in bytes and its
    /// SHA-256, 64 lower-case hex digits.
    ///
    /// # Errors
    /// I/O.
    pub(super) fn finish(mut self) -> io::Result<(u64, String)> {
        let file: Option<&File> = match &mut self.sink {
            Sink::Nowhere => None,
            Sink::File(file) => {
                file.flush()?;
                Some(file.get_ref())
            }
            Sink::Clone(file, _) => Some(file),
        };
        if let Some(file) = file {
            file.set_len(self.length)?;
            file.sync_all()?;
        }
        Ok((self.length, self.digest.finish()))
    }
}

impl Target for Stream<'_> {
    fn pause(&mut self) {
        self.is_paused = true;
    }

    fn resume(&mut self, digest: Sha256Hex) {
        (self.digest, self.is_paused) = (digest, false);
    }
}

impl Sink<'_> {
    /// Puts `bytes` at byte `position`, where the last ones ended.
    fn put(&mut self, position: u64, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Nowhere => Ok(()),
            Self::File(file) => file.write_all(bytes),
            Self::Clone(_, over) => over.put(position, bytes),
        }
    }
}

impl Write for Stream<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Self { sink, digest, is_paused, length } = self;
        if *is_paused {
            sink.put(*length, bytes)?;
        } else if bytes.len() < LONG {
            sink.put(*length, bytes)?;
            digest.update(bytes);
        } else {
            both(|| sink.put(*length, bytes), || digest.update(bytes)).0?;
        }
        *length += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Sink::File(file) = &mut self.sink { file.flush() } else { Ok(()) }
    }
}
