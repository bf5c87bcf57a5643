//! All facts about one root filesystem.

use crate::error::Result;
use crate::filesystem::{Filesystem, Space};

use super::{AutoloadFile, ModuleDirectory, PackageDatabase, Release, Tree};

/// The system in a root filesystem.
#[derive(Debug, Clone)]
pub(crate) struct System {
    /// Who built it.
    pub(crate) release: Release,
    /// `/lib/modules/*`, in byte order.
    pub(crate) module_directories: Vec<ModuleDirectory>,
    /// `/etc/modules.d/*`, in byte order.
    pub(crate) autoload: Vec<AutoloadFile>,
    /// `/etc/modules-boot.d/*`, in byte order.
    pub(crate) boot_autoload: Vec<AutoloadFile>,
    /// `/etc/modules.conf`, where present.
    pub(crate) modules_conf: Option<String>,
    /// The package database.
    pub(crate) packages: PackageDatabase,
    /// Every path; content loaded for the files under `/etc` and for those that were asked for.
    pub(crate) tree: Tree,
    /// Room left.
    pub(crate) space: Space,
}

impl System {
    /// Reads the facts from `root`; `wanted` are further paths whose content is to be loaded, where they exist.
    ///
    /// # Errors
    /// Corrupt filesystem structures; a root that holds no OpenWrt (unsupported).
    pub(crate) fn read(root: &mut dyn Filesystem, wanted: &[String]) -> Result<Self> {
        let _ = (root, wanted);
        Err(crate::error::Error::unsupported("reading a system is not built yet"))
    }
}
