//! Inspect: what is in an image, without judging it.

use crate::error::Result;
use crate::filesystem::Space;
use crate::infiniband;
use crate::kernel::{KernelExports, SymbolTable};
use crate::openwrt::System;
use crate::progress::Progress;

use super::history;
use super::medium::Medium;
use super::scene::{Located, Scene};
use super::unpacked::UnpackedKernels;
use super::{FilesystemRow, Input, InspectReport, KernelFacts, OptionRow};
use super::{authenticity, evidence};

/// Options whose presence in the kernel decides which InfiniBand modules load.
const OPTIONS: [&str; 6] = ["INFINIBAND", "IRQ_POLL", "HMM_MIRROR", "DMA_SHARED_BUFFER", "MMU_NOTIFIER", "CGROUP_RDMA"];

/// Looks at an image.
///
/// # Errors
/// Only what prevents looking at all.
pub(crate) fn inspect(input: &Input, progress: &dyn Progress) -> Result<InspectReport> {
    let scene = Scene::survey(Medium::open(input, progress)?, None);
    let mut remarks = scene.medium.table().map(|table| table.remarks.clone()).unwrap_or_default();
    remarks.extend(scene.medium.mounts());
    let kernel = match &scene.boot {
        Ok(_) => read_kernel(&scene).map_err(|reason| format!("the kernel cannot be read: {reason}")).map(Some),
        Err(_) if scene.is_bare() => Ok(None),
        Err(reason) => Err(format!("no boot partition: {reason}")),
    };
    let kernel = kernel.unwrap_or_else(|remark| {
        remarks.push(remark);
        None
    });
    let system = match read_system(&scene) {
        Ok(system) => Some(system),
        Err(reason) => {
            remarks.push(reason);
            None
        }
    };
    let history = history::recorded(&scene).unwrap_or_else(|reason| {
        remarks.push(format!("what was recorded of a patch cannot be read: {reason}"));
        None
    });
    let directories = system.as_ref().map_or(&[][..], |system| &system.module_directories);
    let modules = directories.iter().flat_map(|directory| &directory.modules);
    let infiniband = infiniband::stack(modules.map(|module| (&module.name, module.depends())));
    Ok(InspectReport {
        image: input.path().to_owned(),
        container: scene.medium.container().cloned(),
        signature: match scene.medium.image() {
            Some(image) => authenticity::described(input.path(), image)?,
            None => None,
        },
        disk_length: scene.medium.image().map(|image| image.disk.length()),
        table: scene.medium.table().cloned(),
        filesystems: scene.partitions.iter().map(|located| row(&scene, located)).collect(),
        kernel_release: scene.kernel_release.as_ref().ok().map(ToString::to_string),
        kernel,
        release: system.as_ref().map(|system| system.release.clone()),
        packages: system.as_ref().map(|system| system.packages.clone()),
        modules: directories.iter().map(|directory| (directory.release.to_string(), directory.modules.len())).collect(),
        infiniband_modules: infiniband.into_iter().map(ToString::to_string).collect(),
        history,
        remarks,
    })
}

/// The kernel that the first menu entry boots.
fn read_kernel(scene: &Scene) -> Result<KernelFacts, String> {
    let first = evidence::kernels(&scene.kernels, &UnpackedKernels::default())
        .into_iter()
        .next()
        .ok_or("the boot menu names none")?;
    let exports = first.exports?;
    let symbols = SymbolTable::built_in().map_err(|error| error.to_string())?;
    Ok(facts(first.path, &exports, &symbols))
}

fn facts(path: String, kernel: &KernelExports, symbols: &SymbolTable) -> KernelFacts {
    let row = |option: &str| {
        let entry = symbols.entries().iter().find(|entry| entry.option == option)?;
        let evidence = entry.evidence.clone()?;
        Some(OptionRow { option: option.to_owned(), built_in: kernel.export(&evidence).is_some(), evidence })
    };
    KernelFacts {
        path,
        version: kernel.version.clone(),
        compression: kernel.compression,
        unpacked_size: kernel.unpacked_size,
        exports: kernel.exports().len(),
        proof: kernel.proof,
        modversions: kernel.modversions,
        vermagic: kernel.rules.vermagic.clone(),
        struct_module_size: kernel.rules.struct_module_size,
        options: OPTIONS.into_iter().filter_map(row).collect(),
    }
}

fn read_system(scene: &Scene) -> Result<System, String> {
    let located = scene.root.as_ref().map_err(|reason| format!("no root partition: {reason}"))?;
    let mut root = scene.medium.filesystem(located).map_err(|error| error.to_string())?;
    System::read(root.as_mut(), &[]).map_err(|error| error.to_string())
}

fn row(scene: &Scene, located: &Located) -> FilesystemRow {
    let number = located.number();
    let is_boot = scene.boot.as_ref().is_ok_and(|boot| boot.located.number() == number);
    let is_root = scene.root.as_ref().is_ok_and(|root| root.number() == number);
    let role = match (is_boot, is_root) {
        (true, _) => Some("boot"),
        (false, true) => Some("root"),
        (false, false) => None,
    };
    let space = scene.medium.filesystem(located).and_then(|mut filesystem| filesystem.space()).ok();
    let space = space.filter(Space::is_bounded);
    let packing = scene.medium.packing(located).ok().flatten();
    let overlay = scene.medium.live_overlay(located).ok().flatten();
    FilesystemRow { partition: number, kind: located.kind, role, space, packing, overlay }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_into_a_kernel_is_told_by_what_it_exports() {
        let kernel = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/bzImage-with-ib"));
        let kernel = KernelExports::read(kernel).unwrap();
        let facts = facts("/boot/vmlinuz".into(), &kernel, &SymbolTable::built_in().unwrap());
        let options: Vec<_> = facts.options.iter().map(|row| (row.option.as_str(), row.built_in)).collect();
        assert_eq!(
            options,
            [
                ("INFINIBAND", false),
                ("IRQ_POLL", true),
                ("HMM_MIRROR", true),
                ("DMA_SHARED_BUFFER", true),
                ("MMU_NOTIFIER", true),
                ("CGROUP_RDMA", false)
            ]
        );
        assert_eq!((facts.exports, facts.modversions), (kernel.exports().len(), false));
    }
}
