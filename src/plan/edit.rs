//! One change to a filesystem of the image.

use std::sync::Arc;

use serde::Serialize;

use crate::filesystem::Attributes;

/// What is to be at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// A regular file.
    File(Arc<[u8]>),
    /// A directory.
    Directory,
    /// A symlink to this target.
    Symlink(String),
    /// Another name of the file at this path.
    Link(String),
}

/// Which of the image's filesystems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// The one that GRUB reads: kernel and grub.cfg.
    Boot,
    /// The one that holds the system.
    Root,
}

/// How the path changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Change {
    /// Nothing was there.
    Add,
    /// Something else was there.
    Replace,
    /// The content stays, permissions or owner change.
    Attributes,
    /// What was there goes.
    Remove,
}

/// One change, with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edit {
    /// Absolute path.
    pub(crate) path: String,
    /// How it changes.
    pub(crate) change: Change,
    /// What will be there; `None` for a removal.
    pub(crate) content: Option<Content>,
    /// Where the file is to be another name (hard link) of one with the same content and attributes: its path. Where that
    /// does not stand there, the file becomes one of its own.
    pub(crate) linked_to: Option<String>,
    /// Permissions and owner afterwards.
    pub(crate) attributes: Attributes,
    /// Whether it is made of what a host has for itself: its name, its settings, files of its recipe.
    pub(crate) is_own: bool,
    /// Length in bytes before, where a file was there.
    pub(crate) size_before: Option<u64>,
    /// Why.
    pub(crate) reason: String,
}

impl Edit {
    /// Bytes of the file that will be there; 0 for what is none.
    pub(crate) fn length(&self) -> u64 {
        match &self.content {
            Some(Content::File(bytes)) => bytes.len() as u64,
            _ => 0,
        }
    }
}
