//! A file that plain images begin as a clone of, where the filesystem can do that (Btrfs, XFS, bcachefs). Clones share their
//! blocks until one of them is written to: many images of one base take the room of one, and that of their differences.
//!
//! Nothing is taken for granted of what a clone holds: it is compared with what is to be there, and what differs is written.
//! So an output has the same bytes whatever it began as.

#[cfg(not(target_os = "linux"))]
#[path = "elsewhere.rs"]
mod system;
#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod system;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;

use super::raw::write_raw;
use super::stream::Stream;
use super::temporary::{Temporaries, Temporary};
use crate::image::{Disk, PAGE};
use crate::progress::Silent;

/// Bytes compared in one piece.
const BLOCK: usize = 64 * 1024;
static ZEROES: [u8; BLOCK] = [0; BLOCK];

/// The file.
#[derive(Debug)]
pub(crate) struct Model {
    file: File,
    /// Whether nobody else can write to it, so that its clones hold what it does.
    is_own: bool,
}

impl Model {
    /// The file at `path`.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        Ok(Self { file: File::open(path)?, is_own: false })
    }

    /// A file without a name in `folder` with what `disk` holds, itself a clone of the disk's file at `input` where it can be
    /// one; `None` where files of that folder cannot be clones. `whose` it is until it lost its name is as for
    /// [`Output::prepare_as`](super::Output::prepare_as).
    pub(crate) fn of(disk: &Disk, input: &Path, whose: &str, folder: &Path) -> Option<Self> {
        let temporaries = Temporaries { whose, ..Temporaries::readable(folder) };
        let nameless = || temporaries.create().map(Temporary::into_file);
        let (mut file, probe) = (nameless().ok()?, nameless().ok()?);
        system::clone(&probe, &file).ok()?;
        let below = is_plain(disk).then(|| Self::at(input).ok()).flatten();
        let below = below.filter(|model| model.begin(&file).is_ok());
        let mut out = match &below {
            Some(model) => Stream::over(&file, model),
            None => Stream::new(&mut file),
        };
        // A disk that is full is told when an output itself cannot be written.
        write_raw(disk, &mut out, &Silent).and_then(|()| out.finish()).ok()?;
        Some(Self { file, is_own: true })
    }

    /// Makes the empty `file` a clone.
    ///
    /// # Errors
    /// The filesystem cannot do that; the file is empty still.
    pub(super) fn begin(&self, file: &File) -> io::Result<()> {
        system::clone(file, &self.file).inspect_err(|_| {
            // Nothing of a clone that was half made.
            let _ = file.set_len(0);
        })
    }
}

/// Whether the file that `disk` was read from holds its bytes as they are.
pub(super) fn is_plain(disk: &Disk) -> bool {
    disk.file().is_some_and(|file| file.is_plain)
}

/// Writing to a file that is a clone already: only where it differs.
pub(super) struct Over<'a> {
    file: &'a File,
    /// What holds the same as the clone did; reading a file that is written to many times spares reading each clone.
    before: &'a File,
    found: Vec<u8>,
}

impl<'a> Over<'a> {
    /// `file` is a clone of `model`.
    pub(super) fn new(file: &'a File, model: &'a Model) -> Self {
        let before = if model.is_own { &model.file } else { file };
        Self { file, before, found: vec![0; BLOCK] }
    }

    /// Lets `bytes` stand from byte `position` on.
    ///
    /// # Errors
    /// I/O.
    pub(super) fn put(&mut self, position: u64, bytes: &[u8]) -> io::Result<()> {
        let mut position = position;
        for wanted in bytes.chunks(BLOCK) {
            for run in self.differing(position, wanted)? {
                let at = position + run.start as u64;
                system::write(self.file, at, wanted.get(run).unwrap_or_default())?;
            }
            position += wanted.len() as u64;
        }
        Ok(())
    }

    /// Lets `count` zeroes stand from byte `position` on: as holes, where the filesystem knows any.
    ///
    /// # Errors
    /// I/O.
    pub(super) fn clear(&mut self, position: u64, count: u64) -> io::Result<()> {
        let end = position.saturating_add(count);
        let mut next = position;
        while let Some(data) = system::next_data(self.before, next).filter(|data| *data < end) {
            let length = usize::try_from(end - data).unwrap_or(BLOCK).min(BLOCK);
            let wanted = ZEROES.get(..length).unwrap_or(&ZEROES);
            for run in self.differing(data, wanted)? {
                let at = data + run.start as u64;
                if system::punch(self.file, at, run.len() as u64).is_err() {
                    system::write(self.file, at, wanted.get(run).unwrap_or_default())?;
                }
            }
            next = data + length as u64;
        }
        Ok(())
    }

    /// Where the file, whose bytes from `position` on were to be `wanted`, has others: pages, those side by side as one run.
    fn differing(&mut self, position: u64, wanted: &[u8]) -> io::Result<Vec<Range<usize>>> {
        let Some(found) = self.found.get_mut(..wanted.len()) else { return Err(io::Error::other("block size")) };
        let count = system::read(self.before, position, found)?;
        // What lies behind its end will be zero.
        found.get_mut(count..).into_iter().for_each(|behind| behind.fill(0));
        let mut runs: Vec<Range<usize>> = Vec::new();
        let pages = found.chunks(PAGE).zip(wanted.chunks(PAGE)).enumerate();
        for (number, (_, page)) in pages.filter(|(_, (found, wanted))| found != wanted) {
            let run = number * PAGE..number * PAGE + page.len();
            match runs.last_mut().filter(|last| last.end == run.start) {
                Some(last) => last.end = run.end,
                None => runs.push(run),
            }
        }
        Ok(runs)
    }
}
