//! Writing a disk to a block device: only one that nothing uses, all of it, read back afterwards.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::device_use::Place;
use crate::error::{Error, Result};
use crate::image::Disk;
use crate::progress::Progress;

/// Bytes written and read in one piece.
const PIECE: usize = 4 << 20;

/// A block device that was found free, and is open for nobody else.
#[derive(Debug)]
pub(crate) struct Device {
    path: PathBuf,
    file: File,
    /// Length in bytes.
    length: u64,
}

/// Whether `path` leads to a block device.
pub(crate) fn is_block_device(path: &Path) -> bool {
    #[cfg(unix)]
    let is_one = {
        use std::os::unix::fs::FileTypeExt;
        fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_block_device())
    };
    #[cfg(not(unix))]
    let is_one = {
        let _ = path;
        false
    };
    is_one
}

impl Device {
    /// Opens the block device at `path`, whose content may be lost: `erased` names the same one.
    ///
    /// # Errors
    /// Usage when `erased` names another one or none, or something uses the device or a partition of it; I/O, such as when it
    /// cannot be written.
    pub(crate) fn prepare(path: &Path, erased: Option<&Path>) -> Result<Self> {
        let place = Place::of(path)?;
        let Some(erased) = erased else {
            return Err(Error::usage(format!("{} is a block device: all that is on it would be lost", path.display()))
                .remedy(format!("say so if that is meant: --yes-erase {}", path.display())));
        };
        if Place::of(erased).ok().as_ref() != Some(&place) {
            return Err(Error::usage(format!(
                "--yes-erase names {}, but the output is {}",
                erased.display(),
                path.display()
            ))
            .remedy("name the device that is to be overwritten in both places"));
        }
        if let Some(user) = place.user()? {
            return Err(
                Error::usage(format!("the device {} is in use: {}", path.display(), user.what)).remedy(user.remedy)
            );
        }
        if place.is_read_only() {
            return Err(Error::usage(format!("the device {} is read-only", path.display()))
                .remedy("unlock the card or disk, or choose another device"));
        }
        let mut file = open_exclusively(path)?;
        let length = file.seek(SeekFrom::End(0)).map_err(|error| Error::io("measure", path, error))?;
        Ok(Self { path: path.to_owned(), file, length })
    }

    /// Its path, as given.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A disk of `length` bytes fits.
    ///
    /// # Errors
    /// Usage.
    pub(crate) fn check_length(&self, length: u64) -> Result<()> {
        if length > self.length {
            return Err(Error::usage(format!(
                "the disk has {length} bytes, the device {} only {}",
                self.path.display(),
                self.length
            ))
            .remedy("choose a larger device"));
        }
        Ok(())
    }

    /// Writes all of `disk`, zeroes too, lets it reach the device, and reads it back. What the device has behind it stays.
    ///
    /// # Errors
    /// Usage when it is too small; corrupt when the device gives other bytes back; I/O.
    pub(crate) fn write(mut self, disk: &Disk, progress: &dyn Progress) -> Result<()> {
        self.check_length(disk.length())?;
        let name = self.path.display().to_string();
        progress.begin(&format!("Writing {name}"), Some(disk.length()));
        let written = self.put(disk, progress);
        progress.end();
        written.map_err(|error| {
            Error::io("write", &self.path, error).remedy("the device holds a part of the image now: write it again")
        })?;
        progress.begin(&format!("Reading {name} back"), Some(disk.length()));
        let difference = self.difference(disk, progress);
        progress.end();
        match difference.map_err(|error| Error::io("read back", &self.path, error))? {
            None => Ok(()),
            Some(at) => Err(Error::corrupt(format!("the device {name} gives back other bytes from byte {at} on"))
                .remedy("it is broken, or smaller than it says: use another one")),
        }
    }

    fn put(&mut self, disk: &Disk, progress: &dyn Progress) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        each_piece(disk, progress, |_, piece| self.file.write_all(piece).map(|()| true))?;
        self.file.sync_all()
    }

    /// Where the device begins to differ from `disk`.
    fn difference(&mut self, disk: &Disk, progress: &dyn Progress) -> io::Result<Option<u64>> {
        forget(&self.file, disk.length());
        self.file.seek(SeekFrom::Start(0))?;
        let mut found = None;
        let mut buffer = vec![0; PIECE];
        each_piece(disk, progress, |start, piece| {
            let read = buffer.get_mut(..piece.len()).unwrap_or_default();
            self.file.read_exact(read)?;
            found =
                read.iter().zip(piece).position(|(read, written)| read != written).map(|within| start + within as u64);
            Ok(found.is_none())
        })?;
        Ok(found)
    }
}

/// Shows the pieces of `disk` with their places to `take`, until that answers `false`.
fn each_piece(
    disk: &Disk,
    progress: &dyn Progress,
    mut take: impl FnMut(u64, &[u8]) -> io::Result<bool>,
) -> io::Result<()> {
    let mut buffer = vec![0; PIECE];
    for start in (0..disk.length()).step_by(PIECE) {
        let count = usize::try_from(disk.length() - start).unwrap_or(PIECE).min(PIECE);
        let piece = buffer.get_mut(..count).unwrap_or_default();
        disk.read_at(start, piece).map_err(io::Error::other)?;
        if !take(start, piece)? {
            break;
        }
        progress.advance(count as u64);
    }
    Ok(())
}

/// Opens a device in such a way that the kernel refuses where somebody uses it, and refuses others while it is open.
fn open_exclusively(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(i32::try_from(rustix::fs::OFlags::EXCL.bits()).unwrap_or(0));
    }
    options.open(path).map_err(|error| match error.kind() {
        ErrorKind::ResourceBusy => Error::usage(format!("the device {} is in use", path.display()))
            .remedy("unmount it and its partitions, and stop what uses them: lsblk shows it"),
        ErrorKind::PermissionDenied => {
            Error::io("open", path, error).remedy("run it as root, or as a member of the device's group")
        }
        _ => Error::io("open", path, error),
    })
}

/// The first `length` bytes of the file are read from the device, not from memory, where the kernel can do that.
fn forget(file: &File, length: u64) {
    #[cfg(target_os = "linux")]
    // A kernel that will not leaves the bytes in memory: then only writing was verified.
    let _ = rustix::fs::fadvise(file, 0, std::num::NonZeroU64::new(length), rustix::fs::Advice::DontNeed);
    #[cfg(not(target_os = "linux"))]
    let _ = (file, length);
}
