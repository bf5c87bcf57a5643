//! What a check is, what it looks at, and what it answers.

use std::sync::Arc;

use serde::Serialize;

use crate::disk_identity::DiskIdentity;
use crate::filesystem::Packing;
use crate::image::{Image, PartitionTable};
use crate::infiniband::IpoibInterface;
use crate::kernel::{KernelExports, KernelRelease, ModuleName};
use crate::openwrt::{BootConfiguration, LoadReport, PackageManager, System};
use crate::plan::{AutoloadWish, FileWish, LineWish, Managed, ManagedWish, Severity};

/// What the overlays in force expect of the image.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expectations {
    /// Names of the overlays.
    pub(crate) overlays: Vec<String>,
    /// Modules that must be present (their `depends=` closure follows from the image).
    pub(crate) modules: Vec<ModuleName>,
    /// Modules that must be loaded at boot.
    pub(crate) autoload: Vec<AutoloadWish>,
    /// Files that must be present with this content.
    pub(crate) files: Vec<FileWish>,
    /// Lines that must be in files that others write to as well.
    pub(crate) lines: Vec<LineWish>,
    /// What must be there as well where the image has a certain package manager.
    pub(crate) managed: Vec<ManagedWish>,
    /// IPoIB interfaces that are to be configured.
    pub(crate) interfaces: Vec<IpoibInterface>,
    /// Paths of programs and libraries that are put in.
    pub(crate) programs: Vec<String>,
    /// Those of packages, each with the manager that would have installed it.
    pub(crate) packaged: Vec<(PackageManager, String)>,
    /// Why packages, whose programs are thus not known, could not be read.
    pub(crate) unread: Vec<String>,
    /// Identifiers of disk and partitions.
    pub(crate) identity: Option<DiskIdentity>,
    /// Names of programs that the overlays are for, and whether they may be missing.
    pub(crate) tools: Vec<(String, bool)>,
}

/// A program or library, and what keeps it from being started or loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    /// Its path; its name where it was not found.
    pub(crate) path: String,
    /// One sentence each; none when it links.
    pub(crate) problems: Vec<String>,
}

impl Expectations {
    /// Paths of all files whose content is to be looked at.
    pub(crate) fn paths(&self) -> Vec<String> {
        let managed = self.managed.iter().filter_map(|managed| match &managed.wish {
            Managed::File(wish) => Some(&wish.path),
            Managed::Line(wish) => Some(&wish.path),
            Managed::Finding(_) => None,
        });
        let own = self.files.iter().map(|wish| &wish.path).chain(self.lines.iter().map(|wish| &wish.path));
        own.chain(managed).cloned().collect()
    }

    /// The same for an image with the package manager `manager`. Of the packages only those of the manager whose database
    /// is there go in; without a database all do.
    pub(crate) fn for_manager(mut self, manager: Option<PackageManager>, by_database: Option<PackageManager>) -> Self {
        for managed in std::mem::take(&mut self.managed).into_iter().filter(|wish| Some(wish.manager) == manager) {
            match managed.wish {
                Managed::File(wish) => self.files.push(wish),
                Managed::Line(wish) => self.lines.push(wish),
                Managed::Finding(_) => {}
            }
        }
        let packaged = std::mem::take(&mut self.packaged).into_iter();
        let own = packaged.filter(|(theirs, _)| by_database.is_none_or(|own| own == *theirs));
        self.programs.extend(own.map(|(_, path)| path));
        self
    }

    /// Expects of every file that is in `system` the owner that it has there.
    pub(crate) fn ignore_owners(&mut self, system: &System) {
        for wish in &mut self.files {
            if let Some(found) = system.tree.metadata(&wish.path) {
                wish.attributes.uid = found.attributes.uid;
                wish.attributes.gid = found.attributes.gid;
            }
        }
    }
}

/// A kernel that the boot menu offers, or that was given for a root without one.
#[derive(Debug, Clone)]
pub(crate) struct BootedKernel {
    /// Its path on the boot partition, or that of the given file.
    pub(crate) path: String,
    /// What it exports, or why that cannot be told.
    pub(crate) exports: Result<Arc<KernelExports>, String>,
}

/// Everything a check may look at. What could not be read is the reason why, so that a check can say so.
#[derive(Debug)]
pub(crate) struct Evidence<'a> {
    /// The container and the partition table; `None` where the system is a tree of files in a folder.
    pub(crate) image: Option<&'a Image>,
    /// Number of the partition that holds the kernel and grub.cfg, where one does.
    pub(crate) boot_partition: Option<u32>,
    /// Number of the partition that holds the root filesystem, where one does.
    pub(crate) root_partition: Option<u32>,
    /// Boot configuration.
    pub(crate) boot: Result<BootConfiguration, String>,
    /// Absolute paths of the regular files on the boot partition, such as `/boot/vmlinuz`.
    pub(crate) boot_files: Vec<String>,
    /// Structural remarks about the boot filesystem (empty is sound).
    pub(crate) boot_problems: Vec<String>,
    /// Structural remarks about the root filesystem (empty is sound).
    pub(crate) root_problems: Vec<String>,
    /// How the root is compressed, where it is a squashfs whose superblock could be read.
    pub(crate) root_packing: Option<Packing>,
    /// Release of the first of `kernels`, from its bzImage header.
    pub(crate) kernel_release: Result<KernelRelease, String>,
    /// The kernels of all menu entries, each file once, in the menu's order; of a root alone the one that was given.
    pub(crate) kernels: Vec<BootedKernel>,
    /// The system.
    pub(crate) system: Result<System, String>,
    /// What the first menu entry's boot loads, or why that cannot be told.
    pub(crate) load: Result<LoadReport, String>,
    /// The programs that are expected, linked.
    pub(crate) programs: Vec<Program>,
    /// What the overlays expect.
    pub(crate) expectations: Expectations,
    /// Who vouches for the image, where the caller says whom he trusts.
    pub(crate) authenticity: Option<Authenticity>,
    /// The patch that is recorded in the root, or why the record cannot be read; `None` where it is not asked for.
    pub(crate) history: Option<Result<Option<History>, String>>,
}

/// A patch that is recorded in the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct History {
    /// Who patched what by which recipe, in a sentence.
    pub(crate) described: String,
    /// What was put in and is no longer as it was put, one sentence each.
    pub(crate) changed: Vec<String>,
}

/// What the signatures on an image are worth, each already judged by the keys that the caller trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Authenticity {
    /// `sha256sums` beside the image.
    pub(crate) sums: Outcome,
    /// The signature beside it.
    pub(crate) detached: Outcome,
    /// The signature behind it.
    pub(crate) chain: Outcome,
}

impl Evidence<'_> {
    /// Whether there is a root filesystem and nothing else: no partitions, no boot loader, no kernel of its own.
    pub(crate) fn is_bare(&self) -> bool {
        self.table().is_none()
    }

    /// The partition table, where there is one.
    pub(crate) fn table(&self) -> Option<&PartitionTable> {
        self.image?.table.as_ref()
    }

    /// The kernel that the first menu entry boots, where it could be read.
    pub(crate) fn kernel(&self) -> Option<&KernelExports> {
        self.kernels.first()?.exports.as_deref().ok()
    }
}

/// A check's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub(crate) enum Outcome {
    /// The fact holds; `detail` says what was seen.
    Pass {
        /// What was seen.
        detail: String,
    },
    /// It does not hold; one sentence per place.
    Fail {
        /// What is wrong, one sentence per place.
        problems: Vec<String>,
    },
    /// It does not apply, or could not be judged; `reason` says why.
    Skip {
        /// Why.
        reason: String,
    },
}

impl Outcome {
    /// What is wrong; empty unless the check failed.
    pub(crate) fn problems(&self) -> &[String] {
        match self {
            Self::Fail { problems } => problems,
            Self::Pass { .. } | Self::Skip { .. } => &[],
        }
    }
}

/// One entry of the check table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Check {
    /// Stable identifier for `--skip` and `--allow`, such as `module-closure`.
    pub(crate) id: &'static str,
    /// What a failure means.
    pub(crate) severity: Severity,
    /// What the check claims, one sentence.
    pub(crate) claim: &'static str,
    /// What to do when it does not hold.
    pub(crate) remedy: &'static str,
    /// The check itself. It does no I/O.
    pub(crate) run: fn(&Evidence<'_>) -> Outcome,
}
