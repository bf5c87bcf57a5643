//! What the image is wished to hold: overlays and recipe resolved to modules, autoload entries and files, with no
//! knowledge of any particular image but its kernel release.

use std::sync::Arc;

use crate::filesystem::Attributes;
use crate::kernel::{KernelRelease, ModuleName};

use super::{Content, Finding};

/// A module to be in the image.
#[derive(Debug, Clone)]
pub(crate) struct ModuleWish {
    /// Its name; the file will be `<file_name>`.
    pub(crate) name: ModuleName,
    /// File name, such as `nvme-rdma.ko`.
    pub(crate) file_name: String,
    /// The stripped ELF file.
    pub(crate) bytes: Arc<[u8]>,
    /// Where it came from.
    pub(crate) origin: String,
    /// Why it is wanted, such as `overlay connectx3` or `needed by mlx4_ib`.
    pub(crate) reason: String,
}

/// A module to be loaded at boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AutoloadWish {
    /// Which module.
    pub(crate) module: ModuleName,
    /// Parameters for it; empty for none.
    pub(crate) parameters: String,
    /// The file of `/etc/modules.d` that names it where none does yet.
    pub(crate) file: String,
    /// Whether that file is to be linked from `/etc/modules-boot.d`.
    pub(crate) boot: bool,
    /// Why, such as `overlay connectx3`.
    pub(crate) reason: String,
}

/// A file, directory or symlink to be in the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileWish {
    /// Absolute path.
    pub(crate) path: String,
    /// What is to be there.
    pub(crate) content: Content,
    /// Permissions and owner; ignored for symlinks.
    pub(crate) attributes: Attributes,
    /// Why, such as `overlay ipoib`.
    pub(crate) reason: String,
    /// Whether the content follows from what was said. A template of an overlay that was given no settings is rendered
    /// with its defaults: an image that was patched with settings holds another text there, and rightly so.
    pub(crate) is_certain: bool,
}

/// All wishes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wishes {
    /// Modules to be present, providers before users.
    pub(crate) modules: Vec<ModuleWish>,
    /// Modules to be loaded, in order.
    pub(crate) autoload: Vec<AutoloadWish>,
    /// Modules that are needed and that the image has already, with the reason.
    pub(crate) kept: Vec<(ModuleName, String)>,
    /// Files to be present. Parent directories are made as needed (0755 root).
    pub(crate) files: Vec<FileWish>,
    /// crypt(3) hash for root's password.
    pub(crate) root_password_hash: Option<String>,
    /// Public keys that may log in as root, one line each.
    pub(crate) ssh_keys: Vec<String>,
    /// New version of the package `kernel`; `None` leaves it alone.
    pub(crate) kernel_version: Option<String>,
    /// Module directories that go, with everything in them, because the kernel that reads them goes.
    pub(crate) obsolete: Vec<KernelRelease>,
    /// What the overlays' rules had to say.
    pub(crate) findings: Vec<Finding>,
}
