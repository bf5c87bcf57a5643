//! Package files: read from where they were named, and chosen for one image.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::openwrt::{PackageManager, System};
use crate::overlay::Resolved;
use crate::package::{self, Entry, EntryKind, Format, LARGEST_FILE, Package};
use crate::plan::PackageWishes;
use crate::userland::is_program;
use crate::verify::Expectations;

/// A package, and the folder or overlay that it was taken from because that was named.
#[derive(Debug, Clone)]
struct Given {
    package: Package,
    folder: Option<PathBuf>,
}

/// The packages that were named, read; those of `--package-dir` without their files' contents.
#[derive(Debug, Clone, Default)]
pub(super) struct PackageFiles {
    given: Vec<Given>,
    offered: Vec<Package>,
}

impl PackageFiles {
    /// Reads every package that `resolved` names.
    ///
    /// # Errors
    /// A path that is not there, a folder without packages, and those of reading a package.
    pub(super) fn read(resolved: &Resolved) -> Result<Self> {
        let given = named(resolved).into_iter().collect::<Result<_>>()?;
        let mut offered = Vec::new();
        for folder in &resolved.package_folders {
            let packages: Result<Vec<Package>> = listed(folder)?.par_iter().map(|path| read(path)).collect();
            offered.extend(packages?.into_iter().map(described));
        }
        Ok(Self { given, offered })
    }

    /// Chooses for the image with `system`, whose kernel package will have the version `kernel` where that is said.
    ///
    /// # Errors
    /// Those of [`package::resolve`], and of reading what is needed of `--package-dir`.
    pub(super) fn choose(&self, system: &System, kernel: Option<&str>) -> Result<PackageWishes> {
        if self.given.is_empty() {
            return Ok(PackageWishes::default());
        }
        let mut database = system.database();
        for known in database.iter_mut().flat_map(|database| &mut database.packages) {
            if let Some(version) = kernel.filter(|_| known.name == "kernel") {
                version.clone_into(&mut known.version);
            }
        }
        let format = database.as_ref().map(|database| database.format);
        let given = self.fitting(format)?;
        let mut selection = package::resolve(database.as_ref(), given, self.offered.clone())?;
        for chosen in selection.packages.iter_mut().filter(|chosen| chosen.needed_by.is_some()) {
            chosen.package = read(Path::new(&chosen.package.source))?;
        }
        Ok(PackageWishes {
            chosen: selection.packages,
            present: selection.present,
            unknown: selection.unknown,
            time: system.build_time(),
        })
    }

    /// Whether no package was named.
    pub(super) fn is_empty(&self) -> bool {
        self.given.is_empty()
    }

    /// Paths of the programs and libraries in the packages that were named, each with the manager that installs it.
    pub(super) fn programs(&self) -> impl Iterator<Item = (PackageManager, String)> {
        self.given.iter().flat_map(|given| programs(&given.package))
    }

    /// What was named; of a folder or overlay with packages of both managers only those of the image's.
    fn fitting(&self, format: Option<Format>) -> Result<Vec<Package>> {
        let is_mixed = |folder: &PathBuf| {
            let own = self.given.iter().filter(|given| given.folder.as_ref() == Some(folder));
            own.map(|given| given.package.format).collect::<BTreeSet<_>>().len() > 1
        };
        let mut fitting = Vec::new();
        for given in &self.given {
            match (&given.folder, format) {
                (Some(folder), Some(format)) if is_mixed(folder) && given.package.format != format => {}
                (Some(folder), None) if is_mixed(folder) => {
                    return Err(Error::usage(format!(
                        "{} holds both .ipk and .apk files, and the image has no package database that tells which to take",
                        folder.display()
                    ))
                    .remedy("name the files, or a folder with those of one kind"));
                }
                _ => fitting.push(given.package.clone()),
            }
        }
        Ok(fitting)
    }
}

/// Expects the programs of the packages that `resolved` names, and notes which packages cannot be read.
pub(super) fn expect(resolved: &Resolved, expectations: &mut Expectations) {
    for given in named(resolved) {
        match given {
            Ok(given) => expectations.packaged.extend(programs(&given.package)),
            Err(error) => expectations.unread.push(error.to_string()),
        }
    }
}

fn programs(package: &Package) -> impl Iterator<Item = (PackageManager, String)> + use<'_> {
    let manager = match package.format {
        Format::Ipk => PackageManager::Opkg,
        Format::Apk => PackageManager::Apk,
    };
    let is_elf = |entry: &&Entry| matches!(&entry.kind, EntryKind::File(bytes) if is_program(bytes));
    package.entries.iter().filter(is_elf).map(move |entry| (manager, entry.path.clone()))
}

/// Every package that is to be put in, or why it cannot be read.
fn named(resolved: &Resolved) -> Vec<Result<Given>> {
    let alone = |package| Given { package, folder: None };
    let brought = resolved.package_files.iter().map(|file| {
        let folder = Some(PathBuf::from(&file.overlay));
        package::read(&file.bytes, &file.origin()).map(|package| Given { package, folder })
    });
    let mut packages: Vec<Result<Given>> = brought.collect();
    for path in &resolved.packages {
        if !path.is_dir() {
            packages.push(read(path).map(alone));
            continue;
        }
        let of_folder = |package| Given { package, folder: Some(path.clone()) };
        match listed(path) {
            Ok(files) => packages.par_extend(files.par_iter().map(|file| read(file).map(of_folder))),
            Err(error) => packages.push(Err(error)),
        }
    }
    packages
}

/// The package without its files' contents: what is needed to choose among many.
fn described(package: Package) -> Package {
    Package { entries: Vec::new(), scripts: Vec::new(), ..package }
}

/// The packages of a folder, in byte order of their names.
fn listed(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| cannot_open(folder, error))? {
        let path = entry.map_err(|error| Error::io("list", folder, error))?.path();
        let is_package =
            [Format::Ipk, Format::Apk].iter().any(|format| path.to_string_lossy().ends_with(format.ending()));
        if is_package && fs::metadata(&path).is_ok_and(|metadata| metadata.is_file()) {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Err(Error::usage(format!("{} holds no package: looked for *.ipk and *.apk", folder.display()))
            .remedy("name a package, or the folder that holds packages (bin/packages/x86_64/… of a build)"));
    }
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> Result<Package> {
    let metadata = fs::metadata(path).map_err(|error| cannot_open(path, error))?;
    let name = path.display().to_string();
    if !metadata.is_file() {
        return Err(Error::usage("it is not a regular file").at(name));
    }
    if metadata.len() > LARGEST_FILE {
        return Err(
            Error::usage(format!("it is {} bytes long, and at most {LARGEST_FILE} are taken", metadata.len())).at(name)
        );
    }
    let bytes = fs::read(path).map_err(|error| Error::io("read", path, error))?;
    package::read(&bytes, &name)
}

fn cannot_open(path: &Path, error: std::io::Error) -> Error {
    let error = match error.kind() {
        std::io::ErrorKind::NotFound => Error::usage(format!("there is no file or folder {}", path.display())),
        _ => Error::io("open", path, error),
    };
    error.remedy("check the path given as a package (--package, --package-dir)")
}
