//! Where the result of a patch goes: an image file, or the folder of a tree.

use std::path::Path;

use crate::error::{Error, Result};
use crate::filesystem::Extent;
use crate::plan::Finding;
use crate::progress::Progress;
use crate::seal::{self, Folder, Output, Signer};

use super::medium::Medium;
use super::signer::Signing;
use super::steps::{self, Checking, Opened, Planned, note};
use super::tree::FilledTree;
use super::{Input, OutputFacts, PatchOutcome, PatchReport};

/// Where the result goes, found possible before the work starts.
pub(super) enum Target {
    /// An image file.
    Image(Output),
    /// A folder, and how much of the tree goes into it.
    Tree(Folder, Extent),
}

/// What is made, how it is checked, and what is put beside it.
pub(super) struct Sealing<'a> {
    /// What it is made of.
    pub(super) opened: &'a Opened,
    /// What is done to that.
    pub(super) planned: &'a Planned,
    /// What it must pass.
    pub(super) checking: Checking<'a>,
    /// What it is dated, in seconds since 1970; `None` when nothing tells.
    pub(super) epoch: Option<u64>,
    /// Whether lists of digests are made where there are none.
    pub(super) sums: bool,
    /// Who signs it.
    pub(super) signing: Option<Signing<'a>>,
}

/// What holds the result, but has no name yet.
enum Filled {
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

    /// Makes the result, checks it, and gives it its name if it passes. How that ended, and what is to be said of it, is
    /// added to `report`.
    ///
    /// # Errors
    /// Those of making, of signing and of writing it. A failed check is none.
    pub(super) fn seal(self, sealing: Sealing<'_>, report: &mut PatchReport, progress: &dyn Progress) -> Result<()> {
        let Sealing { opened, planned, checking, epoch, sums, signing } = sealing;
        let findings = &mut report.findings;
        let signer = signing.map(|signing| signing.certified(epoch, findings)).transpose()?;
        let epoch = epoch.unwrap_or(0);
        let result = steps::carried_out(opened, planned, epoch)?;
        // The output is written beside the checks, and gets its name only when they passed.
        let (checks, filled) = rayon::join(|| checking.of(result.clone()), || self.fill(&result, epoch, progress));
        let is_refused = checks.failed();
        report.checks = Some(checks);
        if is_refused {
            report.outcome = PatchOutcome::Refused;
            return Ok(());
        }
        match filled? {
            Filled::Image(filled) => report.output = Some(published(filled, sums, signer.as_ref(), findings)?),
            Filled::Tree(filled) => report.tree = Some(filled.publish(&planned.plan.edits, findings)?),
        }
        report.outcome = PatchOutcome::Written;
        Ok(())
    }

    /// Writes `result`; what the edits of a tree made is dated `epoch`, in seconds since 1970.
    ///
    /// # Errors
    /// Those of writing it.
    fn fill(self, result: &Medium, epoch: u64, progress: &dyn Progress) -> Result<Filled> {
        match (self, result) {
            (Self::Image(output), Medium::Image(image)) => output.fill(&image.disk, progress).map(Filled::Image),
            (Self::Tree(folder, extent), Medium::Tree(directory)) => {
                FilledTree::fill(folder, directory, extent, epoch, progress).map(Filled::Tree)
            }
            _ => Err(Error::usage("the output is of another kind than the input")),
        }
    }
}

/// Gives an image its name, and writes the digests beside it (where there are none, only with `sums` or a `signer`). What
/// is to be said of these is added to `findings`.
///
/// # Errors
/// I/O.
pub(super) fn published(
    filled: seal::Filled,
    sums: bool,
    signer: Option<&Signer>,
    findings: &mut Vec<Finding>,
) -> Result<OutputFacts> {
    let sealed = filled.publish(signer)?;
    let sums = seal::update_sums(&sealed, sums, signer)?;
    findings.extend(sums.remarks.into_iter().map(|message| note("sums", message)));
    Ok(OutputFacts {
        path: sealed.path,
        form: sealed.form,
        length: sealed.length,
        sha256: sealed.sha256,
        sha256_unsigned: sealed.sha256_unsigned,
        signed_by: signer.map(Signer::fingerprint),
        updated: sums.updated,
    })
}
