//! What lies behind the filesystem in its partition: OpenWrt's writable overlay begins at the next 64 KiB boundary and
//! has all the rest. The kinds are told apart as fstools does (libfstools/rootdisk.c, `rootdisk_volume_identify`).

use std::fmt;

use serde::Serialize;

use super::superblock::Superblock;
use crate::error::{Error, Result};
use crate::image::Volume;

/// The overlay begins at a multiple of this many bytes.
const ALIGNMENT: u64 = 64 << 10;
/// So many bytes of the overlay's start are cleared: all that fstools looks at (up to 0x43C), and the second superblock of
/// F2FS (at 0x1000).
const HEAD: u64 = 64 << 10;

/// What fstools takes for an overlay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OverlayKind {
    /// A configuration archive that first boot unpacks.
    TarGz,
    /// The end mark of a jffs2 overlay.
    Deadcode,
    /// A filesystem.
    F2fs,
    /// A filesystem.
    Ext4,
}

impl fmt::Display for OverlayKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TarGz => "a configuration archive (tar.gz)",
            Self::Deadcode => "the end mark of a jffs2 overlay (DEADC0DE)",
            Self::F2fs => "an F2FS overlay",
            Self::Ext4 => "an ext4 overlay",
        })
    }
}

/// What was written behind a squashfs since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct LiveOverlay {
    /// What it is.
    pub(crate) kind: OverlayKind,
    /// Where it begins, in bytes from the start of the squashfs.
    pub(crate) place: u64,
}

impl LiveOverlay {
    /// The overlay behind the squashfs in `volume`, if one was made.
    ///
    /// # Errors
    /// Corrupt superblock.
    pub(crate) fn find(volume: &Volume) -> Result<Option<Self>> {
        Self::behind(volume, Superblock::read(volume)?.used)
    }

    fn behind(volume: &Volume, used: u64) -> Result<Option<Self>> {
        let place = start(used);
        let mut head = [0; 2048];
        let length = volume.length().saturating_sub(place).min(2048);
        let present = usize::try_from(length).ok().and_then(|length| head.get_mut(..length)).unwrap_or_default();
        if present.is_empty() {
            return Ok(None);
        }
        volume.read_at(place, present)?;
        let has = |offset: usize, magic: &[u8]| head.get(offset..).is_some_and(|rest| rest.starts_with(magic));
        let kind = if has(0, &[0x1F, 0x8B, 8, 0]) {
            OverlayKind::TarGz
        } else if has(0, &[0xDE, 0xAD, 0xC0, 0xDE]) {
            OverlayKind::Deadcode
        } else if has(0x400, &0xF2F5_2010u32.to_le_bytes()) {
            OverlayKind::F2fs
        } else if has(0x438, &0xEF53u16.to_le_bytes()) {
            OverlayKind::Ext4
        } else {
            return Ok(None);
        };
        Ok(Some(Self { kind, place }))
    }

    /// Why it keeps a squashfs from being edited: the new end would move the place where it is looked for.
    pub(crate) fn refusal(&self) -> Error {
        let Self { kind, place } = self;
        Error::unsupported(format!(
            "behind the squashfs, at byte {place}, lies {kind}: what was written since the image was made, and an edit would \
             lose it"
        ))
        .remedy("take a fresh image, as it was downloaded or built, or give the overlay up with --discard-overlay")
    }

    /// Zeroes everything behind the squashfs in `volume`. All of it was the overlay's: none of its files, which may be
    /// keys and passwords, goes out with the image. (sysupgrade writes the whole partition for the same reason.)
    ///
    /// # Errors
    /// Corrupt superblock.
    pub(crate) fn discard(volume: &mut Volume) -> Result<()> {
        let used = Superblock::read(volume)?.used;
        zero(volume, used, volume.length())
    }
}

/// Where the overlay behind a filesystem of `used` bytes begins.
fn start(used: u64) -> u64 {
    used.checked_next_multiple_of(ALIGNMENT).unwrap_or(u64::MAX)
}

/// The byte at which first boot would make the overlay behind the squashfs in `volume`; `None` where one is there already.
///
/// # Errors
/// Corrupt superblock.
pub(in crate::filesystem) fn overlay_start(volume: &Volume) -> Result<Option<u64>> {
    let used = Superblock::read(volume)?.used;
    let live = LiveOverlay::behind(volume, used)?;
    Ok(live.is_none().then(|| start(used)))
}

/// Refuses a volume whose overlay was already made: it would be lost.
///
/// # Errors
/// Unsupported, naming the overlay.
pub(super) fn refuse_live(volume: &Volume, used: u64) -> Result<()> {
    LiveOverlay::behind(volume, used)?.map_or(Ok(()), |overlay| Err(overlay.refusal()))
}

/// Zeroes what lies behind a filesystem that now ends at byte `used` and ended at byte `before`: the old tables, the
/// rest up to the overlay, and the overlay's head, so that first boot formats it. What lies further behind is nobody's
/// until then, and stays.
///
/// # Errors
/// The volume cannot be written.
pub(super) fn clear(volume: &mut Volume, used: u64, before: u64) -> Result<()> {
    let end = start(used).saturating_add(HEAD).max(before).min(volume.length());
    zero(volume, used, end)
}

/// Zeroes the bytes from `place` up to `end`.
fn zero(volume: &mut Volume, mut place: u64, end: u64) -> Result<()> {
    const CHUNK: usize = 4096;
    let mut chunk = [0; CHUNK];
    while place < end {
        // Up to the next multiple, so that a chunk that is zeroes already stays untouched.
        let length = (CHUNK as u64 - place % CHUNK as u64).min(end - place);
        let bytes = usize::try_from(length).ok().and_then(|length| chunk.get_mut(..length)).unwrap_or_default();
        volume.read_at(place, bytes)?;
        if bytes.iter().any(|byte| *byte != 0) {
            bytes.fill(0);
            volume.write_at(place, bytes)?;
        }
        place += length;
    }
    Ok(())
}
