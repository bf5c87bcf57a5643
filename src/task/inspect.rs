//! Inspect: what is in an image, without judging it.

use std::path::Path;

use crate::error::Result;
use crate::image::Image;
use crate::infiniband;
use crate::openwrt::System;
use crate::progress::Progress;

use super::scene::{Located, Scene};
use super::{FilesystemRow, InspectReport};

/// Looks at an image.
///
/// # Errors
/// Only what prevents looking at all.
pub(crate) fn inspect(path: &Path, progress: &dyn Progress) -> Result<InspectReport> {
    let scene = Scene::survey(Image::open(path, progress)?);
    let mut remarks = scene.image.table.remarks.clone();
    let boot = scene.boot.as_ref();
    remarks.extend(boot.err().map(|reason| format!("no boot partition: {reason}")));
    let kernel_release = match boot.map(|boot| &boot.kernel_release) {
        Ok(Ok(release)) => Some(release.to_string()),
        Ok(Err(reason)) => {
            remarks.push(format!("the kernel cannot be read: {reason}"));
            None
        }
        Err(_) => None,
    };
    let system = match read_system(&scene) {
        Ok(system) => Some(system),
        Err(reason) => {
            remarks.push(reason);
            None
        }
    };
    let directories = system.as_ref().map_or(&[][..], |system| &system.module_directories);
    let modules = directories.iter().flat_map(|directory| &directory.modules);
    let infiniband = infiniband::stack(modules.map(|module| (&module.name, module.depends())));
    Ok(InspectReport {
        image: path.to_owned(),
        container: scene.image.container.clone(),
        disk_length: scene.image.disk.length(),
        table: scene.image.table.clone(),
        filesystems: scene.partitions.iter().map(|located| row(&scene, located)).collect(),
        kernel_release,
        release: system.as_ref().map(|system| system.release.clone()),
        packages: system.as_ref().map(|system| system.packages.clone()),
        modules: directories.iter().map(|directory| (directory.release.to_string(), directory.modules.len())).collect(),
        infiniband_modules: infiniband.into_iter().map(ToString::to_string).collect(),
        remarks,
    })
}

fn read_system(scene: &Scene) -> Result<System, String> {
    let located = scene.root.as_ref().map_err(|reason| format!("no root partition: {reason}"))?;
    let mut root = located.open(&scene.image, 0).map_err(|error| error.to_string())?;
    System::read(root.as_mut(), &[]).map_err(|error| error.to_string())
}

fn row(scene: &Scene, located: &Located) -> FilesystemRow {
    let number = located.partition.number;
    let is_boot = scene.boot.as_ref().is_ok_and(|boot| boot.located.partition.number == number);
    let is_root = scene.root.as_ref().is_ok_and(|root| root.partition.number == number);
    let role = match (is_boot, is_root) {
        (true, _) => Some("boot"),
        (false, true) => Some("root"),
        (false, false) => None,
    };
    let space = located.open(&scene.image, 0).and_then(|mut filesystem| filesystem.space()).ok();
    FilesystemRow { partition: number, kind: located.kind, role, space }
}
