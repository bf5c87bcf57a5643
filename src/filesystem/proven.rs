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
    /// What `volume`, a later state, has become. `None` where that cannot be told.
    ///
    /// # Errors
    /// Corrupt structures in the later state.
    fn later(&self, volume: &Volume) -> Result<Option<Later>>;
}

/// A later state of a filesystem.
pub(crate) struct Later {
    /// The paths that may be read otherwise than before: their metadata, their entries or their content. All others are read
    /// from the same bytes.
    pub(crate) changed: BTreeSet<String>,
    /// It, opened.
    pub(crate) root: Box<dyn Filesystem>,
    /// Its problems.
    pub(crate) problems: LaterProblems,
}

/// Tells what [`problems`](super::problems) tells of a later state, of which the reader that is given reads the tree.
pub(crate) type LaterProblems = Box<dyn FnOnce(&mut dyn Filesystem) -> Result<Vec<String>>>;

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
