//! Where modules come from: folders searched in depth, single files, archives, in any mix.

mod archive;
mod candidate;
mod decompress;
mod folder;
mod reserve;
mod select;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use archive::Spool;
use candidate::{Candidate, Place, Verdict};

use crate::error::{Error, Result};
use crate::kernel::{KernelRelease, Module, ModuleName};

pub(crate) use decompress::decoder;
#[cfg(test)]
pub(crate) use reserve::NoReserve;
pub(crate) use reserve::Reserve;
pub(crate) use select::{Offer, Required, Selected, select};

/// A module read from the sources: decompressed, not yet stripped.
#[derive(Debug, Clone)]
pub(crate) struct SourcedModule {
    /// Its name.
    pub(crate) name: ModuleName,
    /// Where it was found: a path, for archives followed by ` » ` and the member's path.
    pub(crate) origin: String,
    /// The ELF file.
    pub(crate) bytes: Vec<u8>,
    /// What it says.
    pub(crate) module: Module,
    /// Whether its vermagic names the release asked for; `false`: it has no vermagic and was taken on trust.
    pub(crate) is_release_known: bool,
    /// SHA-256 of the file that it was made of, where that is not known to be `bytes` (64 lower-case hex digits).
    pub(crate) source_sha256: Option<String>,
}

impl SourcedModule {
    /// Name of the module's file without what its compression added, such as `nvme-rdma.ko`.
    pub(crate) fn file_name(&self) -> String {
        let last = self.origin.rsplit(['/', ' ']).next().unwrap_or_default();
        match last.split_once(".ko") {
            Some((stem, _)) => format!("{stem}.ko"),
            None => format!("{}.ko", self.name),
        }
    }
}

/// All module files that the given sources hold, by name; folders' files are read only when asked for.
#[derive(Debug)]
pub(crate) struct ModuleSources {
    /// By name; in byte order of the origins.
    candidates: BTreeMap<ModuleName, Vec<Candidate>>,
    paths: Vec<PathBuf>,
    spool: Spool,
}

impl ModuleSources {
    /// Lists what the sources hold. No paths at all give an empty list.
    ///
    /// # Errors
    /// A path that cannot be read, an archive that is damaged, a file that is neither module nor archive, or sources
    /// that hold no module at all.
    pub(crate) fn open(paths: &[PathBuf]) -> Result<Self> {
        let mut sources = Self { candidates: BTreeMap::new(), paths: paths.to_vec(), spool: Spool::new() };
        for path in paths {
            let metadata = fs::metadata(path).map_err(|error| cannot_open(path, error))?;
            if metadata.is_dir() {
                for file in folder::search(path)? {
                    sources.add_file(&file);
                }
            } else {
                sources.open_file(path)?;
            }
        }
        if sources.candidates.is_empty() && !paths.is_empty() {
            return Err(Error::usage(format!(
                "no kernel module in {}: looked for *.ko, *.ko.gz, *.ko.xz and *.ko.zst",
                sources.described()
            ))
            .remedy(
                "name a folder with .ko files below it, such as \
                 build_dir/target-x86_64_musl/linux-x86_64/linux-6.6.106, or an archive of them",
            ));
        }
        for candidates in sources.candidates.values_mut() {
            candidates.sort_by(|a, b| a.origin.cmp(&b.origin));
            candidates.dedup_by(|a, b| a.origin == b.origin);
        }
        Ok(sources)
    }

    fn open_file(&mut self, path: &Path) -> Result<()> {
        let file_name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if folder::is_module_name(&file_name) {
            self.add_file(path);
            return Ok(());
        }
        let Some(members) = archive::read(path, &self.spool)? else {
            return Err(Error::usage(format!(
                "{} is neither a kernel module (*.ko, *.ko.gz, *.ko.xz, *.ko.zst) nor a tar archive",
                path.display()
            ))
            .remedy("name a module, a folder of modules, or a .tar, .tar.gz, .tar.xz or .tar.zst of modules"));
        };
        for (member, extent) in members {
            let name = ModuleName::new(member.rsplit('/').next().unwrap_or(&member));
            let origin = format!("{} » {member}", path.display());
            self.candidates.entry(name).or_default().push(Candidate { origin, place: Place::Member(extent) });
        }
        Ok(())
    }

    fn add_file(&mut self, path: &Path) {
        let file_name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let candidate = Candidate { origin: path.display().to_string(), place: Place::File(path.to_owned()) };
        self.candidates.entry(ModuleName::new(&file_name)).or_default().push(candidate);
    }

    #[cfg(test)]
    /// Every module name on offer, sorted.
    pub(crate) fn names(&self) -> Vec<ModuleName> {
        self.candidates.keys().cloned().collect()
    }

    /// Whether there is a file for `name`, fitting or not.
    pub(crate) fn holds(&self, name: &ModuleName) -> bool {
        self.candidates.contains_key(name)
    }

    /// Whether no path was given at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// The paths given, as a person would list them.
    pub(crate) fn described(&self) -> String {
        self.paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    }

    /// The candidate for `name` that fits `release` (its vermagic begins with it), `None` when there is none of that
    /// name. One without vermagic is taken if no other fits. Several that differ in nothing that the kernel loads
    /// (a build tree holds each module unstripped and stripped) are one: the first in byte order of the paths.
    ///
    /// # Errors
    /// All candidates of that name are for another release, architecture, or are damaged or empty; two fit but differ.
    pub(crate) fn find(&self, name: &ModuleName, release: &KernelRelease) -> Result<Option<SourcedModule>> {
        let Some(candidates) = self.candidates.get(name) else { return Ok(None) };
        let (mut fitting, mut unknown, mut misfits, mut unreadable) = (None, Vec::new(), Vec::new(), Vec::new());
        for candidate in candidates {
            match candidate.examine(name, release, &self.spool) {
                Verdict::Fits(sourced) if sourced.is_release_known => keep_one(&mut fitting, *sourced, release)?,
                // Once one is known to fit, those without vermagic do not matter.
                Verdict::Fits(sourced) if fitting.is_none() => unknown.push(*sourced),
                Verdict::Fits(_) => {}
                Verdict::Misfit(problem) => misfits.push(format!("{} {problem}", candidate.origin)),
                Verdict::Unreadable(error) => unreadable.push(error),
            }
        }
        if fitting.is_none() {
            for sourced in unknown {
                keep_one(&mut fitting, sourced, release)?;
            }
        }
        match fitting {
            Some(sourced) => Ok(Some(sourced)),
            None => Err(nothing_fits(name, release, misfits, unreadable)),
        }
    }
}

fn cannot_open(path: &Path, error: std::io::Error) -> Error {
    let error = match error.kind() {
        std::io::ErrorKind::NotFound => Error::usage(format!("there is no file or folder {}", path.display())),
        _ => Error::io("open", path, error),
    };
    error.remedy("check the path given as a source of modules (--modules)")
}

const BUILD_REMEDY: &str = "name the modules of the very build that the image's kernel comes from";

/// The error when no candidate can be used.
fn nothing_fits(
    name: &ModuleName,
    release: &KernelRelease,
    mut misfits: Vec<String>,
    mut unreadable: Vec<Error>,
) -> Error {
    if misfits.is_empty() && unreadable.len() == 1 {
        return unreadable.remove(0);
    }
    misfits.extend(unreadable.iter().map(Error::to_string));
    let error = match misfits.as_slice() {
        [only] => Error::usage(only.clone()),
        _ => Error::usage(format!(
            "none of the {} files for {name} fits the image's kernel {release}: {}",
            misfits.len(),
            misfits.join("; ")
        )),
    };
    error.remedy(BUILD_REMEDY)
}

/// Keeps the first of equal modules.
///
/// # Errors
/// Usage when `next` differs from the one kept, naming both.
fn keep_one(kept: &mut Option<SourcedModule>, next: SourcedModule, release: &KernelRelease) -> Result<()> {
    match kept {
        None => *kept = Some(next),
        Some(first) if candidate::are_equal(first, &next)? => {}
        Some(first) => {
            return Err(Error::usage(format!(
                "two different {} modules fit kernel {release}: {} and {}",
                first.name, first.origin, next.origin
            ))
            .remedy("name only the folder or archive of the build that the image's kernel comes from"));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
