//! The same judgement over any folder of images: `IBWRT_IMAGES=DIR` with their modules in `IBWRT_MODULES`.

use std::path::{Path, PathBuf};

use super::support::{Job, Partition, SECTOR, judge, listing, partitions};

/// The images of the folder that the environment names, and the modules; `None` when it names none.
pub(crate) fn given_images() -> Option<(Vec<PathBuf>, PathBuf)> {
    let folder = PathBuf::from(std::env::var_os("IBWRT_IMAGES")?);
    let modules = std::env::var_os("IBWRT_MODULES").expect("IBWRT_IMAGES is set, IBWRT_MODULES is not");
    let names = listing(&folder).into_iter().filter(|name| name.ends_with(".img") || name.ends_with(".img.gz"));
    let images: Vec<PathBuf> = names.map(|name| folder.join(name)).collect();
    assert!(!images.is_empty(), "no image below {}", folder.display());
    Some((images, PathBuf::from(modules)))
}

/// Whether the root partition holds an ext filesystem: its superblock's magic, 0xEF53 at 0x38 of byte 1024.
pub(crate) fn has_ext4_root(disk: &[u8]) -> bool {
    let [_, Partition { start, .. }] = partitions(disk);
    let magic = start * SECTOR + 1024 + 0x38;
    disk[magic..magic + 2] == [0x53, 0xEF]
}

#[test]
fn every_given_image_is_patched() {
    let Some((images, modules)) = given_images() else {
        println!("not run: IBWRT_IMAGES names no folder of images");
        return;
    };
    for image in images {
        println!("{}", image.display());
        judge_given(&image, &modules);
    }
}

fn judge_given(image: &Path, modules: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let job = Job { stripped: false, ..Job::connectx3(image, modules) };
    judge(&job, folder.path());
}
