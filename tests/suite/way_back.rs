//! `unpatch` beside what else an image can be: signed, in another form, with identifiers of its own, with a full boot partition.

use std::path::{Path, PathBuf};

use super::support::{
    BootKind, Ran, RootKind, Tree, e2fsck, fixture, fixture_modules, fsck_fat, ibwrt, image, listing, partitions,
    raw_disk, run, system_of_fixture, tool, tree, write_partition,
};

const IMAGE: &str = "openwrt-mini-ib-ext4-combined-efi.img.gz";

/// Runs `line`, in which `MODULES` and `KEY` stand for the fixtures' options.
fn ran(folder: &Path, line: &str) -> Ran {
    let (modules, key) = (fixture_modules(), fixture("test-key.sec"));
    let line = line.replace("MODULES", &format!("--modules {}", modules.display()));
    ibwrt(folder, line.replace("KEY", key.to_str().unwrap()).split_whitespace())
}

/// The two partitions of a disk in files of their own.
fn parts(disk: &[u8], folder: &Path) -> [PathBuf; 2] {
    let [boot, root] = partitions(disk);
    [(boot, "boot.part"), (root, "root.part")].map(|(partition, name)| {
        let path = folder.join(name);
        write_partition(disk, partition, &path);
        path
    })
}

/// The root of a disk as debugfs sees it, without inode numbers and times.
fn root_of(disk: &[u8]) -> Tree {
    let scratch = tempfile::tempdir().unwrap();
    let [_, root] = parts(disk, scratch.path());
    let mut tree = tree::read(&root);
    tree.values_mut().for_each(|entry| entry.inode.clear());
    tree
}

#[test]
fn a_rekeyed_image_goes_back_signed_and_in_every_form_with_its_identifiers() {
    let folder = tempfile::tempdir().unwrap();
    let (at, original) = (|name: &str| folder.path().join(name), fixture(IMAGE));
    let ran = |line: &str| ran(folder.path(), line);
    let patch = format!("patch {} MODULES --overlay connectx3 --rekey h1", original.display());
    for form in ["img.gz", "qcow2", "img.zst"] {
        ran(&format!("{patch} -o router.{form}")).expect_status(0);
    }
    ran("unpatch router.img.gz -o back.img").expect_status(0);
    let (router, back) = (raw_disk(&at("router.img.gz")), raw_disk(&at("back.img")));
    assert!(root_of(&back) == root_of(&raw_disk(&original)), "not the root that was patched");
    let root = partitions(&router)[1];
    assert!(back[..root.range().start] == router[..root.range().start], "partition table or boot partition");
    assert!(back[root.range().end..] == router[root.range().end..], "what lies behind the partitions");
    assert!(back[..root.range().start] != raw_disk(&original)[..root.range().start], "the image was not rekeyed");

    // Whatever the form of input and output, the disk is the same.
    let outputs = [
        ("router.img.gz", "signed.img.gz"),
        ("router.qcow2", "a.qcow2"),
        ("router.img.zst", "a.img.zst"),
        ("router.qcow2", "b.img.zst"),
        ("router.img.gz", "a.img.ibdelta"),
        ("router.img.gz", "a.ibdelta"),
    ];
    for (input, output) in outputs {
        ran(&format!("unpatch {input} --sign KEY -o {output}")).expect_status(0);
    }
    for packed in ["a.img.zst", "b.img.zst"] {
        let unpacked = run(tool("zstd").arg("-dc").arg(at(packed))).expect_status(0);
        assert!(unpacked.stdout == back, "{packed}");
    }
    // In a folder of their own: an output that is not signed makes a signed list stale.
    std::fs::create_dir(at("expanded")).unwrap();
    ran("expand router.img.gz a.img.ibdelta -o expanded/a.img").expect_status(0);
    ran("expand router.img.gz a.ibdelta -o expanded/a.img.gz").expect_status(0);
    for same in ["signed.img.gz", "a.qcow2", "expanded/a.img", "expanded/a.img.gz"] {
        assert!(raw_disk(&at(same))[..back.len()] == back, "{same}");
    }
    let [signed, expanded] = ["signed.img.gz", "expanded/a.img.gz"].map(|name| std::fs::read(at(name)).unwrap());
    assert!(signed == expanded, "the delta stands for other bytes");

    // The signatures are usign's, on the outputs and on their list.
    for signed in outputs.map(|(_, output)| output).into_iter().chain(["sha256sums"]) {
        let signature = at(&format!("{signed}.sig"));
        let mut signify = tool("signify-openbsd");
        signify
            .args(["-V", "-q", "-p"])
            .arg(fixture("test-key.pub"))
            .arg("-m")
            .arg(at(signed))
            .arg("-x")
            .arg(signature);
        run(&mut signify).expect_status(0);
    }
    let listed = std::fs::read_to_string(at("sha256sums")).unwrap();
    let listed: Vec<&str> = listed.lines().map(|line| line.rsplit('*').next().unwrap()).collect();
    assert_eq!(listed, ["a.ibdelta", "a.img.ibdelta", "a.img.zst", "a.qcow2", "b.img.zst", "signed.img.gz"]);
    run(tool("sha256sum").args(["--check", "--quiet", "sha256sums"]).current_dir(folder.path())).expect_status(0);
    let refused = ran("unpatch router.img.gz --sign KEY -o signed.img.gz").expect_status(2);
    assert!(refused.says("signed.img.gz exists already"), "{refused}");
}

/// An image whose kernel of 4 MiB gave way to a small one, so that its boot partition can fill up: `swapped.img`.
fn swapped(folder: &Path, boot: BootKind) {
    let scratch = tempfile::tempdir().unwrap();
    let (system, kernel) = system_of_fixture(IMAGE, scratch.path());
    let mut large = std::fs::read(&kernel).unwrap();
    large.resize(4 << 20, 0);
    std::fs::write(&kernel, large).unwrap();
    let root = RootKind { block_size: 4096, features: "^has_journal", mebibytes: 16 };
    image(&folder.join("original.img"), boot, root, &system, &kernel);
    let patch = format!("patch original.img --kernel {} -o swapped.img", fixture("bzImage-with-ib").display());
    ran(folder, &format!("{patch} --hostname one --skip modules-present")).expect_status(0);
}

/// Writes a file to the boot partition of `swapped.img` that leaves less than 2 MiB there.
fn fill(folder: &Path) {
    let path = folder.join("swapped.img");
    let mut disk = raw_disk(&path);
    let [boot, root] = parts(&disk, folder);
    let filler = folder.join("filler");
    let room = |mebibytes: usize| {
        std::fs::write(&filler, vec![1; mebibytes << 20]).unwrap();
        let fat = run(tool("mcopy").arg("-o").arg("-i").arg(&boot).arg(&filler).arg("::/filler"));
        let ext4 =
            || run(tool("debugfs").args(["-w", "-R"]).arg(format!("write {} filler", filler.display())).arg(&boot));
        fat.status == 0
            || std::fs::read(&boot).unwrap()[1080..1082] == [0x53, 0xEF] && ext4().stderr.lines().count() < 2
    };
    let before = std::fs::read(&boot).unwrap();
    let fits = |mebibytes: &usize| {
        std::fs::write(&boot, &before).unwrap();
        room(*mebibytes)
    };
    (1..=partitions(&disk)[0].sectors / 2048).rev().find(fits).expect("no file of any size fits");
    let range = partitions(&disk)[0].range();
    disk[range].copy_from_slice(&std::fs::read(&boot).unwrap());
    std::fs::write(&path, disk).unwrap();
    for scratch in [boot, root, filler] {
        std::fs::remove_file(scratch).unwrap();
    }
}

#[test]
fn a_kernel_that_no_longer_fits_where_it_was_is_told_in_numbers_and_nothing_is_written() {
    for boot in [BootKind::Efi, BootKind::Bios] {
        let folder = tempfile::tempdir().unwrap();
        swapped(folder.path(), boot);
        fill(folder.path());
        let before = std::fs::read(folder.path().join("swapped.img")).unwrap();
        let kernel = fixture("bzImage-with-ib").display().to_string();
        let patch = "patch swapped.img --hostname two --skip modules-present -o out.img";
        for line in ["unpatch swapped.img -o out.img", "unpatch swapped.img --dry-run", patch] {
            let ran = ran(folder.path(), line).expect_status(2);
            for words in [
                "not enough room on the boot partition: the kernel of 4194304 bytes needs",
                "bytes that is there now is gone",
                "help: remove from the boot partition what came to it since",
            ] {
                assert!(ran.says(words), "{line}: {ran}");
            }
        }
        assert_eq!(listing(folder.path()), ["original.img", "swapped.img"]);
        assert!(std::fs::read(folder.path().join("swapped.img")).unwrap() == before, "the input was written to");
        // Named again, the kernel that is there stays.
        ran(folder.path(), &format!("{patch} --kernel {kernel}")).expect_status(0);
        let [boot, root] = parts(&raw_disk(&folder.path().join("out.img")), folder.path());
        e2fsck(&root).expect_status(0);
        let is_fat = std::fs::read(&boot).unwrap()[510..512] == [0x55, 0xAA];
        assert!(if is_fat { fsck_fat(&boot).0 == 0 } else { e2fsck(&boot).status == 0 }, "the boot partition");
    }
}
