//! Where the result of a patch goes: an image file, or the folder of a tree.

use std::path::Path;

use crate::error::{Error, Result};
use crate::filesystem::Extent;
use crate::progress::Progress;
use crate::seal::{self, Folder, Output};

use super::Input;
use super::medium::Medium;
use super::tree::FilledTree;

/// Where the result goes, found possible before the work starts.
pub(super) enum Target {
    /// An image file.
    Image(Output),
    /// A folder, and how much of the tree goes into it.
    Tree(Folder, Extent),
}

/// What holds the result, but has no name yet.
pub(super) enum Filled {
    /// An image file.
    Image(seal::Filled),
    /// A folder.
    Tree(FilledTree),
}

impl Target {
    /// The output `path` of what is made of `input`, `extent` of it where that is a tree; `None` for a dry run.
    ///
    /// # Errors
    /// Usage when none is named, or it cannot be written; I/O.
    pub(super) fn prepare(
        dry_run: bool,
        input: &Input,
        path: Option<&Path>,
        extent: Extent,
        force: bool,
    ) -> Result<Option<Self>> {
        if dry_run {
            return Ok(None);
        }
        let path = path.ok_or_else(|| {
            Error::usage("no output is named").remedy("name it with -o, or ask for the plan only with --dry-run")
        })?;
        Ok(Some(match input {
            Input::Image(input) => Self::Image(Output::prepare(path, Some(input), force)?),
            Input::Tree(input) => Self::Tree(Folder::prepare(path, input, force)?, extent),
        }))
    }

    /// The image file, where it is one.
    pub(super) fn image(&self) -> Option<&Output> {
        match self {
            Self::Image(output) => Some(output),
            Self::Tree(..) => None,
        }
    }

    /// Writes `result`; what the edits of a tree made is dated `epoch`, in seconds since 1970.
    ///
    /// # Errors
    /// Those of writing it.
    pub(super) fn fill(self, result: &Medium, epoch: u64, progress: &dyn Progress) -> Result<Filled> {
        match (self, result) {
            (Self::Image(output), Medium::Image(image)) => output.fill(&image.disk, progress).map(Filled::Image),
            (Self::Tree(folder, extent), Medium::Tree(directory)) => {
                FilledTree::fill(folder, directory, extent, epoch, progress).map(Filled::Tree)
            }
            _ => Err(Error::usage("the output is of another kind than the input")),
        }
    }
}
