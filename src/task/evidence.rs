//! From a scene to what the checks look at.

use crate::error::At;
use crate::filesystem;
use crate::kernel::KernelExports;
use crate::openwrt::System;
use crate::verify::{self, BootedKernel, Evidence, Expectations};

use super::scene::{Boot, KernelFile, Located, Scene};

/// Reads everything that a check may ask for; what cannot be read becomes the reason why.
pub(super) fn gather(scene: &Scene, expectations: Expectations) -> Evidence<'_> {
    let boot = scene.boot.as_ref();
    let root = scene.root.as_ref();
    let wanted: Vec<String> = expectations.files.iter().map(|wish| wish.path.clone()).collect();
    // Unpacking the kernel takes most of the time, and needs nothing of the rest.
    let (kernels, (system, boot_problems, root_problems)) = rayon::join(
        || boot.map(kernels).unwrap_or_default(),
        || {
            let boot_problems = boot.map(|boot| problems(scene, &boot.located)).unwrap_or_default();
            let root_problems = root.map(|located| problems(scene, located)).unwrap_or_default();
            (read_system(scene, &wanted), boot_problems, root_problems)
        },
    );
    let load = verify::load(&kernels, &system);
    Evidence {
        image: &scene.image,
        boot_partition: boot.ok().map(|boot| boot.located.partition.number),
        root_partition: root.ok().map(|located| located.partition.number),
        boot: boot.map(|boot| boot.configuration.clone()).map_err(Clone::clone),
        boot_files: boot.map(|boot| boot.files.clone()).unwrap_or_default(),
        boot_problems,
        root_problems,
        kernel_release: boot.map_err(Clone::clone).and_then(|boot| boot.kernel_release.clone()),
        kernels,
        system,
        load,
        expectations,
    }
}

/// What each kernel of the menu exports.
pub(super) fn kernels(boot: &Boot) -> Vec<BootedKernel> {
    let read = |kernel: &KernelFile| {
        let bytes = kernel.content.as_ref().map_err(Clone::clone)?;
        KernelExports::read(bytes).at(|| kernel.path.clone()).map_err(|error| error.to_string())
    };
    boot.kernels.iter().map(|kernel| BootedKernel { path: kernel.path.clone(), exports: read(kernel) }).collect()
}

fn read_system(scene: &Scene, wanted: &[String]) -> Result<System, String> {
    let located = scene.root.as_ref().map_err(Clone::clone)?;
    let system = located.open(&scene.image, 0).and_then(|mut root| System::read(root.as_mut(), wanted));
    system.map_err(|error| error.to_string())
}

fn problems(scene: &Scene, located: &Located) -> Vec<String> {
    let found = located.volume(&scene.image).and_then(|volume| filesystem::problems(&volume));
    found.unwrap_or_else(|error| vec![error.to_string()])
}
