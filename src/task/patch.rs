//! Patch: the whole road, from an image to a sealed image.

use crate::digest::sha256_hex;
use crate::error::{Error, Result};
use crate::plan::{Content, Edit, Finding, Role};
use crate::progress::Progress;
use crate::seal::Output;

use super::signer::{certified, readable_by_others, signer};
use super::steps::{self, Opened, Planned, Wished, note};
use super::{EditRow, PatchOutcome, PatchReport, PatchRequest, RootGrowth, growth};

/// Patches an image.
///
/// # Errors
/// Any of the rooms'. A failed check on the result is no error but the report's outcome.
pub(crate) fn patch(request: &PatchRequest, progress: &dyn Progress) -> Result<PatchReport> {
    let wished = steps::wished(&request.wishes)?;
    let output = prepare_output(request)?;
    let signer = signer(request.signing.as_ref(), output.as_ref(), request.force)?;
    let opened = steps::open(&request.image, progress)?;
    let (opened, planned, growth) = growth::planned(opened, &wished, request.keep_debug)?;
    let mut report = report(&opened, &wished, &planned, growth);
    report.findings.extend(request.signing.as_ref().and_then(|signing| readable_by_others(&signing.key)));
    let Some(output) = output else {
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
    let result = steps::carried_out(&opened, &planned, epoch.unwrap_or(0))?;
    // The output is written beside the checks, and gets its name only when they passed.
    let (checks, filled) = rayon::join(
        || steps::checked(result.clone(), &opened.unpacked, &wished, &request.skip, &request.allow),
        || output.fill(&result.disk, progress),
    );
    let is_refused = checks.failed();
    report.checks = Some(checks);
    if is_refused {
        report.outcome = PatchOutcome::Refused;
        return Ok(report);
    }
    report.output = Some(steps::sealed(filled?, request.sums, signer.as_ref(), &mut report.findings)?);
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
        container: opened.scene.image.container.clone(),
        table: opened.scene.image.table.clone(),
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
        space: planned.plan.space,
        boot_space: planned.boot.as_ref().map(|boot| boot.space),
        checks: None,
        output: None,
    }
}

/// The output, found possible before the work starts; `None` for a dry run.
fn prepare_output(request: &PatchRequest) -> Result<Option<Output>> {
    if request.dry_run {
        return Ok(None);
    }
    let path = request.output.as_deref().ok_or_else(|| {
        Error::usage("no output is named").remedy("name it with -o, or ask for the plan only with --dry-run")
    })?;
    Output::prepare(path, Some(&request.image), request.force).map(Some)
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
