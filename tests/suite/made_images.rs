//! Roots that mke2fs made, with the features that OpenWrt's own tool does not use.

use super::support::{BootKind, Job, RootKind, fixture_modules, image, judge, system_of_fixture};

fn judge_made(boot: BootKind, root: RootKind) {
    let input = tempfile::tempdir().unwrap();
    let (tree, kernel) = system_of_fixture("openwrt-mini-ib-ext4-combined-efi.img.gz", input.path());
    let path = input.path().join("made.img");
    image(&path, boot, root, &tree, &kernel);
    judge(&Job::connectx3(&path, &fixture_modules()), tempfile::tempdir().unwrap().path());
}

#[test]
fn a_root_with_what_mke2fs_turns_on_today_is_patched() {
    let features = "has_journal,64bit,metadata_csum,dir_index,flex_bg,huge_file,dir_nlink,extra_isize,^orphan_file";
    judge_made(BootKind::Efi, RootKind { block_size: 4096, features, mebibytes: 48 });
}

#[test]
fn a_root_with_metadata_checksums_and_blocks_of_1024_bytes_in_several_groups_is_patched() {
    let features = "has_journal,64bit,metadata_csum,dir_index,^orphan_file";
    judge_made(BootKind::Bios, RootKind { block_size: 1024, features, mebibytes: 48 });
}

#[test]
fn a_root_with_group_checksums_and_blocks_of_2048_bytes_is_patched() {
    let features = "^has_journal,^64bit,^metadata_csum,uninit_bg,^dir_index,^flex_bg";
    judge_made(BootKind::Efi, RootKind { block_size: 2048, features, mebibytes: 48 });
}

#[test]
fn a_root_without_any_checksum_is_patched() {
    let features = "has_journal,^64bit,^metadata_csum,^uninit_bg,dir_index";
    judge_made(BootKind::Bios, RootKind { block_size: 4096, features, mebibytes: 48 });
}
