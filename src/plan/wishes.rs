//! What the image is wished to hold: overlays and recipe resolved to modules, autoload entries and files, with no
//! knowledge of any particular image but its kernel release.

use std::sync::Arc;

use crate::filesystem::Attributes;
use crate::kernel::{KernelRelease, Module, ModuleName};
use crate::openwrt::{MODULES_DIRECTORY, PackageManager};
use crate::package::{Chosen, Entry, EntryKind};

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
    /// What it [needs](depends_of).
    pub(crate) depends: Option<Vec<ModuleName>>,
    /// SHA-256 of the file as its source has it, 64 lower-case hex digits.
    pub(crate) source_sha256: String,
    /// Where it came from.
    pub(crate) origin: String,
    /// Why it is wanted, such as `overlay connectx3` or `needed by mlx4_ib`.
    pub(crate) reason: String,
}

/// The modules that the one in the ELF file `bytes` needs, by its `depends=`; `None` when it cannot be read.
pub(crate) fn depends_of(bytes: &[u8]) -> Option<Vec<ModuleName>> {
    Module::parse(bytes).ok().map(|module| module.modinfo.depends.unwrap_or_default())
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
    /// Whether it is made of what a host has for itself, such as a template is.
    pub(crate) is_own: bool,
}

/// Packages to be installed.
#[derive(Debug, Clone, Default)]
pub(crate) struct PackageWishes {
    /// What goes in, each behind what it needs.
    pub(crate) chosen: Vec<Chosen>,
    /// Packages that were asked for and are there already, as `name version`.
    pub(crate) present: Vec<String>,
    /// Dependencies that nothing can be said about, because the image has no database.
    pub(crate) unknown: Vec<String>,
    /// When they are installed, in seconds since 1970, where that is known.
    pub(crate) time: Option<u64>,
}

impl PackageWishes {
    /// The module files that they bring for the kernel `release`, by module name.
    pub(crate) fn modules(&self, release: &KernelRelease) -> Vec<(ModuleName, &Arc<[u8]>)> {
        let folder = format!("{MODULES_DIRECTORY}/{release}/");
        let entries = self.chosen.iter().flat_map(|chosen| &chosen.package.entries);
        let module = |entry: &'_ Entry| {
            let name = entry.path.strip_prefix(&folder).filter(|name| !name.contains('/') && name.ends_with(".ko"))?;
            Some(ModuleName::new(name))
        };
        let files = entries.filter_map(|entry| match &entry.kind {
            EntryKind::File(bytes) => Some((module(entry)?, bytes)),
            EntryKind::Directory | EntryKind::Symlink(_) => None,
        });
        files.collect()
    }

    /// Absolute paths of everything that they bring.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.chosen.iter().flat_map(|chosen| &chosen.package.entries).map(|entry| entry.path.as_str())
    }
}

/// A line to be in a file that others write to as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LineWish {
    /// The file: an absolute path. It is made where it is missing.
    pub(crate) path: String,
    /// The line, without its end.
    pub(crate) line: String,
    /// A line that begins like this is replaced; empty for none.
    pub(crate) replaces: String,
    /// Why, such as `overlay package-feed`.
    pub(crate) reason: String,
}

impl LineWish {
    /// Whether `text` holds the line.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        text.lines().any(|line| line.trim() == self.line)
    }

    /// `text` with the line in the place of the first one that it replaces, or else at the end.
    pub(crate) fn added_to(&self, text: &str) -> String {
        if self.is_in(text) {
            return text.to_owned();
        }
        let mut lines: Vec<&str> = text.lines().collect();
        let old = |line: &&str| !self.replaces.is_empty() && line.trim_start().starts_with(&self.replaces);
        match lines.iter().position(old) {
            Some(at) => {
                lines.retain(|line| !old(line));
                lines.insert(at, &self.line);
            }
            None => lines.push(&self.line),
        }
        lines.join("\n") + "\n"
    }
}

/// What is wished of an image only where it has a certain package manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ManagedWish {
    /// Which one.
    pub(crate) manager: PackageManager,
    /// What is wished.
    pub(crate) wish: Managed,
    /// Who wishes it, such as `overlay package-feed`.
    pub(crate) reason: String,
}

/// See [`ManagedWish`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Managed {
    /// A file.
    File(FileWish),
    /// A line.
    Line(LineWish),
    /// A remark; one of severity `Error` is a refusal.
    Finding(Finding),
}

/// All wishes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wishes {
    /// Modules to be present, providers before users.
    pub(crate) modules: Vec<ModuleWish>,
    /// Modules to be loaded, in order.
    pub(crate) autoload: Vec<AutoloadWish>,
    /// Packages to be installed, before everything else.
    pub(crate) packages: PackageWishes,
    /// Whether modules that come without a package are registered as one of this program's own.
    pub(crate) is_registered: bool,
    /// Modules that are needed and that the image has already, with the reason.
    pub(crate) kept: Vec<(ModuleName, String)>,
    /// Files to be present. Parent directories are made as needed (0755 root).
    pub(crate) files: Vec<FileWish>,
    /// Lines to be present, after the files.
    pub(crate) lines: Vec<LineWish>,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_added_once_and_replaces_its_forerunner() {
        let wish = LineWish {
            path: "/etc/opkg/customfeeds.conf".into(),
            line: "src/gz site https://b".into(),
            replaces: "src/gz site ".into(),
            reason: String::new(),
        };
        for (before, after) in [
            ("", "src/gz site https://b\n"),
            ("# feeds\nsrc/gz other x", "# feeds\nsrc/gz other x\nsrc/gz site https://b\n"),
            ("src/gz site https://a\nsrc/gz z y\nsrc/gz site c\n", "src/gz site https://b\nsrc/gz z y\n"),
            ("src/gz site https://b", "src/gz site https://b"),
            ("#src/gz site https://a\n", "#src/gz site https://a\nsrc/gz site https://b\n"),
        ] {
            assert_eq!(wish.added_to(before), after, "{before:?}");
            assert_eq!(wish.added_to(after), after, "{after:?}");
        }
    }
}
