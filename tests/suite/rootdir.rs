//! Root filesystems unpacked into a folder: the same plan on another kind of root, by root and by an ordinary user.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use serde_json::Value;

use super::support::{
    Job, Ran, Tree, User, fixture, fixture_modules, folder, ibwrt, is_root, listing, partitions, raw_disk, rdump, tree,
    write_partition,
};

const EXT4: &str = "openwrt-mini-ib-ext4-combined.img.gz";
const SQUASHFS: &str = "openwrt-mini-ib-squashfs-combined-efi.img.gz";
const WISHES: &str = "--overlay connectx3 --overlay ipoib --set ipoib.address=10.10.0.5/24";

/// The root of a fixture as the folder `to`.
pub(super) fn unpack(name: &str, to: &Path) {
    let disk = raw_disk(&fixture(name));
    let scratch = tempfile::tempdir().unwrap();
    let part = scratch.path().join("root");
    write_partition(&disk, partitions(&disk)[1], &part);
    std::fs::create_dir(to).unwrap();
    rdump(&part, to);
    // Nobody but root may look into it.
    let _ = std::fs::remove_dir(to.join("lost+found"));
    // debugfs leaves the sticky bit out.
    std::fs::set_permissions(to.join("tmp"), PermissionsExt::from_mode(0o1777)).unwrap();
}

/// The root of an image as foreign programs see it.
fn root_of(image: &Path) -> Tree {
    let disk = raw_disk(image);
    let scratch = tempfile::tempdir().unwrap();
    let part = scratch.path().join("root");
    write_partition(&disk, partitions(&disk)[1], &part);
    tree::read(&part)
}

/// `patch --rootdir root` with the usual wishes and more words; the modules lie in `folder`.
fn patch(folder: &Path, more: &str) -> Ran {
    let modules = fixture_modules();
    let line = format!("patch --rootdir root --modules {} {WISHES} {more}", modules.display());
    ibwrt(folder, line.split_whitespace())
}

fn json(ran: &Ran) -> Value {
    serde_json::from_slice(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran}"))
}

fn findings(report: &Value, id: &str) -> Vec<String> {
    let findings = report["findings"].as_array().unwrap().iter().filter(|finding| finding["id"] == id);
    findings.map(|finding| finding["message"].as_str().unwrap().to_string()).collect()
}

/// The tree but for times, which are another matter, and for what an ordinary user cannot unpack.
fn as_unpacked(tree: Tree) -> Tree {
    let is_device = |mode: &str| mode.len() == 5 && (mode.starts_with('2') || mode.starts_with('6'));
    let mut tree: Tree = tree.into_iter().filter(|(_, entry)| is_root() || !is_device(&entry.mode)).collect();
    tree.remove("/lost+found");
    for entry in tree.values_mut() {
        entry.inode.clear();
        if !is_root() {
            entry.owner.clear();
        }
    }
    tree
}

/// Fails with the paths in which two trees differ.
#[track_caller]
fn assert_same(one: &Tree, other: &Tree, what: &str) {
    let paths: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let differing = paths.into_iter().filter(|path| one.get(*path) != other.get(*path));
    let differing: Vec<_> = differing.map(|path| (path, one.get(path), other.get(path))).take(5).collect();
    assert!(differing.is_empty(), "{what}: {differing:#?}");
}

fn becomes_what_the_image_becomes(name: &str) {
    let place = tempfile::tempdir().unwrap();
    unpack(name, &place.path().join("root"));
    let before = folder::read(&place.path().join("root"));
    let ran = patch(place.path(), "-o out --format json").expect_status(0);
    assert_same(&folder::read(&place.path().join("root")), &before, "the input was written to");
    let mut names: Vec<_> = std::fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["out", "root"]);

    let job = Job::connectx3(&fixture(name), &fixture_modules());
    job.patch(place.path(), &job.image, &["-o", "image.img"]).expect_status(0);
    let after = folder::read(&place.path().join("out"));
    let [mut in_image, mut in_tree] = [root_of(&place.path().join("image.img")), after.clone()].map(as_unpacked);
    // It names the image that was patched, of which a tree knows nothing.
    let manifest = "/etc/ibwrt/manifest.json";
    assert!(in_image.remove(manifest).is_some() && in_tree.remove(manifest).is_some());
    assert_same(&in_tree, &in_image, "not what the patched image holds");

    // Added files are dated by the image, as in an image; all others keep their time.
    let edits = json(&ran)["edits"].clone();
    let edited: BTreeSet<&str> = edits.as_array().unwrap().iter().map(|edit| edit["path"].as_str().unwrap()).collect();
    for (path, entry) in after.iter().filter(|(_, entry)| !entry.is_directory()) {
        match edited.contains(path.as_str()) {
            true => assert!(entry.inode.starts_with("1735689600.000000000 "), "{path}: {entry:?}"),
            false => assert_eq!(entry, &before[path], "{path}"),
        }
    }
    patch(place.path(), "-o second").expect_status(0);
    assert_same(&folder::read(&place.path().join("second")), &after, "two runs on the same tree");
    std::fs::remove_dir_all(place.path().join("root")).unwrap();
    std::fs::rename(place.path().join("out"), place.path().join("root")).unwrap();
    let again = json(&patch(place.path(), "-o third --format json").expect_status(0));
    assert_eq!(again["edits"].as_array().unwrap().len(), 0, "a second patch changes something");
    assert_same(&folder::read(&place.path().join("third")), &after, "a patch of the patched tree");
}

#[test]
fn an_unpacked_ext4_root_becomes_what_the_patched_image_holds() {
    becomes_what_the_image_becomes(EXT4);
}

#[test]
fn an_unpacked_squashfs_root_becomes_what_the_patched_image_holds() {
    becomes_what_the_image_becomes(SQUASHFS);
}

#[test]
fn the_changes_alone_are_the_edits_and_the_directories_above_them() {
    let place = tempfile::tempdir().unwrap();
    unpack(EXT4, &place.path().join("root"));
    let report = json(&patch(place.path(), "-o files --only-changes --format json").expect_status(0));
    let files = folder::read(&place.path().join("files"));
    let base = folder::read(&place.path().join("root"));
    let mut expected = BTreeSet::new();
    for edit in report["edits"].as_array().unwrap() {
        let path = edit["path"].as_str().unwrap();
        expected.extend(Path::new(path).ancestors().map(|path| path.to_str().unwrap().to_string()));
        let mode = u32::from_str_radix(edit["mode"].as_str().unwrap(), 8).unwrap();
        let found = u32::from_str_radix(&files[path].mode, 8).unwrap() & 0o7777;
        assert_eq!(found, mode, "{path}");
    }
    expected.remove("/");
    assert_eq!(files.keys().cloned().collect::<BTreeSet<_>>(), expected);
    for (path, entry) in files.iter().filter(|(path, entry)| entry.is_directory() && base.contains_key(*path)) {
        assert_eq!((&entry.mode, &entry.owner), (&base[path].mode, &base[path].owner), "{path}");
    }
    assert!(
        !files.keys().any(|path| path.starts_with("/usr/lib/opkg")),
        "ImageBuilder's database would be overwritten"
    );
    // Laid over the tree, as ImageBuilder does, they make the whole.
    patch(place.path(), "-o whole --no-register --no-manifest").expect_status(0);
    let copied = std::process::Command::new("cp").args(["-fpR", "files/.", "root"]).current_dir(place.path()).status();
    assert!(copied.unwrap().success());
    let [laid_over, whole] = ["root", "whole"].map(|name| as_unpacked(folder::read(&place.path().join(name))));
    assert_same(&laid_over, &whole, "the changes laid over the tree are not the whole");
}

#[test]
fn an_ordinary_user_gets_the_same_tree_and_is_told_what_only_root_may() {
    let user = User::new();
    let modules = user.folder().join("modules.tar.xz");
    std::fs::copy(fixture_modules(), &modules).unwrap();
    // As tar and unsquashfs unpack it: everything is the user's own, and there is no device node.
    let disk = raw_disk(&fixture(SQUASHFS));
    write_partition(&disk, partitions(&disk)[1], &user.folder().join("root.squashfs"));
    user.shell("unsquashfs -no-progress -no-exit-code -dest bare root.squashfs").expect_status(0);
    let line = format!("--modules modules.tar.xz {WISHES} --format json");

    let whole = json(&user.ibwrt(&format!("patch --rootdir bare {line} -o out")).expect_status(0));
    assert_eq!(findings(&whole, "owned-by-user").len(), 1);
    assert!(whole["edits"].as_array().unwrap().iter().all(|edit| edit["owner"] == "0:0"), "{whole}");
    let again = json(&user.ibwrt(&format!("patch --rootdir out {line} -o second")).expect_status(0));
    assert_eq!(again["edits"].as_array().unwrap().len(), 0, "a second patch changes something");
    let out = folder::read(&user.folder().join("out"));
    assert_same(&folder::read(&user.folder().join("second")), &out, "a patch of the patched tree");

    let modules = fixture_modules();
    let arguments = format!("patch --rootdir bare --modules {} {WISHES} -o by-root", modules.display());
    ibwrt(user.folder(), arguments.split_whitespace()).expect_status(0);
    assert_same(&folder::read(&user.folder().join("by-root")), &out, "root gets another tree, or other owners");

    if is_root() {
        // A tree that root unpacked, as far as it may be read.
        unpack(SQUASHFS, &user.folder().join("root"));
        let shadow = user.folder().join("root/etc/shadow");
        std::fs::set_permissions(shadow, PermissionsExt::from_mode(0o644)).unwrap();
        let line = format!("{line} --file /etc/owned=modules.tar.xz,owner=453:453");
        let lost = json(&user.ibwrt(&format!("patch --rootdir root {line} -o lost")).expect_status(0));
        assert!(findings(&lost, "device-node")[0].ends_with("are missing: /dev/console"), "{lost}");
        assert!(findings(&lost, "owner")[0].ends_with("/etc/owned (453:453)"), "{lost}");
        assert!(!user.folder().join("lost/dev/console").exists());
        let again = json(&user.ibwrt(&format!("patch --rootdir lost {line} -o third")).expect_status(0));
        assert_eq!(again["edits"].as_array().unwrap().len(), 0, "{again}");
        assert!(findings(&again, "owner")[0].ends_with("/etc/owned (453:453)"), "{again}");
    }
}

#[test]
fn what_the_user_may_not_read_is_an_error_with_the_way_out() {
    if !is_root() {
        // Nothing can be made that its owner may not open again and root's files are not to be had.
        return;
    }
    let user = User::new();
    unpack(EXT4, &user.folder().join("root"));
    std::fs::copy(fixture_modules(), user.folder().join("modules.tar.xz")).unwrap();
    let before = listing(user.folder());
    let refused =
        user.ibwrt(&format!("patch --rootdir root --modules modules.tar.xz {WISHES} -o out")).expect_status(5);
    for words in ["root/etc/shadow", "Permission denied", "chmod -R u+rX", "as root"] {
        assert!(refused.stderr.contains(words), "no word of {words}: {refused}");
    }
    assert_eq!(listing(user.folder()), before);
    user.ibwrt("verify --rootdir root").expect_status(5);
}

#[test]
fn nothing_outside_the_folder_is_read_or_written_through_its_links() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("root");
    unpack(EXT4, &root);
    let outside = place.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("50-mine"), "ib_core\n").unwrap();
    // Absolute targets count from the folder, and `..` ends there.
    std::fs::remove_dir_all(root.join("etc/uci-defaults")).unwrap();
    symlink(&outside, root.join("etc/uci-defaults")).unwrap();
    std::fs::create_dir_all(root.join("www/hotplug/net")).unwrap();
    std::fs::remove_dir_all(root.join("etc/hotplug.d")).unwrap();
    symlink("/../../www/hotplug", root.join("etc/hotplug.d")).unwrap();
    symlink("loop", root.join("etc/loop")).unwrap();
    symlink("../../../../../../../../etc/hostname", root.join("etc/away")).unwrap();
    std::fs::write(root.join("etc/two\nlines"), "x").unwrap();
    std::fs::write(root.join(std::ffi::OsStr::from_bytes(b"etc/caf\xE9")), "x").unwrap();

    patch(place.path(), "-o out").expect_status(0);
    assert_eq!(listing(&outside), ["50-mine"]);
    let inside = outside.strip_prefix("/").unwrap().join("60-ibwrt-ipoib");
    assert!(place.path().join("out").join(inside).is_file());
    assert!(place.path().join("out/www/hotplug/net/30-ibwrt-ipoib").is_file());
    assert_eq!(std::fs::read_link(place.path().join("out/etc/hotplug.d")).unwrap(), Path::new("/../../www/hotplug"));
    assert!(place.path().join("out").join(std::ffi::OsStr::from_bytes(b"etc/caf\xE9")).is_file());
    assert!(place.path().join("out/etc/two\nlines").is_file());

    std::fs::remove_dir_all(root.join("etc/modules.d")).unwrap();
    symlink("modules.d", root.join("etc/modules.d")).unwrap();
    let refused = patch(place.path(), "-o second");
    assert_eq!(refused.status, 2, "{refused}");
    assert!(refused.stderr.contains("modules.d") && !refused.stderr.contains("panicked"), "{refused}");
}

#[test]
fn a_tree_is_verified_and_drawn_with_the_kernel_that_will_boot_it() {
    let place = tempfile::tempdir().unwrap();
    unpack(SQUASHFS, &place.path().join("root"));
    patch(place.path(), "-o out").expect_status(0);
    let kernel = fixture("bzImage-with-ib");
    let kernel = kernel.to_str().unwrap();
    let run = |line: &str| ibwrt(place.path(), line.split_whitespace());
    let overlays = "--overlay connectx3 --overlay ipoib";
    let with = run(&format!("verify --rootdir out {overlays} --kernel {kernel} --format json")).expect_status(0);
    let rows = json(&with)["checks"]["rows"].clone();
    let outcome = |id: &str| rows.as_array().unwrap().iter().find(|row| row["id"] == id).unwrap()["outcome"].clone();
    assert_eq!((outcome("symbols-resolve"), outcome("load-order")), ("pass".into(), "pass".into()));
    assert_eq!((outcome("container"), outcome("partition-table")), ("skip".into(), "skip".into()));
    run("verify --rootdir root --kernel nowhere").expect_status(5);
    run(&format!("verify --rootdir root {overlays}")).expect_status(1);
    assert!(run(&format!("graph --rootdir out --kernel {kernel}")).expect_status(0).text().contains("mlx4_ib"));
    let text = run("inspect --rootdir out").expect_status(0).text();
    assert!(text.contains("Tree out") && text.contains("files in a folder") && text.contains("mlx4_ib"), "{text}");
}

#[test]
fn an_existing_folder_is_replaced_by_force_only_where_it_holds_a_tree() {
    let place = tempfile::tempdir().unwrap();
    unpack(EXT4, &place.path().join("root"));
    patch(place.path(), "-o out --only-changes").expect_status(0);
    let refused = patch(place.path(), "-o out").expect_status(2);
    assert!(refused.stderr.contains("exists already") && refused.stderr.contains("--force"), "{refused}");
    patch(place.path(), "-o out --force").expect_status(0);
    assert!(place.path().join("out/bin").exists(), "the whole tree");
    std::fs::write(place.path().join("out/letter.txt"), "precious").unwrap();
    let refused = patch(place.path(), "-o out --force").expect_status(2);
    assert!(refused.stderr.contains("letter.txt"), "{refused}");
    let refused = patch(place.path(), "-o out.img.gz").expect_status(2);
    assert!(refused.stderr.contains("names an image"), "{refused}");
    let refused = patch(place.path(), "-o root/new").expect_status(2);
    assert!(refused.stderr.contains("lies in the tree that is read"), "{refused}");
    let mut names: Vec<_> = std::fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["out", "root"]);
}

#[test]
fn a_bill_of_materials_beside_a_tree_lists_what_one_beside_the_image_lists() {
    let folder = tempfile::tempdir().unwrap();
    unpack(EXT4, &folder.path().join("root"));
    patch(folder.path(), "--sbom cyclonedx -o tree").expect_status(0);
    let (image, modules) = (fixture(EXT4), fixture_modules());
    let line =
        format!("patch {} --modules {} {WISHES} --sbom cyclonedx -o a.img.gz", image.display(), modules.display());
    ibwrt(folder.path(), line.split_whitespace()).expect_status(0);
    let components = |name: &str| {
        let bom: Value = serde_json::from_slice(&std::fs::read(folder.path().join(name)).unwrap()).unwrap();
        bom["components"].as_array().unwrap().clone()
    };
    let beside_the_tree = components("tree.cdx.json");
    assert!(beside_the_tree.iter().any(|component| component["name"] == "ib_core"), "{beside_the_tree:?}");
    assert_eq!(beside_the_tree, components("a.img.gz.cdx.json"));
    assert!(!folder.path().join("tree/tree.cdx.json").exists());
}
