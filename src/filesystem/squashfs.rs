//! Squashfs: recognised, not yet editable. Superblock as in the kernel's fs/squashfs/squashfs_fs.h.

use crate::error::{Error, Result};
use crate::image::Volume;

/// Length of the superblock.
const LENGTH: usize = 96;

/// What the superblock says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Superblock {
    version: (u16, u16),
    compressor: u16,
    block_size: u32,
    bytes_used: u64,
}

impl Superblock {
    fn from_bytes(bytes: &[u8; LENGTH]) -> Self {
        let field = |offset: usize, length: usize| {
            let bytes = bytes.get(offset..offset + length).unwrap_or_default();
            bytes.iter().rev().fold(0u64, |value, byte| value << 8 | u64::from(*byte))
        };
        let half = |offset| u16::try_from(field(offset, 2)).unwrap_or_default();
        Self {
            version: (half(0x1C), half(0x1E)),
            compressor: half(0x14),
            block_size: u32::try_from(field(0x0C, 4)).unwrap_or_default(),
            bytes_used: field(0x28, 8),
        }
    }

    fn read(volume: &Volume) -> Result<Self> {
        let mut bytes = [0; LENGTH];
        volume.read_at(0, &mut bytes)?;
        Ok(Self::from_bytes(&bytes))
    }

    fn compressor_name(&self) -> String {
        match self.compressor {
            1 => "gzip".to_owned(),
            2 => "lzma".to_owned(),
            3 => "lzo".to_owned(),
            4 => "xz".to_owned(),
            5 => "lz4".to_owned(),
            6 => "zstd".to_owned(),
            other => format!("compressor {other}"),
        }
    }
}

/// The error that names what was found.
///
/// # Errors
/// The volume is shorter than a superblock.
pub(super) fn refuse(volume: &Volume) -> Result<Error> {
    let found = Superblock::read(volume)?;
    Ok(Error::unsupported(format!(
        "editing squashfs is not supported yet (version {}.{}, {}, blocks of {} bytes, {} bytes used)",
        found.version.0,
        found.version.1,
        found.compressor_name(),
        found.block_size,
        found.bytes_used
    )))
}

/// One sentence per problem of the superblock.
///
/// # Errors
/// The volume is shorter than a superblock.
pub(super) fn problems(volume: &Volume) -> Result<Vec<String>> {
    let found = Superblock::read(volume)?;
    let mut problems = Vec::new();
    if found.version != (4, 0) {
        problems.push(format!("squashfs version is {}.{}, not 4.0", found.version.0, found.version.1));
    }
    if !found.block_size.is_power_of_two() || !(4096..=1 << 20).contains(&found.block_size) {
        problems
            .push(format!("squashfs blocks have {} bytes, not a power of two from 4096 to 1048576", found.block_size));
    }
    if found.bytes_used < LENGTH as u64 || found.bytes_used > volume.length() {
        problems.push(format!("squashfs uses {} bytes of a partition of {}", found.bytes_used, volume.length()));
    }
    Ok(problems)
}
