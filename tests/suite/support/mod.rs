//! What the tests share: running programs, reading disks, oracles, images made on the spot, a virtual machine.

mod cpio;
mod disk;
mod events;
pub(crate) mod folder;
mod judge;
mod kmodloader;
mod loadable;
mod machine;
mod made;
mod oracle;
mod program;
mod slurm;
mod squash;
pub(crate) mod tree;

use std::path::{Path, PathBuf};

pub(crate) use cpio::Archive;
pub(crate) use disk::{Partition, SECTOR, partitions, raw_disk, write_partition};
pub(crate) use events::{End, Events};
pub(crate) use folder::{User, is_root};
pub(crate) use judge::{Job, judge};
pub(crate) use kmodloader::{Insertion, load_order};
pub(crate) use machine::boot;
pub(crate) use made::{
    BootKind, OPENWRT, RootKind, fix_gpt_checksums, image, mksquashfs, squashfs_image, system_of_fixture,
};
pub(crate) use oracle::{
    copy_kernel, debugfs, e2fsck, fsck_fat, grub_configuration, gzip_readers_agree, modinfo, rdump, sgdisk, tool,
};
pub(crate) use program::{Ran, ibwrt, ibwrt_command, run};
pub(crate) use slurm::{Cluster, JobEnd};
pub(crate) use tree::{Entry, Tree, sha256};

/// The path of a file below `fixtures/`.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// The modules that go with the fixtures' images.
pub(crate) fn fixture_modules() -> PathBuf {
    fixture("ib-modules-6.12.117.tar.xz")
}

/// Every path below `folder`, relative and sorted: what a run left behind.
pub(crate) fn listing(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let entry = entry.unwrap();
            found.push(entry.path().strip_prefix(folder).unwrap().to_str().unwrap().to_string());
            if entry.file_type().unwrap().is_dir() {
                open.push(entry.path());
            }
        }
    }
    found.sort();
    found
}
