//! `/lib/modules/<release>`: flat, uncompressed `.ko` files.

use serde::Serialize;

use crate::kernel::{KernelRelease, Module, ModuleName};

/// One `.ko` file of the image.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct InstalledModule {
    /// Name by which kmodloader knows it.
    pub(crate) name: ModuleName,
    /// Absolute path.
    pub(crate) path: String,
    /// Length in bytes.
    pub(crate) size: u64,
    /// SHA-256 of the content, lower-case hex.
    pub(crate) sha256: String,
    /// What it says, or why it cannot be read.
    pub(crate) module: Result<Module, String>,
}

/// One directory under `/lib/modules`.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ModuleDirectory {
    /// Its name: the kernel release it is for.
    pub(crate) release: KernelRelease,
    /// Its `*.ko` files, in byte order of their file names.
    pub(crate) modules: Vec<InstalledModule>,
    /// Paths below it that look like modules but that kmodloader does not see: subdirectories' and compressed ones.
    pub(crate) unseen: Vec<String>,
    /// Names of `modules.builtin`, where that file exists.
    pub(crate) builtin: Vec<ModuleName>,
}
