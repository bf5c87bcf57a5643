//! `patch --kernel`: what becomes of both partitions, and when it is refused.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::support::{
    Job, Ran, debugfs, e2fsck, fixture, fixture_modules, fsck_fat, listing, partitions, raw_disk, rdump, run, tool,
    tree, write_partition,
};

const EFI: &str = "openwrt-mini-stock-ext4-combined-efi.img.gz";
const BIOS: &str = "openwrt-mini-ib-ext4-nojournal-combined.img.gz";

/// The kernel of the fixtures with `more` bytes behind it, which change nothing of what it is.
fn longer_kernel(folder: &Path, more: usize) -> PathBuf {
    let mut bytes = std::fs::read(fixture("bzImage-with-ib")).unwrap();
    bytes.resize(bytes.len() + more, 0);
    written(folder, "bzImage", &bytes)
}

fn written(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// `bytes` with every 6.12.117 made 6.12.118.
fn of_another_release(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let (from, to) = (b"6.12.117", b"6.12.118");
    let mut changed = 0;
    for at in 0..bytes.len().saturating_sub(from.len()) {
        if bytes[at..].starts_with(from) {
            bytes[at..at + to.len()].copy_from_slice(to);
            changed += 1;
        }
    }
    assert!(changed > 0, "no release in {} bytes", bytes.len());
    bytes
}

fn job(image: &Path, modules: &Path, kernel: &Path, more: &[&str]) -> Job {
    let mut job = Job::connectx3(image, modules);
    job.wishes.extend(["--kernel".to_string(), kernel.to_str().unwrap().to_string()]);
    job.wishes.extend(more.iter().map(|&one| one.to_string()));
    job
}

/// Both partitions of an image as files, and what is on them.
struct Parts {
    folder: tempfile::TempDir,
    disk: Vec<u8>,
}

impl Parts {
    fn of(image: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let disk = raw_disk(image);
        let [boot, root] = partitions(&disk);
        write_partition(&disk, boot, &folder.path().join("boot"));
        write_partition(&disk, root, &folder.path().join("root"));
        Self { folder, disk }
    }

    fn boot(&self) -> PathBuf {
        self.folder.path().join("boot")
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// The boot partition's files, by mcopy or debugfs.
    fn boot_files(&self) -> BTreeMap<String, Vec<u8>> {
        let copy = tempfile::tempdir().unwrap();
        let fat = run(tool("mcopy").args(["-s", "-n", "-i"]).arg(self.boot()).arg("::/").arg(copy.path()));
        if fat.status != 0 {
            let request = format!("rdump / {}", copy.path().display());
            run(tool("debugfs").arg("-R").arg(request).arg(self.boot())).expect_status(0);
        }
        let files = listing(copy.path()).into_iter().filter(|name| copy.path().join(name).is_file());
        files.map(|name| (name.clone(), std::fs::read(copy.path().join(name)).unwrap())).collect()
    }

    /// Files of the root filesystem whose paths begin with `prefix`.
    fn root_files(&self, prefix: &str) -> BTreeMap<String, Vec<u8>> {
        let copy = tempfile::tempdir().unwrap();
        rdump(&self.root(), copy.path());
        let names = listing(copy.path()).into_iter().filter(|name| name.starts_with(prefix));
        let files = names.filter(|name| copy.path().join(name).is_file());
        files.map(|name| (name.clone(), std::fs::read(copy.path().join(name)).unwrap())).collect()
    }
}

/// Asserts that of the boot partition's files the kernel alone became another.
fn judge_boot(before: &Parts, after: &Parts, kernel: &Path) {
    let [boot, root] = partitions(&before.disk);
    assert_eq!(partitions(&after.disk), [boot, root], "partitions moved");
    assert!(before.disk[..boot.range().start] == after.disk[..boot.range().start], "bytes before the partitions");
    assert!(before.disk[boot.range().end..root.range().start] == after.disk[boot.range().end..root.range().start]);
    assert!(before.disk[root.range().end..] == after.disk[root.range().end..], "bytes behind the partitions");

    let (mut was, mut is) = (before.boot_files(), after.boot_files());
    assert!(was.contains_key("boot/grub/grub.cfg"), "{:?}", was.keys());
    assert!(is.remove("boot/vmlinuz").unwrap() == std::fs::read(kernel).unwrap(), "another kernel was written");
    was.remove("boot/vmlinuz");
    assert!(was == is, "another file of the boot partition changed: {:?}", is.keys());
    e2fsck(&after.root()).expect_status(0);
}

/// Patches, judges the boot partition, and asserts that a second patch changes nothing.
fn judge_swap(job: &Job, kernel: &Path) -> (Parts, Parts) {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("first.img");
    job.patch(folder.path(), &job.image, &["-o", "first.img"]).expect_status(0);
    job.patch(folder.path(), &output, &["-o", "second.img"]).expect_status(0);
    assert!(raw_disk(&output) == raw_disk(&folder.path().join("second.img")), "the second patch changed something");
    Job::connectx3(&job.image, &job.modules).verify(folder.path(), &output).expect_status(0);
    let (before, after) = (Parts::of(&job.image), Parts::of(&output));
    judge_boot(&before, &after, kernel);
    (before, after)
}

/// What fsck.fat finds, without the last line, which counts clusters.
fn fat_problems(parts: &Parts) -> (i32, Vec<String>) {
    let (status, text) = fsck_fat(&parts.boot());
    (status, text.lines().filter(|line| !line.contains("clusters")).map(str::to_string).collect())
}

#[test]
fn a_stock_image_is_accepted_with_the_kernel_of_the_modules() {
    let kernel = fixture("bzImage-with-ib");
    let job = job(&fixture(EFI), &fixture_modules(), &kernel, &[]);
    let (before, after) = judge_swap(&job, &kernel);
    assert_eq!(fat_problems(&before), fat_problems(&after));
    let status = "usr/lib/opkg/status";
    let [was, is] = [&before, &after].map(|parts| String::from_utf8(parts.root_files(status)[status].clone()).unwrap());
    assert!(is.strip_prefix(&was).is_some_and(|added| added.starts_with("Package: kmod-ibwrt\n")), "{is}");
    let (was, is) = (tree::read(&before.root()), tree::read(&after.root()));
    for (path, entry) in was.iter().filter(|(path, _)| path.starts_with("/lib/modules/") && path.ends_with(".ko")) {
        assert_eq!(Some(entry), is.get(path), "{path} changed");
    }
}

#[test]
fn a_longer_kernel_fits_into_a_boot_partition_of_ext4() {
    let folder = tempfile::tempdir().unwrap();
    let kernel = longer_kernel(folder.path(), 9_000_001);
    let (before, after) = judge_swap(&job(&fixture(BIOS), &fixture_modules(), &kernel, &[]), &kernel);
    e2fsck(&after.boot()).expect_status(0);
    let attributes = |parts: &Parts| {
        let answer = debugfs(&parts.boot(), &["stat /boot/vmlinuz".to_string()]).into_values().next().unwrap();
        answer
            .lines()
            .filter(|line| line.contains("Mode:") || line.contains("User:"))
            .map(mode_and_owner)
            .collect::<Vec<_>>()
    };
    assert_eq!(attributes(&before), attributes(&after), "mode and owner stay");
}

/// A line of debugfs without the inode's number and the file's size.
fn mode_and_owner(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let values = words.windows(2).filter(|pair| ["Mode:", "User:", "Group:"].contains(&pair[0]));
    values.map(|pair| pair.join(" ")).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_longer_kernel_fits_into_a_boot_partition_of_fat() {
    let folder = tempfile::tempdir().unwrap();
    let kernel = longer_kernel(folder.path(), 9_000_001);
    let (before, after) = judge_swap(&job(&fixture(EFI), &fixture_modules(), &kernel, &[]), &kernel);
    assert_eq!(fat_problems(&before), fat_problems(&after));
}

#[test]
fn the_dry_run_shows_the_edit_and_its_partition() {
    let folder = tempfile::tempdir().unwrap();
    let job = job(&fixture(EFI), &fixture_modules(), &fixture("bzImage-with-ib"), &[]);
    let spoken = job.patch(folder.path(), &job.image, &["--dry-run"]).expect_status(0).text();
    assert!(spoken.contains("kernel swap (boot partition)\n    /boot/vmlinuz "), "{spoken}");
    assert!(spoken.contains("Room on the boot partition"), "{spoken}");
    let ran = job.patch(folder.path(), &job.image, &["--dry-run", "--format", "json"]).expect_status(0);
    let report: Value = serde_json::from_slice(&ran.stdout).unwrap();
    let edits = report["edits"].as_array().unwrap();
    let swap = edits.iter().find(|edit| edit["partition"] == "boot").unwrap();
    let length = std::fs::metadata(fixture("bzImage-with-ib")).unwrap().len();
    assert_eq!((swap["path"].as_str(), swap["size"].as_u64()), (Some("/boot/vmlinuz"), Some(length)));
    assert_eq!((swap["change"].as_str(), swap["reason"].as_str()), (Some("replace"), Some("kernel swap")));
    assert!(edits.iter().filter(|edit| *edit != swap).all(|edit| edit["partition"] == "root"), "{edits:?}");
    let finding = report["findings"].as_array().unwrap().iter().find(|one| one["id"] == "kernel-package").unwrap();
    assert!(finding["message"].as_str().unwrap().contains("which no longer match"), "{finding}");
    assert_eq!(listing(folder.path()), Vec::<String>::new());
}

#[test]
fn the_given_version_is_all_that_changes_in_the_database_beside_the_registered_modules() {
    let kernel = fixture("bzImage-with-ib");
    let version = "6.12.117~fedcba9876543210-r2";
    let job = job(&fixture(EFI), &fixture_modules(), &kernel, &["--kernel-version", version]);
    let (before, after) = judge_swap_of_recipe(&job, &kernel);
    let old = "6.12.117~0123456789abcdef0123456789abcdef-r1";
    for (path, was) in before.root_files("usr/lib/opkg/") {
        let was = String::from_utf8(was).unwrap();
        let text = match path.ends_with("/status") || path.ends_with("/kernel.control") {
            true => was.replacen(&format!("Version: {old}\n"), &format!("Version: {version}\n"), 1),
            false => was.clone(),
        };
        assert_eq!(path.contains("kernel.control") || path.ends_with("status"), text != was, "{path}");
        let is = String::from_utf8(after.root_files(&path)[&path].clone()).unwrap();
        let added = is.strip_prefix(&text).unwrap_or_else(|| panic!("{path}: {is}"));
        // The modules are registered with the new version.
        let expected = format!("Package: kmod-ibwrt\nVersion: {version}\nDepends: kernel (={version})\n");
        assert!(
            if path.ends_with("/status") { added.starts_with(&expected) } else { added.is_empty() },
            "{path}: {added}"
        );
    }
}

/// As [`judge_swap`], with a recipe that says the same as the command line.
fn judge_swap_of_recipe(job: &Job, kernel: &Path) -> (Parts, Parts) {
    let folder = tempfile::tempdir().unwrap();
    job.patch(folder.path(), &job.image, &["-o", "line.img"]).expect_status(0);
    let version = job.wishes.last().unwrap();
    let text = format!("kernel = '{}'\nkernel_version = '{version}'\n", kernel.display());
    let recipe = tempfile::tempdir().unwrap();
    let path = written(recipe.path(), "site.toml", text.as_bytes());
    let plain = Job::connectx3(&job.image, &job.modules);
    plain.patch(folder.path(), &job.image, &["--recipe", path.to_str().unwrap(), "-o", "recipe.img"]).expect_status(0);
    let (line, recipe) = (folder.path().join("line.img"), folder.path().join("recipe.img"));
    assert!(std::fs::read(line).unwrap() == std::fs::read(recipe).unwrap(), "recipe and command line differ");
    judge_swap(job, kernel)
}

/// Every module of the image and of the archive, changed by `change`.
fn modules_of(folder: &Path, change: impl Fn(&[u8]) -> Vec<u8>) {
    let archive = lzma_rust2::XzReader::new(std::fs::File::open(fixture_modules()).unwrap(), true);
    tar::Archive::new(archive).unpack(folder).unwrap();
    for (path, bytes) in Parts::of(&fixture(EFI)).root_files("lib/modules/") {
        written(folder, path.rsplit('/').next().unwrap(), &bytes);
    }
    for name in listing(folder).into_iter().filter(|name| name.ends_with(".ko")) {
        let bytes = std::fs::read(folder.join(&name)).unwrap();
        written(folder, &name, &change(&bytes));
    }
}

#[test]
fn a_kernel_of_another_release_takes_the_whole_set_with_it() {
    let (modules, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    modules_of(modules.path(), of_another_release);
    let bytes = of_another_release(&std::fs::read(fixture("bzImage-with-ib")).unwrap());
    let kernel = written(scratch.path(), "bzImage", &bytes);
    let job = job(&fixture(EFI), modules.path(), &kernel, &["--replace-modules"]);
    let (before, after) = judge_swap(&job, &kernel);
    assert_eq!(after.root_files("lib/modules/6.12.117"), BTreeMap::new());
    assert!(!tree::read(&after.root()).contains_key("/lib/modules/6.12.117"), "the old directory stays");
    let sources = listing(modules.path());
    for path in before.root_files("lib/modules/").into_keys() {
        let path = path.replace("6.12.117", "6.12.118");
        let name = path.rsplit('/').next().unwrap();
        let source = sources.iter().find(|source| source.ends_with(name)).unwrap();
        let source = std::fs::read(modules.path().join(source)).unwrap();
        assert!(after.root_files(&path)[&path] == source, "{path} is not the source's");
    }
}

#[test]
fn with_replacements_every_module_of_the_same_release_is_the_sources() {
    let (modules, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    modules_of(modules.path(), <[u8]>::to_vec);
    let kernel = longer_kernel(scratch.path(), 1);
    // One that differs from the image's in a byte behind its sections.
    let igb = modules.path().join("igb.ko");
    let changed = [std::fs::read(&igb).unwrap(), vec![0]].concat();
    std::fs::write(&igb, &changed).unwrap();
    let job = job(&fixture(EFI), modules.path(), &kernel, &["--replace-modules", "--keep-debug"]);
    let (before, after) = judge_swap(&job, &kernel);
    let mut expected = before.root_files("lib/modules/");
    expected.insert("lib/modules/6.12.117/igb.ko".to_string(), changed);
    let after = after.root_files("lib/modules/");
    for (path, bytes) in expected {
        assert!(after[&path] == bytes, "{path} is not the source's");
    }
}

/// What was said on standard error, on one line.
fn said(ran: &Ran) -> String {
    ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn assert_refused(job: &Job, status: i32, fragments: &[&str]) {
    for more in [["-o", "router.img"].as_slice(), &["--dry-run"]] {
        let folder = tempfile::tempdir().unwrap();
        let ran = job.patch(folder.path(), &job.image, more).expect_status(status);
        for fragment in fragments {
            assert!(said(&ran).contains(fragment), "no {fragment:?}: {ran}");
        }
        assert_eq!(listing(folder.path()), Vec::<String>::new());
    }
}

#[test]
fn what_is_no_bzimage_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let whole = std::fs::read(fixture("bzImage-with-ib")).unwrap();
    let cut = written(folder.path(), "cut", &whole[..60_000]);
    let text = written(folder.path(), "text", &[b'x'; 2000]);
    let elf = written(folder.path(), "vmlinux", b"\x7fELF Linux version 6.12.117 (x)\n");
    for (kernel, status, fragment) in [
        (&cut, 4, "offset 1024 ends beyond the file's 60000 bytes"),
        (&text, 3, "no x86 kernel"),
        (&elf, 3, "an ELF vmlinux, which GRUB's `linux` command does not boot"),
        (&folder.path().join("none"), 5, "cannot open the kernel"),
    ] {
        assert_refused(&job(&fixture(EFI), &fixture_modules(), kernel, &[]), status, &[fragment]);
    }
}

#[test]
fn what_is_wrong_with_the_kernel_file_is_said_of_that_file_and_not_of_the_image() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = std::fs::read(fixture("bzImage-with-ib")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 64].fill(0x55);
    let damaged = written(folder.path(), "damaged", &bytes);
    let elf = written(folder.path(), "vmlinux", b"\x7fELF Linux version 6.12.117 (x)\n");
    for (kernel, name, status) in [(&damaged, "damaged", 4), (&elf, "vmlinux", 3)] {
        let job = job(&fixture(EFI), &fixture_modules(), kernel, &[]);
        let ran = job.patch(folder.path(), &job.image, &["-o", "o.img.gz"]).expect_status(status);
        assert!(ran.stderr.contains(name) && !ran.stderr.contains(EFI), "{ran}");
    }
    assert_eq!(listing(folder.path()), ["damaged", "vmlinux"]);
}

#[test]
fn a_kernel_that_does_not_fit_is_refused_with_the_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let kernel = longer_kernel(folder.path(), 17 << 20);
    let length = std::fs::metadata(&kernel).unwrap().len().to_string();
    for image in [EFI, BIOS] {
        let fragments = ["not enough room on the boot partition", &length, "CONFIG_TARGET_KERNEL_PARTSIZE"];
        assert_refused(&job(&fixture(image), &fixture_modules(), &kernel, &[]), 2, &fragments);
    }
}

#[test]
fn a_kernel_of_another_release_is_refused_without_its_modules() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = of_another_release(&std::fs::read(fixture("bzImage-with-ib")).unwrap());
    let kernel = written(folder.path(), "bzImage", &bytes);
    let stranded = ["the new kernel is 6.12.118, but the image's 5 modules are for 6.12.117", "--replace-modules"];
    assert_refused(&job(&fixture(EFI), &fixture_modules(), &kernel, &[]), 2, &stranded);
    let missing = ["5 of the 5 modules in the image cannot be replaced", "e1000e, efivarfs, igb, ip_tunnel, ptp"];
    assert_refused(&job(&fixture(EFI), &fixture_modules(), &kernel, &["--replace-modules"]), 2, &missing);
}

#[test]
fn a_kernel_that_would_lose_a_module_is_refused_with_module_and_symbols() {
    let folder = tempfile::tempdir().unwrap();
    let plain = Job::connectx3(&fixture("openwrt-mini-ib-ext4-combined-efi.img.gz"), &fixture_modules());
    // Modules that an earlier patch put in would be taken out again.
    plain.patch(folder.path(), &plain.image, &["-o", "patched.img", "--no-manifest"]).expect_status(0);
    let kernel = written(folder.path(), "stock", &Parts::of(&fixture(EFI)).boot_files()["boot/vmlinuz"]);
    let job = job(&folder.path().join("patched.img"), &fixture_modules(), &kernel, &[]);
    let mut fragments =
        vec!["of the image's modules load with its kernel 6.12.117 and would no longer load", "ib_core ("];
    let symbols = ["complete", "disable", "init", "sched"].map(|end| format!("Unknown symbol irq_poll_{end} (err -2)"));
    fragments.extend(symbols.iter().map(String::as_str));
    fragments.extend(["ib_ipoib (needs ", "--replace-modules"]);
    assert_refused(&job, 1, &fragments);
}

#[test]
fn what_belongs_to_a_new_kernel_is_refused_without_one() {
    let mut job = Job::connectx3(&fixture(EFI), &fixture_modules());
    job.wishes.extend(["--kernel-version".to_string(), "6.12.117~x-r1".to_string()]);
    assert_refused(&job, 2, &["--kernel-version: this is for a new kernel, but none is given"]);
}
