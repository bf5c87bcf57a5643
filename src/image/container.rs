//! What an image file is wrapped in.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::trailer::CHUNK_END;
use super::{Disk, PartitionTable, Trailer, TrailerKind};

/// The wrapping of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Form {
    /// The disk's bytes as they are.
    Raw,
    /// One gzip member.
    Gzip,
    /// Zstd frames.
    Zstd,
    /// QEMU's copy-on-write format.
    Qcow2,
    /// VMware's format, in one sparse file.
    Vmdk,
    /// VirtualBox's format.
    Vdi,
    /// Hyper-V's format.
    Vhdx,
    /// What changed in another image.
    Delta,
}

impl Form {
    /// Its name, as in "this is a …".
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Raw => "plain image",
            Self::Gzip => "gzip-compressed image",
            Self::Zstd => "zstd-compressed image",
            Self::Qcow2 => "qcow2 disk",
            Self::Vmdk => "VMDK disk",
            Self::Vdi => "VDI disk",
            Self::Vhdx => "VHDX disk",
            Self::Delta => "delta against another image",
        }
    }

    /// Whether images in this form are opened, and not only written.
    pub(crate) const fn is_read(self) -> bool {
        !matches!(self, Self::Vdi | Self::Vhdx | Self::Delta)
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

impl Container {
    /// Where in the file the payload of the last signature chunk lies: everything in front of it is what was signed.
    pub(crate) fn signature(&self) -> Option<Range<u64>> {
        let mut end = self.file_length;
        for trailer in self.trailers.iter().rev() {
            end = end.checked_sub(CHUNK_END)?;
            let start = end.checked_sub(trailer.payload_length)?;
            if trailer.kind == TrailerKind::Signature {
                return Some(start..end);
            }
            end = start;
        }
        None
    }
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
