//! What the jobs are asked to do.

use std::path::{Path, PathBuf};

use crate::recipe::CommandLineWishes;
use crate::sbom::SbomForm;

/// How an output is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SigningRequest {
    /// The secret key file.
    pub(crate) key: PathBuf,
    /// Whether the image itself gets a signature chunk.
    pub(crate) image: bool,
    /// The chain of certificates for the chunk; without one the key certifies itself.
    pub(crate) certificate: Option<PathBuf>,
}

/// What holds the system that a job is about.
#[derive(Debug, Clone)]
pub(crate) enum Input {
    /// An image file.
    Image(PathBuf),
    /// The folder of a root filesystem's tree.
    Tree(PathBuf),
}

impl Input {
    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Image(path) | Self::Tree(path) => path,
        }
    }
}

impl Default for Input {
    /// An image whose path is still to be named.
    fn default() -> Self {
        Self::Image(PathBuf::new())
    }
}

/// What `patch` is asked to do.
#[derive(Debug, Clone, Default)]
pub(crate) struct PatchRequest {
    /// The image or tree; never touched.
    pub(crate) input: Input,
    /// Where the result goes: an image whose ending (such as `.img.gz`) decides the wrapping, for a tree a new folder.
    /// `None` only for a dry run.
    pub(crate) output: Option<PathBuf>,
    /// Of a tree, write what changes and nothing else.
    pub(crate) only_changes: bool,
    /// Overlays, modules, settings, files.
    pub(crate) wishes: CommandLineWishes,
    /// Plan only.
    pub(crate) dry_run: bool,
    /// Keep debug sections of modules.
    pub(crate) keep_debug: bool,
    /// Create `sha256sums` beside the output even where there is none.
    pub(crate) sums: bool,
    /// Sign the output.
    pub(crate) signing: Option<SigningRequest>,
    /// Write a bill of materials beside the output.
    pub(crate) sbom: Option<SbomForm>,
    /// Replace an existing output.
    pub(crate) force: bool,
    /// Checks that may fail.
    pub(crate) allow: Vec<String>,
    /// Checks that are not run.
    pub(crate) skip: Vec<String>,
    /// Timestamp of what is written, in seconds since 1970 (`SOURCE_DATE_EPOCH`); `None` takes the image's build date.
    pub(crate) epoch: Option<u64>,
}

/// What `unpatch` is asked to do.
#[derive(Debug, Clone, Default)]
pub(crate) struct UnpatchRequest {
    /// The image or tree; never touched.
    pub(crate) input: Input,
    /// Where the result goes, as for `patch`. `None` only for a dry run.
    pub(crate) output: Option<PathBuf>,
    /// Plan only.
    pub(crate) dry_run: bool,
    /// Give up what was changed since in the files that were put in.
    pub(crate) discard_changes: bool,
    /// Give up the overlay behind a squashfs root.
    pub(crate) discard_overlay: bool,
    /// Create `sha256sums` beside the output even where there is none.
    pub(crate) sums: bool,
    /// Sign the output.
    pub(crate) signing: Option<SigningRequest>,
    /// Replace an existing output.
    pub(crate) force: bool,
    /// Timestamp of what is written, as for `patch`.
    pub(crate) epoch: Option<u64>,
}

/// What `verify` is asked to do.
#[derive(Debug, Clone, Default)]
pub(crate) struct VerifyRequest {
    /// The image or tree.
    pub(crate) input: Input,
    /// Overlays and settings to hold it against.
    pub(crate) wishes: CommandLineWishes,
    /// Checks that are not run.
    pub(crate) skip: Vec<String>,
    /// Whose signatures count.
    pub(crate) trust: TrustRequest,
}

/// Whose signatures count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TrustRequest {
    /// Public key files, and folders of them. Without any, no signature is judged.
    pub(crate) keys: Vec<PathBuf>,
    /// The time that certificates are held against, in seconds since 1970.
    pub(crate) now: Option<u64>,
}
