//! The same judgement over any folder of images: `IBWRT_IMAGES=DIR` with their modules in `IBWRT_MODULES`.

use std::path::{Path, PathBuf};

use super::support::{
    Job, Partition, SECTOR, ibwrt, judge, listing, mksquashfs, partitions, raw_disk, rdump, write_partition,
};

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

#[test]
fn a_squashfs_that_the_kernel_of_a_given_image_cannot_unpack_is_warned_of() {
    let Some((images, _)) = given_images() else {
        println!("not run: IBWRT_IMAGES names no folder of images");
        return;
    };
    for image in images {
        let mut disk = raw_disk(&image);
        let [_, root] = partitions(&disk);
        if !disk[root.range()].starts_with(b"hsqs") {
            continue;
        }
        println!("{}", image.display());
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let row = |image: &Path| {
            let text = ibwrt(folder.path(), [Path::new("verify"), image]).text();
            let row = text.split_once("squashfs-decompressor").unwrap_or_else(|| panic!("{text}"));
            let (state, words) = (row.0.split_whitespace().next_back(), row.1.split_whitespace());
            format!("{} {}", state.unwrap(), words.take(40).collect::<Vec<_>>().join(" "))
        };
        let fits = row(&image);
        assert!(fits.starts_with("pass xz with the x86 filter, which /boot/vmlinuz has built in"), "{fits}");
        write_partition(&disk, root, &file("root"));
        std::fs::create_dir(file("tree")).unwrap();
        rdump(&file("root"), &file("tree"));
        mksquashfs(&file("tree"), &file("gzip"), &["-comp", "gzip"]);
        let gzip = std::fs::read(file("gzip")).unwrap();
        disk[root.range()].fill(0);
        disk[root.range().start..][..gzip.len()].copy_from_slice(&gzip);
        std::fs::write(file("other.img"), disk).unwrap();
        let other = row(&file("other.img"));
        assert!(
            other.starts_with(
                "warn - the root is compressed with gzip, but the squashfs of /boot/vmlinuz was built for xz only"
            ),
            "{other}"
        );
    }
}

fn judge_given(image: &Path, modules: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let job = Job { stripped: false, ..Job::connectx3(image, modules) };
    judge(&job, folder.path());
}
