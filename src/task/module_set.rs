//! The image's modules when its kernel is replaced: which of them must be replaced too.

use std::collections::BTreeMap;

use crate::error::{Error, ErrorKind, Result};
use crate::kernel::{KernelRelease, ModuleName};
use crate::openwrt::{MODULES_DIRECTORY, ModuleDirectory, System};
use crate::plan::{Finding, Severity};
use crate::source::{Offer, Required};

/// What becomes of the image's modules.
#[derive(Debug, Clone, Default)]
pub(super) struct ModuleSet {
    /// Modules to be taken from the sources, by name, each with its file's name in the image; empty when all stay.
    pub(super) replaced: BTreeMap<ModuleName, String>,
    /// Module directories that go.
    pub(super) obsolete: Vec<KernelRelease>,
    /// What else goes with them.
    pub(super) findings: Vec<Finding>,
    /// Whether no module of the image stays.
    pub(super) replaces_all: bool,
}

impl ModuleSet {
    /// The modules that stand in the directories of the kernels `old` and `new` (where there is neither: in any), when `new`
    /// takes the place of `old`.
    ///
    /// # Errors
    /// Usage when modules stand in another directory than `new` reads, and are not to be replaced.
    pub(super) fn of(system: &System, old: Option<&KernelRelease>, new: &KernelRelease, replace: bool) -> Result<Self> {
        let all: Vec<&ModuleDirectory> = system.module_directories.iter().collect();
        let own = |directory: &&&ModuleDirectory| directory.release == *new || Some(&directory.release) == old;
        let known: Vec<&ModuleDirectory> = all.iter().filter(own).copied().collect();
        let directories = if known.is_empty() { all } else { known };
        if !replace {
            let stranded = directories.iter().find(|other| other.release != *new && !other.modules.is_empty());
            return stranded.map_or(Ok(Self::default()), |directory| Err(elsewhere(directory, new)));
        }
        let obsolete: Vec<_> = directories.iter().filter(|directory| directory.release != *new).copied().collect();
        let modules = directories.iter().flat_map(|directory| &directory.modules);
        let mut replaced = BTreeMap::new();
        for module in modules {
            replaced.entry(module.name.clone()).or_insert_with(|| module.file_name().to_owned());
        }
        Ok(Self {
            replaced,
            findings: obsolete.iter().filter_map(|directory| unseen(directory)).collect(),
            obsolete: obsolete.iter().map(|directory| directory.release.clone()).collect(),
            replaces_all: true,
        })
    }

    /// The modules that are asked of the sources.
    pub(super) fn required(&self) -> impl Iterator<Item = Required> + '_ {
        self.replaced.keys().map(|name| Required {
            name: name.clone(),
            reason: "kernel swap".to_owned(),
            optional: false,
        })
    }

    /// Whether every module is on `offer` for `release`.
    ///
    /// # Errors
    /// Usage, naming each that is not; io.
    pub(super) fn check_offer(&self, offer: Offer<'_>, release: &KernelRelease) -> Result<()> {
        let mut missing = Vec::new();
        let mut misfit = None;
        for name in self.replaced.keys() {
            match offer.find(name, release, false) {
                Ok(Some(_)) => {}
                Ok(None) => missing.push(name.as_str()),
                Err(error) if error.kind() == ErrorKind::Io => return Err(error),
                Err(error) => {
                    missing.push(name.as_str());
                    misfit.get_or_insert(error);
                }
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let sources = offer.sources;
        let searched = match sources.is_empty() {
            true => "there, since no source of modules was given".to_owned(),
            false => format!("in {}", sources.described()),
        };
        let first = misfit.map(|error| format!(" ({error})")).unwrap_or_default();
        Err(Error::usage(format!(
            "{} of the {} modules in the image cannot be replaced: for kernel {release} they are not {searched}: {}{first}",
            missing.len(),
            self.replaced.len(),
            missing.join(", ")
        ))
        .remedy(
            "name the build tree of the new kernel with --modules, with all these built as modules; those no longer \
             wanted are to be removed from the image first",
        ))
    }
}

fn elsewhere(directory: &ModuleDirectory, new: &KernelRelease) -> Error {
    Error::usage(format!(
        "the new kernel is {new}, but the image's {} modules are for {}: it would look for them in {MODULES_DIRECTORY}/{new} \
         and find none",
        directory.modules.len(),
        directory.release
    ))
    .remedy(format!(
        "give a kernel {}, or replace all modules with --replace-modules and --modules BUILD_TREE of the new kernel",
        directory.release
    ))
}

/// Says which module files go without a successor because kmodloader never saw them.
fn unseen(directory: &ModuleDirectory) -> Option<Finding> {
    (!directory.unseen.is_empty()).then(|| Finding {
        id: "kernel-swap".to_owned(),
        severity: Severity::Warning,
        message: format!(
            "with {MODULES_DIRECTORY}/{} go {} files that kmodloader does not see: {}",
            directory.release,
            directory.unseen.len(),
            directory.unseen.join(", ")
        ),
        remedy: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openwrt::testing::MemoryFilesystem;
    use crate::source::{ModuleSources, NoReserve};

    fn set(files: &[&str], old: Option<&str>, new: &str, replace: bool) -> Result<ModuleSet> {
        let mut root = MemoryFilesystem::openwrt();
        root.nodes.retain(|path, _| !path.starts_with("/lib/modules"));
        root.add_directory("/lib/modules");
        for file in files {
            root.add_file(&format!("/lib/modules/{file}"), "x");
        }
        let system = System::read(&mut root, &[])?;
        ModuleSet::of(&system, old.map(KernelRelease::new).as_ref(), &KernelRelease::new(new), replace)
    }

    #[test]
    fn modules_for_another_release_are_refused_unless_they_are_replaced() {
        let files = ["6.6.1/igb.ko", "6.6.1/nf-nat.ko", "6.6.1/kernel/old.ko"];
        let error = set(&files, Some("6.6.1"), "6.12.117", false).unwrap_err();
        assert_eq!(
            error.message(),
            "the new kernel is 6.12.117, but the image's 2 modules are for 6.6.1: it would look for them in \
             /lib/modules/6.12.117 and find none"
        );
        assert!(error.remedy_text().unwrap().contains("--replace-modules"));
        let set = set(&files, Some("6.6.1"), "6.12.117", true).unwrap();
        let names: Vec<_> = set.replaced.iter().map(|(name, file)| (name.as_str(), file.as_str())).collect();
        assert_eq!(names, [("igb", "igb.ko"), ("nf_nat", "nf-nat.ko")]);
        assert_eq!(set.obsolete, [KernelRelease::new("6.6.1")]);
        assert!(set.findings[0].message.contains("/lib/modules/6.6.1/kernel/old.ko"), "{:?}", set.findings);
    }

    #[test]
    fn the_same_release_keeps_its_modules_and_its_directory() {
        let stays = set(&["6.6.1/igb.ko"], Some("6.6.1"), "6.6.1", false).unwrap();
        assert!(!stays.replaces_all && stays.replaced.is_empty() && stays.obsolete.is_empty());
        let replaced = set(&["6.6.1/igb.ko"], Some("6.6.1"), "6.6.1", true).unwrap();
        assert!(replaced.replaces_all && replaced.obsolete.is_empty());
        assert_eq!(replaced.replaced.len(), 1);
    }

    #[test]
    fn directories_of_neither_kernel_are_left_alone_where_there_is_one_of_them() {
        let found = set(&["5.15.1/a.ko", "6.6.1/b.ko"], Some("6.6.1"), "6.12.117", true).unwrap();
        assert_eq!(found.obsolete, [KernelRelease::new("6.6.1")]);
        assert!(set(&["5.15.1/a.ko", "6.6.1/b.ko"], Some("6.12.1"), "6.6.1", false).is_ok());
        assert!(set(&["5.15.1/a.ko"], None, "6.6.1", false).is_err(), "the only modules there are would be stranded");
    }

    #[test]
    fn every_module_that_the_sources_lack_is_named() {
        let found = set(&["6.6.1/a.ko", "6.6.1/b-c.ko"], Some("6.6.1"), "6.12.117", true).unwrap();
        let sources = ModuleSources::open(&[]).unwrap();
        let offer = Offer { sources: &sources, reserve: &NoReserve, same_build: &[] };
        let error = found.check_offer(offer, &KernelRelease::new("6.12.117")).unwrap_err();
        assert!(error.message().starts_with("2 of the 2 modules in the image cannot be replaced"), "{error}");
        assert!(error.message().ends_with("no source of modules was given: a, b_c"), "{error}");
    }
}
