//! More room for a filesystem whose volume became longer.

use serde::Serialize;

use super::{Kind, detect, ext4, open, squashfs};
use crate::error::{Error, Result};
use crate::image::Volume;

/// How far a filesystem grew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Growth {
    /// Bytes per block.
    pub(crate) block_size: u32,
    /// Blocks as it was.
    pub(crate) blocks_before: u64,
    /// Blocks as it became.
    pub(crate) blocks_after: u64,
    /// Inodes as it was.
    pub(crate) inodes_before: u64,
    /// Inodes as it became.
    pub(crate) inodes_after: u64,
}

/// Grows the filesystem in `volume` in place, as far as the volume goes, and says how far; one that fills it already is
/// given back as it is. A squashfs stays as it is, without a [`Growth`]: what lies behind it is room for an edit, and
/// later the overlay's.
///
/// # Errors
/// Unsupported kinds and features, by name; unsupported, with the largest length possible, where the filesystem cannot
/// grow so far in place.
pub(crate) fn grow(volume: Volume) -> Result<(Volume, Option<Growth>)> {
    match check_kind(&volume)? {
        Kind::Squashfs => Ok((volume, None)),
        _ => ext4::grow(volume).map(|(volume, growth)| (volume, Some(growth))),
    }
}

/// The fewest bytes, a multiple of `step`, that `volume` must gain for `blocks` blocks and `inodes` inodes of its filesystem
/// to be free once it was [grown](grow); `None` when they are free as it is.
///
/// # Errors
/// Unsupported kinds; unsupported when the filesystem cannot grow so far in place.
pub(crate) fn shortfall(volume: &Volume, blocks: u64, inodes: u64, step: u64) -> Result<Option<u64>> {
    if check_kind(volume)? == Kind::Ext4 {
        return ext4::shortfall(volume, blocks, inodes, step);
    }
    let space = open(volume.clone(), 0)?.space()?;
    let short = blocks.saturating_sub(space.free_blocks).saturating_mul(space.block_size.into());
    Ok((short > 0).then(|| short.checked_next_multiple_of(step.max(1)).unwrap_or(u64::MAX)))
}

/// What to do where the root lacks `bytes`.
pub(super) fn more_room(bytes: u64) -> String {
    format!(
        "give the root more room: --rootfs-size +{}M, or a larger CONFIG_TARGET_ROOTFS_PARTSIZE in the build; or choose fewer \
         overlays",
        bytes.div_ceil(1 << 20)
    )
}

/// The byte of `volume` at which OpenWrt would put its overlay; `None` where the root is no squashfs, or has one already.
///
/// # Errors
/// Corrupt.
pub(crate) fn overlay_start(volume: &Volume) -> Result<Option<u64>> {
    match detect(volume)? {
        Kind::Squashfs => squashfs::overlay_start(volume),
        _ => Ok(None),
    }
}

/// The kind of what is in `volume`, if that can grow.
fn check_kind(volume: &Volume) -> Result<Kind> {
    let name = match detect(volume)? {
        kind @ (Kind::Ext4 | Kind::Squashfs) => return Ok(kind),
        Kind::Fat => "FAT",
        Kind::Erofs => "EROFS",
        Kind::F2fs => "F2FS",
        Kind::Luks => "LUKS",
        Kind::Empty => "an empty partition",
        Kind::Directory | Kind::Unknown => "a filesystem of unknown kind",
    };
    Err(Error::unsupported(format!("growing {name} is not supported (ext4 and squashfs are)")))
}
