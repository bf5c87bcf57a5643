//! The recipe: every option of a patch in one TOML file, merged with the command line.

mod assemble;
mod check;
mod document;
mod files;
mod json;
mod layers;
mod places;
mod rekey;
mod schema;
mod size;
mod text;

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::template::Secrets;

pub(crate) use assemble::recipe_file;
pub(crate) use check::{check_table, check_value};
pub(crate) use document::{Document, child_path, dotted, kind_of, parse_value};
pub(crate) use files::read_local;
pub(crate) use files::{ExtraContent, ExtraFile};
pub(crate) use layers::overlays_by_name;
pub(crate) use places::{Places, TextPlaces};
pub(crate) use rekey::Rekey;
pub(crate) use schema::{is_recipe_key, schema, schema_of};
pub(crate) use size::RootfsSize;
pub(crate) use text::typed;

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
    /// `--package`, in order.
    pub(crate) packages: Vec<PathBuf>,
    /// `--package-dir`, in order.
    pub(crate) package_folders: Vec<PathBuf>,
    /// `--no-register`.
    pub(crate) no_register: bool,
    /// `--set key=value`, in order.
    pub(crate) settings: Vec<String>,
    /// `--hostname`.
    pub(crate) hostname: Option<String>,
    /// `--root-password-hash`.
    pub(crate) root_password_hash: Option<String>,
    /// `--ssh-key`: public key files or the keys themselves.
    pub(crate) ssh_keys: Vec<String>,
    /// `--kernel`.
    pub(crate) kernel: Option<PathBuf>,
    /// `--kernel-version`.
    pub(crate) kernel_version: Option<String>,
    /// `--replace-modules`.
    pub(crate) replace_modules: bool,
    /// `--discard-overlay`.
    pub(crate) discard_overlay: bool,
    /// `--no-manifest`.
    pub(crate) no_manifest: bool,
    /// `--rootfs-size`.
    pub(crate) rootfs_size: Option<String>,
    /// `--backup-gpt`.
    pub(crate) backup_gpt: bool,
    /// `--rekey`; by name it leaves the text of the file, where there is one.
    pub(crate) rekey: Option<Rekey>,
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
    /// Packages, or folders of packages, to be put in.
    pub(crate) packages: Vec<PathBuf>,
    /// Folders that are searched for what packages need.
    pub(crate) package_folders: Vec<PathBuf>,
    /// Whether modules that come without a package are not registered.
    pub(crate) leaves_unregistered: bool,
    /// A bzImage that takes the place of the image's kernel.
    pub(crate) kernel: Option<PathBuf>,
    /// New version of the package `kernel`, for that bzImage.
    pub(crate) kernel_version: Option<String>,
    /// Whether every module of the image is replaced along with the kernel.
    pub(crate) replace_modules: bool,
    /// Whether the overlay behind a squashfs root is given up.
    pub(crate) discard_overlay: bool,
    /// Whether the image keeps no record of what is done to it.
    pub(crate) leaves_unrecorded: bool,
    /// How large the root is to be; as it is without.
    pub(crate) rootfs_size: Option<RootfsSize>,
    /// Whether a backup GPT is written.
    pub(crate) backup_gpt: bool,
    /// Which identifiers disk and partitions get; without they keep theirs.
    pub(crate) rekey: Option<Rekey>,
    /// Host name.
    pub(crate) hostname: Option<String>,
    /// crypt(3) hash for root.
    pub(crate) root_password_hash: Option<String>,
    /// Public keys, one line each; key files are read and keys are checked already.
    pub(crate) ssh_keys: Vec<String>,
    /// Files of one's own, read already; templates are not rendered yet.
    pub(crate) files: Vec<ExtraFile>,
    /// Settings by overlay name. Which overlay takes which keys is checked when they are resolved.
    pub(crate) settings: BTreeMap<String, toml::Table>,
    /// Where each key was written.
    pub(crate) places: Places,
    /// Names that the templates of `files` know beside the usual ones: a map, or undefined.
    pub(crate) names: minijinja::Value,
    /// What templates read and nobody may repeat.
    pub(crate) secrets: Secrets,
}
