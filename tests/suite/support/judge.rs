//! The whole judgement of one patch: everything that must be true of it, whatever the image.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::loadable::loadable;
use super::oracle::{e2fsck, fsck_fat, gzip_readers_agree, modinfo, sgdisk};
use super::program::ibwrt;
use super::{Partition, SECTOR, Tree, listing, partitions, raw_disk, sha256, tree, write_partition};

/// What is patched, and how.
pub(crate) struct Job {
    /// The image; with nothing else in its folder but its sums.
    pub(crate) image: PathBuf,
    /// Module sources.
    pub(crate) modules: PathBuf,
    /// Overlays and settings, as arguments.
    pub(crate) wishes: Vec<String>,
    /// Further arguments of `patch` and `verify`, such as `--skip ID`.
    pub(crate) extra: Vec<String>,
    /// Modules that must have been injected, at least.
    pub(crate) expected: Vec<&'static str>,
    /// Whether the sources are stripped already, so that modules must be injected byte for byte.
    pub(crate) stripped: bool,
}

impl Job {
    /// The issue's own example: ConnectX-3 and one IPoIB interface.
    pub(crate) fn connectx3(image: &Path, modules: &Path) -> Self {
        let wishes = ["--overlay", "connectx3", "--overlay", "ipoib", "--set", "ipoib.address=10.10.0.5/24"];
        Self {
            image: image.to_path_buf(),
            modules: modules.to_path_buf(),
            wishes: wishes.map(str::to_string).to_vec(),
            extra: Vec::new(),
            expected: vec!["ib_cm", "ib_core", "ib_ipoib", "ib_umad", "ib_uverbs", "mlx4_core", "mlx4_ib"],
            stripped: true,
        }
    }

    /// `patch` with further arguments.
    pub(crate) fn patch(&self, folder: &Path, image: &Path, more: &[&str]) -> super::Ran {
        let mut arguments = vec!["patch".into(), text(image), "--modules".into(), text(&self.modules)];
        arguments.extend(self.wishes.iter().chain(&self.extra).cloned());
        arguments.extend(more.iter().map(|&one| one.to_string()));
        ibwrt(folder, arguments)
    }

    /// `verify` against the same wishes.
    pub(crate) fn verify(&self, folder: &Path, image: &Path) -> super::Ran {
        let mut arguments = vec!["verify".into(), text(image)];
        arguments.extend(self.wishes.iter().chain(&self.extra).cloned());
        ibwrt(folder, arguments)
    }
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_string()
}

/// The two sides of a patch.
struct Sides {
    before: Vec<u8>,
    after: Vec<u8>,
    boot: Partition,
    root: Partition,
    folder: tempfile::TempDir,
}

/// Patches, and asserts everything that a patch promises. Returns the patched image's path in `folder`.
pub(crate) fn judge(job: &Job, folder: &Path) -> PathBuf {
    let input = sha256(&std::fs::read(&job.image).unwrap());
    job.verify(folder, &job.image).expect_status(1);
    let plan = dry_run(job, folder);
    let output = folder.join("first.img.gz");
    job.patch(folder, &job.image, &["-o", "first.img.gz"]).expect_status(0);
    assert_eq!(listing(folder), ["first.img.gz"], "a patch leaves its output and nothing else");

    job.patch(folder, &job.image, &["-o", "second.img.gz", "--quiet"]).expect_status(0);
    assert_same_file(&output, &folder.join("second.img.gz"), "two runs on the same inputs");
    job.patch(folder, &output, &["-o", "third.img.gz"]).expect_status(0);
    assert_same_file(&output, &folder.join("third.img.gz"), "a patch of the patched image");
    job.patch(folder, &job.image, &["-o", "plain.img"]).expect_status(0);
    job.verify(folder, &output).expect_status(0);
    assert_eq!(sha256(&std::fs::read(&job.image).unwrap()), input, "the input was written to");

    let (before, after) = (raw_disk(&job.image), raw_disk(&output));
    assert!(after == std::fs::read(folder.join("plain.img")).unwrap(), ".img and .img.gz hold different disks");
    gzip_readers_agree(&output, &after);
    for name in ["second.img.gz", "third.img.gz", "plain.img"] {
        std::fs::remove_file(folder.join(name)).unwrap();
    }
    let [boot, root] = partitions(&before);
    assert_eq!(partitions(&after), [boot, root], "partitions moved");
    let sides = Sides { before, after, boot, root, folder: tempfile::tempdir().unwrap() };
    judge_disk(&sides);
    judge_trees(job, &sides, &plan);
    output
}

fn dry_run(job: &Job, folder: &Path) -> BTreeMap<String, Value> {
    let spoken = job.patch(folder, &job.image, &["--dry-run"]).expect_status(0);
    assert!(spoken.text().contains("ib_ipoib.ko"), "the plan does not name what it adds: {spoken}");
    let ran = job.patch(folder, &job.image, &["--dry-run", "--format", "json", "-o", "first.img.gz"]).expect_status(0);
    assert_eq!(listing(folder), Vec::<String>::new(), "a dry run wrote something");
    let report: Value = serde_json::from_slice(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran}"));
    let edits = report["edits"].as_array().unwrap_or_else(|| panic!("no edits: {ran}"));
    edits.iter().map(|edit| (edit["path"].as_str().unwrap().to_string(), edit.clone())).collect()
}

#[track_caller]
fn assert_same_file(one: &Path, other: &Path, what: &str) {
    let same = std::fs::read(one).unwrap() == std::fs::read(other).unwrap();
    assert!(same, "{what} gave different bytes: {} and {}", one.display(), other.display());
}

fn judge_disk(sides: &Sides) {
    let Sides { before, after, boot, root, folder } = sides;
    assert_eq!(before.len(), after.len(), "the disk changed its length");
    assert!(before[..512 * SECTOR] == after[..512 * SECTOR], "LBA 0..511 changed");
    assert!(before[boot.range()] == after[boot.range()], "the boot partition changed");
    assert!(before[root.range().end..] == after[root.range().end..], "bytes behind the root partition changed");
    let file = |name: &str| folder.path().join(name);
    for (disk, name) in [(before, "before"), (after, "after")] {
        std::fs::write(file(name), disk).unwrap();
        write_partition(disk, *boot, &file(&format!("{name}.boot")));
        write_partition(disk, *root, &file(&format!("{name}.root")));
    }
    assert_eq!(sgdisk(&file("before")), sgdisk(&file("after")), "sgdisk says something else");
    assert_eq!(fsck_fat(&file("before.boot")), fsck_fat(&file("after.boot")), "fsck.fat says something else");
    if after[root.range()].starts_with(b"hsqs") {
        judge_squashfs(&before[root.range()], &after[root.range()]);
    } else {
        e2fsck(&file("after.root")).expect_status(0);
    }
}

/// Whatever held data before holds the same after, and behind the end lie zeroes, as first boot wants them.
fn judge_squashfs(before: &[u8], after: &[u8]) {
    let field =
        |root: &[u8], at: usize| usize::try_from(u64::from_le_bytes(root[at..at + 8].try_into().unwrap())).unwrap();
    let (used, tables) = (field(after, 40), field(before, 64));
    assert!(before[96..tables] == after[96..tables], "data blocks changed");
    assert!(used > field(before, 40) && after[used..].iter().all(|byte| *byte == 0), "the overlay would not be made");
}

fn judge_trees(job: &Job, sides: &Sides, plan: &BTreeMap<String, Value>) {
    let file = |name: &str| sides.folder.path().join(name);
    let (before, after) = (tree::read(&file("before.root")), tree::read(&file("after.root")));
    assert_untouched(&before, &after, plan);
    for (path, edit) in plan {
        let entry = after.get(path).unwrap_or_else(|| panic!("{path} was planned and is not there"));
        let owner = edit["owner"].as_str().unwrap();
        match edit["becomes"].as_str().unwrap() {
            "file" => {
                assert_eq!(entry.content, edit["sha256"].as_str().unwrap(), "content of {path}");
                let mode = format!("10{}", edit["mode"].as_str().unwrap());
                assert_eq!((entry.mode.as_str(), entry.owner.as_str()), (mode.as_str(), owner), "attributes of {path}");
            }
            "symlink" => assert_eq!(entry.content, edit["target"].as_str().unwrap(), "target of {path}"),
            "directory" => assert!(entry.is_directory(), "{path} is no directory"),
            other => panic!("{path} becomes {other}, but nothing is to be removed"),
        }
    }
    judge_modules(job, &after, &file("after.root"));
}

/// Whatever the plan does not name is the same inode with the same content, times and place. A directory that holds
/// something planned may have grown.
fn assert_untouched(before: &Tree, after: &Tree, plan: &BTreeMap<String, Value>) {
    let parents: BTreeSet<&str> = plan.keys().filter_map(|path| Some(path.rsplit_once('/')?.0)).collect();
    for (path, was) in before.iter().filter(|(path, _)| !plan.contains_key(*path)) {
        let is = after.get(path).unwrap_or_else(|| panic!("{path} is gone"));
        if was.is_directory() && parents.contains(path.as_str()) {
            assert_eq!((&was.mode, &was.owner), (&is.mode, &is.owner), "{path} changed");
        } else {
            assert_eq!(was, is, "{path} changed");
        }
    }
    let unplanned: Vec<&String> =
        after.keys().filter(|path| !before.contains_key(*path) && !plan.contains_key(*path)).collect();
    assert_eq!(unplanned, Vec::<&String>::new(), "appeared without being planned");
}

fn judge_modules(job: &Job, after: &Tree, root: &Path) {
    let copy = tempfile::tempdir().unwrap();
    super::rdump(root, copy.path());
    let (_unpacked, sources) = module_files(&job.modules);
    for name in &job.expected {
        let suffix = format!("/{name}.ko");
        let path = after.keys().find(|path| path.starts_with("/lib/modules/") && path.ends_with(&suffix));
        let path = path.unwrap_or_else(|| panic!("{name}.ko was not injected"));
        assert_eq!(path.split('/').count(), 5, "{path} does not lie flat in the module directory");
        let entry = &after[path];
        assert_eq!((entry.mode.as_str(), entry.owner.as_str()), ("100644", "0:0"), "{path}");
        let injected = copy.path().join(&path[1..]);
        let source = sources.iter().find(|source| source.ends_with(format!("{name}.ko")));
        let source = source.unwrap_or_else(|| panic!("no {name}.ko in the sources"));
        for field in ["depends", "vermagic", "license", "alias"] {
            assert_eq!(modinfo(&injected, field), modinfo(source, field), "modinfo -F {field} {name}.ko");
        }
        assert!(loadable(&injected) == loadable(source), "{path} is not what the source would load");
        if job.stripped {
            assert_eq!(entry.content, sha256(&std::fs::read(source).unwrap()), "{path} is not the source's file");
        }
    }
}

/// The files of a module source, an archive unpacked into a folder that must be kept as long as they are read.
fn module_files(source: &Path) -> (tempfile::TempDir, Vec<PathBuf>) {
    let unpacked = tempfile::tempdir().unwrap();
    let folder = if source.is_dir() {
        source.to_path_buf()
    } else {
        let archive = lzma_rust2::XzReader::new(std::fs::File::open(source).unwrap(), true);
        tar::Archive::new(archive).unpack(unpacked.path()).unwrap();
        unpacked.path().to_path_buf()
    };
    let files = listing(&folder).into_iter().map(|name| folder.join(name)).collect();
    (unpacked, files)
}
