//! Patch: the whole road, from an image to a sealed image.

use crate::apply::apply;
use crate::digest::sha256_hex;
use crate::error::{At, Error, Result};
use crate::image::{Disk, Image};
use crate::kernel::KernelRelease;
use crate::openwrt::{OPKG_KERNEL_CONTROL, System};
use crate::overlay::{self, Resolved};
use crate::plan::{BootPlan, Content, Edit, Finding, Plan, Role, Severity, Wishes, plan, plan_boot};
use crate::progress::Progress;
use crate::recipe::Recipe;
use crate::seal::{self, Output};
use crate::verify::{self, Report};

use super::evidence;
use super::kernel_swap::KernelSwap;
use super::scene::{Located, Scene};
use super::wishes::{expectations, wishes};
use super::{EditRow, ModuleRow, OutputFacts, PatchOutcome, PatchReport, PatchRequest};

/// What is to be done to an image.
struct Planned {
    system: System,
    release: KernelRelease,
    plan: Plan,
    /// The modules that are needed.
    modules: Vec<ModuleRow>,
    /// The boot partition's part, when the kernel is replaced.
    boot: Option<BootPlan>,
}

/// Patches an image.
///
/// # Errors
/// Any of the rooms'. A failed check on the result is no error but the report's outcome.
pub(crate) fn patch(request: &PatchRequest, progress: &dyn Progress) -> Result<PatchReport> {
    let place = || request.image.display().to_string();
    let recipe = Recipe::assemble(&request.wishes)?;
    let resolved = overlay::resolve(&recipe)?;
    let swap = KernelSwap::read(&recipe)?;
    let output = prepare_output(request)?;
    let image = Image::open(&request.image, progress)?;
    let agreeing = seal::check_sums(&request.image, &image.container.sha256)?;
    let mut remarks: Vec<Finding> = dropped_trailers(&image).into_iter().chain(checked_sums(&agreeing)).collect();

    let scene = Scene::survey(image);
    let planned = planned(&scene, &resolved, swap.as_ref(), request)?;
    remarks.extend(planned.plan.findings.iter().cloned());
    let mut report = report(request, &scene, &resolved, &planned, remarks);
    report.kernel_swap = swap.as_ref().map(|swap| swap.facts(&scene));
    let Some(output) = output else {
        return Ok(report);
    };
    let epoch = request.epoch.or_else(|| planned.system.build_time());
    if epoch.is_none() && !report.edits.is_empty() {
        report.findings.push(undated());
    }
    let disk = edited(&scene, &planned, epoch).at(place)?;
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

/// Reads the image's system and plans.
fn planned(scene: &Scene, resolved: &Resolved, swap: Option<&KernelSwap>, request: &PatchRequest) -> Result<Planned> {
    let place = || request.image.display().to_string();
    let root = scene.editable_root().at(place)?;
    let release = match swap {
        Some(swap) => swap.release.clone(),
        None => scene.kernel_release().at(place)?,
    };
    let mut wanted: Vec<String> = resolved.files.iter().map(|wish| wish.path.clone()).collect();
    wanted.push(OPKG_KERNEL_CONTROL.to_owned());
    let system = System::read(root.open(&scene.image, 0)?.as_mut(), &wanted).at(place)?;
    system.check_target().at(place)?;
    let set = swap.map(|swap| swap.module_set(scene, &system)).transpose().at(place)?.unwrap_or_default();
    let mut wishes = wishes(resolved, &system, &release, request.keep_debug, &set)?;
    let boot = swap.map(|swap| swapped(scene, swap, &system, &mut wishes)).transpose().at(place)?;
    let plan = plan(&system, &release, &wishes).at(place)?;
    Ok(Planned { system, release, plan, modules: module_rows(&wishes), boot })
}

fn module_rows(wishes: &Wishes) -> Vec<ModuleRow> {
    let put_in = wishes.modules.iter().map(|wish| ModuleRow {
        name: wish.name.to_string(),
        origin: Some(wish.origin.clone()),
        reason: wish.reason.clone(),
    });
    let kept = wishes.kept.iter().map(|(name, reason)| ModuleRow {
        name: name.to_string(),
        origin: None,
        reason: reason.clone(),
    });
    put_in.chain(kept).collect()
}

/// Plans the swap, and adds what it asks of the root filesystem to `wishes`.
fn swapped(scene: &Scene, swap: &KernelSwap, system: &System, wishes: &mut Wishes) -> Result<BootPlan> {
    let partition = swap.boot_partition(scene)?;
    let plan = plan_boot(&partition, &swap.bytes)?;
    let unknown = swap.check_modules(&partition, system, wishes)?;
    wishes.findings.extend(unknown.into_iter().chain(swap.package_finding(&partition, system)));
    wishes.kernel_version.clone_from(&swap.version);
    Ok(plan)
}

/// The report as it is before anything is done.
fn report(
    request: &PatchRequest,
    scene: &Scene,
    resolved: &Resolved,
    planned: &Planned,
    findings: Vec<Finding>,
) -> PatchReport {
    let boot = planned.boot.iter().flat_map(|boot| &boot.edits).map(|edit| row(Role::Boot, edit));
    PatchReport {
        outcome: PatchOutcome::Planned,
        image: request.image.clone(),
        container: scene.image.container.clone(),
        table: scene.image.table.clone(),
        kernel_release: planned.release.to_string(),
        release: planned.system.release.clone(),
        overlays: resolved.overlays.clone(),
        modules: planned.modules.clone(),
        kernel_swap: None,
        edits: boot.chain(planned.plan.edits.iter().map(|edit| row(Role::Root, edit))).collect(),
        findings,
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

/// What is said where nothing tells the time.
fn undated() -> Finding {
    let message = "nothing in the image tells when it was built, so what is added is dated 1970-01-01";
    Finding {
        remedy: Some("set SOURCE_DATE_EPOCH to have another date".to_owned()),
        ..note("undated", message.to_owned())
    }
}

fn note(id: &str, message: String) -> Finding {
    Finding { id: id.to_owned(), severity: Severity::Note, message, remedy: None }
}

/// The disk with the plan carried out; untouched when the plan is empty.
fn edited(scene: &Scene, planned: &Planned, epoch: Option<u64>) -> Result<Disk> {
    let epoch = epoch.unwrap_or(0);
    let disk = carried_out(&scene.image, scene.editable_root()?, &planned.plan.edits, epoch)?;
    match (&planned.boot, &scene.boot) {
        (Some(plan), Ok(boot)) => {
            let image = Image { disk, ..scene.image.clone() };
            carried_out(&image, &boot.located, &plan.edits, epoch)
        }
        _ => Ok(disk),
    }
}

/// The disk of `image` with `edits` carried out on one of its partitions.
fn carried_out(image: &Image, located: &Located, edits: &[Edit], epoch: u64) -> Result<Disk> {
    if edits.is_empty() {
        return Ok(image.disk.clone());
    }
    let mut filesystem = located.open(image, epoch)?;
    apply(edits, filesystem.as_mut()).at(|| located.place())?;
    Ok(filesystem.finish().at(|| located.place())?.into_disk())
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
