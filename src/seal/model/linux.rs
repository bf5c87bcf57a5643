//! The system calls of Linux.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use rustix::fs::{FallocateFlags, SeekFrom, fallocate, ioctl_ficlone, seek};
use rustix::io::Errno;

/// Makes the empty `file` a clone of `model`: both share its blocks.
///
/// # Errors
/// Another filesystem, or one that cannot.
pub(super) fn clone(file: &File, model: &File) -> io::Result<()> {
    ioctl_ficlone(file, model).map_err(Into::into)
}

/// Where the next byte at or behind `position` is that is in no hole; `None` when none is.
pub(super) fn next_data(file: &File, position: u64) -> Option<u64> {
    match seek(file, SeekFrom::Data(position)) {
        Ok(place) => Some(place),
        Err(Errno::NXIO) => None,
        // A filesystem that knows no holes has data everywhere.
        Err(_) => Some(position),
    }
}

/// Reads from byte `position` on; returns how much there was before the end.
///
/// # Errors
/// I/O.
pub(super) fn read(file: &File, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, position.saturating_add(done as u64)) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Writes `bytes` from byte `position` on.
///
/// # Errors
/// I/O.
pub(super) fn write(file: &File, position: u64, bytes: &[u8]) -> io::Result<()> {
    file.write_all_at(bytes, position)
}

/// Makes a hole of the `length` bytes from byte `position` on.
///
/// # Errors
/// A filesystem that knows none.
pub(super) fn punch(file: &File, position: u64, length: u64) -> io::Result<()> {
    fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, position, length).map_err(Into::into)
}
