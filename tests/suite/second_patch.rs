//! What a second patch takes from the first: its modules, where no source of modules is named again.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::support::{self, Ran, fixture, fixture_modules, ibwrt, listing, system_of_fixture, tool};

const EXT4: &str = "openwrt-mini-ib-ext4-combined.img.gz";
const SQUASHFS: &str = "openwrt-mini-ib-squashfs-combined.img.gz";
const STACK: &str = "--overlay connectx3 --overlay ipoib --set ipoib.address=10.10.0.5/24";

/// Runs `line`, in which `MODULES` stands for where modules are.
fn run(folder: &Path, line: &str) -> Ran {
    let modules = format!("--modules {}", fixture_modules().display());
    ibwrt(folder, line.replace("MODULES", &modules).split_whitespace())
}

fn bytes(folder: &Path, name: &str) -> Vec<u8> {
    std::fs::read(folder.join(name)).unwrap()
}

/// The fixture's modules in `folder`, each with a section of debug information more.
fn with_debug_sections(folder: &Path) {
    std::fs::create_dir(folder).unwrap();
    support::run(Command::new("tar").arg("-xJf").arg(fixture_modules()).arg("-C").arg(folder)).expect_status(0);
    std::fs::write(folder.join("debug"), [7; 4096]).unwrap();
    for name in listing(folder).iter().filter(|name| name.ends_with(".ko")) {
        let mut objcopy = tool("objcopy");
        objcopy.arg("--add-section").arg(format!(".debug_info={}", folder.join("debug").display()));
        support::run(objcopy.arg(folder.join(name))).expect_status(0);
    }
}

/// The origins of the modules that are put in, by module.
fn origins(ran: &Ran) -> Vec<(String, String)> {
    let report: Value = serde_json::from_slice(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran}"));
    let text = |value: &Value| value.as_str().unwrap_or("none").to_string();
    let rows = report["modules"].as_array().unwrap().iter();
    rows.map(|row| (text(&row["name"]), text(&row["origin"]))).collect()
}

#[test]
fn a_second_patch_takes_the_modules_of_the_first_and_leaves_the_same_bytes_as_with_their_source() {
    for image in [EXT4, SQUASHFS] {
        let folder = tempfile::tempdir().unwrap();
        let (at, original) = (folder.path(), fixture(image).display().to_string());
        run(at, &format!("patch {original} MODULES --overlay infinihost {STACK} -o first.img")).expect_status(0);
        let ran = run(at, &format!("patch first.img {STACK} -o without.img --format json")).expect_status(0);
        let origins = origins(&ran);
        let is_from = |name: &str, what: &str| origins.iter().any(|(one, origin)| one == name && origin == what);
        assert!(is_from("mlx4_ib", "the earlier patch » /lib/modules/6.12.117/mlx4_ib.ko"), "{origins:?}");
        run(at, &format!("patch first.img MODULES {STACK} -o with.img")).expect_status(0);
        assert!(bytes(at, "without.img") == bytes(at, "with.img"), "{image}");
        // What is no longer wished for is gone for the third.
        let ran = run(at, "patch without.img --overlay infinihost --dry-run").expect_status(2);
        assert!(ran.says("no source of modules was given"), "{ran}");
        let told = run(at, &format!("patch first.img {STACK} --dry-run -v")).expect_status(0);
        assert!(told.says("the earlier patch » /lib/modules/6.12.117/mlx4_ib.ko (overlay connectx3)"), "{told}");
    }
}

#[test]
fn debug_sections_are_what_the_second_patch_wishes_or_it_says_that_they_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (at, original) = (folder.path(), fixture(EXT4).display().to_string());
    with_debug_sections(&at.join("modules"));
    let patch = |line: &str| {
        let line = format!("patch {line} --overlay infinihost").replace("MODULES", "--modules modules");
        ibwrt(at, line.split_whitespace())
    };
    for (name, debug) in [("whole.img", "--keep-debug"), ("stripped.img", "")] {
        patch(&format!("{original} MODULES {debug} -o {name}")).expect_status(0);
    }
    assert!(bytes(at, "whole.img") != bytes(at, "stripped.img"));
    for debug in ["--keep-debug", ""] {
        patch(&format!("whole.img {debug} -o without.img --force")).expect_status(0);
        patch(&format!("whole.img MODULES {debug} -o with.img --force")).expect_status(0);
        assert!(bytes(at, "without.img") == bytes(at, "with.img"), "{debug}");
    }
    let ran = patch("stripped.img --keep-debug -o lost.img").expect_status(2);
    assert!(ran.says("is to keep its debug sections, but the earlier patch put it in without"), "{ran}");
    assert!(ran.says("help: say with --modules where it is, or leave out --keep-debug"), "{ran}");
    assert!(!at.join("lost.img").exists());
}

#[test]
fn modules_of_a_swapped_kernel_serve_where_that_kernel_is_named_again() {
    let folder = tempfile::tempdir().unwrap();
    let (at, kernel) = (folder.path(), fixture("bzImage-with-ib").display().to_string());
    let original = fixture("openwrt-mini-stock-ext4-combined-efi.img.gz").display().to_string();
    run(at, &format!("patch {original} MODULES --kernel {kernel} --overlay infinihost {STACK} -o swapped.img"))
        .expect_status(0);
    run(at, &format!("patch swapped.img --kernel {kernel} {STACK} -o without.img")).expect_status(0);
    run(at, &format!("patch swapped.img MODULES --kernel {kernel} {STACK} -o with.img")).expect_status(0);
    assert!(bytes(at, "without.img") == bytes(at, "with.img"));
    // With the image's own kernel the very same modules do not load.
    let ran = run(at, &format!("patch swapped.img {STACK} -o own.img")).expect_status(1);
    assert!(ran.says("ib_core: Unknown symbol irq_poll_complete") && !at.join("own.img").exists(), "{ran}");
}

#[test]
fn a_module_that_the_first_patch_does_not_have_or_has_no_longer_is_asked_for_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let (system, _) = system_of_fixture(EXT4, at);
    std::fs::rename(system, at.join("root")).unwrap();
    let package = fixture("packages/kmod-mlx4-core_6.12.117-r1_x86_64.ipk").display().to_string();
    let wishes = "--overlay connectx3 --overlay rdma-tools";
    run(at, &format!("patch --rootdir root MODULES --package {package} {wishes} -o patched")).expect_status(0);
    let refused = |line: &str, words: &[&str]| {
        let ran = run(at, &format!("patch --rootdir patched {line} -o out")).expect_status(2);
        for word in words.iter().chain(&["as it was before the patch that this one takes the place of", "--modules"]) {
            assert!(ran.says(word), "{word}: {ran}");
        }
        assert!(!at.join("out").exists());
    };
    refused("--overlay connectx4", &["mlx5_core is not in the image, and no source of modules was given (asked"]);
    refused("--overlay connectx3", &["; the earlier patch took it out of a package, which is to be named again"]);
    run(at, &format!("patch --rootdir patched --package {package} {wishes} -o again")).expect_status(0);
    for name in ["mlx4_ib.ko", "mlx4_core.ko", "ib_umad.ko"] {
        let [one, two] = ["patched", "again"].map(|tree| at.join(tree).join("lib/modules/6.12.117").join(name));
        assert!(std::fs::read(one).unwrap() == std::fs::read(two).unwrap(), "{name}");
    }
    std::fs::remove_file(at.join("patched/lib/modules/6.12.117/ib_umad.ko")).unwrap();
    refused(
        &format!("--package {package} --overlay rdma-tools"),
        &["ib_umad is not in the image", "the one that the earlier patch put in was changed or removed since"],
    );
}
