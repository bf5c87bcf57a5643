//! Who is at work in a folder: locks that the system gives back when a process ends, however it ends.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// How a file is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// Nobody else.
    Alone,
    /// Nobody who wants to be alone.
    Shared,
}

/// A file that is there as long as somebody holds it.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    file: File,
    is_sure: bool,
}

impl Lock {
    /// Locks the file at `path`, which is made where there is none; `None` when somebody holds it. On a filesystem that knows
    /// no locks everybody gets it.
    ///
    /// # Errors
    /// I/O.
    pub(super) fn take(path: &Path, hold: Hold) -> io::Result<Option<Self>> {
        loop {
            let file = OpenOptions::new().create(true).append(true).read(true).open(path)?;
            let locked = match hold {
                Hold::Alone => file.try_lock(),
                Hold::Shared => file.try_lock_shared(),
            };
            let is_sure = locked.is_ok();
            match locked {
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) if !knows_no_locks(&error) => return Err(error),
                _ if is_at(&file, path) => return Ok(Some(Self { path: path.to_owned(), file, is_sure })),
                // Whoever held it last removed it in between.
                _ => {}
            }
        }
    }

    /// Whether somebody holds the file at `path` alone.
    ///
    /// # Errors
    /// I/O.
    pub(super) fn is_held(path: &Path) -> io::Result<bool> {
        match File::open(path).map(|file| file.try_lock_shared()) {
            Ok(locked) => Ok(matches!(locked, Err(TryLockError::WouldBlock))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether the filesystem knows locks.
    pub(super) fn is_sure(&self) -> bool {
        self.is_sure
    }

    /// The file, for whoever writes to it.
    pub(super) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Gives the file up. It goes, if nobody else holds it.
    pub(super) fn release(self) {
        let Self { path, file, is_sure } = self;
        let is_free = !is_sure || (file.unlock().is_ok() && file.try_lock().is_ok());
        // What cannot be removed lies there until the next run; it holds nobody up.
        if is_free && is_at(&file, &path) {
            let _ = fs::remove_file(path);
        }
    }
}

/// NFS without its lock service, Lustre mounted without `flock`.
fn knows_no_locks(error: &io::Error) -> bool {
    const ENOLCK: i32 = 37;
    error.kind() == io::ErrorKind::Unsupported || cfg!(target_os = "linux") && error.raw_os_error() == Some(ENOLCK)
}

/// Whether `path` still leads to `file`.
fn is_at(file: &File, path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let place = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        matches!((file.metadata().map(place), fs::metadata(path).map(place)), (Ok(own), Ok(there)) if own == there)
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        path.exists()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_wants_to_be_alone_is_and_the_last_one_takes_the_file_along() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let take = |hold| Lock::take(&path, hold).unwrap();
        let alone = take(Hold::Alone).unwrap();
        assert!(take(Hold::Alone).is_none() && take(Hold::Shared).is_none());
        alone.release();
        assert!(!path.exists());
        let (first, second) = (take(Hold::Shared).unwrap(), take(Hold::Shared).unwrap());
        assert!(take(Hold::Alone).is_none());
        first.release();
        assert!(path.exists() && take(Hold::Alone).is_none(), "the second one is still there");
        second.release();
        assert!(!path.exists());
        take(Hold::Alone).unwrap().release();
    }

    #[test]
    fn a_file_that_a_killed_run_left_is_free() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        fs::write(&path, "").unwrap();
        Lock::take(&path, Hold::Alone).unwrap().unwrap().release();
        assert!(!path.exists());
    }

    #[test]
    fn where_there_are_no_locks_the_file_goes_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let sure = Lock::take(&path, Hold::Alone).unwrap().unwrap();
        Lock { path: path.clone(), file: File::open(&path).unwrap(), is_sure: false }.release();
        assert!(!path.exists());
        sure.release();
        for (error, is_known) in [(38, true), (95, true), (37, true), (5, false)] {
            let found = knows_no_locks(&io::Error::from_raw_os_error(error));
            assert!(!cfg!(target_os = "linux") || found == is_known, "error {error}");
        }
    }
}
