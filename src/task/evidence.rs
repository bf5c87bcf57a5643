//! From a scene to what the checks look at.

use crate::filesystem;
use crate::openwrt::System;
use crate::verify::{Evidence, Expectations};

use super::scene::{Located, Scene};

/// Reads everything that a check may ask for; what cannot be read becomes the reason why.
pub(super) fn gather(scene: &Scene, expectations: Expectations) -> Evidence<'_> {
    let boot = scene.boot.as_ref();
    let root = scene.root.as_ref();
    let wanted: Vec<String> = expectations.files.iter().map(|wish| wish.path.clone()).collect();
    let system = match root {
        Ok(located) => located
            .open(&scene.image, 0)
            .and_then(|mut root| System::read(root.as_mut(), &wanted))
            .map_err(|error| error.to_string()),
        Err(reason) => Err(reason.clone()),
    };
    Evidence {
        image: &scene.image,
        boot_partition: boot.ok().map(|boot| boot.located.partition.number),
        root_partition: root.ok().map(|located| located.partition.number),
        boot: boot.map(|boot| boot.configuration.clone()).map_err(Clone::clone),
        boot_files: boot.map(|boot| boot.files.clone()).unwrap_or_default(),
        boot_problems: boot.map(|boot| problems(scene, &boot.located)).unwrap_or_default(),
        root_problems: root.map(|located| problems(scene, located)).unwrap_or_default(),
        kernel_release: boot.map_err(Clone::clone).and_then(|boot| boot.kernel_release.clone()),
        system,
        expectations,
    }
}

fn problems(scene: &Scene, located: &Located) -> Vec<String> {
    let found = located.volume(&scene.image).and_then(|volume| filesystem::problems(&volume));
    found.unwrap_or_else(|error| vec![error.to_string()])
}
