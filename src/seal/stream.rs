//! An output file that grows from front to back: every byte is hashed, and zeroes become holes.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};

use crate::digest::Sha256Hex;

/// Zeroes hashed in one piece.
static ZEROES: [u8; 64 * 1024] = [0; 64 * 1024];

/// Writes a file in order.
pub(super) struct Stream<'a> {
    /// `None` where only the digest is wanted.
    file: Option<BufWriter<&'a mut File>>,
    digest: Sha256Hex,
    length: u64,
}

impl<'a> Stream<'a> {
    /// Begins to write the empty `file`.
    pub(super) fn new(file: &'a mut File) -> Self {
        let file = Some(BufWriter::with_capacity(256 * 1024, file));
        Self { file, digest: Sha256Hex::default(), length: 0 }
    }

    /// Hashes what is written, and stores nothing.
    pub(super) fn to_nowhere() -> Self {
        Self { file: None, digest: Sha256Hex::default(), length: 0 }
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
        let mut left = count;
        while left > 0 {
            let now = usize::try_from(left).unwrap_or(usize::MAX).min(ZEROES.len());
            self.digest.update(ZEROES.get(..now).unwrap_or(&ZEROES));
            left -= now as u64;
        }
        self.length += count;
        match &mut self.file {
            Some(file) => file.seek(SeekFrom::Start(self.length)).map(|_| ()),
            None => Ok(()),
        }
    }

    /// Ends the file where it was written up to, and lets it reach the disk. Returns its length in bytes and its
    /// SHA-256, 64 lower-case hex digits.
    ///
    /// # Errors
    /// I/O.
    pub(super) fn finish(mut self) -> io::Result<(u64, String)> {
        if let Some(file) = &mut self.file {
            file.flush()?;
            let file = file.get_ref();
            file.set_len(self.length)?;
            file.sync_all()?;
        }
        Ok((self.length, self.digest.finish()))
    }
}

impl Write for Stream<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = match &mut self.file {
            Some(file) => file.write(bytes)?,
            None => bytes.len(),
        };
        self.digest.update(bytes.get(..count).unwrap_or_default());
        self.length += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}
