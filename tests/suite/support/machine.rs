//! A virtual machine that boots a kernel with a small initial root, mounts an image's root partition and inserts
//! modules from it.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::{Archive, Insertion};

/// How long the machine may take. Software emulation needs some ten seconds; the rest is for a busy host.
const PATIENCE: Duration = Duration::from_secs(300);

/// Runs as process 1. `/early` holds drivers that the kernel itself lacks, in order; `/insert` lists what to insert from
/// the mounted root.
const INIT: &str = r#"#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
for m in $($b cat /early/list); do
    $b insmod /early/$m.ko || echo "EARLY $m refused"
done
tries=0
while [ ! -e /sys/class/block/vda2/dev ] && [ $tries -lt 100 ]; do $b sleep 0.1; tries=$((tries + 1)); done
$b mknod /dev/root b $($b tr : ' ' < /sys/class/block/vda2/dev)
# The one place where a running kernel is asked which device a PARTUUID= names, as it asks itself for root=.
if [ -e /sys/power/resume ]; then
    $b cat /root > /sys/power/resume
    echo "NAMED $($b cat /sys/power/resume) AND IS $($b cat /sys/class/block/vda2/dev)"
fi
for type in squashfs ext4; do
    $b mount -t $type -o ro /dev/root /mnt && echo "MOUNTED read-only as $type" && break
done
again=
while read -r path parameters; do
    if $b insmod /mnt/$path $parameters; then echo "INSERTED $path"; else again="$again $path"; fi
done < /insert
for path in $again; do
    if $b insmod /mnt/$path; then echo "INSERTED LATER $path"; else echo "REFUSED $path"; fi
done
echo "RELEASE $($b uname -r)"
$b sed 's/^/LOADED /' /proc/modules
$b ls /sys/class/infiniband_mad /sys/class/infiniband_verbs 2>/dev/null
$b dmesg | $b grep -iE 'mlx|infiniband|ipoib|unknown symbol|vermagic|module' | $b tail -n 40
$b umount /mnt
if [ -e /fill ]; then
    $b mount -t ext4 -o rw /dev/root /mnt && echo "MOUNTED read-write"
    $b mknod /dev/zero c 1 5
    $b mkdir /mnt/filled
    n=0
    while [ $n -lt 12 ]; do
        $b mkdir /mnt/filled/$n && $b dd if=/dev/zero of=/mnt/filled/$n/file bs=1M count=10 2>/dev/null || break
        n=$((n + 1))
    done
    $b df -k /mnt
    $b umount /mnt && echo "FILLED $n"
    $b dmesg | $b grep EXT4-fs
fi
echo THE END
$b poweroff -f
"#;

/// Boots `kernel` with `disk` (raw or `.qcow2`) as the first virtio disk, whose root grub.cfg names as `root`, and returns what
/// the console showed. `early` are
/// driver files to insert before the disk can be seen. With `fill` the root is mounted a second time and 120 MiB are
/// written to it, in 12 folders of `/filled`; else the disk is left as it is.
pub(crate) fn boot(
    kernel: &Path,
    early: &[std::path::PathBuf],
    disk: &Path,
    root: &str,
    insertions: &[Insertion],
    fill: bool,
) -> String {
    let folder = tempfile::tempdir().unwrap();
    let initrd = folder.path().join("initrd");
    std::fs::write(&initrd, initial_root(early, root, insertions, fill)).unwrap();
    let console = folder.path().join("console");
    let format = if disk.extension().is_some_and(|extension| extension == "qcow2") { "qcow2" } else { "raw" };
    let drive =
        format!("file={},format={format},if=virtio,snapshot={}", disk.display(), if fill { "off" } else { "on" });
    // Hardware acceleration only on request: /dev/kvm may exist and still hang, in a machine that is virtual itself.
    let accelerator = std::env::var("IBWRT_QEMU_ACCEL").unwrap_or_else(|_| "tcg".to_string());
    let mut machine = super::tool("qemu-system-x86_64")
        .args(["-accel", &accelerator, "-m", "512", "-no-reboot", "-nic", "none", "-display", "none"])
        .args([
            "-monitor",
            "none",
            "-serial",
            "stdio",
            "-append",
            "console=ttyS0 panic=-1 loglevel=4",
            "-drive",
            &drive,
        ])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(&initrd)
        .stdin(Stdio::null())
        .stdout(File::create(&console).unwrap())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        match machine.try_wait().unwrap() {
            Some(status) => break Some(status),
            None if Instant::now() > deadline => {
                machine.kill().unwrap();
                machine.wait().unwrap();
                break None;
            }
            None => std::thread::sleep(Duration::from_millis(100)),
        }
    };
    let said = String::from_utf8_lossy(&std::fs::read(&console).unwrap()).replace('\r', "");
    assert!(status.is_some(), "the machine did not end within {} s:\n{said}", PATIENCE.as_secs());
    assert!(status.is_some_and(|status| status.success()), "qemu failed: {status:?}\n{said}");
    assert!(said.contains("THE END"), "the machine ended early:\n{said}");
    said
}

fn initial_root(early: &[std::path::PathBuf], root: &str, insertions: &[Insertion], fill: bool) -> Vec<u8> {
    let mut archive = Archive::default();
    for folder in ["bin", "dev", "early", "mnt", "proc", "sys"] {
        archive.directory(folder);
    }
    archive.device("dev/console", 5, 1);
    archive.file("bin/busybox", &std::fs::read(super::oracle::tool_path("busybox")).unwrap());
    archive.file("init", INIT.as_bytes());
    let mut list = String::new();
    for path in early {
        let name = path.file_stem().unwrap().to_str().unwrap();
        archive.file(&format!("early/{name}.ko"), &std::fs::read(path).unwrap());
        list.push_str(&format!("{name}\n"));
    }
    archive.file("early/list", list.as_bytes());
    archive.file("root", root.as_bytes());
    let lines: String = insertions.iter().map(|one| format!("{} {}\n", one.path, one.parameters)).collect();
    archive.file("insert", lines.as_bytes());
    if fill {
        archive.file("fill", b"");
    }
    archive.finish()
}
