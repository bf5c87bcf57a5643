//! Which filesystem a partition holds, and the one way to open it.

use super::ext4::Ext4;
use super::fat::Fat;
use super::squashfs::Squashfs;
use super::{Kind, VolumeFilesystem, erofs, ext4, fat, squashfs};
use crate::error::{Error, Result};
use crate::image::Volume;

/// Bytes that decide: every magic lies in the first two KiB.
const HEAD: usize = 2048;

/// Tells the kind of the filesystem in `volume` by its magic numbers.
///
/// # Errors
/// The volume cannot be read.
pub(crate) fn detect(volume: &Volume) -> Result<Kind> {
    let length = usize::try_from(volume.length()).map_or(HEAD, |length| length.min(HEAD));
    let mut head = [0; HEAD];
    volume.read_at(0, head.get_mut(..length).unwrap_or_default())?;
    let has = |offset: usize, magic: &[u8]| head.get(offset..).is_some_and(|rest| rest.starts_with(magic));
    Ok(if has(0, b"hsqs") {
        Kind::Squashfs
    } else if has(0, b"LUKS\xBA\xBE") {
        Kind::Luks
    } else if has(1024, &0xE0F5_E1E2u32.to_le_bytes()) {
        Kind::Erofs
    } else if has(1024, &0xF2F5_2010u32.to_le_bytes()) {
        Kind::F2fs
    } else if has(1024 + 0x38, &0xEF53u16.to_le_bytes()) {
        Kind::Ext4
    } else if fat::recognise(&head) {
        Kind::Fat
    } else if head.iter().all(|byte| *byte == 0) {
        Kind::Empty
    } else {
        Kind::Unknown
    })
}

/// Refuses what can be read but not edited.
///
/// # Errors
/// Unsupported, naming the kind and the ways around.
pub(crate) fn check_editable(volume: &Volume) -> Result<()> {
    match detect(volume)? {
        Kind::Erofs => erofs::refuse_edits(volume),
        _ => Ok(()),
    }
}

/// Opens the filesystem in `volume`. All times that are written are `epoch`, in seconds since 1970. Nothing changes
/// before the first edit.
///
/// # Errors
/// Unsupported, naming the kind or feature, or corrupt.
pub(crate) fn open(volume: Volume, epoch: u64) -> Result<Box<dyn VolumeFilesystem>> {
    const TAKE_ANOTHER: &str = "take the ext4-combined or squashfs-combined image of the same release";
    let refuse = |what: &str| Err(Error::unsupported(format!("editing {what} is not supported")).remedy(TAKE_ANOTHER));
    match detect(&volume)? {
        Kind::Ext4 => Ok(Box::new(Ext4::open(volume, epoch)?)),
        Kind::Fat => Ok(Box::new(Fat::open(volume, epoch)?)),
        Kind::Squashfs => Ok(Box::new(Squashfs::open(volume, epoch)?)),
        Kind::Erofs => erofs::open(volume),
        Kind::F2fs => refuse("F2FS"),
        Kind::Luks => {
            Err(Error::unsupported("the partition is encrypted (LUKS)")
                .remedy("patch the image before it is encrypted"))
        }
        Kind::Empty => Err(Error::unsupported("the partition is empty: no filesystem begins in it")),
        Kind::Directory | Kind::Unknown => {
            Err(Error::unsupported("no filesystem of a known kind begins in the partition"))
        }
    }
}

/// Checks the structure of the filesystem in `volume`: one sentence per problem, with the numbers.
///
/// # Errors
/// A kind or feature that is not supported.
pub(crate) fn problems(volume: &Volume) -> Result<Vec<String>> {
    match detect(volume)? {
        Kind::Ext4 => ext4::problems(volume),
        Kind::Fat => fat::problems(volume),
        Kind::Squashfs => squashfs::problems(volume),
        Kind::Erofs => erofs::problems(volume),
        kind => Err(Error::unsupported(format!("a filesystem of kind {kind:?} is not checked"))),
    }
}
