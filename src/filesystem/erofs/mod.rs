//! EROFS, read and never edited. OpenWrt packs it with `-zlz4hc,12` or `lzma,109` and `-Efragments,dedupe,ztailpacking`; no
//! official x86 image has such a root. Unpacked, it is read and edited as a tree.
//!
//! Structures and contents are read by the library `erofs-rs`; LZ4 is the compressor it is built with here (for LZMA it takes
//! `lzma-rs`, which nobody maintains). Measured with images of `mkfs.erofs` 1.8.6, LZ4 with clusters of 4 to 256 KiB, fragments,
//! deduplicated, packed tails: the content and link target of each of 6,990 entries was that of the source.
//!
//! The library reads a path's directories only through lists, so the tree of names is read once, when it is opened. It builds
//! on systems of the Unix family only.

#[cfg(unix)]
mod reader;
mod superblock;
#[cfg(test)]
#[cfg(unix)]
mod tests;
#[cfg(unix)]
mod tree;

use super::VolumeFilesystem;
use crate::error::Result;
use crate::image::Volume;
use superblock::Superblock;

/// Why the EROFS in `volume` is not edited: what it is, and the ways around.
///
/// # Errors
/// Always; also when it is not read either.
pub(super) fn refuse_edits(volume: &Volume) -> Result<()> {
    Err(Superblock::read(volume)?.not_edited())
}

/// Opens `volume` to be read.
///
/// # Errors
/// Unsupported by name, or corrupt.
#[cfg(unix)]
pub(super) fn open(volume: Volume) -> Result<Box<dyn VolumeFilesystem>> {
    Ok(Box::new(reader::Erofs::open(volume)?))
}

/// One sentence per problem. Damage that keeps the tree from being read is the only one then.
///
/// # Errors
/// A volume shorter than a superblock; or what is not supported.
#[cfg(unix)]
pub(super) fn problems(volume: &Volume) -> Result<Vec<String>> {
    match reader::Erofs::open(volume.clone()) {
        Ok(opened) => Ok(opened.problems()),
        Err(error) if error.kind() == crate::error::ErrorKind::Corrupt => Ok(vec![error.to_string()]),
        Err(error) => Err(error),
    }
}

#[cfg(not(unix))]
pub(super) fn open(volume: Volume) -> Result<Box<dyn VolumeFilesystem>> {
    Err(unread(&volume))
}

#[cfg(not(unix))]
pub(super) fn problems(volume: &Volume) -> Result<Vec<String>> {
    Err(unread(volume))
}

#[cfg(not(unix))]
fn unread(volume: &Volume) -> crate::error::Error {
    match Superblock::read(volume).and_then(|superblock| superblock.check(volume).map(|()| superblock)) {
        Ok(superblock) => superblock.not_read(),
        Err(error) => error,
    }
}
