//! What a patch records in the image, and the way back: `unpatch`, and the second patch that takes the place of the first.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::packages::manage_by_apk;
use super::support::{
    BootKind, Entry, Ran, RootKind, Tree, e2fsck, fixture, fixture_modules, folder, ibwrt, image, listing, partitions,
    raw_disk, rdump, run, sha256, squashfs_image, system_of_fixture, tool, tree, write_partition,
};

const EXT4: &str = "openwrt-mini-ib-ext4-combined-efi.img.gz";
const SQUASHFS: &str = "openwrt-mini-ib-squashfs-combined.img.gz";
/// crypt(3) of `secret`.
const HASH: &str = "$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/";
const MANIFEST: &str = "/etc/ibwrt/manifest.json";

/// Modules, a password, a host name, a package with what it needs, files that are new and files that replace others.
fn first() -> Vec<String> {
    let (dir, rdma) = (fixture("packages"), fixture("packages/rdma_6.11.0-r1_x86_64.ipk"));
    let mut words = vec!["--package", rdma.to_str().unwrap(), "--package-dir", dir.to_str().unwrap()];
    words.extend(["--overlay", "connectx3", "--overlay", "ipoib", "--set", "ipoib.address=10.10.0.5/24"]);
    words.extend(["--root-password-hash", HASH, "--hostname", "one", "--recipe", "one.toml"]);
    words.into_iter().map(str::to_string).collect()
}

/// Another recipe: less, more, and the same paths with other content.
fn second() -> Vec<String> {
    let words = ["--overlay", "connectx4", "--hostname", "two", "--recipe", "two.toml"];
    words.into_iter().map(str::to_string).collect()
}

const ONE: &str = "\
[[file]]
path = '/etc/banner'
content = 'patched'
mode = '0600'
[[file]]
path = '/etc/new/deep/file'
content = 'one'
";
const TWO: &str = "\
[[file]]
path = '/etc/banner'
content = 'patched again'
[[file]]
path = '/etc/new/other'
content = 'two'
[[file]]
path = '/etc/hosts'
content = '127.0.0.1 localhost'
";

/// A folder with the recipes.
fn site() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("one.toml"), ONE).unwrap();
    std::fs::write(folder.path().join("two.toml"), TWO).unwrap();
    folder
}

fn patch(folder: &Path, image: &str, wishes: &[String], more: &[&str]) -> Ran {
    let modules = fixture_modules();
    let fixed = ["patch", image, "--modules", modules.to_str().unwrap()].map(str::to_string);
    let more = more.iter().map(|&word| word.to_string());
    ibwrt(folder, fixed.into_iter().chain(wishes.iter().cloned()).chain(more))
}

fn unpatch(folder: &Path, image: &str, more: &[&str]) -> Ran {
    ibwrt(folder, ["unpatch", image].iter().chain(more))
}

/// The root in a file of its own.
fn root_part(image: &Path, folder: &Path) -> PathBuf {
    let disk = raw_disk(image);
    let part = folder.join("root.part");
    write_partition(&disk, partitions(&disk)[1], &part);
    part
}

/// The root as debugfs or unsquashfs sees it: modes, owners, contents, targets, and on ext4 how many names a file has.
fn root_of(image: &Path) -> Tree {
    let scratch = tempfile::tempdir().unwrap();
    let part = root_part(image, scratch.path());
    // make_ext4fs leaves bits unset that e2fsck wants set, so the fixtures themselves do not pass.
    if !image.starts_with(fixture("")) && !std::fs::read(&part).unwrap().starts_with(b"hsqs") {
        e2fsck(&part).expect_status(0);
    }
    tree::read(&part).into_iter().map(|(path, entry)| (path, links_alone(entry))).collect()
}

/// `entry` that tells of its inode how many names it has, and no more.
fn links_alone(mut entry: Entry) -> Entry {
    let links = entry.inode.split_whitespace().skip_while(|word| *word != "Links:").nth(1);
    entry.inode = links.unwrap_or_default().to_string();
    entry
}

#[track_caller]
fn assert_same(one: &Tree, other: &Tree, what: &str) {
    let paths = one.keys().chain(other.keys()).filter(|path| one.get(*path) != other.get(*path));
    let differing: Vec<_> = paths.map(|path| (path, one.get(path), other.get(path))).take(5).collect();
    assert!(differing.is_empty(), "{what}: {differing:#?}");
}

fn json(ran: &Ran) -> Value {
    serde_json::from_slice(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran}"))
}

/// The manifest in the root of `image`.
fn manifest(image: &Path) -> Value {
    let scratch = tempfile::tempdir().unwrap();
    let part = root_part(image, scratch.path());
    let copy = scratch.path().join("copy");
    std::fs::create_dir(&copy).unwrap();
    rdump(&part, &copy);
    serde_json::from_slice(&std::fs::read(copy.join(&MANIFEST[1..])).unwrap()).unwrap()
}

#[test]
fn unpatch_leaves_the_very_tree_that_was_patched() {
    for image in [EXT4, SQUASHFS] {
        let site = site();
        let original = fixture(image);
        patch(site.path(), original.to_str().unwrap(), &first(), &["-o", "router.img.gz"]).expect_status(0);
        let before = root_of(&original);
        let patched = root_of(&site.path().join("router.img.gz"));
        for path in [MANIFEST, "/etc/new/deep/file", "/usr/lib/libmnl.so.0", "/lib/modules/6.12.117/ib_core.ko"] {
            assert!(patched.contains_key(path) && !before.contains_key(path), "{path}");
        }
        assert_eq!((patched[MANIFEST].mode.as_str(), patched[MANIFEST].owner.as_str()), ("100600", "0:0"));
        assert_ne!(patched["/etc/shadow"], before["/etc/shadow"]);

        let router = std::fs::read(site.path().join("router.img.gz")).unwrap();
        unpatch(site.path(), "router.img.gz", &["--dry-run"]).expect_status(0);
        let ran = unpatch(site.path(), "router.img.gz", &["-o", "back.img"]).expect_status(0);
        assert!(ran.text().contains("partition identifiers"), "{ran}");
        assert_same(&root_of(&site.path().join("back.img")), &before, image);
        assert!(std::fs::read(site.path().join("router.img.gz")).unwrap() == router, "the input was written to");
        let refused = unpatch(site.path(), "back.img", &["-o", "again.img"]).expect_status(2);
        assert!(refused.stderr.contains("/etc/ibwrt/manifest.json"), "{refused}");
        assert_eq!(listing(site.path()), ["back.img", "one.toml", "router.img.gz", "two.toml"]);
    }
}

#[test]
fn a_second_patch_takes_the_place_of_the_first_and_a_third_of_the_second() {
    for image in [EXT4, SQUASHFS] {
        let site = site();
        let original = fixture(image);
        let original = original.to_str().unwrap();
        let root = |name: &str| root_of(&site.path().join(name));
        patch(site.path(), original, &first(), &["-o", "first.img"]).expect_status(0);
        patch(site.path(), original, &second(), &["-o", "direct.img"]).expect_status(0);
        let planned = json(&patch(site.path(), "first.img", &second(), &["--dry-run", "--format", "json"]));
        let ran = patch(site.path(), "first.img", &second(), &["-o", "second.img"]).expect_status(0);
        assert!(ran.text().contains("becomes as it was"), "{ran}");
        assert_same(&root("second.img"), &root("direct.img"), "the second patch on top of the first");
        let edits = planned["edits"].as_array().unwrap().iter();
        let removed = edits.filter(|edit| edit["change"] == "remove").map(|edit| edit["path"].as_str().unwrap());
        assert!(removed.into_iter().any(|path| path.ends_with("/mlx4_ib.ko")), "{planned:#}");

        patch(site.path(), "second.img", &first(), &["-o", "third.img"]).expect_status(0);
        assert_same(&root("third.img"), &root("first.img"), "the first recipe again");
        let again = patch(site.path(), "third.img", &first(), &["-o", "fourth.img", "--format", "json"]);
        assert_eq!(json(&again.expect_status(0))["edits"], Value::Array(Vec::new()));
        let [third, fourth] = ["third.img", "fourth.img"].map(|name| std::fs::read(site.path().join(name)).unwrap());
        assert!(third == fourth, "{image}: the same recipe a second time changes bytes");
        unpatch(site.path(), "third.img", &["-o", "back.img"]).expect_status(0);
        assert_same(&root("back.img"), &root_of(&fixture(image)), "the way back after three patches");
    }
}

#[test]
fn the_manifest_names_every_input_and_no_folder_of_the_builder() {
    let site = site();
    let original = fixture(EXT4);
    patch(site.path(), original.to_str().unwrap(), &first(), &["-o", "router.img"]).expect_status(0);
    let manifest = manifest(&site.path().join("router.img"));
    let inputs = manifest["inputs"].as_array().unwrap();
    assert_eq!(inputs[0]["sha256"], sha256(&std::fs::read(&original).unwrap()).as_str());
    let of_kind = |kind: &str| inputs.iter().filter(|input| input["kind"] == kind).collect::<Vec<_>>();
    let names: Vec<&str> = of_kind("package").iter().map(|input| input["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["libmnl0_1.0.5-r2_x86_64.ipk", "rdma_6.11.0-r1_x86_64.ipk"]);
    let rdma = std::fs::read(fixture("packages/rdma_6.11.0-r1_x86_64.ipk")).unwrap();
    assert_eq!(of_kind("package")[1]["sha256"], sha256(&rdma).as_str());
    assert!(of_kind("module").iter().any(|input| input["name"] == "mlx4_ib.ko"));
    let text = manifest.to_string();
    for secret in ["saltsalt", env!("CARGO_MANIFEST_DIR"), site.path().to_str().unwrap()] {
        assert!(!text.contains(secret), "{secret} stands in the manifest");
    }
    let root = root_of(&site.path().join("router.img"));
    for record in manifest["root"].as_array().unwrap() {
        let (path, put) = (record["path"].as_str().unwrap(), &record["put"]);
        if let Some(digest) = put["file"]["sha256"].as_str() {
            assert_eq!(root[path].content, digest, "{path}");
        }
    }
}

#[test]
fn without_a_manifest_nothing_is_recorded_and_what_was_recorded_goes() {
    let site = site();
    let original = fixture(EXT4);
    let original = original.to_str().unwrap();
    let root = |name: &str| root_of(&site.path().join(name));
    patch(site.path(), original, &first(), &["-o", "first.img"]).expect_status(0);
    patch(site.path(), "first.img", &second(), &["--no-manifest", "-o", "second.img"]).expect_status(0);
    let two = std::fs::read_to_string(site.path().join("two.toml")).unwrap();
    std::fs::write(site.path().join("two.toml"), format!("manifest = false\n{two}")).unwrap();
    patch(site.path(), original, &second(), &["-o", "direct.img"]).expect_status(0);
    assert_same(&root("second.img"), &root("direct.img"), "the second patch on top of the first");
    assert!(!root("second.img").keys().any(|path| path.starts_with("/etc/ibwrt")));
    unpatch(site.path(), "second.img", &["-o", "back.img"]).expect_status(2);
}

/// The boot partition's bytes, and those of the kernel on it.
fn boot_of(image: &Path) -> (Vec<u8>, Vec<u8>) {
    let disk = raw_disk(image);
    let scratch = tempfile::tempdir().unwrap();
    let (part, kernel) = (scratch.path().join("boot"), scratch.path().join("kernel"));
    write_partition(&disk, partitions(&disk)[0], &part);
    super::support::copy_kernel(&part, &kernel);
    (std::fs::read(&part).unwrap(), std::fs::read(kernel).unwrap())
}

#[test]
fn a_kernel_that_was_replaced_comes_back() {
    let site = site();
    let original = fixture("openwrt-mini-stock-ext4-combined-efi.img.gz");
    let kernel = fixture("bzImage-with-ib");
    let mut wishes: Vec<String> = ["--overlay", "connectx3", "--kernel"].map(str::to_string).to_vec();
    wishes.push(kernel.to_str().unwrap().to_string());
    patch(site.path(), original.to_str().unwrap(), &wishes, &["-o", "swapped.img"]).expect_status(0);
    let swapped = site.path().join("swapped.img");
    assert!(boot_of(&swapped).1 == std::fs::read(&kernel).unwrap());
    let again = patch(site.path(), "swapped.img", &wishes, &["--dry-run", "--format", "json"]).expect_status(0);
    assert_eq!(json(&again)["edits"], Value::Array(Vec::new()));

    unpatch(site.path(), "swapped.img", &["-o", "back.img"]).expect_status(0);
    let back = site.path().join("back.img");
    assert!(boot_of(&back).1 == boot_of(&original).1, "not the kernel that the image had");
    assert_same(&root_of(&back), &root_of(&original), "the root");
    // A recipe without a kernel leaves the image's own.
    let other = ["--hostname", "other", "--skip", "modules-present"].map(str::to_string);
    patch(site.path(), "swapped.img", &other, &["-o", "other.img"]).expect_status(0);
    patch(site.path(), original.to_str().unwrap(), &other, &["-o", "direct.img"]).expect_status(0);
    let [other, direct] = ["other.img", "direct.img"].map(|name| site.path().join(name));
    assert!(boot_of(&other).1 == boot_of(&direct).1);
    assert_same(&root_of(&other), &root_of(&direct), "another recipe on top of the swap");
}

/// What debugfs tells of the extended attribute `name` of `/etc/banner`.
fn attribute(image: &Path, name: &str) -> String {
    let scratch = tempfile::tempdir().unwrap();
    let request = format!("ea_get /etc/banner {name}");
    run(tool("debugfs").args(["-R", &request]).arg(root_part(image, scratch.path()))).expect_status(0).text()
}

#[test]
fn extended_attributes_of_a_replaced_file_come_through_a_patch_and_the_way_back() {
    let site = site();
    let mut disk = raw_disk(&fixture(EXT4));
    let part = root_part(&fixture(EXT4), site.path());
    let long = format!("user.long {}", "long".repeat(100));
    for attribute in ["user.note short", &long] {
        let request = format!("ea_set /etc/banner {attribute}");
        run(tool("debugfs").args(["-w", "-R", &request]).arg(&part)).expect_status(0);
    }
    let range = partitions(&disk)[1].range();
    disk[range].copy_from_slice(&std::fs::read(&part).unwrap());
    std::fs::write(site.path().join("labelled.img"), disk).unwrap();
    patch(site.path(), "labelled.img", &first(), &["-o", "patched.img"]).expect_status(0);
    unpatch(site.path(), "patched.img", &["-o", "back.img"]).expect_status(0);
    assert_same(
        &root_of(&site.path().join("back.img")),
        &tree::read(&part).into_iter().map(|(path, entry)| (path, links_alone(entry))).collect(),
        "the tree",
    );
    for name in ["user.note", "user.long"] {
        let told = ["labelled.img", "patched.img", "back.img"].map(|image| attribute(&site.path().join(image), name));
        assert!(told[0].contains("short") || told[0].contains("longlong"), "{}", told[0]);
        assert!(told.iter().all(|one| *one == told[0]), "{told:#?}");
    }
}

#[test]
fn names_of_one_file_are_names_of_one_file_again() {
    const RECIPE: &str = "\
[[file]]
path = '/etc/one'
content = '1'
[[file]]
path = '/etc/two'
content = '2'
[[file]]
path = '/etc/alone'
content = '3'
";
    let scratch = tempfile::tempdir().unwrap();
    let (system, kernel) = system_of_fixture(EXT4, scratch.path());
    for (first, others) in [("etc/one", &["etc/two", "usr/three"][..]), ("etc/alone", &["usr/other"])] {
        std::fs::write(system.join(first), format!("names of {first}")).unwrap();
        for other in others {
            std::fs::hard_link(system.join(first), system.join(other)).unwrap();
        }
    }
    let root = RootKind { block_size: 4096, features: "^has_journal", mebibytes: 16 };
    image(&scratch.path().join("ext4.img"), BootKind::Bios, root, &system, &kernel);
    squashfs_image(&scratch.path().join("squashfs.img"), BootKind::Bios, &[], 16, &system, &kernel);
    let site = site();
    std::fs::write(site.path().join("links.toml"), RECIPE).unwrap();
    let wishes = ["--overlay", "connectx3", "--recipe", "links.toml"].map(str::to_string);
    for kind in ["ext4.img", "squashfs.img"] {
        let original = scratch.path().join(kind);
        patch(site.path(), original.to_str().unwrap(), &wishes, &["-o", "patched.img", "--force"]).expect_status(0);
        unpatch(site.path(), "patched.img", &["-o", "back.img", "--force"]).expect_status(0);
        let back = root_of(&site.path().join("back.img"));
        assert_same(&back, &root_of(&original), kind);
        if kind == "ext4.img" {
            let names =
                ["/etc/one", "/etc/two", "/usr/three", "/etc/alone", "/usr/other"].map(|path| &*back[path].inode);
            assert_eq!(names, ["3", "3", "3", "2", "2"]);
        } else {
            use std::os::unix::fs::MetadataExt as _;
            let copy = tempfile::tempdir().unwrap();
            rdump(&root_part(&site.path().join("back.img"), scratch.path()), copy.path());
            let inode = |path: &str| std::fs::metadata(copy.path().join(path)).unwrap().ino();
            assert!(inode("etc/one") == inode("etc/two") && inode("etc/one") == inode("usr/three"));
            assert!(inode("etc/alone") == inode("usr/other") && inode("etc/alone") != inode("etc/one"));
        }
    }
}

#[test]
fn the_database_of_apk_comes_back_too() {
    let scratch = tempfile::tempdir().unwrap();
    let (system, kernel) = system_of_fixture(EXT4, scratch.path());
    manage_by_apk(&system);
    let root = RootKind { block_size: 4096, features: "^has_journal", mebibytes: 16 };
    let original = scratch.path().join("apk.img");
    image(&original, BootKind::Bios, root, &system, &kernel);
    let site = site();
    let (rdma, dir) = (fixture("packages/rdma-6.11.0-r1.apk"), fixture("packages"));
    let mut wishes: Vec<String> = ["--overlay", "connectx3", "--package"].map(str::to_string).to_vec();
    wishes.extend([rdma.to_str().unwrap(), "--package-dir", dir.to_str().unwrap()].map(str::to_string));
    patch(site.path(), original.to_str().unwrap(), &wishes, &["-o", "patched.img"]).expect_status(0);
    let (before, patched) = (root_of(&original), root_of(&site.path().join("patched.img")));
    assert_ne!(before["/lib/apk/db/installed"], patched["/lib/apk/db/installed"]);
    unpatch(site.path(), "patched.img", &["-o", "back.img"]).expect_status(0);
    assert_same(&root_of(&site.path().join("back.img")), &before, "apk");
}

/// A tree without times.
fn tree_of(folder: &Path) -> Tree {
    let mut tree = folder::read(folder);
    tree.values_mut().for_each(|entry| entry.inode = entry.inode.rsplit(' ').next().unwrap().to_string());
    tree
}

/// The fixture's root as the folder `root`, and patched as the folder `patched`.
fn patched_tree(site: &Path) {
    let (system, _) = system_of_fixture(EXT4, site);
    std::fs::rename(system, site.join("root")).unwrap();
    in_tree(site, "root", &first(), &["-o", "patched"]).expect_status(0);
}

fn in_tree(site: &Path, root: &str, wishes: &[String], more: &[&str]) -> Ran {
    let modules = fixture_modules();
    let fixed = ["patch", "--rootdir", root, "--modules", modules.to_str().unwrap()].map(str::to_string);
    ibwrt(site, fixed.into_iter().chain(wishes.iter().cloned()).chain(more.iter().map(|&word| word.to_string())))
}

#[test]
fn a_tree_comes_back_and_what_was_changed_since_is_not_lost_unawares() {
    let site = site();
    let at = |path: &str| site.path().join(path);
    patched_tree(site.path());
    let original = tree_of(&at("root"));
    ibwrt(site.path(), ["unpatch", "--rootdir", "patched", "-o", "back"]).expect_status(0);
    assert_same(&tree_of(&at("back")), &original, "the tree");

    // A system that has run: its first boot, a setting, a file of somebody's.
    std::fs::remove_file(at("patched/etc/uci-defaults/61-ibwrt-hostname")).unwrap();
    std::fs::write(at("patched/etc/banner"), "mine").unwrap();
    std::fs::write(at("patched/etc/new/deep/mine"), "mine").unwrap();
    let wishes = ["verify", "--rootdir", "patched", "--format", "json"];
    let checks = json(&ibwrt(site.path(), wishes));
    let rows = checks["checks"]["rows"].as_array().unwrap();
    let row = rows.iter().find(|row| row["id"] == "history").unwrap();
    let problems = row["problems"].to_string();
    assert!(problems.contains("/etc/banner is changed since ibwrt") && !problems.contains("uci-defaults"), "{row:#}");
    let seen = json(&ibwrt(site.path(), ["inspect", "--rootdir", "patched", "--format", "json"]).expect_status(0));
    let files = seen["history"]["files"].as_array().unwrap();
    let of = |path: &str| files.iter().find(|row| row["path"] == path).unwrap();
    assert_eq!((&of("/etc/banner")["by"], &of("/etc/banner")["since"]), (&"recipe".into(), &"changed".into()));
    assert_eq!(of("/lib/modules/6.12.117/mlx4_ib.ko")["by"], "overlay connectx3");
    let human = ibwrt(site.path(), ["inspect", "--rootdir", "patched"]).expect_status(0).text();
    assert!(human.contains("Patched") && human.contains("by overlay connectx3"), "{human}");

    let refused = ibwrt(site.path(), ["unpatch", "--rootdir", "patched", "-o", "lost"]).expect_status(2);
    assert!(refused.stderr.contains("/etc/banner") && refused.stderr.contains("--discard-changes"), "{refused}");
    assert!(!at("lost").exists());
    let ran = ibwrt(site.path(), ["unpatch", "--rootdir", "patched", "-o", "lost", "--discard-changes"]);
    assert!(ran.expect_status(0).text().contains("/etc/new/deep"), "no word of the directory that stays");
    let mut lost = tree_of(&at("lost"));
    assert!(lost.remove("/etc/new/deep/mine").is_some() && lost.remove("/etc/new/deep").is_some());
    lost.remove("/etc/new");
    let mut expected = original.clone();
    // A directory more is a link more to its parent.
    for tree in [&mut lost, &mut expected] {
        tree.values_mut().filter(|entry| entry.is_directory()).for_each(|entry| entry.inode.clear());
    }
    assert_same(&lost, &expected, "with the changes given up");

    // A second recipe that wants the file keeps the changed text as what was before; one that does not leaves it.
    let ran = in_tree(site.path(), "patched", &second(), &["-o", "second"]).expect_status(0);
    assert!(ran.text().contains("/etc/banner is changed since"), "{ran}");
    ibwrt(site.path(), ["unpatch", "--rootdir", "second", "-o", "third"]).expect_status(0);
    assert_eq!(std::fs::read_to_string(at("third/etc/banner")).unwrap(), "mine");
    let none = ["--hostname", "x", "--skip", "modules-present"].map(str::to_string);
    in_tree(site.path(), "patched", &none, &["-o", "fourth"]).expect_status(0);
    assert_eq!(std::fs::read_to_string(at("fourth/etc/banner")).unwrap(), "mine");
    assert!(!at("fourth/lib/modules/6.12.117/mlx4_ib.ko").exists());
}

#[test]
fn a_damaged_record_is_told_by_every_command_and_nothing_is_written() {
    let site = site();
    patched_tree(site.path());
    let manifest = site.path().join("patched").join(&MANIFEST[1..]);
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replacen("\"path\":\"/etc", "\"path\":\"../etc", 1)).unwrap();
    let said = [
        ibwrt(site.path(), ["unpatch", "--rootdir", "patched", "-o", "out"]).expect_status(4).stderr,
        in_tree(site.path(), "patched", &second(), &["-o", "out"]).expect_status(4).stderr,
    ];
    for text in said {
        assert!(text.contains("manifest.json") && text.contains("help:"), "{text}");
    }
    assert!(!site.path().join("out").exists());
    let verified = ibwrt(site.path(), ["verify", "--rootdir", "patched"]).expect_status(0).text();
    assert!(verified.contains("manifest.json"), "{verified}");
    ibwrt(site.path(), ["inspect", "--rootdir", "patched"]).expect_status(0);
    let originals = site.path().join("patched/etc/ibwrt/originals");
    std::fs::write(&manifest, text).unwrap();
    for entry in std::fs::read_dir(originals).unwrap() {
        std::fs::write(entry.unwrap().path(), "cut").unwrap();
    }
    let refused = ibwrt(site.path(), ["unpatch", "--rootdir", "patched", "-o", "out"]).expect_status(4);
    assert!(refused.stderr.contains("cannot be unpacked"), "{refused}");
    assert!(!site.path().join("out").exists());
}
