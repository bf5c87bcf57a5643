//! Plans against a filesystem in memory: what is planned is carried out, and what a user would find is looked at.

mod autoload;
mod files;
mod packages;
mod random;
mod registration;

use std::sync::Arc;

use super::*;
use crate::apply::apply;
use crate::error::Result;
use crate::filesystem::Attributes;
use crate::kernel::{KernelRelease, ModuleName};
use crate::openwrt::testing::{MemoryFilesystem, MemoryNode};
use crate::openwrt::{OPKG_KERNEL_CONTROL, System};

fn release() -> KernelRelease {
    KernelRelease::new("6.12.117")
}

pub(super) fn planned(root: &MemoryFilesystem, wishes: &Wishes) -> Result<Plan> {
    let mut wanted: Vec<String> = wishes.files.iter().map(|wish| wish.path.clone()).collect();
    wanted.push(OPKG_KERNEL_CONTROL.to_owned());
    plan(&System::read(&mut root.clone(), &wanted)?, &release(), wishes)
}

/// The root after the plan; a second plan on it must find nothing to do.
pub(super) fn patched(root: &MemoryFilesystem, wishes: &Wishes) -> (MemoryFilesystem, Plan) {
    let plan = planned(root, wishes).unwrap();
    let mut after = root.clone();
    apply(&plan.edits, &mut after).unwrap();
    let again = planned(&after, wishes).unwrap();
    assert_eq!(again.edits, [], "a second plan finds nothing to do");
    (after, plan)
}

fn module(file_name: &str, bytes: &str) -> ModuleWish {
    ModuleWish {
        name: ModuleName::new(file_name),
        file_name: file_name.to_owned(),
        bytes: bytes.as_bytes().into(),
        depends: None,
        source_sha256: String::new(),
        origin: "build/".to_owned(),
        reason: "overlay connectx3".to_owned(),
    }
}

fn load(module: &str, parameters: &str, file: &str, boot: bool) -> AutoloadWish {
    AutoloadWish {
        module: ModuleName::new(module),
        parameters: parameters.to_owned(),
        file: file.to_owned(),
        boot,
        reason: "overlay connectx3".to_owned(),
    }
}

fn file(path: &str, text: &str, mode: u16) -> FileWish {
    FileWish {
        path: path.to_owned(),
        content: Content::File(Arc::from(text.as_bytes())),
        attributes: Attributes::root(mode),
        reason: "overlay ipoib".to_owned(),
        is_certain: true,
        is_own: false,
    }
}

fn paths(plan: &Plan) -> Vec<(&str, Change)> {
    plan.edits.iter().map(|edit| (edit.path.as_str(), edit.change)).collect()
}

fn finding<'a>(plan: &'a Plan, id: &str) -> &'a Finding {
    plan.findings.iter().find(|finding| finding.id == id).unwrap_or_else(|| panic!("no {id} in {:?}", plan.findings))
}

#[test]
fn nothing_wished_is_nothing_done() {
    let plan = planned(&MemoryFilesystem::openwrt(), &Wishes::default()).unwrap();
    assert_eq!((plan.edits.len(), plan.findings.len()), (0, 0));
    assert_eq!(plan.space.free_blocks_after, plan.space.free_blocks_before);
}

#[test]
fn modules_come_first_then_files_by_size_then_autoload_entries_and_last_what_is_a_hosts_own() {
    let wishes = Wishes {
        modules: vec![module("mlx4_core.ko", "core"), module("mlx4_ib.ko", "ib")],
        autoload: vec![load("mlx4_core", "", "36-mlx4-core", true), load("mlx4_ib", "", "30-hw-network", false)],
        files: vec![
            FileWish { is_own: true, ..file("/etc/own", "settings", 0o644) },
            file("/usr/share/ib/a/readme", "x", 0o644),
            file("/etc/init.d/ipoib", "#!", 0o755),
        ],
        root_password_hash: Some("$5$salt$hash".to_owned()),
        ssh_keys: vec!["ssh-ed25519 AAAAC3 me".to_owned()],
        ..Wishes::default()
    };
    let (_, plan) = patched(&MemoryFilesystem::openwrt(), &wishes);
    use Change::{Add, Replace};
    assert_eq!(
        paths(&plan),
        [
            ("/lib/modules/6.12.117/mlx4_core.ko", Add),
            ("/lib/modules/6.12.117/mlx4_ib.ko", Add),
            ("/etc/init.d", Add),
            ("/etc/init.d/ipoib", Add),
            ("/usr/share", Add),
            ("/usr/share/ib", Add),
            ("/usr/share/ib/a", Add),
            ("/usr/share/ib/a/readme", Add),
            ("/etc/modules.d/36-mlx4-core", Add),
            ("/etc/modules-boot.d/36-mlx4-core", Add),
            ("/etc/modules.d/30-hw-network", Replace),
            ("/etc/shadow", Replace),
            ("/etc/dropbear", Add),
            ("/etc/dropbear/authorized_keys", Add),
            ("/etc/own", Add),
        ]
    );
    assert!(plan.edits.iter().rev().take(4).all(|edit| edit.is_own) && !plan.edits[8].is_own);
}

#[test]
fn a_full_filesystem_is_told_before_anything_is_written() {
    let mut root = MemoryFilesystem::openwrt();
    root.space.free_blocks = 1;
    let wishes = Wishes { modules: vec![module("mlx4_core.ko", &"x".repeat(10_000))], ..Wishes::default() };
    let error = planned(&root, &wishes).unwrap().need.check(&root.space).unwrap_err();
    assert_eq!(
        error.message(),
        "not enough room in the root filesystem: 6 blocks of 4096 bytes (0.0 MiB) are needed, 1 (0.0 MiB) are free"
    );
}

#[test]
fn a_root_of_another_kernel_or_target_is_remarked_upon() {
    let mut root = MemoryFilesystem::openwrt();
    root.add_directory("/lib/modules/6.6.1");
    let plan = planned(&root, &Wishes::default()).unwrap();
    assert!(finding(&plan, "module-directories").message.contains("2 directories (6.12.117, 6.6.1)"));

    let mut root = MemoryFilesystem::openwrt();
    root.nodes.retain(|path, _| !path.starts_with("/lib/modules"));
    root.add_directory("/lib/modules/6.6.1");
    root.add_file("/etc/openwrt_release", "DISTRIB_TARGET='x86/generic'\nDISTRIB_ARCH='i386_pentium4'\n");
    let plan = planned(&root, &Wishes::default()).unwrap();
    assert_eq!(finding(&plan, "kernel-release").severity, Severity::Error);
    assert!(
        finding(&plan, "kernel-release").message.starts_with("the kernel is 6.12.117, but /lib/modules holds 6.6.1")
    );
    assert!(finding(&plan, "target").message.contains("i386_pentium4"));
}
