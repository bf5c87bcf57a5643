//! A file that is put into another folder: as a hard link where that can be, else as a copy, whole or not at all.

use std::fs::{self, File};
use std::path::Path;

use super::output::{cannot_create, cannot_write, folder_of, is_same_file, persist};
use super::stream::Stream;
use super::temporary::{Temporaries, copy_pieces};
use crate::error::{Error, Result};

/// Puts the file at `from`, whose SHA-256 is `sha256`, to `to`, in the place of what is there.
///
/// # Errors
/// I/O; a check when a copy has another digest.
pub(crate) fn place_file(from: &Path, to: &Path, sha256: &str) -> Result<()> {
    // Renaming one name of a file to another leaves both.
    if fs::metadata(to).is_ok_and(|metadata| is_same_file(to, &metadata, from)) {
        return Ok(());
    }
    // The file, not a symbolic link that leads to it.
    let from = &fs::canonicalize(from).map_err(|error| Error::io("open", from, error))?;
    let folder = folder_of(to);
    let temporaries = Temporaries::readable(&folder);
    let named = temporaries.hidden(|builder, folder| builder.make_in(folder, |path| fs::hard_link(from, path)));
    match named {
        Ok(link) => link.persist(to).map(|_| ()).map_err(|error| cannot_write(to, error.error)),
        // Another filesystem, or one that knows no hard links.
        Err(_) => copy(from, to, sha256),
    }
}

fn copy(from: &Path, to: &Path, sha256: &str) -> Result<()> {
    let folder = folder_of(to);
    let mut source = File::open(from).map_err(|error| Error::io("open", from, error))?;
    let mut file = Temporaries::readable(&folder).create().map_err(|error| cannot_create(to, &folder, error))?;
    let mut out = Stream::new(file.as_file_mut());
    let copied = copy_pieces(&mut source, &mut out).and_then(|()| out.finish());
    let (_, found) = copied.map_err(|error| cannot_write(to, error))?;
    if found != sha256 {
        return Err(Error::check(format!("SHA-256 of the copy is {found}, but it should be {sha256}"))
            .at(from.display().to_string())
            .remedy("the file changed meanwhile; make its shard again"));
    }
    persist(file, to, true)
}

#[cfg(test)]
mod tests {
    use super::super::testing::names;
    use super::*;
    use crate::digest::sha256_hex;

    #[test]
    fn a_file_has_both_names_and_nothing_else_stays_behind() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("a"), folder.path().join("b"));
        fs::write(&from, "content").unwrap();
        fs::write(&to, "old").unwrap();
        for _ in 0..2 {
            place_file(&from, &to, &sha256_hex(b"content")).unwrap();
            assert_eq!(fs::read(&to).unwrap(), b"content");
            assert_eq!(names(folder.path()), ["a", "b"]);
        }
    }

    #[cfg(unix)]
    #[test]
    fn of_a_symbolic_link_the_file_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("link"), folder.path().join("b"));
        fs::write(folder.path().join("a"), "content").unwrap();
        std::os::unix::fs::symlink("a", &from).unwrap();
        place_file(&from, &to, &sha256_hex(b"content")).unwrap();
        assert!(fs::symlink_metadata(&to).unwrap().is_file() && fs::read(&to).unwrap() == b"content");
    }

    #[test]
    fn a_copy_has_the_digest_that_is_told_or_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("a"), folder.path().join("b"));
        fs::write(&from, "content").unwrap();
        copy(&from, &to, &sha256_hex(b"content")).unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"content");
        let error = copy(&from, &to, "other").unwrap_err();
        assert!(error.to_string().contains("but it should be other"), "{error}");
        assert_eq!(names(folder.path()), ["a", "b"]);
    }
}
