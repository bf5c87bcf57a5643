//! What an image file is wrapped in.

use serde::Serialize;

use super::{Disk, PartitionTable, Trailer};

/// The wrapping of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Form {
    /// The disk's bytes as they are.
    Raw,
    /// One gzip member.
    Gzip,
}

impl Form {
    /// Its name, as in "this is a …".
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Raw => "plain image",
            Self::Gzip => "gzip-compressed image",
        }
    }
}

/// What was seen of the file around the disk.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Container {
    /// Its wrapping.
    pub(crate) form: Form,
    /// Length of the file in bytes.
    pub(crate) file_length: u64,
    /// SHA-256 of the whole file, lower-case hex.
    pub(crate) sha256: String,
    /// fwtool chunks behind the image, first one first.
    pub(crate) trailers: Vec<Trailer>,
    /// Bytes behind the image that are no fwtool chunk.
    pub(crate) unknown_tail: u64,
}

/// An opened image: its bytes, its wrapping and, where it is a disk, its partition table.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// The disk's bytes; trailers are not part of it.
    pub(crate) disk: Disk,
    /// The wrapping.
    pub(crate) container: Container,
    /// The partition table; `None` where one filesystem fills the whole image.
    pub(crate) table: Option<PartitionTable>,
}
