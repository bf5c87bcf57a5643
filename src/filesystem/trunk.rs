//! Common edits on a filesystem that keeps nothing in mind between its edits.

use super::{Trunk, VolumeFilesystem, open};
use crate::error::Result;
use crate::image::Volume;

/// A finished filesystem, which is opened again for further edits. That leaves no trace with those whose edits go to the
/// volume one by one.
pub(super) struct Finished {
    volume: Volume,
    epoch: u64,
}

impl Finished {
    /// Takes the finished `volume`; further edits are dated `epoch`.
    pub(super) fn new(volume: Volume, epoch: u64) -> Self {
        Self { volume: volume.founded(), epoch }
    }
}

impl Trunk for Finished {
    fn branch(&self) -> Result<Box<dyn VolumeFilesystem>> {
        open(self.volume.clone(), self.epoch)
    }
}
