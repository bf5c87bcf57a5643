//! The jobs of the program, each one road from an opened image to a report: patch, verify, inspect, demo. They join
//! the rooms; they know nothing of clap or terminals.

mod report;
mod request;

pub(crate) use report::{DemoReport, EditRow, FilesystemRow, InspectReport, OutputFacts, PatchReport, VerifyReport};
pub(crate) use request::{PatchRequest, VerifyRequest};

use std::path::Path;

use crate::error::{Error, Result};
use crate::progress::Progress;

/// Patches an image.
///
/// # Errors
/// Any of the rooms'; `check` when a check on the result failed (nothing is written then).
pub(crate) fn patch(request: &PatchRequest, progress: &dyn Progress) -> Result<PatchReport> {
    let _ = (request, progress);
    Err(Error::unsupported("patch is not built yet"))
}

/// Runs the checks on an image.
///
/// # Errors
/// Only what prevents looking at all; failed checks are rows of the report.
pub(crate) fn verify(request: &VerifyRequest, progress: &dyn Progress) -> Result<VerifyReport> {
    let _ = (request, progress);
    Err(Error::unsupported("verify is not built yet"))
}

/// Looks at an image.
///
/// # Errors
/// Only what prevents looking at all.
pub(crate) fn inspect(image: &Path, progress: &dyn Progress) -> Result<InspectReport> {
    let _ = (image, progress);
    Err(Error::unsupported("inspect is not built yet"))
}

/// Patches and verifies the image embedded in the binary.
///
/// # Errors
/// The folder cannot be written, or those of [`patch`].
pub(crate) fn demo(folder: &Path, progress: &dyn Progress) -> Result<DemoReport> {
    let _ = (folder, progress);
    Err(Error::unsupported("demo is not built yet"))
}
