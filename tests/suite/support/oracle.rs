//! Foreign programs. A missing one is a failure: a result that nobody judged is not a good one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::program::{Ran, run};

/// Debian's package for each program.
const PACKAGES: &[(&str, &str)] = &[
    ("blkid", "util-linux"),
    ("blockdev", "util-linux"),
    ("busybox", "busybox-static"),
    ("debugfs", "e2fsprogs"),
    ("df", "coreutils"),
    ("dumpe2fs", "e2fsprogs"),
    ("e2fsck", "e2fsprogs"),
    ("filefrag", "e2fsprogs"),
    ("fsck.erofs", "erofs-utils"),
    ("fsck.fat", "dosfstools"),
    ("gzip", "gzip"),
    ("id", "coreutils"),
    ("losetup", "mount"),
    ("mcopy", "mtools"),
    ("mke2fs", "e2fsprogs"),
    ("mkfs.btrfs", "btrfs-progs"),
    ("mkfs.erofs", "erofs-utils"),
    ("mkfs.fat", "dosfstools"),
    ("mkfs.xfs", "xfsprogs"),
    ("mmd", "mtools"),
    ("mksquashfs", "squashfs-tools"),
    ("modinfo", "kmod"),
    ("mount", "mount"),
    ("munged", "munge"),
    ("objcopy", "binutils"),
    ("partx", "util-linux"),
    ("pigz", "pigz"),
    ("python3", "python3"),
    ("qemu-img", "qemu-utils"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("resize2fs", "e2fsprogs"),
    ("script", "bsdutils"),
    ("sbatch", "slurm-client"),
    ("scancel", "slurm-client"),
    ("scontrol", "slurm-client"),
    ("setpriv", "util-linux"),
    ("sgdisk", "gdisk"),
    ("sha256sum", "coreutils"),
    ("signify-openbsd", "signify-openbsd"),
    ("sinfo", "slurm-client"),
    ("slurmctld", "slurmctld"),
    ("slurmd", "slurmd"),
    ("squeue", "slurm-client"),
    ("sync", "coreutils"),
    ("umount", "mount"),
    ("unsquashfs", "squashfs-tools"),
    ("zstd", "zstd"),
];

/// The path of an oracle, searched in PATH and in the folders that Debian keeps from ordinary users.
pub(crate) fn tool_path(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    let package = PACKAGES.iter().find(|(program, _)| *program == name).map(|(_, package)| *package);
    let package = package.unwrap_or_else(|| panic!("{name} is not in the table of oracles"));
    let found = folders.map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is not installed; it is in Debian's package {package}"))
}

/// A command that runs an oracle in the C locale.
pub(crate) fn tool(name: &str) -> Command {
    let mut command = Command::new(tool_path(name));
    command.env("LC_ALL", "C").env("MTOOLS_SKIP_CHECK", "1").env("DEBUGFS_PAGER", "cat").env("PAGER", "cat");
    command
}

/// `e2fsck -fn`: looks, never repairs.
pub(crate) fn e2fsck(filesystem: &Path) -> Ran {
    run(tool("e2fsck").arg("-fn").arg(filesystem))
}

/// Runs debugfs requests on a filesystem and splits the answer by request.
pub(crate) fn debugfs(filesystem: &Path, requests: &[String]) -> BTreeMap<String, String> {
    if requests.is_empty() {
        return BTreeMap::new();
    }
    let script = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(script.path(), requests.join("\n") + "\n").unwrap();
    let ran = run(tool("debugfs").arg("-f").arg(script.path()).arg(filesystem)).expect_status(0);
    let text = ran.text();
    let mut answers = BTreeMap::new();
    let mut current: Option<String> = None;
    for line in text.lines() {
        if let Some(request) = line.strip_prefix("debugfs: ") {
            answers.insert(request.to_string(), String::new());
            current = Some(request.to_string());
        } else if let Some(answer) = current.as_ref().and_then(|request| answers.get_mut(request)) {
            answer.push_str(line);
            answer.push('\n');
        }
    }
    assert_eq!(answers.len(), requests.len(), "debugfs did not answer every request: {ran}");
    answers
}

/// Copies the whole tree of an ext4 filesystem or a squashfs into a folder, by debugfs or unsquashfs.
pub(crate) fn rdump(filesystem: &Path, folder: &Path) {
    if super::squash::is_squashfs(filesystem) {
        return super::squash::extract(filesystem, folder);
    }
    let request = format!("rdump / {}", folder.display());
    run(tool("debugfs").arg("-R").arg(request).arg(filesystem)).expect_status(0);
    assert!(folder.join("etc").is_dir(), "debugfs copied nothing out of {}", filesystem.display());
}

/// Copies `/boot/vmlinuz` out of a boot partition, whichever of FAT and ext4 it is.
pub(crate) fn copy_kernel(boot_partition: &Path, to: &Path) {
    let fat = run(tool("mcopy").arg("-n").arg("-i").arg(boot_partition).arg("::/boot/vmlinuz").arg(to));
    if fat.status != 0 {
        let request = format!("dump /boot/vmlinuz {}", to.display());
        run(tool("debugfs").arg("-R").arg(request).arg(boot_partition)).expect_status(0);
    }
    assert!(to.metadata().is_ok_and(|file| file.len() > 0), "no kernel in {}", boot_partition.display());
}

/// The text of grub.cfg on a boot partition, whichever of FAT and ext4 it is.
pub(crate) fn grub_configuration(boot_partition: &Path) -> String {
    let fat = run(tool("mcopy").arg("-n").arg("-i").arg(boot_partition).args(["::/boot/grub/grub.cfg", "-"]));
    if fat.status == 0 {
        return fat.text();
    }
    debugfs(boot_partition, &["cat /boot/grub/grub.cfg".to_string()]).into_values().next().unwrap_or_default()
}

/// One field of a module's `.modinfo`, by kmod.
pub(crate) fn modinfo(module: &Path, field: &str) -> Vec<String> {
    let ran = run(tool("modinfo").arg("-F").arg(field).arg(module)).expect_status(0);
    ran.text().lines().map(str::to_string).collect()
}

/// What fsck.fat says, without the name of the file it looked at.
pub(crate) fn fsck_fat(filesystem: &Path) -> (i32, String) {
    let ran = run(tool("fsck.fat").arg("-n").arg(filesystem));
    (ran.status, without_path(&ran, filesystem))
}

/// What sgdisk says about a disk, without the name of the file it looked at.
pub(crate) fn sgdisk(disk: &Path) -> (i32, String) {
    let ran = run(tool("sgdisk").arg("-v").arg(disk));
    (ran.status, without_path(&ran, disk))
}

fn without_path(ran: &Ran, path: &Path) -> String {
    format!("{}{}", ran.text(), ran.stderr).replace(&path.display().to_string(), "FILE")
}

/// Lets every gzip reader at hand unpack `file`; they must be silent and agree on `expected`.
pub(crate) fn gzip_readers_agree(file: &Path, expected: &[u8]) {
    run(tool("gzip").arg("-t").arg(file)).expect_status(0);
    let python = "import gzip,sys;sys.stdout.buffer.write(gzip.open(sys.argv[1]).read())";
    let mut readers = [tool("gzip"), tool("pigz"), tool("busybox"), tool("python3")];
    readers[0].arg("-dc");
    readers[1].arg("-dc");
    readers[2].arg("zcat");
    readers[3].args(["-c", python]);
    for mut reader in readers {
        let ran = run(reader.arg(file)).expect_status(0);
        assert_eq!(ran.stderr, "", "{}", ran.command);
        assert!(ran.stdout == expected, "{} read other bytes than the disk's", ran.command);
    }
}
