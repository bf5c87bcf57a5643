//! A pair of key files, neither of which ever replaces another file.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::output::{cannot_create, cannot_write, check_folder, folder_of, persist};
use super::temporary::{Temporaries, Temporary};
use crate::error::{Error, Result};
use crate::signing::SecretKey;

/// The files of a pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyFiles {
    /// `NAME.sec`, mode 0600.
    pub(crate) secret: PathBuf,
    /// `NAME.pub`.
    pub(crate) public: PathBuf,
}

impl KeyFiles {
    /// Where the pair called `name` goes.
    ///
    /// # Errors
    /// Usage when one of the two is there already, or there is no such folder.
    pub(crate) fn prepare(name: &Path) -> Result<Self> {
        let file_name = name.file_name().ok_or_else(|| {
            Error::usage(format!("{} is no name for a pair of keys", name.display()))
                .remedy("give a name without an ending, such as `ibwrt keygen site-key`")
        })?;
        check_folder(&folder_of(name))?;
        let with_ending = |ending: &str| {
            let mut full = file_name.to_owned();
            full.push(ending);
            name.with_file_name(full)
        };
        let files = Self { secret: with_ending(".sec"), public: with_ending(".pub") };
        for path in [&files.secret, &files.public] {
            if fs::symlink_metadata(path).is_ok() {
                return Err(Error::usage(format!("{} exists already, and a key is never replaced", path.display()))
                    .remedy("give another name, or move the old pair away"));
            }
        }
        Ok(files)
    }

    /// Writes both; the secret one can be read by its owner only, from its first byte on.
    ///
    /// # Errors
    /// I/O; usage when one came into being since.
    pub(crate) fn write(&self, key: &SecretKey) -> Result<()> {
        let folder = folder_of(&self.secret);
        let comment = format!("public key {}", key.public().fingerprint);
        // Nobody else can read it.
        let private = Temporaries { mode: 0o600, ..Temporaries::readable(&folder) };
        let secret = filled(private.create(), &key.to_secret_text(), &self.secret)?;
        let public = filled(Temporaries::readable(&folder).create(), &key.public().to_text(&comment), &self.public)?;
        persist(secret, &self.secret, false)?;
        persist(public, &self.public, false)
    }
}

fn filled(file: io::Result<Temporary>, text: &str, path: &Path) -> Result<Temporary> {
    let mut file = file.map_err(|error| cannot_create(path, &folder_of(path), error))?;
    let written = file.as_file_mut().write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all());
    written.map_err(|error| cannot_write(path, error))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::Signer;

    #[cfg(unix)]
    #[test]
    fn a_pair_is_written_once_and_its_secret_half_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let key = SecretKey::from_random(&[7; 40]);
        let files = KeyFiles::prepare(&folder.path().join("site")).unwrap();
        files.write(&key).unwrap();
        let mode = fs::metadata(&files.secret).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(Signer::load(&files.secret).unwrap().key.public(), key.public());
        let public = fs::read_to_string(&files.public).unwrap();
        assert!(public.starts_with("untrusted comment: public key 0707070707070707\n"), "{public}");
        let refused = KeyFiles::prepare(&folder.path().join("site")).unwrap_err();
        assert!(refused.message().ends_with("site.sec exists already, and a key is never replaced"), "{refused}");
        let before = fs::read(&files.secret).unwrap();
        files.write(&SecretKey::from_random(&[8; 40])).unwrap_err();
        assert_eq!(fs::read(&files.secret).unwrap(), before);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "no temporary file stays behind");
    }

    #[test]
    fn a_public_half_in_the_way_keeps_both_from_being_written() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.pub"), "mine").unwrap();
        let error = KeyFiles::prepare(&folder.path().join("a")).unwrap_err();
        assert!(error.message().ends_with("a.pub exists already, and a key is never replaced"), "{error}");
        assert!(KeyFiles::prepare(Path::new("..")).is_err());
    }
}
