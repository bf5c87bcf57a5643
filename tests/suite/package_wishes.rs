//! The ways in which packages are wished for: overlays, folders, recipes; and modules that are not to be registered.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::packages::{package, package_with_a_hard_link, patch, root_of};
use super::rootdir::unpack;
use super::support::{Tree, fixture, fixture_modules, ibwrt, listing};

const IMAGE: &str = "openwrt-mini-ib-ext4-nojournal-combined.img.gz";
const IPKS: [&str; 2] = ["rdma_6.11.0-r1_x86_64.ipk", "libmnl0_1.0.5-r2_x86_64.ipk"];
const APKS: [&str; 2] = ["rdma-6.11.0-r1.apk", "libmnl0-1.0.5-r2.apk"];

/// Copies packages of the fixtures into `folder`.
fn copy(files: &[&str], folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    for file in files {
        std::fs::copy(fixture("packages").join(file), folder.join(file)).unwrap();
    }
}

/// Whether foreign programs see `path` in the root.
fn has(root: &Tree, path: &str) -> bool {
    root.contains_key(path)
}

#[test]
fn an_overlay_of_ones_own_brings_packages_and_verify_proves_that_they_link() {
    let folder = tempfile::tempdir().unwrap();
    let overlay = folder.path().join("fabric");
    copy(&[&IPKS[..], &APKS[..]].concat(), &overlay.join("packages"));
    let list = |files: &[&str]| files.iter().map(|file| format!("\"packages/{file}\"")).collect::<Vec<_>>().join(", ");
    let describe = |packages: &str| {
        let text = format!("name = \"fabric\"\nsummary = \"Tools of ours\"\npackages = [{packages}]\n");
        std::fs::write(overlay.join("overlay.toml"), text).unwrap();
    };
    // Both managers' packages: the image's own are taken.
    describe(&list(&[&IPKS[..], &APKS[..]].concat()));
    let wishes = ["--overlay", "./fabric"];
    patch(folder.path(), &fixture(IMAGE), "first.img.gz", &wishes).expect_status(0);
    let root = root_of(&folder.path().join("first.img.gz"));
    assert!(has(&root, "/usr/sbin/rdma") && has(&root, "/usr/lib/opkg/info/rdma.control"));
    assert!(!root.keys().any(|path| path.starts_with("/lib/apk")), "nothing of the other manager's");
    let ran = ibwrt(folder.path(), ["verify", "first.img.gz", "--overlay", "./fabric", "-v"]).expect_status(0);
    assert!(ran.says("tools-link /usr/sbin/rdma and /usr/lib/libmnl.so.0.2.0 link"), "{ran}");
    patch(folder.path(), &folder.path().join("first.img.gz"), "second.img.gz", &wishes).expect_status(0);
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    assert!(read("first.img.gz") == read("second.img.gz"), "a second patch changes nothing");

    describe("\"packages/missing.ipk\"");
    let ran = patch(folder.path(), &fixture(IMAGE), "third.img.gz", &wishes).expect_status(2);
    assert!(ran.says("there is no file `packages/missing.ipk` in the overlay"), "{ran}");
}

#[test]
fn of_a_folder_with_both_kinds_of_packages_the_images_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    copy(&[&IPKS[..], &APKS[..]].concat(), &folder.path().join("mixed"));
    let ran = patch(folder.path(), &fixture(IMAGE), "o.img.gz", &["--package", "mixed", "-v"]).expect_status(0);
    assert!(ran.says("To be installed: 2 packages"), "{ran}");
    assert_eq!(ran.text().matches("/usr/sbin/rdma").count(), 2, "added once, linked once: {ran}");
    let root = root_of(&folder.path().join("o.img.gz"));
    assert!(has(&root, "/usr/lib/opkg/info/libmnl0.list") && !has(&root, "/lib/apk/packages/rdma.list"));

    copy(&APKS, &folder.path().join("alien"));
    let ran = patch(folder.path(), &fixture(IMAGE), "x.img.gz", &["--package", "alien"]).expect_status(2);
    assert!(ran.says("managed by opkg"), "{ran}");
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    let ran = patch(folder.path(), &fixture(IMAGE), "x.img.gz", &["--package", "empty"]).expect_status(2);
    assert!(ran.says("holds no package: looked for *.ipk and *.apk"), "{ran}");
    assert!(!listing(folder.path()).contains(&"x.img.gz".to_owned()));
}

#[test]
fn modules_are_registered_unless_option_or_recipe_say_no() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("no.toml"), "register = false\n").unwrap();
    std::fs::write(folder.path().join("yes.toml"), "register = true\n").unwrap();
    let status = |root: &Tree| root["/usr/lib/opkg/status"].content.clone();
    let before = status(&root_of(&fixture(IMAGE)));
    for (name, wishes, is_registered) in [
        ("a", &["--recipe", "yes.toml"][..], true),
        ("b", &["--recipe", "no.toml"][..], false),
        ("c", &["--recipe", "yes.toml", "--no-register"][..], false),
    ] {
        let output = format!("{name}.img.gz");
        patch(folder.path(), &fixture(IMAGE), &output, wishes).expect_status(0);
        let root = root_of(&folder.path().join(&output));
        assert!(has(&root, "/lib/modules/6.12.117/ib_mthca.ko"), "{wishes:?}");
        assert_eq!(has(&root, "/usr/lib/opkg/info/kmod-ibwrt.list"), is_registered, "{wishes:?}");
        assert_eq!(status(&root) != before, is_registered, "{wishes:?}");
    }
}

#[test]
fn verify_says_which_packages_it_could_not_look_into() {
    let folder = tempfile::tempdir().unwrap();
    copy(&IPKS, &folder.path().join("packages"));
    let modules = fixture_modules().display().to_string();
    let recipe = format!("modules = [\"{modules}\"]\noverlays = [\"infinihost\"]\npackages = [\"packages\"]\n");
    std::fs::write(folder.path().join("r.toml"), recipe).unwrap();
    let image = fixture(IMAGE);
    ibwrt(folder.path(), ["patch", image.to_str().unwrap(), "--recipe", "r.toml", "-o", "o.img.gz"]).expect_status(0);
    let verify = || ibwrt(folder.path(), ["verify", "o.img.gz", "--recipe", "r.toml"]).expect_status(0);
    let ran = verify();
    assert!(ran.says("/usr/sbin/rdma link"), "{ran}");

    let rdma = folder.path().join("packages").join(IPKS[0]);
    let bytes = std::fs::read(&rdma).unwrap();
    std::fs::write(&rdma, &bytes[..bytes.len() / 2]).unwrap();
    let ran = verify();
    assert!(ran.says("the programs of packages that cannot be read are not known: packages/rdma_6.11.0"), "{ran}");
    std::fs::remove_dir_all(folder.path().join("packages")).unwrap();
    let ran = verify();
    assert!(ran.says("cannot be read are not known: there is no file or folder packages"), "{ran}");
}

#[test]
fn a_hard_link_of_a_package_is_one_in_a_tree_too() {
    let (folder, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let pair = package_with_a_hard_link(parts.path());
    unpack("openwrt-mini-ib-ext4-combined.img.gz", &folder.path().join("old"));
    let modules = fixture_modules();
    let modules = ["--modules", modules.to_str().unwrap(), "--overlay", "infinihost"];
    for (output, more) in [("whole", &[][..]), ("changes", &["--only-changes"])] {
        let wishes = ["patch", "--rootdir", "old", "--package", &pair, "-o", output];
        ibwrt(folder.path(), wishes.iter().chain(&modules).chain(more)).expect_status(0);
        let [one, two] = ["one", "two"].map(|name| {
            let metadata = folder.path().join(output).join("usr/share/pair").join(name).metadata().unwrap();
            (metadata.ino(), metadata.nlink(), metadata.len())
        });
        assert_eq!((one, one.1, one.2), (two, 2, 6), "{output}");
    }
}

#[test]
fn a_package_name_from_the_wrong_place_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let package = package("nothing.ipk");
    let ran = patch(folder.path(), &fixture(IMAGE), "x.img.gz", &["--package", &package]).expect_status(2);
    assert!(ran.says("there is no file or folder") && ran.says("--package-dir"), "{ran}");
}
