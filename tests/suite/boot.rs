//! The proof of the proof: a real kernel boots, mounts the patched root and takes the modules in kmodloader's order.
//!
//! `IBWRT_DEBIAN_KERNEL` names a folder with an unpacked `linux-image-…-amd64` package; `tests/run` fetches it and sets
//! the variable. With `IBWRT_IMAGES` the images there are booted with their own kernels.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::acceptance::{given_images, has_ext4_root};
use super::support::{
    BootKind, Insertion, Job, OPENWRT, RootKind, boot, copy_kernel, debugfs, e2fsck, grub_configuration, image,
    load_order, modinfo, partitions, raw_disk, rdump, run, squashfs_image, system_of_fixture, tool, write_partition,
};

const WANTED: [&str; 6] = ["ib_core", "mlx4_core", "mlx4_ib", "ib_ipoib", "ib_umad", "ib_uverbs"];

/// Boots the disk with its own kernel and asserts that its root was mounted as `filesystem` and every module went in. With
/// `fill` the kernel then writes 120 MiB to the root, and `disk_file` may be written to. Returns what the console showed.
fn boot_and_look(disk_file: &Path, early: &[PathBuf], filesystem: &str, fill: bool) -> String {
    let folder = tempfile::tempdir().unwrap();
    let disk = raw_disk(disk_file);
    let [boot_partition, root_partition] = partitions(&disk);
    let file = |name: &str| folder.path().join(name);
    std::fs::write(file("disk"), &disk).unwrap();
    write_partition(&disk, boot_partition, &file("boot"));
    write_partition(&disk, root_partition, &file("root"));
    copy_kernel(&file("boot"), &file("vmlinuz"));
    std::fs::create_dir(file("tree")).unwrap();
    rdump(&file("root"), &file("tree"));
    let release = only_release(&file("tree"));
    let insertions = load_order(&file("tree"), &release);
    let is_qcow2 = disk_file.extension().is_some_and(|extension| extension == "qcow2");
    let drive = if is_qcow2 { disk_file.to_path_buf() } else { file("disk") };
    let said = boot(&file("vmlinuz"), early, &drive, &root_of_menu(&file("boot")), &insertions, fill);
    assert!(said.contains(&format!("MOUNTED read-only as {filesystem}\n")), "{said}");
    judge_console(&said, &release, &insertions);
    if fill {
        judge_filled(&said, &drive, folder.path());
    }
    said
}

/// What the entries of grub.cfg name as root, all of them the same.
fn root_of_menu(boot_partition: &Path) -> String {
    let text = grub_configuration(boot_partition);
    let roots: BTreeSet<&str> = text.split_whitespace().filter_map(|word| word.strip_prefix("root=P")).collect();
    assert_eq!(roots.len(), 1, "{text}");
    format!("P{}", roots.into_iter().next().unwrap())
}

/// To the kernel, the partition that grub.cfg names is the root of the disk.
fn judge_root(said: &str) {
    let (named, is) = said
        .lines()
        .find_map(|line| line.strip_prefix("NAMED ")?.split_once(" AND IS "))
        .unwrap_or_else(|| panic!("{said}"));
    assert_eq!(named, is, "the kernel finds another root than the disk's:\n{said}");
}

/// What the kernel wrote is all there, and the filesystem is as sound as before.
fn judge_filled(said: &str, drive: &Path, folder: &Path) {
    assert!(said.contains("MOUNTED read-write") && said.contains("FILLED 12\n"), "{said}");
    for line in said.lines().filter(|line| line.contains("EXT4-fs")) {
        assert!(!line.contains("error") && !line.contains("warning"), "{said}");
    }
    let (raw, root) = (folder.join("filled-disk"), folder.join("filled-root"));
    run(tool("qemu-img").args(["convert", "-O", "raw"]).arg(drive).arg(&raw)).expect_status(0);
    let disk = raw_disk(&raw);
    write_partition(&disk, partitions(&disk)[1], &root);
    e2fsck(&root).expect_status(0);
    let stat = debugfs(&root, &["stat /filled/11/file".to_string()]).into_values().next().unwrap();
    assert!(stat.contains("Size: 10485760"), "{stat}");
}

fn judge_console(said: &str, release: &str, insertions: &[Insertion]) {
    assert!(said.contains(&format!("RELEASE {release}\n")), "another kernel than {release}:\n{said}");
    let loaded: BTreeSet<&str> =
        said.lines().filter_map(|line| line.strip_prefix("LOADED ")?.split(' ').next()).collect();
    for name in WANTED {
        assert!(loaded.contains(name), "{name} is not in lsmod:\n{said}");
    }
    let wanted: BTreeSet<&str> = insertions.iter().map(|one| one.path.as_str()).collect();
    let inserted: BTreeSet<&str> = said.lines().filter_map(|line| line.strip_prefix("INSERTED ")).collect();
    let refused: Vec<&&str> = wanted.difference(&inserted).filter(|path| is_infiniband(path)).collect();
    assert!(refused.is_empty(), "not inserted at the first attempt: {refused:?}\n{said}");
    println!("{release}: {} of {} modules inserted, {} in lsmod", inserted.len(), wanted.len(), loaded.len());
}

/// Drivers of hardware that the machine lacks may refuse; what the patch brought may not.
fn is_infiniband(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    WANTED.iter().any(|wanted| name == format!("{wanted}.ko"))
}

fn only_release(tree: &Path) -> String {
    let names: Vec<_> =
        std::fs::read_dir(tree.join("lib/modules")).unwrap().map(|one| one.unwrap().file_name()).collect();
    assert_eq!(names.len(), 1, "{names:?}");
    names[0].to_str().unwrap().to_string()
}

/// An unpacked kernel package.
struct DebianKernel {
    vmlinuz: PathBuf,
    modules: PathBuf,
    release: String,
}

impl DebianKernel {
    fn given() -> Option<Self> {
        let package = PathBuf::from(std::env::var_os("IBWRT_DEBIAN_KERNEL")?);
        let modules = ["usr/lib/modules", "lib/modules"].map(|path| package.join(path));
        let modules = modules.into_iter().find(|path| path.is_dir()).expect("no lib/modules in the package");
        let release = std::fs::read_dir(&modules).unwrap().next().unwrap().unwrap().file_name();
        let release = release.to_str().unwrap().to_string();
        let vmlinuz = package.join(format!("boot/vmlinuz-{release}"));
        Some(Self { vmlinuz, modules: modules.join(&release), release })
    }

    /// A module's file, plain: packages of other releases compress them.
    fn file(&self, name: &str) -> Option<PathBuf> {
        let is = |path: &str| path.rsplit('/').next().unwrap_or(path).replace('-', "_") == format!("{name}.ko");
        let found = super::support::listing(&self.modules).into_iter().find(|path| is(path))?;
        Some(self.modules.join(found))
    }

    /// `names` and all they depend on, dependencies first.
    fn closure(&self, names: &[&str]) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for name in names {
            self.add(name, &mut files);
        }
        files
    }

    fn add(&self, name: &str, files: &mut Vec<PathBuf>) {
        // Built into some releases, a module in others.
        let Some(file) = self.file(name) else { return };
        if files.contains(&file) {
            return;
        }
        for line in modinfo(&file, "depends") {
            line.split(',').filter(|one| !one.is_empty()).for_each(|one| self.add(&one.replace('-', "_"), files));
        }
        files.push(file);
    }
}

/// The drivers that Debian's kernel needs to see the disk of the machine, beside the root's filesystem.
const DISK: [&str; 2] = ["virtio_pci", "virtio_blk"];

/// The given kernel, and the system of a fixture with its modules below `folder`.
fn debians_system(folder: &Path) -> Option<(DebianKernel, PathBuf)> {
    let Some(debian) = DebianKernel::given() else {
        assert!(std::env::var_os("CI").is_none(), "IBWRT_DEBIAN_KERNEL is not set; CI boots a kernel");
        println!("not run: IBWRT_DEBIAN_KERNEL names no unpacked kernel package (tests/run fetches one)");
        return None;
    };
    let (tree, _) = system_of_fixture("openwrt-mini-ib-ext4-combined-efi.img.gz", folder);
    std::fs::remove_dir_all(tree.join("lib/modules")).unwrap();
    let home = tree.join("lib/modules").join(&debian.release);
    std::fs::create_dir_all(&home).unwrap();
    // What the image's own modules.d names, so that the system is whole before the patch.
    for module in debian.closure(&["e1000e", "igb", "ptp", "ip_tunnel"]) {
        std::fs::copy(&module, home.join(module.file_name().unwrap())).unwrap();
    }
    Some((debian, tree))
}

#[test]
fn debians_kernel_takes_the_modules_out_of_a_patched_image() {
    let folder = tempfile::tempdir().unwrap();
    let Some((debian, tree)) = debians_system(folder.path()) else { return };
    let pristine = folder.path().join("openwrt.img");
    let features = "has_journal,^64bit,^metadata_csum,uninit_bg,^dir_index";
    image(&pristine, BootKind::Efi, RootKind { block_size: 4096, features, mebibytes: 64 }, &tree, &debian.vmlinuz);

    let job = Job::connectx3(&pristine, &debian.modules);
    job.patch(folder.path(), &pristine, &["--rootfs-size", "400M", "--rekey", "h1", "-o", "router.qcow2"])
        .expect_status(0);
    job.verify(folder.path(), &folder.path().join("router.qcow2")).expect_status(0);
    let early = debian.closure(&[&DISK[..], &["crc32c_generic", "crc32c_intel", "ext4"]].concat());
    judge_root(&boot_and_look(&folder.path().join("router.qcow2"), &early, "ext4", true));
}

#[test]
fn debians_kernel_mounts_the_squashfs_of_a_patched_image_and_takes_the_modules_out_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let Some((debian, tree)) = debians_system(folder.path()) else { return };
    let pristine = folder.path().join("openwrt.img");
    squashfs_image(&pristine, BootKind::Bios, &OPENWRT, 64, &tree, &debian.vmlinuz);
    let job = Job::connectx3(&pristine, &debian.modules);
    job.patch(folder.path(), &pristine, &["--rootfs-size", "128M", "--rekey", "h1", "-o", "router.img"])
        .expect_status(0);
    // Its kernel has squashfs as a module, which is told, and which the initial root here brings.
    let ran = job.verify(folder.path(), &folder.path().join("router.img")).expect_status(0);
    assert!(ran.text().contains("warn  squashfs-decompressor") && ran.text().contains("no squashfs built in"), "{ran}");
    let early = debian.closure(&[&DISK[..], &["squashfs"]].concat());
    judge_root(&boot_and_look(&folder.path().join("router.img"), &early, "squashfs", false));
}

#[test]
fn the_kernel_of_every_given_image_takes_the_modules() {
    let Some((images, modules)) = given_images() else {
        println!("not run: IBWRT_IMAGES names no folder of images");
        return;
    };
    for image in images {
        println!("{}", image.display());
        let folder = tempfile::tempdir().unwrap();
        let job = Job::connectx3(&image, &modules);
        let filesystem = if has_ext4_root(&raw_disk(&image)) { "ext4" } else { "squashfs" };
        job.patch(folder.path(), &image, &["-o", "router.img"]).expect_status(0);
        boot_and_look(&folder.path().join("router.img"), &[], filesystem, false);
    }
}

#[test]
fn the_kernel_of_every_given_image_fills_the_root_that_was_grown() {
    let Some((images, modules)) = given_images() else {
        println!("not run: IBWRT_IMAGES names no folder of images");
        return;
    };
    for image in images.iter().filter(|image| has_ext4_root(&raw_disk(image))) {
        println!("{}", image.display());
        let folder = tempfile::tempdir().unwrap();
        let job = Job::connectx3(image, &modules);
        job.patch(folder.path(), image, &["--rootfs-size", "400M", "-o", "router.img"]).expect_status(0);
        boot_and_look(&folder.path().join("router.img"), &[], "ext4", true);
    }
}
