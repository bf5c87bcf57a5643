//! The disk in blocks of one size: which of them hold anything, and their bytes.

use std::io::{self, Write};

use super::super::form::Subject;
use super::super::stream::Stream;

/// Bytes written in one piece, or left as a hole. It divides every block size.
const PIECE: usize = 64 * 1024;

/// A disk cut into blocks.
pub(super) struct Blocks<'a> {
    subject: &'a Subject<'a>,
    size: u64,
    used: Vec<bool>,
}

impl<'a> Blocks<'a> {
    /// Cuts the disk into blocks of `size` bytes, a multiple of 64 KiB. The last one may reach behind the disk's end.
    pub(super) fn new(subject: &'a Subject<'a>, size: u64) -> Self {
        let disk = subject.disk;
        let count = disk.length().div_ceil(size);
        let used = (0..count).map(|block| !disk.is_zero(block * size, size)).collect();
        Self { subject, size, used }
    }

    /// For each block, whether it holds anything but zeroes.
    pub(super) fn used(&self) -> &[bool] {
        &self.used
    }

    /// How many blocks the disk has.
    pub(super) fn count(&self) -> u64 {
        self.used.len() as u64
    }

    /// How many of them hold anything.
    pub(super) fn used_count(&self) -> u64 {
        count(&self.used)
    }

    /// For each block its number among the used ones, `None` for one of zeroes.
    pub(super) fn numbered(&self) -> impl Iterator<Item = Option<u64>> + '_ {
        self.used.iter().scan(0, |next, used| {
            let number = used.then_some(*next);
            *next += u64::from(*used);
            Some(number)
        })
    }

    /// Writes the used blocks, in order, each whole.
    ///
    /// # Errors
    /// I/O.
    pub(super) fn write_used(&self, out: &mut Stream<'_>) -> io::Result<()> {
        let disk = self.subject.disk;
        let mut start = 0;
        for used in &self.used {
            if *used {
                self.write_block(start, out)?;
            }
            self.subject.progress.advance(self.size.min(disk.length() - start));
            start += self.size;
        }
        Ok(())
    }

    fn write_block(&self, start: u64, out: &mut Stream<'_>) -> io::Result<()> {
        let disk = self.subject.disk;
        let mut buffer = vec![0; PIECE];
        for position in (start..start + self.size).step_by(PIECE) {
            if disk.is_zero(position, PIECE as u64) {
                out.zeroes(PIECE as u64)?;
                continue;
            }
            let inside = usize::try_from(disk.length() - position).unwrap_or(PIECE).min(PIECE);
            let (content, behind) = buffer.split_at_mut(inside);
            disk.read_at(position, content).map_err(io::Error::other)?;
            behind.fill(0);
            out.write_all(&buffer)?;
        }
        Ok(())
    }
}

/// How many of `used` are true.
pub(super) fn count(used: &[bool]) -> u64 {
    used.iter().filter(|used| **used).count() as u64
}
