//! Another kernel for the image: the file, where it goes, and whether the image's modules still load with it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Serialize;

use crate::error::{At, Error, Result};
use crate::filesystem::FileType;
use crate::kernel::KernelFormat;
use crate::openwrt::{PackageDatabase, System};
use crate::plan::{BootPartition, Finding, Severity, Wishes, check_relink};
use crate::recipe::Recipe;

use super::given_kernel::GivenKernel;
use super::module_set::ModuleSet;
use super::scene::{Boot, Scene};
use super::shelf::Shelf;
use super::unpacked::UnpackedKernels;

/// A kernel that is to take the place of the image's.
#[derive(Debug, Clone)]
pub(super) struct KernelSwap {
    /// The file.
    pub(super) kernel: GivenKernel,
    /// New version of the package `kernel`.
    pub(super) version: Option<String>,
    /// Whether the image's modules are all replaced.
    pub(super) replace_modules: bool,
}

/// What is reported of a swap.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct SwapFacts {
    /// The new kernel's file.
    pub(crate) file: PathBuf,
    /// Release of the kernel that goes, where it can be told.
    pub(crate) release_before: Option<String>,
    /// Release of the new one.
    pub(crate) release: String,
    /// Whether the image's modules are all replaced.
    pub(crate) replace_modules: bool,
}

/// The boot partition as it is, and what stands at the path `kernel` on it.
///
/// # Errors
/// Unsupported when the path is no regular file; those of the filesystem.
pub(super) fn boot_partition(scene: &Scene, boot: &Boot, kernel: &str) -> Result<BootPartition> {
    let mut filesystem = scene.medium.filesystem(&boot.located)?;
    let present = match filesystem.metadata(kernel)? {
        None => None,
        Some(metadata) if metadata.file_type == FileType::Regular => {
            Some((metadata.attributes, filesystem.read(kernel)?.into()))
        }
        Some(_) => {
            return Err(Error::unsupported("what grub.cfg names as kernel is no regular file").at(kernel));
        }
    };
    let (kind, space) = (filesystem.kind(), filesystem.space()?);
    Ok(BootPartition { kernel: kernel.to_owned(), present, kind, space })
}

/// `now` as it was before an earlier patch.
pub(super) fn before(boot: &Boot, now: &BootPartition) -> BootPartition {
    let present = match &boot.before {
        Some(before) if before.path == now.kernel => before.file.clone(),
        _ => now.present.clone(),
    };
    BootPartition { present, ..now.clone() }
}

impl KernelSwap {
    /// Reads the kernel that `recipe` names; `None` when it names none.
    ///
    /// # Errors
    /// A file that cannot be read; unsupported when it is no kernel; corrupt when it contradicts itself.
    pub(super) fn read(recipe: &Recipe, shelf: &Shelf) -> Result<Option<Self>> {
        let Some(file) = &recipe.kernel else { return Ok(None) };
        Ok(Some(Self {
            kernel: shelf.kernel(file)?,
            version: recipe.kernel_version.clone(),
            replace_modules: recipe.replace_modules,
        }))
    }

    /// Refuses a file that GRUB does not boot, or whose exports cannot be read. What is wrong with the file has the file as its
    /// place, not the image.
    ///
    /// # Errors
    /// Unsupported, or those of reading the kernel.
    pub(super) fn check_file(&self, unpacked: &UnpackedKernels) -> Result<()> {
        let place = || self.kernel.file.display().to_string();
        if self.kernel.format == KernelFormat::Elf {
            return Err(Error::unsupported("an ELF vmlinux, which GRUB's `linux` command does not boot")
                .at(place())
                .remedy("give the bzImage of the same build: arch/x86/boot/bzImage"));
        }
        unpacked.read(&self.kernel.bytes).map(|_| ()).at(place)
    }

    /// What stands where the kernel goes: the path that all of grub.cfg's entries name.
    ///
    /// # Errors
    /// Corrupt when there is no boot partition; unsupported when the entries boot several kernels, or when the path is no
    /// regular file.
    pub(super) fn boot_partition(&self, scene: &Scene) -> Result<BootPartition> {
        let boot = scene.boot.as_ref().map_err(|reason| {
            Error::corrupt(format!("the kernel cannot be replaced: {reason}"))
                .remedy("ibwrt inspect IMAGE shows what is in the partitions")
        })?;
        let kernels: BTreeSet<&str> = boot.configuration.entries.iter().map(|entry| entry.kernel.as_str()).collect();
        let [kernel] = kernels.iter().copied().collect::<Vec<_>>()[..] else {
            let count = kernels.len();
            let names = kernels.into_iter().collect::<Vec<_>>().join(", ");
            return Err(Error::unsupported(format!(
                "grub.cfg boots {count} different kernels ({names}), so it cannot be told which one to replace"
            ))
            .remedy("let all entries of grub.cfg boot the same kernel"));
        };
        boot_partition(scene, boot, kernel)
    }

    /// What the swap means for the modules.
    ///
    /// # Errors
    /// As [`ModuleSet::of`].
    pub(super) fn module_set(&self, scene: &Scene, system: &System) -> Result<ModuleSet> {
        let old = scene.kernel_release().ok();
        ModuleSet::of(system, old.as_ref(), &self.kernel.release, self.replace_modules)
    }

    /// Compares what loads with the kernel `boot` holds with what will load with this one. Returns what is to be said when
    /// the old kernel cannot be read.
    ///
    /// # Errors
    /// As [`check_relink`]; those of reading this kernel.
    pub(super) fn check_modules(
        &self,
        boot: &BootPartition,
        system: &System,
        wishes: &Wishes,
        unpacked: &UnpackedKernels,
    ) -> Result<Option<Finding>> {
        let after = || unpacked.read(&self.kernel.bytes).at(|| self.kernel.file.display().to_string());
        let Some((_, present)) = &boot.present else { return after().map(|_| None) };
        if *present == self.kernel.bytes && !self.replace_modules {
            return Ok(None);
        }
        let after = after()?;
        match unpacked.read(present) {
            Ok(before) => check_relink(&before, &after, system, wishes).map(|()| None),
            Err(error) => Ok(Some(Finding {
                id: "kernel-swap".to_owned(),
                severity: Severity::Warning,
                message: format!("which modules load with the kernel that goes cannot be told: {error}"),
                remedy: Some("look at the checks on the result".to_owned()),
            })),
        }
    }

    /// What is to be said about the package database.
    pub(super) fn package_finding(&self, boot: &BootPartition, system: &System) -> Option<Finding> {
        match boot.present.as_ref().is_some_and(|(_, present)| *present == self.kernel.bytes) {
            true => None,
            false => self.version_finding(system),
        }
    }

    /// The same for a root without a kernel: it was made for this one, unless something says otherwise.
    pub(super) fn bare_package_finding(&self, system: &System) -> Option<Finding> {
        (self.replace_modules || self.version.is_some()).then(|| self.version_finding(system)).flatten()
    }

    fn version_finding(&self, system: &System) -> Option<Finding> {
        let old = system.packages.kernel()?;
        let manager = if matches!(system.packages, PackageDatabase::Apk { .. }) { "apk" } else { "opkg" };
        let (message, remedy) = match &self.version {
            Some(version) => (
                format!(
                    "the package kernel gets version {version}: kmod packages of the old feed, built for kernel {old}, no \
                     longer match"
                ),
                "take kmod packages from the new kernel's build only".to_owned(),
            ),
            None => (
                format!(
                    "the package kernel keeps its version {old} although the kernel is another one: {manager} takes kmod \
                     packages of the old feed, which no longer match"
                ),
                "give --kernel-version the version of the new build's package kernel".to_owned(),
            ),
        };
        Some(Finding { id: "kernel-package".to_owned(), severity: Severity::Warning, message, remedy: Some(remedy) })
    }

    /// What is reported.
    pub(super) fn facts(&self, scene: &Scene) -> SwapFacts {
        SwapFacts {
            file: self.kernel.file.clone(),
            release_before: scene.kernel_release().ok().map(|release| release.to_string()),
            release: self.kernel.release.to_string(),
            replace_modules: self.replace_modules,
        }
    }
}
