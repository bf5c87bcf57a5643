//! What plans for one image have in common whatever is wished for: read and worked out once, for one plan or ten thousand.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::digest::{file_sha256, sha256_hex};
use crate::error::{Error, Result};
use crate::filesystem::Filesystem;
use crate::history::State;
use crate::kernel::{KernelRelease, ModuleName};
use crate::openwrt::System;
use crate::overlay::Resolved;
use crate::plan::{BootPartition, PackageWishes};
use crate::source::Required;

use super::digests::Digests;
use super::given_kernel::GivenKernel;
use super::identity::Mention;
use super::memo::Memo;
use super::packages::PackageFiles;
use super::wishes::ModuleChoice;

/// The shelf. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Shelf(Arc<Answers>);

#[derive(Debug, Default)]
struct Answers {
    kernels: Memo<PathBuf, GivenKernel>,
    boot_partitions: Memo<PathBuf, BootPartition>,
    packages: Memo<PackageQuestion, PackageFiles>,
    chosen: Memo<(PackageQuestion, Option<String>), PackageWishes>,
    modules: Memo<ModuleQuestion, ModuleChoice>,
    /// Modules without their debug sections, by the digest of what they were with them.
    stripped: Memo<String, Arc<[u8]>>,
    digests: Memo<Vec<PathBuf>, Vec<String>>,
    mentions: Memo<(), Vec<Mention>>,
    contents: Digests,
    /// What stood in the root before it was patched, by path.
    before: Memo<String, Before>,
    /// Contents that are kept beside the manifest, and those that were, by their digest.
    packed: Memo<String, Arc<[u8]>>,
    kept: Memo<String, Arc<[u8]>>,
    /// By the root's length in bytes, and the files that are loaded beside the usual ones.
    systems: Memo<(u64, Vec<String>), System>,
}

/// Which packages are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PackageQuestion {
    /// Those of overlays: name and SHA-256.
    files: Vec<(String, String)>,
    packages: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

/// Which modules are asked for, and of what they are chosen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ModuleQuestion {
    pub(super) sources: Vec<PathBuf>,
    pub(super) required: Vec<Required>,
    pub(super) same_build: Vec<Vec<ModuleName>>,
    pub(super) release: KernelRelease,
    pub(super) keep_debug: bool,
    /// The image's modules that are replaced, with their files' names, and whether those are all.
    pub(super) replaced: (BTreeMap<ModuleName, String>, bool),
    /// Packages that may bring modules: name, version and file.
    pub(super) packages: Vec<(String, String, String)>,
}

/// What stood at a path before it was patched.
#[derive(Debug, Clone)]
pub(super) struct Before {
    pub(super) state: State,
    /// The other names of the file.
    pub(super) links: Vec<String>,
}

impl PackageQuestion {
    fn of(resolved: &Resolved) -> Self {
        Self {
            files: resolved.package_files.iter().map(|file| (file.origin(), sha256_hex(&file.bytes))).collect(),
            packages: resolved.packages.clone(),
            folders: resolved.package_folders.clone(),
        }
    }
}

impl Shelf {
    /// The kernel in the file `file`.
    ///
    /// # Errors
    /// As [`GivenKernel::read`].
    pub(super) fn kernel(&self, file: &Path) -> Result<GivenKernel> {
        self.0.kernels.get(file.to_owned(), || GivenKernel::read(file)).map(|kernel| (*kernel).clone())
    }

    /// What stands where the kernel of `file` goes, as `read` finds it.
    ///
    /// # Errors
    /// Those of `read`.
    pub(super) fn boot_partition(
        &self,
        file: &Path,
        read: impl FnOnce() -> Result<BootPartition>,
    ) -> Result<Arc<BootPartition>> {
        self.0.boot_partitions.get(file.to_owned(), read)
    }

    /// The package files that `resolved` names.
    ///
    /// # Errors
    /// As [`PackageFiles::read`].
    pub(super) fn packages(&self, resolved: &Resolved) -> Result<Arc<PackageFiles>> {
        self.0.packages.get(PackageQuestion::of(resolved), || PackageFiles::read(resolved))
    }

    /// Of these the ones that go into the image with `system`, as [`PackageFiles::choose`] does.
    ///
    /// # Errors
    /// As [`PackageFiles::choose`].
    pub(super) fn chosen(
        &self,
        resolved: &Resolved,
        files: &PackageFiles,
        system: &System,
        kernel: Option<&str>,
    ) -> Result<PackageWishes> {
        let question = (PackageQuestion::of(resolved), kernel.map(str::to_owned));
        self.0.chosen.get(question, || files.choose(system, kernel)).map(|chosen| (*chosen).clone())
    }

    /// A digest of each file that holds modules or packages in `paths`, which are files or folders.
    ///
    /// # Errors
    /// I/O.
    pub(super) fn digests(&self, paths: &[PathBuf]) -> Result<Arc<Vec<String>>> {
        self.0.digests.get(paths.to_vec(), || {
            let mut digests = Vec::new();
            for path in paths {
                collect_digests(path, &mut digests)?;
            }
            Ok(digests)
        })
    }

    /// Where the boot partition names partitions, as `find` finds it.
    ///
    /// # Errors
    /// Those of `find`.
    pub(super) fn mentions(&self, find: impl FnOnce() -> Result<Vec<Mention>>) -> Result<Arc<Vec<Mention>>> {
        self.0.mentions.get((), find)
    }

    /// SHA-256 of a content, 64 lower-case hex digits.
    pub(super) fn digest(&self, content: &Arc<[u8]>) -> String {
        self.0.contents.of(content)
    }

    /// What stood at `path` before it was patched, as `read` finds it.
    ///
    /// # Errors
    /// Those of `read`.
    pub(super) fn before(&self, path: &str, read: impl FnOnce() -> Result<Before>) -> Result<Arc<Before>> {
        self.0.before.get(path.to_owned(), read)
    }

    /// The content with the digest `sha256` as it is kept beside the manifest, as `pack` makes it.
    ///
    /// # Errors
    /// Those of `pack`.
    pub(super) fn packed(&self, sha256: &str, pack: impl FnOnce() -> Result<Arc<[u8]>>) -> Result<Arc<[u8]>> {
        self.0.packed.get(sha256.to_owned(), pack).map(|packed| (*packed).clone())
    }

    /// The content with the digest `sha256` that an earlier patch kept, as `read` finds it.
    ///
    /// # Errors
    /// Those of `read`.
    pub(super) fn kept(&self, sha256: &str, read: impl FnOnce() -> Result<Arc<[u8]>>) -> Result<Arc<[u8]>> {
        self.0.kept.get(sha256.to_owned(), read).map(|kept| (*kept).clone())
    }

    /// The modules that answer `question`, as `choose` does.
    ///
    /// # Errors
    /// Those of `choose`.
    pub(super) fn modules(
        &self,
        question: ModuleQuestion,
        choose: impl FnOnce() -> Result<ModuleChoice>,
    ) -> Result<Arc<ModuleChoice>> {
        self.0.modules.get(question, choose)
    }

    /// The module `bytes` without its debug sections, as `strip` makes it: one content for all choices that hold it.
    ///
    /// # Errors
    /// Those of `strip`.
    pub(super) fn stripped(&self, bytes: &[u8], strip: impl FnOnce() -> Result<Vec<u8>>) -> Result<Arc<[u8]>> {
        self.0.stripped.get(sha256_hex(bytes), || strip().map(Arc::from)).map(|stripped| (*stripped).clone())
    }

    /// The system in the root of `length` bytes that `open` opens, with the content of the files of `wanted` that are there.
    ///
    /// # Errors
    /// Those of `open`; as [`System::read`].
    pub(super) fn system<'a>(
        &self,
        length: u64,
        wanted: impl IntoIterator<Item = &'a str>,
        open: impl Fn() -> Result<Box<dyn Filesystem>>,
    ) -> Result<Arc<System>> {
        let system = self.0.systems.get((length, Vec::new()), || System::read(open()?.as_mut(), &[]))?;
        let mut missing: Vec<String> =
            wanted.into_iter().filter(|path| system.lacks(path)).map(str::to_owned).collect();
        if missing.is_empty() {
            return Ok(system);
        }
        missing.sort();
        missing.dedup();
        self.0.systems.get((length, missing.clone()), || {
            let mut system = (*system).clone();
            system.load(open()?.as_mut(), missing.iter().map(String::as_str))?;
            Ok(system)
        })
    }
}

/// Adds the path and digest of the file `path`, or of all files with modules and packages below it.
fn collect_digests(path: &Path, digests: &mut Vec<String>) -> Result<()> {
    if !path.is_dir() {
        digests.push(format!("{} {}", path.display(), file_sha256(path)?));
        return Ok(());
    }
    let entries = fs::read_dir(path).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    let mut entries: Vec<PathBuf> = entries.map_err(|error| Error::io("list", path, error))?;
    entries.sort();
    for entry in entries {
        let name = entry.to_string_lossy();
        let counts = name.contains(".ko") || name.ends_with(".ipk") || name.ends_with(".apk");
        // As when modules are searched, links to folders are not followed.
        if (entry.is_dir() && !entry.is_symlink()) || (counts && entry.is_file()) {
            collect_digests(&entry, digests)?;
        }
    }
    Ok(())
}
