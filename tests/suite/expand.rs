//! Deltas and what they expand to: files, the same to the byte, and block devices.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::support::{Job, Ran, fixture, fixture_modules, ibwrt, is_root, listing, raw_disk, run, sha256, tool};

const IMAGE: &str = "openwrt-mini-ib-ext4-combined-efi.img.gz";

fn job() -> Job {
    Job::connectx3(&fixture(IMAGE), &fixture_modules())
}

/// All that was said, on one line.
fn said(ran: &Ran) -> String {
    format!("{} {}", ran.text(), ran.stderr).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn digest(path: &Path) -> String {
    sha256(&std::fs::read(path).unwrap())
}

/// A folder with the fixture's delta in `h.ibdelta`.
fn folder_with_delta() -> tempfile::TempDir {
    let (folder, job) = (tempfile::tempdir().unwrap(), job());
    job.patch(folder.path(), &job.image, &["-o", "h.ibdelta", "--quiet"]).expect_status(0);
    folder
}

#[test]
fn a_zst_output_is_what_zstd_unpacks_and_is_patched_again_to_itself() {
    let (folder, job) = (tempfile::tempdir().unwrap(), job());
    job.patch(folder.path(), &job.image, &["-o", "r.img.zst", "--quiet"]).expect_status(0);
    job.patch(folder.path(), &job.image, &["-o", "r.img", "--quiet"]).expect_status(0);
    let path = folder.path().join("r.img.zst");
    run(tool("zstd").arg("-t").arg(&path)).expect_status(0);
    let unpacked = run(tool("zstd").arg("-dc").arg(&path)).expect_status(0);
    assert!(unpacked.stdout == std::fs::read(folder.path().join("r.img")).unwrap());
    job.verify(folder.path(), &path).expect_status(0);
    job.patch(folder.path(), &path, &["-o", "again.img.zst", "--quiet"]).expect_status(0);
    assert_eq!(digest(&path), digest(&folder.path().join("again.img.zst")));
}

#[test]
fn a_delta_expands_to_the_very_bytes_that_patch_writes() {
    let (folder, job) = (tempfile::tempdir().unwrap(), job());
    for (delta, whole) in [("h.ibdelta", "h.img.gz"), ("r.img.ibdelta", "r.img")] {
        let ran = job.patch(folder.path(), &job.image, &["-o", delta]).expect_status(0);
        let next = format!("ibwrt expand {} {delta} -o {whole}", job.image.display());
        assert!(said(&ran).contains(&next), "{ran}");
        job.patch(folder.path(), &job.image, &["-o", &format!("patched-{whole}"), "--quiet"]).expect_status(0);
        let image = job.image.to_str().unwrap();
        let ran = ibwrt(folder.path(), ["expand", image, delta, "-o", whole, "--format", "json"]).expect_status(0);
        let report: Value = serde_json::from_slice(&ran.stdout).unwrap();
        let expected = digest(&folder.path().join(format!("patched-{whole}")));
        assert_eq!(digest(&folder.path().join(whole)), expected);
        assert_eq!(report["output"]["sha256"], expected, "{report}");
        assert_eq!(report["sha256"], expected, "{report}");
    }
    let image = job.image.to_str().unwrap();
    ibwrt(folder.path(), ["expand", image, "h.ibdelta", "-o", "h.qcow2"]).expect_status(0);
    run(tool("qemu-img").current_dir(folder.path()).args(["compare", "-f", "raw", "-F", "qcow2", "r.img", "h.qcow2"]))
        .expect_status(0);
}

#[test]
fn a_wrong_base_and_a_damaged_delta_are_refused_and_leave_nothing() {
    let folder = folder_with_delta();
    let other = fixture("openwrt-mini-ib-ext4-combined.img.gz");
    let ran = ibwrt(folder.path(), ["expand", other.to_str().unwrap(), "h.ibdelta", "-o", "o.img.gz"]).expect_status(2);
    assert!(said(&ran).contains(&digest(&other)) && said(&ran).contains(&digest(&fixture(IMAGE))), "{ran}");
    let mut bytes = std::fs::read(folder.path().join("h.ibdelta")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(folder.path().join("d.ibdelta"), bytes).unwrap();
    let base = fixture(IMAGE);
    let ran = ibwrt(folder.path(), ["expand", base.to_str().unwrap(), "d.ibdelta", "-o", "o.img.gz"]).expect_status(4);
    assert!(said(&ran).contains("SHA-256 of the "), "{ran}");
    assert_eq!(listing(folder.path()), ["d.ibdelta", "h.ibdelta"]);
}

/// A loop device on a file, given back when dropped.
struct Loop(PathBuf);

impl Loop {
    /// Over a file of `length` bytes of 0xFF; `None` where the machine has no loop devices to give.
    fn over(folder: &Path, name: &str, length: usize) -> Option<Self> {
        let file = folder.join(name);
        std::fs::write(&file, vec![0xFF; length]).unwrap();
        let ran = run(tool("losetup").args(["--find", "--show"]).arg(&file));
        let path = String::from_utf8_lossy(&ran.stdout).trim().to_string();
        if path.is_empty() {
            assert!(std::env::var_os("CI").is_none() || !is_root(), "CI runs as root but has no loop devices: {ran}");
            println!("skipped: losetup gives no device here: {ran}");
            return None;
        }
        Some(Self(path.into()))
    }

    fn name(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = tool("losetup").arg("-d").arg(&self.0).status();
    }
}

#[test]
fn a_device_gets_the_whole_disk_only_when_it_is_named_twice_and_large_enough() {
    let folder = folder_with_delta();
    let base = fixture(IMAGE);
    let expand = |device: &str, more: &[&str]| {
        let mut arguments = vec!["expand", base.to_str().unwrap(), "h.ibdelta", "-o", device];
        arguments.extend_from_slice(more);
        ibwrt(folder.path(), arguments)
    };
    job().patch(folder.path(), &base, &["-o", "h.img.gz", "--quiet"]).expect_status(0);
    let disk = raw_disk(&folder.path().join("h.img.gz"));
    let length = disk.len().next_multiple_of(512);
    let Some(large) = Loop::over(folder.path(), "large", length + 512) else { return };
    let Some(small) = Loop::over(folder.path(), "small", length - 512) else { return };
    let untouched = || std::fs::read(folder.path().join("large")).unwrap().iter().all(|byte| *byte == 0xFF);

    let ran = expand(large.name(), &[]).expect_status(2);
    assert!(said(&ran).contains(&format!("--yes-erase {}", large.name())), "{ran}");
    let ran = expand(large.name(), &["--yes-erase", small.name()]).expect_status(2);
    assert!(said(&ran).contains("--yes-erase names "), "{ran}");
    assert!(untouched(), "refused, and written to all the same");
    let ran = expand(small.name(), &["--yes-erase", small.name()]).expect_status(2);
    let numbers = format!("the disk has {} bytes, the device {} only {}", disk.len(), small.name(), length - 512);
    assert!(said(&ran).contains(&numbers), "{ran}");
    let ran = expand("o.img.gz", &["--yes-erase", large.name()]).expect_status(2);
    assert!(said(&ran).contains("is not a block device"), "{ran}");

    let ran = expand(large.name(), &["--yes-erase", large.name()]).expect_status(0);
    assert!(said(&ran).contains("read back and the same"), "{ran}");
    run(tool("blockdev").args(["--flushbufs", large.name()])).expect_status(0);
    let content = std::fs::read(folder.path().join("large")).unwrap();
    assert!(content[..disk.len()] == disk, "the device holds another disk");
    assert!(content[length..].iter().all(|byte| *byte == 0xFF), "written behind the disk");
}

#[test]
fn a_device_that_is_mounted_or_swap_or_read_only_is_refused() {
    let folder = folder_with_delta();
    let base = fixture(IMAGE);
    let Some(device) = Loop::over(folder.path(), "disk", 64 << 20) else { return };
    let expand = || {
        let output = device.name();
        ibwrt(folder.path(), ["expand", base.to_str().unwrap(), "h.ibdelta", "-o", output, "--yes-erase", output])
    };
    run(tool("mke2fs").args(["-q", "-t", "ext4", device.name()])).expect_status(0);
    let place = folder.path().join("mounted");
    std::fs::create_dir(&place).unwrap();
    let mounted = run(tool("mount").arg(device.name()).arg(&place));
    if mounted.status == 0 {
        let ran = expand();
        run(tool("umount").arg(&place)).expect_status(0);
        let ran = ran.expect_status(2);
        assert!(said(&ran).contains("it is mounted on "), "{ran}");
    } else {
        assert!(std::env::var_os("CI").is_none() || !is_root(), "CI runs as root but may not mount: {mounted}");
        println!("skipped: mounting is not allowed here: {mounted}");
    }
    run(tool("blockdev").args(["--setro", device.name()])).expect_status(0);
    let ran = expand();
    run(tool("blockdev").args(["--setrw", device.name()])).expect_status(0);
    let ran = ran.expect_status(2);
    assert!(said(&ran).contains("is read-only"), "{ran}");
    run(tool("e2fsck").args(["-fn", device.name()])).expect_status(0);
}
