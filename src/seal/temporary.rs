//! A file that is not there yet: it gets its name when it is whole.
//!
//! Where the filesystem can (Linux: `O_TMPFILE`), it has no name at all before, and goes with the process, however that ends.
//! Elsewhere (NFS) it has a hidden name, which a process that is killed leaves behind; so has, for the moment of being renamed,
//! what replaces another file.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

use super::stream::Stream;

/// What hidden names begin and end with.
const HIDDEN: (&str, &str) = (".ibwrt-", ".part");
/// Bytes copied in one piece, and the shortest hole.
const BLOCK: usize = 64 * 1024;

/// Whether `name` is the hidden name of a temporary file: one that is `whose`, or with `None` any.
pub(crate) fn is_temporary(name: &str, whose: Option<&str>) -> bool {
    let inner = name.strip_prefix(HIDDEN.0).and_then(|rest| rest.strip_suffix(HIDDEN.1));
    inner.is_some_and(|inner| whose.is_none_or(|whose| inner.rsplit_once('-').map_or("", |(owner, _)| owner) == whose))
}

/// How temporary files in a folder are made.
#[derive(Debug, Clone)]
pub(super) struct Temporaries<'a> {
    /// The folder.
    pub(super) folder: &'a Path,
    /// Whose they are, as [`is_temporary`] tells.
    pub(super) whose: &'a str,
    /// Their permissions, as far as the umask allows.
    pub(super) mode: u32,
}

impl<'a> Temporaries<'a> {
    /// Files in `folder` that everybody may read: images hold no secrets as a rule, and web servers must read them.
    pub(super) fn readable(folder: &'a Path) -> Self {
        Self { folder, whose: "", mode: 0o644 }
    }

    /// A new, empty file.
    ///
    /// # Errors
    /// I/O.
    pub(super) fn create(&self) -> io::Result<Temporary> {
        let file = match nameless(self.folder, self.mode) {
            Some(file) => State::Nameless(file),
            None => State::Hidden(self.hidden(|builder, folder| builder.tempfile_in(folder))?),
        };
        let (folder, whose, mode) = (self.folder.to_owned(), self.whose.to_owned(), self.mode);
        Ok(Temporary { file, folder, whose, mode })
    }

    /// What `make` makes under a hidden name.
    pub(super) fn hidden<T>(&self, make: impl FnOnce(&Builder<'_, '_>, &Path) -> io::Result<T>) -> io::Result<T> {
        let prefix = match self.whose {
            "" => HIDDEN.0.to_owned(),
            whose => format!("{}{whose}-", HIDDEN.0),
        };
        let mut builder = Builder::new();
        builder.prefix(&prefix).suffix(HIDDEN.1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            builder.permissions(fs::Permissions::from_mode(self.mode));
        }
        make(&builder, self.folder)
    }
}

/// The file. It vanishes when this is dropped.
#[derive(Debug)]
pub(super) struct Temporary {
    file: State,
    folder: PathBuf,
    whose: String,
    mode: u32,
}

#[derive(Debug)]
enum State {
    Nameless(File),
    Hidden(NamedTempFile),
}

impl Temporary {
    pub(super) fn as_file(&self) -> &File {
        match &self.file {
            State::Nameless(file) => file,
            State::Hidden(file) => file.as_file(),
        }
    }

    pub(super) fn as_file_mut(&mut self) -> &mut File {
        match &mut self.file {
            State::Nameless(file) => file,
            State::Hidden(file) => file.as_file_mut(),
        }
    }

    /// The file, which is never to have a name.
    pub(super) fn into_file(self) -> File {
        match self.file {
            State::Nameless(file) => file,
            State::Hidden(file) => file.into_file(),
        }
    }

    /// Gives it the name `path`, in its folder; what is called so is replaced only with `force`.
    ///
    /// # Errors
    /// I/O; [`ErrorKind::AlreadyExists`].
    pub(super) fn persist(self, path: &Path, force: bool) -> io::Result<()> {
        let Self { file, folder, whose, mode } = self;
        let temporaries = Temporaries { folder: &folder, whose: &whose, mode };
        let hidden = match file {
            State::Hidden(file) => file,
            State::Nameless(mut file) => match link(&file, path) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::AlreadyExists && !force => return Err(error),
                // Only renaming replaces a name at once.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    let linked =
                        temporaries.hidden(|builder, folder| builder.make_in(folder, |path| link(&file, path)))?;
                    return linked.persist(path).map(|_| ()).map_err(|error| error.error);
                }
                // A filesystem that knows files without a name, but no further names for them.
                Err(_) => copied(&mut file, &temporaries)?,
            },
        };
        let named = if force { hidden.persist(path) } else { hidden.persist_noclobber(path) };
        named.map(|_| ()).map_err(|error| error.error)
    }
}

/// The content of `file` in a file with a hidden name.
fn copied(file: &mut File, temporaries: &Temporaries<'_>) -> io::Result<NamedTempFile> {
    let mut copy = temporaries.hidden(|builder, folder| builder.tempfile_in(folder))?;
    file.rewind()?;
    let mut out = Stream::new(copy.as_file_mut());
    copy_pieces(file, &mut out)?;
    out.finish()?;
    Ok(copy)
}

/// Copies the rest of `source`; blocks of zeroes become holes.
///
/// # Errors
/// I/O.
pub(super) fn copy_pieces(source: &mut File, out: &mut Stream<'_>) -> io::Result<()> {
    let mut block = Vec::with_capacity(BLOCK);
    loop {
        block.clear();
        source.take(BLOCK as u64).read_to_end(&mut block)?;
        match block.iter().all(|byte| *byte == 0) {
            true if block.is_empty() => return Ok(()),
            true => out.zeroes(block.len() as u64)?,
            false => out.write_all(&block)?,
        }
    }
}

/// A new file in `folder` that has no name, where that can be, and can have one later.
#[cfg(target_os = "linux")]
fn nameless(folder: &Path, mode: u32) -> Option<File> {
    use rustix::fs::{CWD, Mode, OFlags, openat};
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = File::from(openat(CWD, folder, flags, Mode::from_raw_mode(mode)).ok()?);
    descriptor(&file).exists().then_some(file)
}

#[cfg(not(target_os = "linux"))]
fn nameless(_folder: &Path, _mode: u32) -> Option<File> {
    None
}

/// Where the system shows the open `file`. Source: `man 2 open`, `O_TMPFILE`.
#[cfg(target_os = "linux")]
fn descriptor(file: &File) -> PathBuf {
    use std::os::fd::AsRawFd;
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

#[cfg(target_os = "linux")]
fn link(file: &File, path: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, linkat};
    Ok(linkat(CWD, descriptor(file), CWD, path, AtFlags::SYMLINK_FOLLOW)?)
}

#[cfg(not(target_os = "linux"))]
fn link(_file: &File, _path: &Path) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::super::testing::names;
    use super::*;

    /// A file with and one without a hidden name, each with content.
    fn both(folder: &Path) -> Vec<Temporary> {
        let temporaries = Temporaries { whose: "1-of-2", ..Temporaries::readable(folder) };
        let hidden = temporaries.hidden(|builder, folder| builder.tempfile_in(folder)).unwrap();
        let hidden =
            Temporary { file: State::Hidden(hidden), folder: folder.to_owned(), whose: "1-of-2".into(), mode: 0o644 };
        let mut both = vec![hidden, temporaries.create().unwrap()];
        both.iter_mut().for_each(|temporary| temporary.as_file_mut().write_all(b"new").unwrap());
        both
    }

    #[test]
    fn a_file_gets_its_name_and_replaces_another_only_by_force() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        for number in 0..2 {
            let next = || both(folder.path()).remove(number);
            next().persist(&path, false).unwrap();
            assert_eq!(next().persist(&path, false).unwrap_err().kind(), ErrorKind::AlreadyExists);
            fs::write(&path, "old").unwrap();
            next().persist(&path, true).unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"new");
            assert_eq!(names(folder.path()), ["a"]);
            fs::remove_file(&path).unwrap();
            next().persist(&path, true).unwrap();
            assert_eq!(names(folder.path()), ["a"]);
            fs::remove_file(&path).unwrap();
            drop(next());
            assert!(names(folder.path()).is_empty());
        }
    }

    #[test]
    fn a_hidden_name_says_whose_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let both = both(folder.path());
        let hidden = names(folder.path()).remove(0);
        assert!(is_temporary(&hidden, Some("1-of-2")) && is_temporary(&hidden, None), "{hidden}");
        assert!(!is_temporary(&hidden, Some("")) && !is_temporary(&hidden, Some("11-of-2")), "{hidden}");
        assert!(is_temporary(".ibwrt-aB3xYz.part", Some("")) && !is_temporary("h1.img.gz", None));
        drop(both);
    }

    #[test]
    fn a_copy_of_a_file_without_a_name_has_its_bytes_and_its_holes() {
        let folder = tempfile::tempdir().unwrap();
        let mut content = vec![0; 5 * BLOCK + 17];
        content[3 * BLOCK + 5] = 1;
        let mut file = tempfile::tempfile_in(folder.path()).unwrap();
        file.write_all(&content).unwrap();
        let copy = copied(&mut file, &Temporaries::readable(folder.path())).unwrap();
        assert!(fs::read(copy.path()).unwrap() == content);
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            assert!(copy.as_file().metadata().unwrap().blocks() * 512 <= 2 * BLOCK as u64);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_without_a_name_has_the_permissions_of_one_with_a_hidden_name() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        for mode in [0o644, 0o600] {
            let Some(file) = nameless(folder.path(), mode) else { return };
            let temporaries = Temporaries { mode, ..Temporaries::readable(folder.path()) };
            let hidden = temporaries.hidden(|builder, folder| builder.tempfile_in(folder)).unwrap();
            let mode = |file: &File| file.metadata().unwrap().permissions().mode();
            assert_eq!(mode(&file), mode(hidden.as_file()));
        }
    }
}
