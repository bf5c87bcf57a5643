//! Patch: the whole road, from an image to a sealed image.

use crate::apply::apply;
use crate::digest::sha256_hex;
use crate::error::{At, Error, Result};
use crate::image::{Disk, Image};
use crate::openwrt::System;
use crate::overlay::{self, Resolved};
use crate::plan::{Content, Edit, Finding, Plan, Severity, plan};
use crate::progress::Progress;
use crate::recipe::Recipe;
use crate::seal::{self, Output};
use crate::verify::{self, Report};

use super::evidence;
use super::scene::Scene;
use super::wishes::{expectations, wishes};
use super::{EditRow, OutputFacts, PatchOutcome, PatchReport, PatchRequest};

/// Patches an image.
///
/// # Errors
/// Any of the rooms'. A failed check on the result is no error but the report's outcome.
pub(crate) fn patch(request: &PatchRequest, progress: &dyn Progress) -> Result<PatchReport> {
    let place = || request.image.display().to_string();
    let resolved = overlay::resolve(&Recipe::assemble(&request.wishes)?)?;
    let output = prepare_output(request)?;
    let image = Image::open(&request.image, progress)?;
    let agreeing = seal::check_sums(&request.image, &image.container.sha256)?;
    let remarks: Vec<Finding> = dropped_trailers(&image).into_iter().chain(checked_sums(&agreeing)).collect();

    let scene = Scene::survey(image);
    let root = scene.editable_root().at(place)?;
    let release = scene.kernel_release().at(place)?;
    let wanted: Vec<String> = resolved.files.iter().map(|wish| wish.path.clone()).collect();
    let system = System::read(root.open(&scene.image, 0)?.as_mut(), &wanted).at(place)?;
    system.check_target().at(place)?;
    let wishes = wishes(&resolved, &system, &release, request.keep_debug)?;
    let plan = plan(&system, &release, &wishes).at(place)?;

    let mut report = PatchReport {
        outcome: PatchOutcome::Planned,
        image: request.image.clone(),
        container: scene.image.container.clone(),
        table: scene.image.table.clone(),
        kernel_release: release.to_string(),
        release: system.release.clone(),
        overlays: resolved.overlays.clone(),
        edits: plan.edits.iter().map(row).collect(),
        findings: remarks.into_iter().chain(plan.findings.iter().cloned()).collect(),
        space: plan.space,
        checks: None,
        output: None,
    };
    let Some(output) = output else {
        return Ok(report);
    };
    let disk = edited(&scene, &plan, request.epoch.or_else(|| system.build_time())).at(place)?;
    let checks = checked(&scene, disk.clone(), &resolved, request);
    let is_refused = checks.failed();
    report.checks = Some(checks);
    if is_refused {
        report.outcome = PatchOutcome::Refused;
        return Ok(report);
    }
    report.output = Some(sealed(output, &disk, request, &mut report.findings, progress)?);
    report.outcome = PatchOutcome::Written;
    Ok(report)
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

/// What is said of trailers behind the image, none of which outlives an edit.
fn dropped_trailers(image: &Image) -> Option<Finding> {
    let message = match image.container.trailers.len() {
        0 => return None,
        1 => "the firmware trailer behind the image (the build's signature or metadata) does not fit an edited image \
              and is left out"
            .to_owned(),
        count => format!("{count} firmware trailers behind the image do not fit an edited image and are left out"),
    };
    Some(note("trailer-dropped", message))
}

/// What is said of the lists of digests beside the input that agree with it.
fn checked_sums(agreeing: &[String]) -> Option<Finding> {
    let lists = agreeing.join(" and ");
    (!agreeing.is_empty()).then(|| note("sums", format!("the image is the one that {lists} beside it lists")))
}

fn note(id: &str, message: String) -> Finding {
    Finding { id: id.to_owned(), severity: Severity::Note, message, remedy: None }
}

/// The disk with the plan carried out; untouched when the plan is empty.
fn edited(scene: &Scene, plan: &Plan, epoch: Option<u64>) -> Result<Disk> {
    if plan.edits.is_empty() {
        return Ok(scene.image.disk.clone());
    }
    let root = scene.editable_root()?;
    let mut filesystem = root.open(&scene.image, epoch.unwrap_or(0))?;
    apply(plan, filesystem.as_mut()).at(|| root.place())?;
    Ok(filesystem.finish().at(|| root.place())?.into_disk())
}

/// The checks on the result; those that may fail are warnings.
fn checked(scene: &Scene, disk: Disk, resolved: &Resolved, request: &PatchRequest) -> Report {
    let result = scene.with_disk(disk);
    let mut report = verify::run(&evidence::gather(&result, expectations(resolved)), &request.skip);
    report.tolerate(&request.allow);
    report
}

fn sealed(
    output: Output,
    disk: &Disk,
    request: &PatchRequest,
    findings: &mut Vec<Finding>,
    progress: &dyn Progress,
) -> Result<OutputFacts> {
    let sealed = output.write(disk, progress)?;
    let sums = seal::update_sums(&sealed, request.sums)?;
    findings.extend(sums.remarks.into_iter().map(|message| note("sums", message)));
    Ok(OutputFacts {
        path: sealed.path,
        form: sealed.form,
        length: sealed.length,
        sha256: sealed.sha256,
        updated: sums.updated,
    })
}

fn row(edit: &Edit) -> EditRow {
    let (becomes, size, sha256, target) = match &edit.content {
        None => ("nothing", 0, None, None),
        Some(Content::Directory) => ("directory", 0, None, None),
        Some(Content::Symlink(target)) => ("symlink", 0, None, Some(target.clone())),
        Some(Content::File(bytes)) => ("file", bytes.len() as u64, Some(sha256_hex(bytes)), None),
    };
    EditRow {
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
