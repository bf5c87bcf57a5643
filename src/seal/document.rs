//! A text file that appears whole under its name, or not at all: by the same rules as an image.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::output::{cannot_create, cannot_write, check_existing, check_folder, exists, folder_of, persist};
use super::temporary::{Temporaries, Temporary};
use crate::error::Result;

/// An output that was found possible before the work starts. It holds a temporary file in the output's folder, which
/// vanishes when this is dropped.
#[derive(Debug)]
pub(crate) struct Document {
    path: PathBuf,
    force: bool,
    file: Temporary,
}

impl Document {
    /// Checks that a file can be written to `path`, and opens a temporary file beside it. `input` is the file that is
    /// read; an existing output is replaced only with `force`.
    ///
    /// # Errors
    /// Usage when the output is the input, exists already, is no file, or lies in no folder; I/O when the folder cannot
    /// be written.
    pub(crate) fn prepare(path: &Path, input: &Path, force: bool) -> Result<Self> {
        let folder = folder_of(path);
        check_folder(&folder)?;
        if let Ok(metadata) = fs::metadata(path) {
            check_existing(path, &metadata, Some(input), force)?;
        } else if !force && fs::symlink_metadata(path).is_ok() {
            return Err(exists(path));
        }
        let file = Temporaries::readable(&folder).create().map_err(|error| cannot_create(path, &folder, error))?;
        Ok(Self { path: path.to_owned(), force, file })
    }

    /// Writes `text` and gives the file its name.
    ///
    /// # Errors
    /// I/O; usage when the output came into being since it was prepared. No temporary file stays behind.
    pub(crate) fn write(mut self, text: &str) -> Result<()> {
        let written = self.file.as_file_mut().write_all(text.as_bytes()).and_then(|()| self.file.as_file().sync_all());
        written.map_err(|error| cannot_write(&self.path, error))?;
        persist(self.file, &self.path, self.force)
    }
}
