//! Modules that are at hand without a source.

use super::SourcedModule;
use crate::error::Result;
use crate::kernel::{KernelRelease, ModuleName};

/// Modules that are at hand without a source: those that an earlier patch put into the image.
pub(crate) trait Reserve {
    /// The module `name` for `release`; `None` when there is none.
    ///
    /// # Errors
    /// It is there, but not as it is wished for; those of reading it.
    fn find(&self, name: &ModuleName, release: &KernelRelease) -> Result<Option<SourcedModule>>;

    /// Why [`find`](Self::find) gives none though one was once at hand: the end of a sentence, such as
    /// `the earlier patch put one in for kernel 6.6.1`.
    fn why_not(&self, name: &ModuleName, release: &KernelRelease) -> Option<String>;
}

/// None at all.
#[cfg(test)]
pub(crate) struct NoReserve;

#[cfg(test)]
impl Reserve for NoReserve {
    fn find(&self, _name: &ModuleName, _release: &KernelRelease) -> Result<Option<SourcedModule>> {
        Ok(None)
    }

    fn why_not(&self, _name: &ModuleName, _release: &KernelRelease) -> Option<String> {
        None
    }
}
