//! The manifest: one patch, and what it did to each path.

use super::State;
use crate::filesystem::Attributes;

/// Who patched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tool {
    /// Its name.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
}

impl Tool {
    /// This program.
    pub(crate) fn own() -> Self {
        Self { name: env!("CARGO_PKG_NAME").to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }
    }
}

/// What an input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum InputKind {
    /// The file of the image, as it was given.
    Image,
    /// The file of a kernel.
    Kernel,
    /// A module as its source has it, unpacked.
    Module,
    /// The file of a package.
    Package,
}

/// Something that a patch took.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct InputFile {
    /// What it is.
    pub(crate) kind: InputKind,
    /// Its name, never with the folder where it lay.
    pub(crate) name: String,
    /// SHA-256 of its bytes, 64 lower-case hex digits.
    pub(crate) sha256: String,
}

/// What was done to one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// The path: absolute, without `.` and `..`.
    pub(crate) path: String,
    /// Who wanted it, such as `overlay connectx3`.
    pub(crate) by: String,
    /// What was put there.
    pub(crate) put: State,
    /// What stood there before.
    pub(crate) was: State,
    /// The other names that the file had which stood there, in byte order.
    pub(crate) links: Vec<String>,
}

impl Record {
    /// What was done, in a word: `add`, `replace`, `attributes` or `remove`.
    pub(crate) fn change(&self) -> &'static str {
        match (&self.was, &self.put) {
            (_, State::Absent) => "remove",
            (State::Absent, _) => "add",
            (was, put) if was.holds_as(put) => "attributes",
            _ => "replace",
        }
    }

    /// The digest of the content that must be kept to undo it; `None` where none is lost.
    pub(crate) fn kept(&self) -> Option<&str> {
        match &self.was {
            State::File { sha256, .. } if !self.was.holds_as(&self.put) => Some(sha256),
            _ => None,
        }
    }
}

/// What a patch did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// Who did it.
    pub(crate) tool: Tool,
    /// SHA-256 of what was wished, 64 lower-case hex digits: the same wherever the same files lie.
    pub(crate) recipe: String,
    /// What was taken, the image first. A tree of files in a folder has no digest, and is not among them.
    pub(crate) inputs: Vec<InputFile>,
    /// What was done on the boot partition, in byte order of the paths.
    pub(crate) boot: Vec<Record>,
    /// What was done in the root filesystem, likewise.
    pub(crate) root: Vec<Record>,
}

impl Manifest {
    /// The image that was patched.
    pub(crate) fn base(&self) -> Option<&InputFile> {
        self.inputs.iter().find(|input| input.kind == InputKind::Image)
    }

    /// Digests of the contents that are kept, each once, in byte order.
    pub(crate) fn kept(&self) -> Vec<&str> {
        let mut kept: Vec<&str> = self.boot.iter().chain(&self.root).filter_map(Record::kept).collect();
        kept.sort_unstable();
        kept.dedup();
        kept
    }

    /// What was done at `path` of the root.
    pub(crate) fn record(&self, path: &str) -> Option<&Record> {
        self.root.binary_search_by(|record| record.path.as_str().cmp(path)).ok().and_then(|at| self.root.get(at))
    }
}

/// Permissions of the manifest and of the contents beside it: they may tell what only root may know.
pub(crate) const SECRET: Attributes = Attributes::root(0o600);
