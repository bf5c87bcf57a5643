//! One `.ko` file: what its ELF sections say.

use serde::Serialize;

use super::ModuleName;

/// The `.modinfo` strings that matter here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct ModInfo {
    /// `name=`, where present.
    pub(crate) name: Option<String>,
    /// `license=`.
    pub(crate) license: Option<String>,
    /// `depends=` split at commas; `None` when there is no such string at all (kmodloader crashes on it).
    pub(crate) depends: Option<Vec<ModuleName>>,
    /// `vermagic=`, as stored (trailing blank included).
    pub(crate) vermagic: Option<String>,
    /// `alias=`, all of them.
    pub(crate) aliases: Vec<String>,
    /// `import_ns=`, all of them.
    pub(crate) namespaces: Vec<String>,
    /// `softdep=`, all of them.
    pub(crate) softdeps: Vec<String>,
}

/// A parsed kernel module (ELF64 little-endian x86-64 relocatable).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Module {
    /// The `.modinfo` strings.
    pub(crate) modinfo: ModInfo,
    /// The kernel's internal name, from `.gnu.linkonce.this_module`; `None` when that section is missing or zeroed.
    pub(crate) internal_name: Option<String>,
    /// Size in bytes of `.gnu.linkonce.this_module`; `None` when the section is missing.
    pub(crate) this_module_size: Option<u64>,
    /// Undefined symbols that must resolve, sorted.
    pub(crate) imports: Vec<String>,
    /// Undefined weak symbols, sorted.
    pub(crate) weak_imports: Vec<String>,
    /// Whether debug sections are present.
    pub(crate) has_debug: bool,
}
