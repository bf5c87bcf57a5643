//! What the jobs answer: plain data, for people and programs.

use std::path::PathBuf;

use serde::Serialize;

use crate::filesystem::{self, LiveOverlay, Packing};
use crate::image::{Container, Form, PartitionTable};
use crate::kernel::{Compression, Proof};
use crate::openwrt::{PackageDatabase, Release};
use crate::plan::{Change, Finding, Role, SpaceForecast};
use crate::verify::Report;

use super::{EarlierFacts, HistoryFacts, IdentityChange, RootGrowth, SwapFacts};

/// One edit.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct EditRow {
    /// Which partition it is on.
    pub(crate) partition: Role,
    /// Absolute path.
    pub(crate) path: String,
    /// How it changes.
    pub(crate) change: Change,
    /// `file`, `directory`, `symlink`, `link` (another name of a file), or `nothing` after a removal.
    pub(crate) becomes: &'static str,
    /// Length in bytes afterwards (files), else 0.
    pub(crate) size: u64,
    /// Length in bytes before, where a file was there.
    pub(crate) size_before: Option<u64>,
    /// SHA-256 of a file's new content.
    pub(crate) sha256: Option<String>,
    /// Target of a symlink; of a link the file's other name.
    pub(crate) target: Option<String>,
    /// Octal permissions, such as `0644`.
    pub(crate) mode: String,
    /// `uid:gid`.
    pub(crate) owner: String,
    /// Why.
    pub(crate) reason: String,
}

/// What became of the output file.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct OutputFacts {
    /// Its path.
    pub(crate) path: PathBuf,
    /// Its wrapping.
    pub(crate) form: Form,
    /// Its length in bytes.
    pub(crate) length: u64,
    /// SHA-256 of the file.
    pub(crate) sha256: String,
    /// SHA-256 of the file without the signature chunk behind it; the same where there is none.
    pub(crate) sha256_unsigned: String,
    /// Fingerprint of the key that signed it, where one did.
    pub(crate) signed_by: Option<String>,
    /// Other files updated beside it (`sha256sums`, `profiles.json`, signatures).
    pub(crate) updated: Vec<PathBuf>,
}

/// What became of the output of a tree.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct TreeFacts {
    /// The folder.
    pub(crate) path: PathBuf,
    /// Whether only what changed is in it.
    pub(crate) only_changes: bool,
    /// Number of files, symlinks and device nodes included.
    pub(crate) files: usize,
    /// Number of directories.
    pub(crate) directories: usize,
    /// Length of the files' content in bytes.
    pub(crate) bytes: u64,
}

/// A module that the overlays need.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ModuleRow {
    /// Its name.
    pub(crate) name: String,
    /// Where it was found; `None`: the image has it already, and it stays.
    pub(crate) origin: Option<String>,
    /// Why it is needed.
    pub(crate) reason: String,
}

/// A package that goes in.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PackageRow {
    /// Its name.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// The file that it came from.
    pub(crate) origin: String,
    /// The package that needs it; `None`: it was asked for.
    pub(crate) needed_by: Option<String>,
    /// Its licence in its own words; empty where it says nothing.
    pub(crate) licence: String,
    /// Whether the file carries a signature, by whomever.
    pub(crate) is_signed: bool,
}

/// How `patch` ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PatchOutcome {
    /// Only the plan was asked for.
    Planned,
    /// The output has its name.
    Written,
    /// A check on the result failed; nothing was written.
    Refused,
}

/// What `patch` did, or would do.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PatchReport {
    /// How it ended.
    pub(crate) outcome: PatchOutcome,
    /// The input: an image or the folder of a tree.
    pub(crate) image: PathBuf,
    /// The image's wrapping; stale trailers are not carried over. `None` for a tree.
    pub(crate) container: Option<Container>,
    /// Its partition table, with the root as large as wished and the identifiers as they were; `None` where one filesystem fills the image.
    pub(crate) table: Option<PartitionTable>,
    /// Release of the image's kernel, the new one where it is replaced.
    pub(crate) kernel_release: String,
    /// Who built the system.
    pub(crate) release: Release,
    /// Overlays in force.
    pub(crate) overlays: Vec<String>,
    /// The new kernel, where it is replaced.
    pub(crate) kernel_swap: Option<SwapFacts>,
    /// The kernel that was given for a root without one.
    pub(crate) kernel_file: Option<PathBuf>,
    /// The overlay behind a squashfs root, where it is given up.
    pub(crate) discarded_overlay: Option<LiveOverlay>,
    /// The modules that are needed, providers before users; then those that the image has.
    pub(crate) modules: Vec<ModuleRow>,
    /// The packages that go in, each behind what it needs.
    pub(crate) packages: Vec<PackageRow>,
    /// The plan's edits, those of the boot partition first.
    pub(crate) edits: Vec<EditRow>,
    /// Remarks of plan and overlays, and on trailers that were dropped.
    pub(crate) findings: Vec<Finding>,
    /// What became of the root's size, where one was wished for.
    pub(crate) growth: Option<RootGrowth>,
    /// What becomes of the identifiers of disk and partitions, where others were wished for.
    pub(crate) identity: Option<IdentityChange>,
    /// Room in the root filesystem, once it grew; `None` for a tree, whose room nothing bounds.
    pub(crate) space: Option<SpaceForecast>,
    /// Room on the boot partition, where its kernel is replaced.
    pub(crate) boot_space: Option<SpaceForecast>,
    /// The checks on the result; `None` for a dry run.
    pub(crate) checks: Option<Report>,
    /// The output, where one was written.
    pub(crate) output: Option<OutputFacts>,
    /// The folder with the tree, where one was written.
    pub(crate) tree: Option<TreeFacts>,
    /// The bill of materials, where one was asked for.
    pub(crate) sbom: Option<PathBuf>,
    /// The earlier patch that is replaced or undone, where one is recorded.
    pub(crate) earlier: Option<EarlierFacts>,
}

/// What `verify` found.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct VerifyReport {
    /// The image, or the folder of a tree.
    pub(crate) image: PathBuf,
    /// Whether it is a tree.
    pub(crate) is_tree: bool,
    /// Overlays it was held against.
    pub(crate) overlays: Vec<String>,
    /// Whether it is a root without a kernel and none was given, so that nothing is proved of the kernel.
    pub(crate) kernel_unknown: bool,
    /// The rows.
    pub(crate) checks: Report,
}

/// An option of the kernel's configuration that matters for InfiniBand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct OptionRow {
    /// Its name, without `CONFIG_`.
    pub(crate) option: String,
    /// Whether it is built into the kernel, told by whether the kernel exports `evidence`.
    pub(crate) built_in: bool,
    /// The export.
    pub(crate) evidence: String,
}

/// The kernel that the first menu entry boots.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct KernelFacts {
    /// Its path on the boot partition.
    pub(crate) path: String,
    /// The whole version string: release, builder, number, date.
    pub(crate) version: String,
    /// How it is packed.
    pub(crate) compression: Compression,
    /// Unpacked size, bytes.
    pub(crate) unpacked_size: u64,
    /// Number of symbols that it exports to modules.
    pub(crate) exports: usize,
    /// How sure that is.
    pub(crate) proof: Proof,
    /// Whether it compares checksums of symbols (`CONFIG_MODVERSIONS`).
    pub(crate) modversions: bool,
    /// The vermagic that it demands of modules; `None` when it does not compare it.
    pub(crate) vermagic: Option<String>,
    /// Its `sizeof(struct module)` in bytes, where the code tells.
    pub(crate) struct_module_size: Option<u64>,
    /// What is built into it.
    pub(crate) options: Vec<OptionRow>,
}

/// What `inspect` shows.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct InspectReport {
    /// The image, or the folder of a tree.
    pub(crate) image: PathBuf,
    /// The image's wrapping.
    pub(crate) container: Option<Container>,
    /// What the signature behind the image is, where there is one; whether it holds is for `verify` to say.
    pub(crate) signature: Option<String>,
    /// Length of the image's disk in bytes.
    pub(crate) disk_length: Option<u64>,
    /// The partition table; `None` where one filesystem fills the image.
    pub(crate) table: Option<PartitionTable>,
    /// What is in each partition.
    pub(crate) filesystems: Vec<FilesystemRow>,
    /// Kernel release by the boot partition's kernel, where it could be read.
    pub(crate) kernel_release: Option<String>,
    /// What it offers to modules, where it could be unpacked.
    pub(crate) kernel: Option<KernelFacts>,
    /// Who built the system, where it could be read.
    pub(crate) release: Option<Release>,
    /// The package database.
    pub(crate) packages: Option<PackageDatabase>,
    /// Modules by directory: release and number of `.ko` files.
    pub(crate) modules: Vec<(String, usize)>,
    /// InfiniBand-related modules present, by name.
    pub(crate) infiniband_modules: Vec<String>,
    /// The patch that is recorded in the root, where one is.
    pub(crate) history: Option<HistoryFacts>,
    /// What could not be looked at, and why.
    pub(crate) remarks: Vec<String>,
}

/// One filesystem.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct FilesystemRow {
    /// Partition number; `None` where it fills the whole image.
    pub(crate) partition: Option<u32>,
    /// Its kind.
    pub(crate) kind: filesystem::Kind,
    /// `boot`, `root` or nothing.
    pub(crate) role: Option<&'static str>,
    /// Room, where the filesystem could be opened.
    pub(crate) space: Option<filesystem::Space>,
    /// How a squashfs is compressed.
    pub(crate) packing: Option<Packing>,
    /// What was written behind a squashfs since it was made, which is not looked at.
    pub(crate) overlay: Option<LiveOverlay>,
}

/// What `keygen` made.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct KeygenReport {
    /// The secret key file.
    pub(crate) secret: PathBuf,
    /// The public key file.
    pub(crate) public: PathBuf,
    /// The key's name, 16 hex digits.
    pub(crate) fingerprint: String,
}

/// What `demo` did.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct DemoReport {
    /// Where its files are.
    pub(crate) folder: PathBuf,
    /// The image as it was.
    pub(crate) input: PathBuf,
    /// The module archive.
    pub(crate) modules: PathBuf,
    /// The settings that it was patched with, as for `--set`.
    pub(crate) settings: Vec<String>,
    /// The image as it became.
    pub(crate) output: PathBuf,
    /// The checks on the image as it was.
    pub(crate) verify_before: VerifyReport,
    /// What `patch` did.
    pub(crate) patch: PatchReport,
    /// The checks on the image as it became.
    pub(crate) verify: VerifyReport,
}
