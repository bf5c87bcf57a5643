//! The clap types of what is wished for an image: overlays and settings, what goes in beside them, another kernel.

use std::path::PathBuf;

use clap::Args;

use crate::recipe::{CommandLineWishes, Rekey};

/// All that can be wished of what is in an image.
#[derive(Debug, Clone, Args)]
pub(super) struct ImageWishes {
    #[command(flatten)]
    pub(super) wishes: Wishes,
    #[command(flatten)]
    pub(super) additions: Additions,
    #[command(flatten)]
    pub(super) kernel: Kernel,
}

/// The same for every one of many hosts.
#[derive(Debug, Clone, Args)]
pub(super) struct HostWishes {
    #[command(flatten)]
    pub(super) wishes: ImageWishes,
    #[command(flatten)]
    pub(super) identifiers: Identifiers,
}

/// Overlays, recipe and settings.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "What is wished")]
pub(super) struct Wishes {
    /// An overlay: the name of a built-in one, or a folder with overlay.toml (repeatable)
    #[arg(long, value_name = "NAME|DIR")]
    pub(super) overlay: Vec<String>,
    /// A recipe: all wishes in one TOML file; the command line wins over it
    #[arg(long, value_name = "FILE")]
    pub(super) recipe: Option<PathBuf>,
    /// A setting of an overlay, such as ipoib.mode=connected (repeatable)
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = setting)]
    pub(super) set: Vec<String>,
}

/// What `patch` puts in beside the overlays.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "What goes in")]
pub(super) struct Additions {
    /// Where modules come from: a folder (searched in depth), a .ko, .ko.gz, .ko.xz or .ko.zst, or a .tar of them
    /// (repeatable)
    #[arg(long, value_name = "PATH")]
    pub(super) modules: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) findable: Findable,
    /// A folder that is searched for what the packages need (repeatable)
    #[arg(long, value_name = "DIR")]
    pub(super) package_dir: Vec<PathBuf>,
    /// Leave the modules out of the package database; they are registered there as kmod-ibwrt otherwise
    #[arg(long)]
    pub(super) no_register: bool,
    /// Keep no record of the patch in the image (/etc/ibwrt): it cannot be undone, and a second patch does not replace it
    #[arg(long)]
    pub(super) no_manifest: bool,
    /// The root password as crypt(3) hash, such as `openssl passwd -6` prints
    #[arg(long, value_name = "HASH")]
    pub(super) root_password_hash: Option<String>,
    /// A public key that may log in as root: a file, or the key itself (repeatable)
    #[arg(long, value_name = "KEY|FILE")]
    pub(super) ssh_key: Vec<String>,
}

/// What goes in beside the overlays, and can be found again in the result.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "What goes in")]
pub(super) struct Findable {
    /// A package: an .ipk or .apk file, or a folder of them (repeatable)
    #[arg(long, value_name = "FILE|DIR")]
    pub(super) package: Vec<PathBuf>,
    /// The system's host name
    #[arg(long, value_name = "NAME")]
    pub(super) hostname: Option<String>,
    /// A further file: path in the image, = file here, optionally ,mode=0755 and ,owner=0:0 (repeatable)
    #[arg(long, value_name = "PATH=LOCAL", value_parser = extra_file)]
    pub(super) file: Vec<String>,
}

/// Another kernel.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "The kernel")]
pub(super) struct Kernel {
    /// Replace the image's kernel by this one; refused when a module that loads now would no longer load. For a root
    /// filesystem alone: the kernel that will boot it
    #[arg(long, value_name = "BZIMAGE")]
    pub(super) kernel: Option<PathBuf>,
    /// The new version of the package `kernel`, which keeps its version otherwise
    #[arg(long, value_name = "VERSION")]
    pub(super) kernel_version: Option<String>,
    /// Along with the kernel, replace every module of the image by the one of that name from --modules
    #[arg(long)]
    pub(super) replace_modules: bool,
}

/// The kernel for a root without one.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "The kernel")]
pub(super) struct BootedBy {
    /// For a root filesystem alone, which holds none: the kernel that will boot it
    #[arg(long, value_name = "BZIMAGE")]
    pub(super) kernel: Option<PathBuf>,
}

impl Wishes {
    /// As the recipe takes them, with what can be found again.
    pub(super) fn to_wishes(&self, findable: &Findable) -> CommandLineWishes {
        CommandLineWishes {
            recipe: self.recipe.clone(),
            overlays: self.overlay.clone(),
            settings: self.set.clone(),
            packages: findable.package.clone(),
            hostname: findable.hostname.clone(),
            files: findable.file.clone(),
            ..CommandLineWishes::default()
        }
    }
}

impl ImageWishes {
    /// As the recipe takes them.
    pub(super) fn to_wishes(&self) -> CommandLineWishes {
        let Self { wishes, additions, kernel } = self;
        CommandLineWishes {
            modules: additions.modules.clone(),
            no_register: additions.no_register,
            no_manifest: additions.no_manifest,
            package_folders: additions.package_dir.clone(),
            root_password_hash: additions.root_password_hash.clone(),
            ssh_keys: additions.ssh_key.clone(),
            kernel: kernel.kernel.clone(),
            kernel_version: kernel.kernel_version.clone(),
            replace_modules: kernel.replace_modules,
            ..wishes.to_wishes(&additions.findable)
        }
    }
}

impl HostWishes {
    /// As the recipe takes them.
    pub(super) fn to_wishes(&self) -> CommandLineWishes {
        let rekey = self.identifiers.rekey.then_some(Rekey::ByName);
        CommandLineWishes { rekey, ..self.wishes.to_wishes() }
    }
}

/// A `KEY=VALUE`, taken as it stands; what keys there are is the recipe's to know.
fn setting(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((key, _)) if !key.trim().is_empty() => Ok(text.to_owned()),
        _ => Err("expected KEY=VALUE, such as ipoib.address=10.10.0.5/24".to_owned()),
    }
}

/// How large the image is to be.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Size of the root")]
pub(super) struct Size {
    /// Grow the root partition and its filesystem: to a size such as 512M or 1G (units of 1024), by +64M, or with min as far
    /// as the plan needs
    #[arg(long, value_name = "SIZE|+SIZE|min", allow_hyphen_values = true)]
    pub(super) rootfs_size: Option<String>,
    /// Write a backup GPT to the end of the disk, as UEFI wants it; OpenWrt's images have none
    #[arg(long)]
    pub(super) backup_gpt: bool,
}

/// Identifiers of many images.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Identifiers")]
pub(super) struct Identifiers {
    /// Give each image's disk and partitions identifiers made of its host's name, or of the text that `rekey` is in the hosts
    /// file (disk GUID or signature, PARTUUIDs), and grub.cfg the same: two disks with one PARTUUID in a machine collide
    #[arg(long)]
    pub(super) rekey: bool,
}

/// A `PATH=LOCAL`, taken as it stands.
fn extra_file(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((path, local)) if path.starts_with('/') && !local.is_empty() => Ok(text.to_owned()),
        _ => Err("expected PATH=LOCAL with an absolute path in the image, such as /etc/banner=banner.txt".to_owned()),
    }
}
