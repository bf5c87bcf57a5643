//! Patch: the whole road, from an image to a sealed image, or from a tree to another one.

use std::path::PathBuf;

use crate::digest::sha256_hex;
use crate::error::{Error, Result};
use crate::filesystem::Extent;
use crate::plan::{Content, Edit, Finding, Role, SpaceForecast};
use crate::progress::Progress;
use crate::sbom::SbomForm;
use crate::seal::{self, Document, Folder, Output};

use super::inventory::{inventory, path_beside};
use super::medium::Medium;
use super::signer::{certified, readable_by_others, signer};
use super::steps::{self, Opened, Planned, Wished, note};
use super::tree::FilledTree;
use super::{EditRow, Input, PatchOutcome, PatchReport, PatchRequest, RootGrowth, growth};

/// Where the result goes, found possible before the work starts.
enum Target {
    /// An image file.
    Image(Output),
    /// A folder, and how much of the tree goes into it.
    Tree(Folder, Extent),
}

/// What holds the result, but has no name yet.
enum Filled {
    /// An image file.
    Image(seal::Filled),
    /// A folder.
    Tree(FilledTree),
}

impl Target {
    fn image(&self) -> Option<&Output> {
        match self {
            Self::Image(output) => Some(output),
            Self::Tree(..) => None,
        }
    }

    /// Writes `result`; what the edits of a tree made is dated `epoch`, in seconds since 1970.
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

/// Patches an image or a tree.
///
/// # Errors
/// Any of the rooms'. A failed check on the result is no error but the report's outcome.
pub(crate) fn patch(request: &PatchRequest, progress: &dyn Progress) -> Result<PatchReport> {
    let wished = steps::wished(&request.wishes)?;
    let target = prepare(request)?;
    let output = target.as_ref().and_then(Target::image);
    let sbom = prepare_sbom(request)?;
    let signer = signer(request.signing.as_ref(), output, request.force)?;
    let opened = steps::open(&request.input, progress)?;
    let (opened, planned, growth) = growth::planned(opened, &wished, request.keep_debug)?;
    let mut report = report(&opened, &wished, &planned, growth);
    report.findings.extend(request.signing.as_ref().and_then(|signing| readable_by_others(&signing.key)));
    let Some(target) = target else {
        return Ok(report);
    };
    let epoch = request.epoch.or_else(|| planned.system.build_time());
    if epoch.is_none() && !report.edits.is_empty() {
        report.findings.push(undated());
    }
    let signer = match (signer, &request.signing) {
        (Some(signer), Some(signing)) => Some(certified(signer, signing, epoch, &mut report.findings)?),
        _ => None,
    };
    let epoch = epoch.unwrap_or(0);
    let result = steps::carried_out(&opened, &planned, epoch)?;
    // The output is written beside the checks, and gets its name only when they passed.
    let (checks, filled) = rayon::join(
        || steps::checked(result.clone(), &opened.unpacked, &wished, &request.skip, &request.allow),
        || target.fill(&result, epoch, progress),
    );
    let is_refused = checks.failed();
    report.checks = Some(checks);
    if is_refused {
        report.outcome = PatchOutcome::Refused;
        return Ok(report);
    }
    let findings = &mut report.findings;
    match filled? {
        Filled::Image(filled) => {
            report.output = Some(steps::sealed(filled, request.sums, signer.as_ref(), findings)?);
        }
        Filled::Tree(filled) => report.tree = Some(filled.publish(&planned.plan.edits, findings)?),
    }
    if let Some((form, path, document)) = sbom {
        let sha256 = report.output.as_ref().map(|output| output.sha256.clone());
        document.write(&inventory(&planned, request.output.as_deref(), sha256, epoch).write(form))?;
        report.sbom = Some(path);
    }
    report.outcome = PatchOutcome::Written;
    Ok(report)
}

/// The report as it is before anything is done.
fn report(opened: &Opened, wished: &Wished, planned: &Planned, growth: Option<RootGrowth>) -> PatchReport {
    let boot = planned.boot.iter().flat_map(|boot| &boot.edits).map(|edit| row(Role::Boot, edit));
    let (swap, is_bare) = (wished.swap.as_ref(), opened.scene.is_bare());
    PatchReport {
        outcome: PatchOutcome::Planned,
        image: opened.path.clone(),
        container: opened.scene.medium.container().cloned(),
        table: opened.scene.medium.table().cloned(),
        kernel_release: planned.release.to_string(),
        release: planned.system.release.clone(),
        overlays: wished.resolved.overlays.clone(),
        modules: planned.modules.clone(),
        packages: planned.packages.clone(),
        discarded_overlay: planned.discarded_overlay,
        kernel_swap: swap.filter(|_| !is_bare).map(|swap| swap.facts(&opened.scene)),
        kernel_file: swap.filter(|_| is_bare).map(|swap| swap.kernel.file.clone()),
        edits: boot.chain(planned.plan.edits.iter().map(|edit| row(Role::Root, edit))).collect(),
        findings: opened.remarks.iter().chain(&planned.plan.findings).cloned().collect(),
        growth,
        identity: planned.rekeying.as_ref().map(|rekeying| rekeying.change.clone()),
        space: Some(planned.plan.space).filter(SpaceForecast::is_bounded),
        boot_space: planned.boot.as_ref().map(|boot| boot.space),
        checks: None,
        output: None,
        tree: None,
        sbom: None,
    }
}

/// Where the result goes; `None` for a dry run.
fn prepare(request: &PatchRequest) -> Result<Option<Target>> {
    if request.dry_run {
        return Ok(None);
    }
    let path = request.output.as_deref().ok_or_else(|| {
        Error::usage("no output is named").remedy("name it with -o, or ask for the plan only with --dry-run")
    })?;
    let target = match &request.input {
        Input::Image(input) => Target::Image(Output::prepare(path, Some(input), request.force)?),
        Input::Tree(input) => {
            let extent = if request.only_changes { Extent::Changes } else { Extent::Whole };
            Target::Tree(Folder::prepare(path, input, request.force)?, extent)
        }
    };
    Ok(Some(target))
}

/// The bill of materials, found possible before the work starts.
fn prepare_sbom(request: &PatchRequest) -> Result<Option<(SbomForm, PathBuf, Document)>> {
    let (Some(form), Some(output), false) = (request.sbom, &request.output, request.dry_run) else { return Ok(None) };
    let path = path_beside(output, form);
    let document = Document::prepare(&path, request.input.path(), request.force)?;
    Ok(Some((form, path, document)))
}

/// What is said where nothing tells the time.
fn undated() -> Finding {
    let message = "nothing in the image tells when it was built, so what is added is dated 1970-01-01";
    Finding {
        remedy: Some("set SOURCE_DATE_EPOCH to have another date".to_owned()),
        ..note("undated", message.to_owned())
    }
}

fn row(partition: Role, edit: &Edit) -> EditRow {
    let (becomes, size, sha256, target) = match &edit.content {
        None => ("nothing", 0, None, None),
        Some(Content::Directory) => ("directory", 0, None, None),
        Some(Content::Symlink(target)) => ("symlink", 0, None, Some(target.clone())),
        Some(Content::File(bytes)) => ("file", bytes.len() as u64, Some(sha256_hex(bytes)), None),
    };
    EditRow {
        partition,
        path: edit.path.clone(),
        change: edit.change,
        becomes,
        size,
        size_before: edit.size_before,
        sha256,
        target,
        mode: format!("{:04o}", edit.attributes.mode),
        owner: format!("{}:{}", edit.attributes.uid, edit.attributes.gid),
        reason: edit.reason.clone(),
    }
}
