//! Packages put into images, as opkg and apk would have installed them.

use std::path::Path;

use super::support::{
    BootKind, Ran, RootKind, Tree, fixture, fixture_modules, ibwrt, image, listing, partitions, raw_disk,
    system_of_fixture, tree, write_partition,
};

const IMAGE: &str = "openwrt-mini-ib-ext4-combined-efi.img.gz";

pub(super) fn package(file: &str) -> String {
    fixture("packages").join(file).to_str().unwrap().to_string()
}

/// `patch` with modules for one adapter, so that the checks on the result pass.
pub(super) fn patch(folder: &Path, image: &Path, output: &str, more: &[&str]) -> Ran {
    let image = image.to_str().unwrap();
    let modules = fixture_modules();
    let mut arguments =
        vec!["patch", image, "--modules", modules.to_str().unwrap(), "--overlay", "infinihost", "-o", output];
    arguments.extend(more);
    ibwrt(folder, arguments)
}

/// Puts apk's database into the unpacked `system`, in the place of opkg's.
pub(super) fn manage_by_apk(system: &Path) {
    std::fs::remove_dir_all(system.join("usr/lib/opkg")).unwrap();
    std::fs::create_dir_all(system.join("lib/apk/db")).unwrap();
    std::fs::create_dir_all(system.join("etc/apk")).unwrap();
    for file in ["installed", "triggers", "scripts.tar"] {
        std::fs::copy(fixture("apk-database/before").join(file), system.join("lib/apk/db").join(file)).unwrap();
    }
    std::fs::copy(fixture("apk-database/before/world"), system.join("etc/apk/world")).unwrap();
}

/// The root filesystem's tree, as debugfs or unsquashfs sees it.
pub(super) fn root_of(image: &Path) -> Tree {
    let disk = raw_disk(image);
    let [_, root] = partitions(&disk);
    let scratch = tempfile::tempdir().unwrap();
    let part = scratch.path().join("root");
    write_partition(&disk, root, &part);
    tree::read(&part)
}

#[test]
fn rdma_alone_pulls_the_library_that_it_needs() {
    for image in [IMAGE, "openwrt-mini-ib-squashfs-combined.img.gz"] {
        let folder = tempfile::tempdir().unwrap();
        let (rdma, dir) = (package("rdma_6.11.0-r1_x86_64.ipk"), package(""));
        let wishes = ["--package", &rdma, "--package-dir", &dir];
        patch(folder.path(), &fixture(image), "first.img.gz", &wishes).expect_status(0);
        let root = root_of(&folder.path().join("first.img.gz"));
        assert_eq!((root["/usr/sbin/rdma"].mode.as_str(), root["/usr/sbin/rdma"].owner.as_str()), ("100755", "0:0"));
        assert_eq!(root["/usr/lib/libmnl.so.0"].content, "libmnl.so.0.2.0");
        for file in ["rdma.list", "rdma.control", "libmnl0.list", "libmnl0.control"] {
            assert!(root.contains_key(&format!("/usr/lib/opkg/info/{file}")), "{file}");
        }
        patch(folder.path(), &folder.path().join("first.img.gz"), "second.img.gz", &wishes).expect_status(0);
        let (first, second) = (folder.path().join("first.img.gz"), folder.path().join("second.img.gz"));
        assert_eq!(raw_disk(&first), raw_disk(&second), "{image}: a second patch changes nothing");
    }
}

#[test]
fn a_missing_dependency_is_told_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let rdma = package("rdma_6.11.0-r1_x86_64.ipk");
    let ran = patch(folder.path(), &fixture(IMAGE), "o.img", &["--package", &rdma]).expect_status(2);
    assert!(ran.stderr.contains("libmnl0 (rdma -> libmnl0)") && ran.stderr.contains("--package-dir"), "{ran}");
    let apk = package("rdma-6.11.0-r1.apk");
    let ran = patch(folder.path(), &fixture(IMAGE), "o.img", &["--package", &apk]).expect_status(2);
    assert!(ran.stderr.contains("managed by opkg"), "{ran}");
    assert_eq!(listing(folder.path()), Vec::<String>::new());
}

#[test]
fn both_managers_lay_out_the_same_files() {
    let scratch = tempfile::tempdir().unwrap();
    let (system, kernel) = system_of_fixture(IMAGE, scratch.path());
    let root = RootKind { block_size: 4096, features: "^has_journal", mebibytes: 16 };
    let opkg = scratch.path().join("opkg.img");
    image(&opkg, BootKind::Bios, root, &system, &kernel);
    manage_by_apk(&system);
    let apk = scratch.path().join("apk.img");
    image(&apk, BootKind::Bios, root, &system, &kernel);

    let folder = tempfile::tempdir().unwrap();
    let dir = package("");
    let [ipk_rdma, ipk_kmod] = ["rdma_6.11.0-r1_x86_64.ipk", "kmod-mlx4-core_6.12.117-r1_x86_64.ipk"].map(package);
    let [apk_rdma, apk_kmod] = ["rdma-6.11.0-r1.apk", "kmod-mlx4-core-6.12.117-r1.apk"].map(package);
    for (image, output, rdma, kmod) in
        [(&opkg, "opkg.img", &ipk_rdma, &ipk_kmod), (&apk, "apk.img", &apk_rdma, &apk_kmod)]
    {
        let wishes = ["--package", rdma, "--package", kmod, "--package-dir", &dir];
        patch(folder.path(), image, output, &wishes).expect_status(0);
    }
    let own = |file: &str| {
        let mut tree = root_of(&folder.path().join(file));
        let other = |path: &str| {
            ["/usr/lib/opkg", "/lib/apk", "/etc/apk", "/etc/ibwrt"].iter().any(|place| path.starts_with(place))
        };
        tree.retain(|path, entry| !other(path) && !entry.is_directory());
        tree.into_iter().map(|(path, entry)| (path, (entry.mode, entry.owner, entry.content))).collect::<Vec<_>>()
    };
    assert_eq!(own("opkg.img"), own("apk.img"));
    let root = root_of(&folder.path().join("apk.img"));
    assert!(root.contains_key("/lib/apk/packages/rdma.list") && root.contains_key("/lib/modules/6.12.117/mlx4_en.ko"));
}

#[test]
fn a_damaged_package_is_refused_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    for (file, status) in [("rdma_6.11.0-r1_x86_64.ipk", 4), ("rdma-6.11.0-r1.apk", 4)] {
        let bytes = std::fs::read(fixture("packages").join(file)).unwrap();
        let cut = folder.path().join(file);
        std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
        let ran =
            patch(folder.path(), &fixture(IMAGE), "o.img", &["--package", cut.to_str().unwrap()]).expect_status(status);
        assert!(ran.stderr.contains(file) && ran.stderr.contains("damaged or cut"), "{ran}");
        std::fs::remove_file(cut).unwrap();
    }
    let ran = patch(folder.path(), &fixture(IMAGE), "o.img", &["--package", "/dev/null"]).expect_status(2);
    assert!(ran.stderr.contains("not a regular file"), "{ran}");
    assert_eq!(listing(folder.path()), Vec::<String>::new());
}

#[test]
fn a_program_of_a_desktop_distribution_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    // This very machine's, which is linked with glibc.
    let file = format!("/usr/sbin/rdma={},mode=0755", std::fs::canonicalize("/bin/ls").unwrap().display());
    let ran = patch(folder.path(), &fixture(IMAGE), "o.img.gz", &["--file", &file]).expect_status(1);
    for words in ["tools-link", "ld-linux", "glibc", "ld-musl-x86_64.so.1"] {
        let text = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(words), "{words}: {ran}");
    }
    assert_eq!(listing(folder.path()), Vec::<String>::new());

    let (rdma, dir) = (package("rdma_6.11.0-r1_x86_64.ipk"), package(""));
    let wishes = ["--package", &rdma, "--package-dir", &dir, "--overlay", "rdma-tools"];
    let ran = patch(folder.path(), &fixture(IMAGE), "o.img.gz", &[&wishes[..], &["-v"]].concat()).expect_status(0);
    assert!(ran.text().contains("/usr/sbin/rdma links"), "{ran}");
    let image = folder.path().join("o.img.gz");
    let ran =
        ibwrt(folder.path(), ["verify", image.to_str().unwrap(), "--overlay", "rdma-tools", "-v"]).expect_status(0);
    assert!(ran.text().contains("/usr/sbin/rdma links"), "{ran}");
}

/// A package with one file under two names.
pub(super) fn package_with_a_hard_link(folder: &Path) -> String {
    let script = "set -e; mkdir -p data/usr/share/pair control
        printf 'twins\n' > data/usr/share/pair/one; ln data/usr/share/pair/one data/usr/share/pair/two
        printf 'Package: pair\nVersion: 1.0-r1\nArchitecture: all\nDescription: two names\n' > control/control
        printf '2.0\n' > debian-binary
        for part in control data; do tar --owner=0 --group=0 --numeric-owner -C $part -czf $part.tar.gz .; done
        tar -czf pair_1.0-r1_all.ipk ./debian-binary ./control.tar.gz ./data.tar.gz";
    let status = std::process::Command::new("sh").arg("-c").arg(script).current_dir(folder).status().unwrap();
    assert!(status.success());
    folder.join("pair_1.0-r1_all.ipk").to_str().unwrap().to_owned()
}

#[test]
fn a_hard_link_of_a_package_is_one_file_with_two_names_and_goes_with_it() {
    let parts = tempfile::tempdir().unwrap();
    let pair = package_with_a_hard_link(parts.path());
    for image in [IMAGE, "openwrt-mini-ib-squashfs-combined.img.gz"] {
        let folder = tempfile::tempdir().unwrap();
        patch(folder.path(), &fixture(image), "first.img.gz", &["--package", &pair]).expect_status(0);
        let first = folder.path().join("first.img.gz");
        let unpacked = tempfile::tempdir().unwrap();
        let (system, _) = system_of_fixture(first.to_str().unwrap(), unpacked.path());
        let content = std::fs::read_to_string(system.join("usr/share/pair/two")).unwrap();
        assert_eq!(content, "twins\n", "{image}");
        let root = root_of(&first);
        let [one, two] = ["one", "two"].map(|name| &root[&format!("/usr/share/pair/{name}")]);
        if image == IMAGE {
            // debugfs tells the same inode, with its count of names.
            assert_eq!(one.inode, two.inode);
            let links = one.inode.split_whitespace().skip_while(|word| *word != "Links:").nth(1);
            assert_eq!(links, Some("2"), "{}", one.inode);
        } else {
            use std::os::unix::fs::MetadataExt;
            let [one, two] = ["one", "two"].map(|name| system.join("usr/share/pair").join(name).metadata().unwrap());
            assert_eq!((one.ino(), one.nlink()), (two.ino(), 2));
        }
        patch(folder.path(), &first, "second.img.gz", &["--package", &pair]).expect_status(0);
        assert_eq!(raw_disk(&first), raw_disk(&folder.path().join("second.img.gz")), "{image}");
        ibwrt(folder.path(), ["unpatch", "first.img.gz", "-o", "back.img.gz"]).expect_status(0);
        assert!(!root_of(&folder.path().join("back.img.gz")).contains_key("/usr/share/pair"), "{image}");
    }
}
