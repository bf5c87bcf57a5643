//! Where modules come from: folders searched in depth, single files, archives, in any mix.

use std::path::PathBuf;

use crate::error::Result;
use crate::kernel::{KernelRelease, Module, ModuleName};

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
}

/// All module files that the given sources hold, by name; folders' files are read only when asked for.
#[derive(Debug)]
pub(crate) struct ModuleSources {}

impl ModuleSources {
    /// Lists what the sources hold.
    ///
    /// # Errors
    /// A path that cannot be read, an archive that is damaged, a file that is neither module nor archive, or sources
    /// that hold no module at all.
    pub(crate) fn open(paths: &[PathBuf]) -> Result<Self> {
        let _ = paths;
        Ok(Self {})
    }

    /// Every module name on offer, sorted.
    pub(crate) fn names(&self) -> Vec<ModuleName> {
        Vec::new()
    }

    /// The candidate for `name` that fits `release` (its vermagic begins with it), `None` when there is none of that
    /// name.
    ///
    /// # Errors
    /// All candidates of that name are for another release, architecture, or are damaged or empty; two fit but differ.
    pub(crate) fn find(&self, name: &ModuleName, release: &KernelRelease) -> Result<Option<SourcedModule>> {
        let _ = (name, release);
        Ok(None)
    }
}
