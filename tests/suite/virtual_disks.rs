//! Disks of virtual machines as output and as input, judged by QEMU's own program.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::support::{Job, Ran, fixture, fixture_modules, listing, raw_disk, run, sha256, tool};

const IMAGE: &str = "openwrt-mini-ib-ext4-combined-efi.img.gz";
const FORMATS: [&str; 4] = ["qcow2", "vmdk", "vdi", "vhdx"];

fn qemu_img<S: AsRef<std::ffi::OsStr>>(folder: &Path, arguments: &[S]) -> Ran {
    run(tool("qemu-img").current_dir(folder).args(arguments)).expect_status(0)
}

fn job() -> Job {
    Job::connectx3(&fixture(IMAGE), &fixture_modules())
}

fn digest(path: &Path) -> String {
    sha256(&std::fs::read(path).unwrap())
}

fn json(ran: &Ran) -> Value {
    serde_json::from_slice(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran}"))
}

/// A folder with the disk of the fixture in `openwrt.img`.
fn folder_with_disk() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("openwrt.img");
    std::fs::write(&raw, raw_disk(&fixture(IMAGE))).unwrap();
    (folder, raw)
}

#[test]
fn the_ending_of_the_name_asks_for_a_virtual_machines_disk_and_every_run_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let second = tempfile::tempdir().unwrap();
    let job = job();
    job.patch(folder.path(), &job.image, &["-o", "router.img"]).expect_status(0);
    for format in FORMATS {
        let name = format!("router.{format}");
        let ran = job.patch(folder.path(), &job.image, &["-o", &name, "--sums", "--format", "json"]).expect_status(0);
        let output = &json(&ran)["output"];
        let path = folder.path().join(&name);
        assert_eq!(output["form"], format, "{output}");
        assert_eq!(output["sha256"], digest(&path), "{output}");
        assert_eq!(output["length"], std::fs::metadata(&path).unwrap().len(), "{output}");
        qemu_img(folder.path(), &["check", "-f", format, &name]);
        qemu_img(folder.path(), &["compare", "-f", "raw", "-F", format, "router.img", &name]);
        let info = json(&qemu_img(folder.path(), &["info", "--output=json", &name]));
        assert_eq!(info["format"], format, "QEMU takes it for something else: {info}");
        job.patch(second.path(), &job.image, &["-o", &name, "--quiet"]).expect_status(0);
        assert_eq!(digest(&path), digest(&second.path().join(&name)), "{name}");
    }
    run(std::process::Command::new("sha256sum").arg("-c").arg("sha256sums").current_dir(folder.path()))
        .expect_status(0);
}

#[test]
fn a_patched_disk_is_verified_patched_to_itself_and_back_to_an_image() {
    let folder = tempfile::tempdir().unwrap();
    let job = job();
    let again = folder.path().join("again");
    std::fs::create_dir(&again).unwrap();
    job.patch(folder.path(), &job.image, &["-o", "router.img.gz"]).expect_status(0);
    let disk = raw_disk(&folder.path().join("router.img.gz"));
    for (name, form) in [("router.qcow2", "qcow2 disk"), ("router.vmdk", "VMDK disk")] {
        job.patch(folder.path(), &job.image, &["-o", name]).expect_status(0);
        let path = folder.path().join(name);
        let ran = job.verify(folder.path(), &path).expect_status(0);
        let length = std::fs::metadata(&path).unwrap().len();
        assert!(ran.text().contains(&format!("{form}, {length} bytes, nothing behind it")), "{ran}");
        job.patch(&again, &path, &["-o", name]).expect_status(0);
        assert_eq!(digest(&again.join(name)), digest(&path), "a patch of the patched disk changed something");
        let back = format!("{name}.img.gz");
        let back = back.replace(".qcow2", "-qcow2").replace(".vmdk", "-vmdk");
        job.patch(&again, &path, &["-o", &back]).expect_status(0);
        assert!(raw_disk(&again.join(&back)) == disk, "{name} holds another disk");
    }
}

#[test]
fn what_qemu_makes_is_read_as_the_same_disk() {
    let (folder, raw) = folder_with_disk();
    let mut job = job();
    // The record would name each file.
    job.wishes.push("--no-manifest".to_string());
    job.patch(folder.path(), &raw, &["-o", "expected.img"]).expect_status(0);
    let expected = digest(&folder.path().join("expected.img"));
    for (format, options) in [
        ("qcow2", &["-c", "-o", "compat=0.10"][..]),
        ("qcow2", &["-o", "cluster_size=512"]),
        ("vmdk", &[]),
        ("vmdk", &["-o", "subformat=streamOptimized"]),
    ] {
        // The name says nothing about what is in the file.
        let mut arguments = vec!["convert", "-f", "raw", "-O", format];
        arguments.extend_from_slice(options);
        arguments.extend_from_slice(&["openwrt.img", "given.bin"]);
        qemu_img(folder.path(), &arguments);
        let given = folder.path().join("given.bin");
        let ran = job.patch(folder.path(), &given, &["-o", "read.img", "--force", "--format", "json"]).expect_status(0);
        let container = &json(&ran)["container"];
        assert_eq!(container["form"], format, "{options:?}: {container}");
        assert_eq!(container["sha256"], digest(&given), "{options:?}");
        assert_eq!(container["file_length"], std::fs::metadata(&given).unwrap().len(), "{options:?}");
        assert_eq!(digest(&folder.path().join("read.img")), expected, "{format} {options:?} was read as another disk");
    }
}

#[test]
fn a_disk_that_qemu_wrote_to_is_read_as_it_is_now() {
    let (folder, raw) = folder_with_disk();
    qemu_img(folder.path(), &["convert", "-f", "raw", "-O", "qcow2", "openwrt.img", "used.qcow2"]);
    let job = job();
    job.patch(folder.path(), &raw, &["-o", "router.img"]).expect_status(0);
    // The patched disk goes over the first one, which a snapshot keeps.
    qemu_img(folder.path(), &["snapshot", "-c", "before", "used.qcow2"]);
    qemu_img(folder.path(), &["convert", "-n", "-f", "raw", "-O", "qcow2", "router.img", "used.qcow2"]);
    job.verify(folder.path(), &folder.path().join("used.qcow2")).expect_status(0);
    job.patch(folder.path(), &folder.path().join("used.qcow2"), &["-o", "again.img"]).expect_status(0);
    assert_eq!(digest(&folder.path().join("again.img")), digest(&folder.path().join("router.img")));
}

#[test]
fn a_disk_that_cannot_be_read_is_refused_with_the_command_to_run() {
    let (folder, _) = folder_with_disk();
    let convert = |format: &str, options: &str, name: &str| {
        qemu_img(folder.path(), &["convert", "-f", "raw", "-O", format, "-o", options, "openwrt.img", name]);
    };
    convert("vdi", "static=off", "a.vdi");
    convert("vhdx", "subformat=dynamic", "a.vhdx");
    convert("qcow2", "extended_l2=on,cluster_size=128k", "subclusters.qcow2");
    convert("vmdk", "subformat=monolithicFlat", "flat.vmdk");
    convert("vmdk", "subformat=twoGbMaxExtentSparse", "split.vmdk");
    convert("qcow2", "compat=1.1", "base.qcow2");
    qemu_img(folder.path(), &["create", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "above.qcow2"]);
    convert("vmdk", "subformat=monolithicSparse", "base.vmdk");
    qemu_img(folder.path(), &["create", "-f", "vmdk", "-b", "base.vmdk", "-F", "vmdk", "above.vmdk"]);
    let whole = std::fs::read(folder.path().join("base.qcow2")).unwrap();
    std::fs::write(folder.path().join("cut.qcow2"), &whole[..whole.len() / 2]).unwrap();
    // QEMU's own encryption measures the processor's time first, which fails on a busy host.
    let locked = [&whole[..35], &[2], &whole[36..]].concat();
    std::fs::write(folder.path().join("locked.qcow2"), locked).unwrap();
    let before = listing(folder.path());
    let job = job();
    for (name, status, reason) in [
        ("a.vdi", 3, "this is a VDI image"),
        ("a.vhdx", 3, "this is a VHDX image"),
        ("subclusters.qcow2", 3, "has extended L2 entries"),
        ("flat.vmdk", 3, "a VMDK descriptor"),
        ("split.vmdk", 3, "a VMDK descriptor"),
        ("split-s001.vmdk", 3, "one extent of a disk in several files"),
        ("above.qcow2", 3, "holds only what differs from base.qcow2"),
        ("above.vmdk", 3, "holds only what differs from base.vmdk"),
        ("locked.qcow2", 3, "is encrypted (LUKS)"),
        ("cut.qcow2", 4, "reaches behind the end of the file"),
    ] {
        let ran = job.patch(folder.path(), &folder.path().join(name), &["-o", "router.img.gz"]).expect_status(status);
        let said = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(reason) && said.contains(name), "{name}: {ran}");
        assert!(status != 3 || said.contains("qemu-img convert"), "no command: {ran}");
    }
    assert_eq!(listing(folder.path()), before);
}
