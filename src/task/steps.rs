//! The steps of a patch, each a function of what the step before it gives. [`patch`](super::patch()) takes them in turn;
//! whoever makes many images of one opens it once.

use std::path::PathBuf;
use std::sync::Arc;

use crate::disk_identity::DiskIdentity;
use crate::error::{At, Error, Result};
use crate::filesystem::{LiveOverlay, Space};
use crate::history::{Changes, ORIGINALS};
use crate::image::{Container, Keep};
use crate::kernel::KernelRelease;
use crate::openwrt::{MODULES_DIRECTORY, OPKG_KERNEL_CONTROL, System};
use crate::overlay::{self, Resolved};
use crate::package::Chosen;
use crate::plan::{BootPartition, BootPlan, Edit, Finding, Plan, Severity, Wishes, plan, plan_boot};
use crate::progress::Progress;
use crate::recipe::{CommandLineWishes, Recipe, RootfsSize};
use crate::seal;
use crate::verify::{self, Expectations, Report};

use super::earlier_modules::EarlierModules;
use super::history::{self, Earlier};
use super::identity::Rekeying;
use super::kernel_swap::{self, KernelSwap};
use super::medium::Medium;
use super::packages::PackageFiles;
use super::scene::{Located, Scene};
use super::settlement::{KernelChange, Recorded, Settler};
use super::shelf::Shelf;
use super::unpacked::UnpackedKernels;
use super::wishes::{Stock, expectations, wishes};
use super::{Input, ModuleRow, PackageRow, evidence, tree};

/// An image or tree that was looked at.
#[derive(Debug, Clone)]
pub(super) struct Opened {
    /// Its path.
    pub(super) path: PathBuf,
    /// Which partition is what.
    pub(super) scene: Scene,
    /// What its kernels export.
    pub(super) unpacked: UnpackedKernels,
    /// What plans for it have in common.
    pub(super) shelf: Shelf,
    /// An earlier patch, where one left a record.
    pub(super) earlier: Option<Arc<Earlier>>,
    /// What is to be said of the file.
    pub(super) remarks: Vec<Finding>,
}

/// What is wished for, with no knowledge of the image.
pub(super) struct Wished {
    /// Overlays, modules and files.
    pub(super) resolved: Resolved,
    /// Another kernel: to be put in, or for a root without one the one that will boot it.
    pub(super) swap: Option<KernelSwap>,
    /// Whether the overlay behind a squashfs root may be lost.
    pub(super) discard_overlay: bool,
    /// Packages.
    pub(super) packages: Arc<PackageFiles>,
    /// How large the root is to be.
    pub(super) rootfs_size: Option<RootfsSize>,
    /// Whether a backup GPT is written.
    pub(super) backup_gpt: bool,
    /// What other identifiers of disk and partitions are made of.
    pub(super) identity_seed: Option<String>,
    /// Whether the image keeps a record of what is done to it.
    pub(super) is_recorded: bool,
}

impl Wished {
    /// Whether nothing is wished of what is in the image, but for its size and wrapping.
    pub(super) fn is_nothing(&self) -> bool {
        let Resolved { required, autoload, files, lines, managed, root_password_hash, ssh_keys, .. } = &self.resolved;
        let is_empty = required.is_empty() && autoload.is_empty() && files.is_empty() && lines.is_empty();
        is_empty
            && managed.is_empty()
            && root_password_hash.is_none()
            && ssh_keys.is_empty()
            && self.packages.is_empty()
            && self.swap.is_none()
    }
}

/// What is to be done to an image.
pub(super) struct Planned {
    /// The system as it is.
    pub(super) system: Arc<System>,
    /// Room in the root: as it is, or as it was grown.
    pub(super) room: Space,
    /// The kernel that it will run on.
    pub(super) release: KernelRelease,
    /// The root filesystem's part.
    pub(super) plan: Plan,
    /// The modules that are needed.
    pub(super) modules: Vec<ModuleRow>,
    /// What the plan puts into the root as it was before any patch.
    pub(super) put: Vec<Edit>,
    /// The boot partition's part, when the kernel is replaced.
    pub(super) boot: Option<BootPlan>,
    /// The packages that go in.
    pub(super) packages: Vec<PackageRow>,
    /// The overlay behind the root, where it is given up.
    pub(super) discarded_overlay: Option<LiveOverlay>,
    /// Other identifiers of disk and partitions.
    pub(super) rekeying: Option<Rekeying>,
}

impl Planned {
    /// What it is dated, in seconds since 1970: as was `asked` for, else as the image was built; `None` when nothing tells.
    pub(super) fn dated(&self, asked: Option<u64>) -> Option<u64> {
        asked.or_else(|| self.system.build_time())
    }

    /// `medium`, on which the plan was carried out, with the identifiers that are wished for.
    ///
    /// # Errors
    /// As [`Rekeying::carried_out`].
    pub(super) fn rekeyed(&self, medium: Medium) -> Result<Medium> {
        match &self.rekeying {
            Some(rekeying) => rekeying.carried_out(&medium),
            None => Ok(medium),
        }
    }

    /// Length in bytes of what is kept in the root of what stood there before.
    pub(super) fn kept_length(&self) -> u64 {
        let own = self.plan.edits.iter().filter(|edit| edit.path.starts_with(ORIGINALS));
        own.map(Edit::length).fold(0, u64::saturating_add)
    }
}

impl Opened {
    /// How messages name it.
    pub(super) fn place(&self) -> String {
        self.path.display().to_string()
    }
}

/// Reads `input`, and finds an image among the digests that lie beside it.
///
/// # Errors
/// Those of opening it; corrupt when a digest beside it is another, or the record of an earlier patch is damaged.
pub(super) fn open(input: &Input, progress: &dyn Progress) -> Result<Opened> {
    opened(input, Changes::Keep, progress)
}

/// The same, for whom what was changed since an earlier patch becomes what `changes` says.
///
/// # Errors
/// As [`open`].
pub(super) fn opened(input: &Input, changes: Changes, progress: &dyn Progress) -> Result<Opened> {
    let path = input.path().to_owned();
    let (medium, unpacked) = Medium::opening(Keep::DiskAndStream, input, progress)?;
    let mut remarks = Vec::new();
    if let Some(container) = medium.container() {
        let agreeing = seal::check_sums(&path, &container.sha256)?;
        remarks.extend(dropped_trailers(container).into_iter().chain(checked_sums(&agreeing)));
    }
    remarks.extend(medium.mounts().map(|message| note("mount-point", message)));
    let (scene, shelf) = (Scene::survey(medium, None), Shelf::default());
    let earlier = Earlier::find(&scene, changes, &shelf).at(|| input.path().display().to_string())?.map(Arc::new);
    Ok(Opened { path, scene, unpacked, shelf, earlier, remarks })
}

/// Puts recipe and command line together, and reads what they name.
///
/// # Errors
/// Those of recipe, overlays and kernel file.
pub(super) fn wished(asked: &CommandLineWishes) -> Result<Wished> {
    recipe_wished(&Recipe::assemble(asked)?, &Shelf::default())
}

/// Resolves `recipe`, and reads what it names.
///
/// # Errors
/// Those of recipe, overlays and files.
pub(super) fn recipe_wished(recipe: &Recipe, shelf: &Shelf) -> Result<Wished> {
    resolved_wished(recipe, overlay::resolve(recipe)?, shelf)
}

/// Reads what `recipe`, which was `resolved`, names.
///
/// # Errors
/// Those of the files.
pub(super) fn resolved_wished(recipe: &Recipe, resolved: Resolved, shelf: &Shelf) -> Result<Wished> {
    Ok(Wished {
        swap: KernelSwap::read(recipe, shelf)?,
        discard_overlay: recipe.discard_overlay,
        packages: shelf.packages(&resolved)?,
        rootfs_size: recipe.rootfs_size,
        backup_gpt: recipe.backup_gpt,
        identity_seed: recipe.identity_seed()?,
        is_recorded: !recipe.leaves_unrecorded,
        resolved,
    })
}

/// Reads the image's system and plans. Whether there is room for it is [another step](super::growth::planned).
///
/// # Errors
/// Those of the root filesystem, of the module sources and of the plan.
pub(super) fn planned(opened: &Opened, wished: &Wished, keep_debug: bool) -> Result<Planned> {
    let place = || opened.place();
    // Who wishes nothing but another size or wrapping does not ask for the way back.
    let is_untouched = wished.is_nothing();
    let opened = &if is_untouched { opened.as_it_is() } else { opened.as_it_was() };
    let scene = &opened.scene;
    let (resolved, swap) = (&wished.resolved, wished.swap.as_ref());
    let root = scene.editable_root().at(place)?;
    let mut wanted = expectations(resolved).paths();
    wanted.push(OPKG_KERNEL_CONTROL.to_owned());
    let length = scene.medium.length(root)?;
    let read = |wanted: &[String]| {
        let wanted = wanted.iter().map(String::as_str);
        opened.shelf.system(length, wanted, || opened.root_before(root)).at(place)
    };
    let mut system = read(&wanted)?;
    system.check_target().at(place)?;
    let release = match swap {
        Some(swap) => swap.kernel.release.clone(),
        None if scene.is_bare() => only_release(&system).at(place)?,
        None => scene.kernel_release().at(place)?,
    };
    let set = swap.map(|swap| swap.module_set(scene, &system)).transpose().at(place)?.unwrap_or_default();
    let version = swap.and_then(|swap| swap.version.as_deref());
    let packages = opened.shelf.chosen(resolved, &wished.packages, &system, version)?;
    wanted.extend(packages.paths().map(str::to_owned));
    system = read(&wanted)?;
    let reserve = EarlierModules { opened, root, keep_debug };
    let stock = Stock { set: &set, reserve: &reserve, keep_debug };
    let found = wishes(resolved, &system, &release, &stock, packages, &opened.shelf);
    let mut wishes = match opened.earlier {
        // What the earlier patch put in counts for nothing here, though it is there.
        Some(_) => found.at(|| "as it was before the patch that this one takes the place of".to_owned())?,
        None => found?,
    };
    let swapped = match swap {
        _ if scene.is_bare() => {
            bare_kernel(swap, &system, &release, &mut wishes);
            None
        }
        Some(swap) => {
            swap.check_file(&opened.unpacked)?;
            Some(swapped(opened, swap, &system, &mut wishes).at(place)?)
        }
        None => None,
    };
    let mut plan = plan(&system, &release, &wishes).at(place)?;
    if matches!(scene.medium, Medium::Tree(_)) {
        tree::without_owners(&mut plan, &system);
    }
    let rekeying = wished.identity_seed.clone().map(|seed| Rekeying::plan(scene, &opened.shelf, seed));
    let put = plan.edits.clone();
    let kernel = swapped.as_ref().and_then(Swapped::change);
    let recorded = Recorded { wished, wishes: &wishes, keep_debug, kernel };
    let recorded = Some(recorded).filter(|_| wished.is_recorded && !is_untouched);
    let settlement = Settler::new(opened, root, &system).settle(&plan.edits, recorded).at(place)?;
    plan.findings.extend(settlement.findings);
    plan = plan.by(settlement.edits, &system.space);
    if matches!(scene.medium, Medium::Tree(_)) {
        plan.findings.extend(tree::unowned(&put, &plan.edits));
    }
    let discarded_overlay = discarded_overlay(scene, root, wished, &plan.edits).at(place)?;
    plan.findings.extend(discarded_overlay.map(loss));
    let boot = match swapped {
        Some(swapped) => Some(swapped.plan),
        None => history::kernel_back(opened).at(place)?,
    };
    Ok(Planned {
        room: system.space,
        system,
        release,
        plan,
        put,
        modules: module_rows(&wishes),
        boot,
        packages: package_rows(&wishes),
        discarded_overlay,
        rekeying: rekeying.transpose().at(place)?,
    })
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

fn package_rows(wishes: &Wishes) -> Vec<PackageRow> {
    let rows = wishes.packages.chosen.iter().map(|Chosen { package, needed_by }| PackageRow {
        name: package.name.clone(),
        version: package.version.clone(),
        origin: package.source.clone(),
        needed_by: needed_by.clone(),
        licence: package.licence().to_owned(),
        is_signed: package.is_signed,
    });
    rows.collect()
}

/// The kernel that a root without one is for: that of its only module directory.
///
/// # Errors
/// Usage when there is none, or several.
pub(super) fn only_release(system: &System) -> Result<KernelRelease> {
    let message = match system.module_directories.as_slice() {
        [only] => return Ok(only.release.clone()),
        [] => format!(
            "there is no kernel in it, and no directory under {MODULES_DIRECTORY} that tells which one it is for"
        ),
        several => {
            let names: Vec<&str> = several.iter().map(|directory| directory.release.as_str()).collect();
            format!(
                "there is no kernel in it, and {MODULES_DIRECTORY} holds {} directories ({}): which one its kernel reads \
                 cannot be told",
                several.len(),
                names.join(", ")
            )
        }
    };
    Err(Error::usage(message).remedy("name the kernel that will boot it: --kernel BZIMAGE"))
}

/// What a given kernel, or none, means for a root that has none itself.
fn bare_kernel(swap: Option<&KernelSwap>, system: &System, release: &KernelRelease, wishes: &mut Wishes) {
    match swap {
        Some(swap) => {
            wishes.findings.extend(swap.bare_package_finding(system));
            wishes.kernel_version.clone_from(&swap.version);
        }
        None if wishes.modules.is_empty() && wishes.kept.is_empty() => {}
        None => wishes.findings.push(Finding {
            id: "kernel-not-given".to_owned(),
            severity: Severity::Warning,
            message: format!(
                "there is no kernel in it, so whether the one that will boot it takes the modules is not proved; they are \
                 for {release}, the only directory under {MODULES_DIRECTORY}"
            ),
            remedy: Some(
                "have it proved with the kernel of the same build: --kernel BZIMAGE (…-kernel.bin, or boot/vmlinuz of the \
                 combined image)"
                    .to_owned(),
            ),
        }),
    }
}

/// The swap's part of a plan.
struct Swapped<'a> {
    /// The boot partition before any patch.
    before: BootPartition,
    /// The kernel that goes in.
    kernel: &'a Arc<[u8]>,
    plan: BootPlan,
}

impl Swapped<'_> {
    /// What is put in the place of another kernel, or of none.
    fn change(&self) -> Option<KernelChange<'_>> {
        let is_same = self.before.present.as_ref().is_some_and(|(_, present)| present == self.kernel);
        (!is_same).then_some(KernelChange { before: &self.before, kernel: self.kernel })
    }
}

/// What to do where a new kernel does not fit.
const SMALLER_KERNEL: &str = "build the image with a larger CONFIG_TARGET_KERNEL_PARTSIZE, or give a smaller kernel";

/// Plans the swap, and adds what it asks of the root filesystem to `wishes`.
fn swapped<'a>(opened: &Opened, swap: &'a KernelSwap, system: &System, wishes: &mut Wishes) -> Result<Swapped<'a>> {
    let now = opened.shelf.boot_partition(&swap.kernel.file, || swap.boot_partition(&opened.scene))?;
    let before = match &opened.scene.boot {
        Ok(boot) => kernel_swap::before(boot, &now),
        Err(_) => (*now).clone(),
    };
    let plan = plan_boot(&now, &swap.kernel.bytes).map_err(|error| error.remedy(SMALLER_KERNEL))?;
    let unknown = swap.check_modules(&before, system, wishes, &opened.unpacked)?;
    wishes.findings.extend(unknown.into_iter().chain(swap.package_finding(&before, system)));
    wishes.kernel_version.clone_from(&swap.version);
    Ok(Swapped { before, kernel: &swap.kernel.bytes, plan })
}

/// What is said of trailers behind the image, none of which outlives an edit.
fn dropped_trailers(container: &Container) -> Option<Finding> {
    let message = match container.trailers.len() {
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

/// The overlay behind the root, where one is there and given up.
///
/// # Errors
/// Unsupported: it is not given up, and there are edits.
pub(super) fn discarded_overlay(
    scene: &Scene,
    root: &Located,
    wished: &Wished,
    edits: &[Edit],
) -> Result<Option<LiveOverlay>> {
    let overlay = scene.medium.live_overlay(root)?;
    match overlay {
        Some(overlay) if !wished.discard_overlay && !edits.is_empty() => Err(overlay.refusal().at(root.place())),
        _ => Ok(overlay.filter(|_| wished.discard_overlay)),
    }
}

/// What is said of an overlay that is given up.
pub(super) fn loss(overlay: LiveOverlay) -> Finding {
    let LiveOverlay { kind, place } = overlay;
    let message = format!(
        "{kind} lay behind the squashfs, at byte {place} of its partition; it is left out, with every setting, package and \
         file that it held, and first boot makes a new one"
    );
    Finding { severity: Severity::Warning, ..note("overlay-discarded", message) }
}

/// The medium with the plan carried out, added files dated `epoch` (seconds since 1970); untouched when the plan is empty.
///
/// # Errors
/// Those of the filesystems.
pub(super) fn carried_out(opened: &Opened, planned: &Planned, epoch: u64) -> Result<Medium> {
    let place = || opened.place();
    let scene = &opened.scene;
    let root = scene.editable_root().at(place)?;
    let medium = match planned.discarded_overlay {
        Some(_) => scene.medium.without_overlay(root).at(place)?,
        None => scene.medium.clone(),
    };
    let mut medium = medium.edited(root, &planned.plan.edits, epoch).at(place)?;
    if let (Some(plan), Ok(boot)) = (&planned.boot, &scene.boot) {
        medium = medium.edited(&boot.located, &plan.edits, epoch).at(place)?;
    }
    planned.rekeyed(medium).at(place)
}

/// How a result is checked.
#[derive(Clone, Copy)]
pub(super) struct Checking<'a> {
    /// What the kernels met so far export.
    pub(super) unpacked: &'a UnpackedKernels,
    /// What is to be in it.
    pub(super) wished: &'a Wished,
    /// Checks that are not run.
    pub(super) skip: &'a [String],
    /// Checks whose failures are warnings.
    pub(super) allow: &'a [String],
}

impl Checking<'_> {
    /// Checks `result`, all of which is read.
    pub(super) fn of(&self, result: Medium) -> Report {
        let given = self.wished.swap.as_ref().map(|swap| &swap.kernel);
        let result = Scene::survey(result, given);
        let mut report = verify::run(&evidence::gather(&result, self.unpacked, expected(self.wished)), self.skip);
        report.tolerate(self.allow);
        report
    }
}

/// What is expected of the result.
pub(super) fn expected(wished: &Wished) -> Expectations {
    let mut expectations = expectations(&wished.resolved);
    expectations.packaged.extend(wished.packages.programs());
    expectations.identity = wished.identity_seed.as_deref().map(DiskIdentity::derived);
    expectations
}

/// A finding without a remedy.
pub(super) fn note(id: &str, message: String) -> Finding {
    Finding { id: id.to_owned(), severity: Severity::Note, message, remedy: None }
}
