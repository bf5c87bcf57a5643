//! What lies behind the filesystem in its partition: OpenWrt's writable overlay begins at the next 64 KiB boundary.
//! The kinds are told apart as fstools does (libfstools/rootdisk.c, `rootdisk_volume_identify`).

use crate::error::{Error, Result};
use crate::image::Volume;

/// The overlay begins at a multiple of this many bytes.
const ALIGNMENT: u64 = 64 << 10;
/// So many bytes of the overlay's start are cleared: more than all of its superblocks.
const HEAD: u64 = 64 << 10;

/// Where the overlay behind a filesystem of `used` bytes begins.
fn start(used: u64) -> u64 {
    used.checked_next_multiple_of(ALIGNMENT).unwrap_or(u64::MAX)
}

/// Refuses a volume whose overlay was already made: it would be lost.
///
/// # Errors
/// Unsupported, naming the overlay.
pub(super) fn refuse_live(volume: &Volume, used: u64) -> Result<()> {
    let place = start(used);
    let mut head = [0; 2048];
    let length = volume.length().saturating_sub(place).min(2048);
    let Some(present) = usize::try_from(length).ok().and_then(|length| head.get_mut(..length)) else {
        return Ok(());
    };
    if present.is_empty() {
        return Ok(());
    }
    volume.read_at(place, present)?;
    let has = |offset: usize, magic: &[u8]| head.get(offset..).is_some_and(|rest| rest.starts_with(magic));
    let what = if has(0, &[0x1F, 0x8B, 8, 0]) {
        "a configuration archive (tar.gz)"
    } else if has(0, &[0xDE, 0xAD, 0xC0, 0xDE]) {
        "the end mark of a jffs2 overlay (DEADC0DE)"
    } else if has(0x400, &0xF2F5_2010u32.to_le_bytes()) {
        "an F2FS overlay"
    } else if has(0x438, &0xEF53u16.to_le_bytes()) {
        "an ext4 overlay"
    } else {
        return Ok(());
    };
    Err(Error::unsupported(format!(
        "behind the squashfs of {used} bytes, at byte {place}, lies {what}: the system has run, and an edit would lose it"
    ))
    .remedy("take a fresh image, as it was downloaded or built"))
}

/// Zeroes what lies behind a filesystem that now ends at byte `used` and ended at byte `before`: the old tables, the
/// rest up to the overlay, and the overlay's head, so that first boot formats it.
///
/// # Errors
/// The volume cannot be written.
pub(super) fn clear(volume: &mut Volume, used: u64, before: u64) -> Result<()> {
    const CHUNK: usize = 4096;
    let end = start(used).saturating_add(HEAD).max(before).min(volume.length());
    let mut place = used;
    while place < end {
        // Up to the next multiple, so that a chunk that is zeroes already stays untouched.
        let length = (CHUNK as u64 - place % CHUNK as u64).min(end - place);
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(CHUNK)];
        volume.read_at(place, &mut bytes)?;
        if bytes.iter().any(|byte| *byte != 0) {
            bytes.fill(0);
            volume.write_at(place, &bytes)?;
        }
        place += length;
    }
    Ok(())
}
