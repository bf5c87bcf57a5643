//! Filesystems that were found sound, and what of that still holds after further edits: an answer stands as long as the bytes
//! that it was read from.

use std::collections::BTreeSet;

use super::ext4;
use super::squashfs;
use super::{Filesystem, Kind, detect};
use crate::error::Result;
use crate::image::Volume;

/// A filesystem in which nothing was found wrong, to hold later states of it against: what edits made of clones of it.
pub(crate) trait Proven: Send + Sync {
    /// The paths that may be read otherwise in `volume`, a later state, than here: their metadata, their entries or their
    /// content. All others are read from the same bytes. `None` where that cannot be told.
    ///
    /// # Errors
    /// Corrupt structures in the later state.
    fn changed(&self, volume: &Volume) -> Result<Option<BTreeSet<String>>>;

    /// As [`problems`](super::problems) on `volume`, of which `reader` reads the tree, and whose `changed` paths are
    /// [known](Proven::changed).
    ///
    /// # Errors
    /// As [`problems`](super::problems).
    fn problems(&self, volume: &Volume, changed: &BTreeSet<String>, reader: &mut dyn Filesystem)
    -> Result<Vec<String>>;
}

/// The filesystem in `volume`, in which [`problems`](super::problems) found none; `None` where later states cannot be held
/// against it.
///
/// # Errors
/// None in practice: it was read before.
pub(crate) fn proven(volume: &Volume) -> Result<Option<Box<dyn Proven>>> {
    Ok(match detect(volume)? {
        Kind::Ext4 => ext4::Proven::new(volume)?.map(|proven| Box::new(proven) as Box<dyn Proven>),
        Kind::Squashfs => Some(Box::new(squashfs::Proven::new(volume)?)),
        _ => None,
    })
}
