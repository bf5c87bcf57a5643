//! Patch: the whole road, from an image to a sealed image, or from a tree to another one.

use std::path::PathBuf;

use crate::digest::sha256_hex;
use crate::error::Result;
use crate::filesystem::Extent;
use crate::plan::{Content, Edit, Finding, Role, SpaceForecast};
use crate::progress::Progress;
use crate::sbom::SbomForm;
use crate::seal::Document;

use super::inventory::{inventory, path_beside};
use super::signer::Signing;
use super::steps::{self, Checking, Opened, Planned, Wished, note};
use super::target::{Sealing, Target};
use super::{EarlierFacts, EditRow, PatchOutcome, PatchReport, PatchRequest, RootGrowth, growth};

/// Patches an image or a tree.
///
/// # Errors
/// Any of the rooms'. A failed check on the result is no error but the report's outcome.
pub(crate) fn patch(request: &PatchRequest, progress: &dyn Progress) -> Result<PatchReport> {
    let mut wished = steps::wished(&request.wishes)?;
    // What is laid over another tree can be neither held against that nor taken out of it.
    wished.is_recorded &= !request.only_changes;
    let target =
        Target::prepare(request.dry_run, &request.input, request.output.as_deref(), extent(request), request.force)?;
    let output = target.as_ref().and_then(Target::image);
    let sbom = prepare_sbom(request)?;
    let signing = Signing::prepare(request.signing.as_ref(), output, request.force)?;
    let opened = steps::open(&request.input, progress)?;
    let (opened, planned, growth) = growth::planned(opened, &wished, request.keep_debug)?;
    let mut report = report(&opened, &wished, &planned, growth);
    report.findings.extend(signing.as_ref().and_then(Signing::remark));
    let Some(target) = target else {
        return Ok(report);
    };
    let epoch = planned.dated(request.epoch);
    if epoch.is_none() && !report.edits.is_empty() {
        report.findings.push(undated());
    }
    let PatchRequest { skip, allow, sums, .. } = request;
    let checking = Checking { unpacked: &opened.unpacked, wished: &wished, skip, allow };
    let sealing = Sealing { opened: &opened, planned: &planned, checking, epoch, sums: *sums, signing };
    target.seal(sealing, &mut report, progress)?;
    if let Some((form, path, document)) = sbom.filter(|_| report.outcome == PatchOutcome::Written) {
        let sha256 = report.output.as_ref().map(|output| output.sha256.clone());
        let inventory = inventory(&planned, request.output.as_deref(), sha256, epoch.unwrap_or(0));
        document.write(&inventory.write(form))?;
        report.sbom = Some(path);
    }
    Ok(report)
}

/// The report as it is before anything is done.
fn report(opened: &Opened, wished: &Wished, planned: &Planned, growth: Option<RootGrowth>) -> PatchReport {
    let (swap, is_bare) = (wished.swap.as_ref(), opened.scene.is_bare());
    PatchReport {
        overlays: wished.resolved.overlays.clone(),
        kernel_swap: swap.filter(|_| !is_bare).map(|swap| swap.facts(&opened.scene)),
        kernel_file: swap.filter(|_| is_bare).map(|swap| swap.kernel.file.clone()),
        growth,
        ..planned_report(opened, planned)
    }
}

/// What a report says of a plan, whatever it was made for.
pub(super) fn planned_report(opened: &Opened, planned: &Planned) -> PatchReport {
    let boot = planned.boot.iter().flat_map(|boot| &boot.edits).map(|edit| row(Role::Boot, edit));
    PatchReport {
        outcome: PatchOutcome::Planned,
        image: opened.path.clone(),
        container: opened.scene.medium.container().cloned(),
        table: opened.scene.medium.table().cloned(),
        kernel_release: planned.release.to_string(),
        release: planned.system.release.clone(),
        overlays: Vec::new(),
        modules: planned.modules.clone(),
        packages: planned.packages.clone(),
        discarded_overlay: planned.discarded_overlay,
        kernel_swap: None,
        kernel_file: None,
        edits: boot.chain(planned.plan.edits.iter().map(|edit| row(Role::Root, edit))).collect(),
        findings: opened.remarks.iter().chain(&planned.plan.findings).cloned().collect(),
        growth: None,
        identity: planned.rekeying.as_ref().map(|rekeying| rekeying.change.clone()),
        space: Some(planned.plan.space).filter(SpaceForecast::is_bounded),
        boot_space: planned.boot.as_ref().map(|boot| boot.space),
        checks: None,
        output: None,
        tree: None,
        sbom: None,
        earlier: opened.earlier.as_ref().map(|earlier| EarlierFacts::of(&earlier.past.manifest)),
    }
}

/// How much of a tree is written.
fn extent(request: &PatchRequest) -> Extent {
    if request.only_changes { Extent::Changes } else { Extent::Whole }
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
        Some(Content::Link(existing)) => ("link", 0, None, Some(existing.clone())),
        Some(Content::File(bytes)) => {
            let becomes = if edit.linked_to.is_some() { "link" } else { "file" };
            (becomes, bytes.len() as u64, Some(sha256_hex(bytes)), edit.linked_to.clone())
        }
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
