//! Modules that come without a package have an owner all the same.

use super::*;

const STATUS: &str = "/usr/lib/opkg/status";
const LIST: &str = "/usr/lib/opkg/info/kmod-ibwrt.list";
const KERNEL: &str = "6.12.117~0123456789abcdef0123456789abcdef-r1";

fn opkg() -> MemoryFilesystem {
    let mut root = MemoryFilesystem::openwrt();
    root.add_file(
        STATUS,
        format!(
            "Package: kernel\nVersion: {KERNEL}\nStatus: install hold installed\n\n\
             Package: kmod-mlx5-core\nVersion: 6.12.117-r1\nStatus: install ok installed\n\n"
        ),
    );
    root.add_file("/lib/modules/6.12.117/mlx5_core.ko", "ethernet only");
    root.add_file(
        "/usr/lib/opkg/info/kmod-mlx5-core.list",
        "/lib/modules/6.12.117/mlx5_core.ko\n/etc/modules.d/36-mlx5\n",
    );
    root
}

fn wishes(modules: &[&str]) -> Wishes {
    Wishes {
        modules: modules.iter().map(|name| module(&format!("{name}.ko"), name)).collect(),
        autoload: modules.iter().map(|name| load(name, "", "37-ib", true)).collect(),
        is_registered: true,
        ..Wishes::default()
    }
}

#[test]
fn they_are_one_package_with_the_kernels_version() {
    let (after, _) = patched(&opkg(), &wishes(&["ib_core", "ib_umad"]));
    let status = after.text(STATUS).unwrap();
    assert!(
        status.ends_with(&format!(
            "Package: kmod-ibwrt\nVersion: {KERNEL}\nDepends: kernel (={KERNEL})\nStatus: install user installed\n\
             Architecture: x86_64\nInstalled-Time: 1738624177\n\n"
        )),
        "{status}"
    );
    assert_eq!(
        after.text(LIST).unwrap(),
        "/etc/modules-boot.d/37-ib\n/etc/modules.d/37-ib\n/lib/modules/6.12.117/ib_core.ko\n/lib/modules/6.12.117/ib_umad.ko\n"
    );
    let control = after.text("/usr/lib/opkg/info/kmod-ibwrt.control").unwrap();
    assert!(control.starts_with("Package: kmod-ibwrt\n") && control.contains("Installed-Size: "), "{control}");
}

#[test]
fn a_second_patch_replaces_the_entry_and_keeps_what_is_still_there() {
    let (first, _) = patched(&opkg(), &wishes(&["ib_core"]));
    let (second, _) = patched(&first, &wishes(&["ib_core", "ib_umad"]));
    assert_eq!(second.text(STATUS).unwrap().matches("Package: kmod-ibwrt\n").count(), 1);
    assert_eq!(second.text(LIST).unwrap().lines().count(), 4);
    let (third, _) = patched(&second, &wishes(&["mlx4_ib"]));
    assert!(third.text(LIST).unwrap().contains("ib_umad.ko"), "it is in the image still");
}

#[test]
fn a_module_of_a_package_that_is_replaced_changes_hands() {
    let (after, _) = patched(&opkg(), &wishes(&["mlx5_core"]));
    assert!(after.text(LIST).unwrap().contains("/lib/modules/6.12.117/mlx5_core.ko\n"));
    assert_eq!(after.text("/usr/lib/opkg/info/kmod-mlx5-core.list").unwrap(), "/etc/modules.d/36-mlx5\n");
}

#[test]
fn who_does_not_want_it_has_no_entry_and_an_image_without_a_database_gets_a_remark() {
    let mut unregistered = wishes(&["ib_core"]);
    unregistered.is_registered = false;
    let (after, _) = patched(&opkg(), &unregistered);
    assert!(!after.text(STATUS).unwrap().contains("kmod-ibwrt"));
    let (_, plan) = patched(&MemoryFilesystem::openwrt(), &wishes(&["ib_core"]));
    assert_eq!(finding(&plan, "no-package-database").severity, Severity::Note);
}

#[test]
fn in_apks_database_they_have_digests_and_are_wanted() {
    let mut root = MemoryFilesystem::openwrt();
    root.add_file(
        "/lib/apk/db/installed",
        format!("C:Q1a=\nP:kernel\nV:{KERNEL}\nA:x86_64\n\nC:Q1b=\nP:zlib\nV:1\n\n"),
    );
    root.add_file("/etc/apk/world", "kernel\nzlib\n");
    let (first, _) = patched(&root, &wishes(&["ib_core"]));
    let (after, _) = patched(&first, &wishes(&["ib_core", "ib_umad"]));
    let text = after.text("/lib/apk/db/installed").unwrap();
    let stanza = text.split("\n\n").find(|stanza| stanza.contains("P:kmod-ibwrt")).unwrap();
    assert!(text.find("P:kernel").unwrap() < text.find("P:kmod-ibwrt").unwrap());
    assert!(text.find("P:kmod-ibwrt").unwrap() < text.find("P:zlib").unwrap());
    let digest = crate::package::apk_digest(b"ib_core");
    assert!(
        stanza.contains(&format!("D:kernel={KERNEL}\nf:S\nF:etc\nF:etc/modules-boot.d\nR:37-ib\na:0:0:777\n"))
            && stanza.contains(&format!("F:lib/modules/6.12.117\nR:ib_core.ko\nZ:{digest}\nR:ib_umad.ko\n")),
        "{stanza}"
    );
    let identity = stanza.lines().next().unwrap().strip_prefix("C:").unwrap();
    assert_eq!(after.text("/etc/apk/world").unwrap(), format!("kernel\nkmod-ibwrt><{identity}\nzlib\n"));
}
