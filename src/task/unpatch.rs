//! Unpatch: the root as it was before it was patched.

use std::sync::Arc;

use crate::error::{At, Error, Result};
use crate::filesystem::Extent;
use crate::history::{Changes, MANIFEST, Past};
use crate::openwrt::System;
use crate::overlay::Resolved;
use crate::plan::{Finding, Plan, Severity};
use crate::progress::Progress;

use super::history;
use super::packages::PackageFiles;
use super::patch::planned_report;
use super::settlement::Settler;
use super::signer::Signing;
use super::steps::{self, Checking, Opened, Planned, Wished, note};
use super::target::{Sealing, Target};
use super::tree::listed;
use super::{PatchReport, UnpatchRequest};

/// Checks that an image need not pass before it is patched.
const OF_PATCHED: [&str; 1] = ["modules-present"];
/// Checks that tell a damaged image from a sound one. What else an image did not pass before it was patched is its own.
const OF_SOUND: [&str; 4] = ["container", "partition-table", "boot-filesystem", "root-filesystem"];

/// Makes an image or a tree as it was before it was patched.
///
/// # Errors
/// Usage when it was not, or when what was put in was changed since; corrupt when the record is damaged; any of the rooms'.
pub(crate) fn unpatch(request: &UnpatchRequest, progress: &dyn Progress) -> Result<PatchReport> {
    let UnpatchRequest { input, force, signing, .. } = request;
    let target = Target::prepare(request.dry_run, input, request.output.as_deref(), Extent::Whole, *force)?;
    let output = target.as_ref().and_then(Target::image);
    let signing = Signing::prepare(signing.as_ref(), output, *force)?;
    let changes = if request.discard_changes { Changes::Discard } else { Changes::Keep };
    let opened = steps::opened(input, changes, progress)?;
    let place = || opened.place();
    let earlier = opened.earlier.clone().ok_or_else(|| unrecorded().at(place()))?;
    if !request.discard_changes {
        refuse_changes(&earlier.past).at(place)?;
    }
    let wished = nothing(request);
    let planned = planned(&opened, &earlier.past, &wished).at(place)?;
    let mut report = planned_report(&opened, &planned);
    report.findings.extend(signing.as_ref().and_then(Signing::remark));
    let Some(target) = target else { return Ok(report) };
    let skip = &OF_PATCHED.map(str::to_owned);
    let allow: Vec<String> =
        crate::verify::check_ids().filter(|id| !OF_SOUND.contains(id)).map(str::to_owned).collect();
    let checking = Checking { unpacked: &opened.unpacked, wished: &wished, skip, allow: &allow };
    let (epoch, sums) = (planned.dated(request.epoch), request.sums);
    let sealing = Sealing { opened: &opened, planned: &planned, checking, epoch, sums, signing };
    target.seal(sealing, &mut report, progress)?;
    Ok(report)
}

fn unrecorded() -> Error {
    Error::usage(format!("no patch is recorded in it: there is no {MANIFEST}, so nothing can be undone")).remedy(
        "take the image that was patched; what was put in with --no-manifest, or by an ibwrt that kept no record, cannot be \
         told from the rest",
    )
}

/// Refuses what others changed since, by name.
fn refuse_changes(past: &Past) -> Result<()> {
    if past.changed.is_empty() {
        return Ok(());
    }
    let changed: Vec<String> =
        past.changed.iter().map(|changed| format!("{} ({})", changed.path, changed.how)).collect();
    let count = match changed.len() {
        1 => "1 path was changed".to_owned(),
        several => format!("{several} paths were changed"),
    };
    Err(Error::usage(format!("{count} since the patch, and undoing it would lose that: {}", listed(&changed)))
        .remedy("save what is worth it, and undo the patch all the same with --discard-changes"))
}

/// The wish that nothing be there.
fn nothing(request: &UnpatchRequest) -> Wished {
    Wished {
        resolved: Resolved::default(),
        swap: None,
        discard_overlay: request.discard_overlay,
        packages: Arc::new(PackageFiles::default()),
        rootfs_size: None,
        backup_gpt: false,
        identity_seed: None,
        is_recorded: false,
    }
}

/// What is to be done.
fn planned(opened: &Opened, past: &Past, wished: &Wished) -> Result<Planned> {
    let before = opened.as_it_was();
    let root = before.scene.editable_root()?;
    let length = before.scene.medium.length(root)?;
    let system: Arc<System> = before.shelf.system(length, [], || before.root_before(root))?;
    let settlement = Settler::new(&before, root, &system).settle(&[], None)?;
    let plan = Plan::of(settlement.edits, findings(past), &system.space);
    plan.need.check(&system.space).map_err(|error| {
        error.remedy("give the root more room first: ibwrt patch IMAGE --rootfs-size +16M -o LARGER")
    })?;
    let boot = history::kernel_back(&before)?;
    let discarded_overlay = steps::discarded_overlay(&before.scene, root, wished, &plan.edits)?;
    let release = before.scene.kernel_release().or_else(|_| steps::only_release(&system));
    let mut planned = Planned {
        room: system.space,
        release: release.unwrap_or_else(|_| crate::kernel::KernelRelease::new("unknown")),
        system,
        plan,
        put: Vec::new(),
        modules: Vec::new(),
        boot,
        packages: Vec::new(),
        discarded_overlay,
        rekeying: None,
    };
    planned.plan.findings.extend(discarded_overlay.map(steps::loss));
    Ok(planned)
}

/// What is to be said of the way back.
fn findings(past: &Past) -> Vec<Finding> {
    let mut findings = Vec::new();
    for changed in &past.changed {
        let what = match changed.is_lost {
            true => "its permissions and owner become as they were, its content stays: no other was kept",
            false => "it becomes as it was, and the change is lost",
        };
        let message = format!("{} is {} since the patch: {what}", changed.path, changed.how);
        findings.push(Finding { severity: Severity::Warning, ..note("history", message) });
    }
    for (directory, name) in &past.held {
        let message = format!("{directory}, which the patch made, stays: {name} in it is from others");
        findings.push(note("history", message));
    }
    if past.boot.is_none() && !past.manifest.boot.is_empty() {
        let message = "the patch put another kernel on the boot partition, and there is none here: only the root becomes as it was";
        findings.push(Finding { severity: Severity::Warning, ..note("history", message.to_owned()) });
    }
    findings.push(note(
        "not-undone",
        "the size of the root, partition identifiers and grub.cfg stay as they are: the record is of files only"
            .to_owned(),
    ));
    findings
}

#[cfg(test)]
#[cfg(target_os = "linux")]
#[path = "unpatch_tests.rs"]
mod tests;
