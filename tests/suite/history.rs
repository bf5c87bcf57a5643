//! What a patch records in the image, and the way back: `unpatch`, and the second patch that takes the place of the first.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::support::{
    Ran, Tree, e2fsck, fixture, fixture_modules, ibwrt, listing, partitions, raw_disk, sha256, tree, write_partition,
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
    let mut tree = tree::read(&part);
    for entry in tree.values_mut() {
        let links = entry.inode.split_whitespace().skip_while(|word| *word != "Links:").nth(1);
        entry.inode = links.unwrap_or_default().to_string();
    }
    tree
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
    super::support::rdump(&part, &copy);
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
