//! Root filesystems alone, as OpenWrt's `…-rootfs.img.gz` holds them: the fixtures' root partitions, cut out.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::support::{
    Job, Ran, copy_kernel, e2fsck, fixture, fixture_modules, ibwrt, listing, partitions, raw_disk, run, sha256, tool,
    write_partition,
};

/// The root partition of a fixture in a file of its own.
fn root_of(name: &str, folder: &Path) -> PathBuf {
    let disk = raw_disk(&fixture(name));
    let path = folder.join("openwrt-rootfs.img");
    write_partition(&disk, partitions(&disk)[1], &path);
    path
}

/// The kernel of a fixture in a file of its own.
fn kernel_of(name: &str, folder: &Path) -> PathBuf {
    let disk = raw_disk(&fixture(name));
    let (boot, kernel) = (folder.join("boot"), folder.join("bzImage"));
    write_partition(&disk, partitions(&disk)[0], &boot);
    copy_kernel(&boot, &kernel);
    std::fs::remove_file(boot).unwrap();
    kernel
}

/// The rows of a JSON report's checks: how each ended, and with what words.
fn rows(report: &Value) -> Vec<(String, String, String)> {
    let row = |row: &Value| {
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_string();
        (text("id"), text("outcome"), text("reason"))
    };
    report["checks"]["rows"].as_array().unwrap().iter().map(row).collect()
}

fn outcome(report: &Value, id: &str) -> (String, String) {
    let row = rows(report).into_iter().find(|(row, ..)| row == id).unwrap_or_else(|| panic!("no row {id}"));
    (row.1, row.2)
}

fn json(ran: &Ran) -> Value {
    serde_json::from_slice(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran}"))
}

/// Patches the fixture, and its root alone, and holds the two results against each other.
fn same_as_in_its_image(name: &str) {
    let input = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let root = root_of(name, input.path());
    let before = sha256(&std::fs::read(&root).unwrap());
    let job = Job::connectx3(&root, &fixture_modules());
    // A record would name the two files, which differ.
    job.patch(folder.path(), &fixture(name), &["-o", "combined.img", "--no-manifest"]).expect_status(0);
    let plain = ["-o", "plain-rootfs.img.gz", "--no-manifest"];
    let said = job.patch(folder.path(), &root, &plain).expect_status(0).text();
    assert!(said.contains("--kernel BZIMAGE"), "no word of how to prove it:\n{said}");
    assert!(!said.contains("sysupgrade"), "it is no image for sysupgrade:\n{said}");
    assert_eq!(sha256(&std::fs::read(&root).unwrap()), before, "the input was written to");

    let combined = std::fs::read(folder.path().join("combined.img")).unwrap();
    let alone = raw_disk(&folder.path().join("plain-rootfs.img.gz"));
    assert!(combined[partitions(&combined)[1].range()] == alone, "not the root that the patched image holds");
    let first = folder.path().join("first-rootfs.img.gz");
    job.patch(folder.path(), &root, &["-o", "first-rootfs.img.gz"]).expect_status(0);
    let alone = raw_disk(&first);
    if !alone.starts_with(b"hsqs") {
        std::fs::write(folder.path().join("plain"), &alone).unwrap();
        e2fsck(&folder.path().join("plain")).expect_status(0);
    }
    let again = job.patch(folder.path(), &first, &["-o", "second.img", "--format", "json"]).expect_status(0);
    assert_eq!(json(&again)["edits"].as_array().unwrap().len(), 0, "a second patch changes something");
    assert!(std::fs::read(folder.path().join("second.img")).unwrap() == alone, "a second patch gave other bytes");
}

#[test]
fn an_ext4_root_alone_becomes_what_it_becomes_inside_its_image() {
    same_as_in_its_image("openwrt-mini-ib-ext4-combined.img.gz");
}

#[test]
fn a_squashfs_root_alone_becomes_what_it_becomes_inside_its_image() {
    same_as_in_its_image("openwrt-mini-ib-squashfs-combined-efi.img.gz");
}

#[test]
fn what_needs_the_kernel_is_judged_with_the_given_one_and_skipped_in_words_without() {
    const BY_KERNEL: [&str; 4] = ["kernel-found", "kernel-release", "symbols-resolve", "load-order"];
    let folder = tempfile::tempdir().unwrap();
    let root = root_of("openwrt-mini-ib-ext4-combined.img.gz", folder.path());
    let job = Job::connectx3(&root, &fixture_modules());
    job.patch(folder.path(), &root, &["-o", "rootfs.img"]).expect_status(0);

    let verify = |more: &[&str]| {
        let fixed = ["verify", "rootfs.img", "--format", "json", "--overlay", "connectx3", "--overlay", "ipoib"];
        ibwrt(folder.path(), fixed.iter().chain(more))
    };
    let without = json(&verify(&[]).expect_status(0));
    for id in BY_KERNEL {
        let (ended, reason) = outcome(&without, id);
        assert!(ended == "skip" && reason.contains("no kernel"), "{id}: {ended}, {reason}");
    }
    for id in ["partition-table", "partition-uuids", "boot-filesystem", "boot-entries"] {
        let (ended, reason) = outcome(&without, id);
        assert!(ended == "skip" && reason.contains("without partitions"), "{id}: {ended}, {reason}");
    }
    assert_eq!(without["kernel_unknown"], true);
    assert_eq!(outcome(&without, "root-filesystem").0, "pass");

    let kernel = fixture("bzImage-with-ib");
    let with = json(&verify(&["--kernel", kernel.to_str().unwrap()]).expect_status(0));
    for id in BY_KERNEL {
        assert_eq!(outcome(&with, id).0, "pass", "{id}");
    }

    let stock = kernel_of("openwrt-mini-stock-ext4-combined-efi.img.gz", folder.path());
    let refused = verify(&["--kernel", stock.to_str().unwrap()]).expect_status(1);
    assert_eq!(outcome(&json(&refused), "symbols-resolve").0, "fail");
    assert!(refused.text().contains("irq_poll_complete"), "{refused}");
}

#[test]
fn a_patch_with_a_kernel_that_refuses_the_modules_writes_nothing() {
    let input = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let root = root_of("openwrt-mini-ib-squashfs-combined.img.gz", input.path());
    let stock = kernel_of("openwrt-mini-stock-squashfs-combined.img.gz", input.path());
    let job = Job::connectx3(&root, &fixture_modules());
    let refused = job.patch(folder.path(), &root, &["-o", "out.img", "--kernel", stock.to_str().unwrap()]);
    let refused = refused.expect_status(1);
    assert!(refused.stderr.contains("irq_poll_complete"), "{refused}");
    assert_eq!(listing(folder.path()), Vec::<String>::new());

    let kernel = fixture("bzImage-with-ib");
    let kernel = kernel.to_str().unwrap();
    let more = ["-o", "out.img", "--kernel", kernel, "--format", "json"];
    let proved = json(&job.patch(folder.path(), &root, &more).expect_status(0));
    assert_eq!((proved["kernel_file"].as_str(), &proved["kernel_swap"]), (Some(kernel), &Value::Null));
    let findings = proved["findings"].as_array().unwrap();
    assert!(findings.iter().all(|finding| finding["id"] != "kernel-not-given"), "{findings:?}");
}

#[test]
fn a_root_for_several_kernels_needs_to_be_told_which() {
    let folder = tempfile::tempdir().unwrap();
    let root = root_of("openwrt-mini-ib-ext4-combined.img.gz", folder.path());
    run(tool("debugfs").args(["-w", "-R", "mkdir /lib/modules/6.6.93"]).arg(&root)).expect_status(0);
    let job = Job::connectx3(&root, &fixture_modules());
    let refused = job.patch(folder.path(), &root, &["--dry-run"]).expect_status(2);
    for words in ["2 directories", "6.12.117", "6.6.93", "--kernel"] {
        assert!(refused.stderr.contains(words), "no word of {words}: {refused}");
    }
    let kernel = fixture("bzImage-with-ib");
    job.patch(folder.path(), &root, &["--dry-run", "--kernel", kernel.to_str().unwrap()]).expect_status(0);
}

#[test]
fn a_graph_of_a_root_alone_needs_its_kernel() {
    let folder = tempfile::tempdir().unwrap();
    root_of("openwrt-mini-ib-squashfs-combined.img.gz", folder.path());
    let refused = ibwrt(folder.path(), ["graph", "openwrt-rootfs.img"]).expect_status(2);
    assert!(refused.stderr.contains("--kernel BZIMAGE"), "{refused}");
    let kernel = fixture("bzImage-with-ib");
    let graph = ["graph", "openwrt-rootfs.img", "--all", "--kernel", kernel.to_str().unwrap()];
    assert!(ibwrt(folder.path(), graph).expect_status(0).text().contains("Linux 6.12.117"));
    let inspected = ibwrt(folder.path(), ["inspect", "openwrt-rootfs.img"]).expect_status(0).text();
    for words in ["squashfs", "no partitions", "none in it", "OpenWrt 24.10.0"] {
        assert!(inspected.contains(words), "no word of {words}:\n{inspected}");
    }
}
