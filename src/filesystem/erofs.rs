//! EROFS, recognised and told by its compression, not read. OpenWrt packs it with `-zlz4hc,12` or `lzma,109` and
//! `-Efragments,dedupe,ztailpacking`.
//!
//! Libraries looked at: `erofs-rs` 0.3.0 reads all of that (images of `mkfs.erofs` 1.8.6, LZ4 with clusters of 4 to 256 KiB
//! and LZMA, every file compared), but asks for Rust 1.91, which is later than what this crate asks for, adds seven crates, and
//! for LZMA `lzma-rs` as well, which nobody maintains. 0.1.1, its last release for an older Rust, reads no compressed file.
//! `lamfold-erofs` 0.1.1 refuses packed tails and fragments. No official x86 image has such a root; unpacked, it is read as a
//! tree.

use crate::error::{Error, Result};
use crate::image::Volume;

/// Where the superblock begins.
const SUPERBLOCK: u64 = 1024;
/// `feature_incompat` of `struct erofs_super_block`, from its start (kernel, fs/erofs/erofs_fs.h).
const FEATURES: usize = 0x50;
/// `available_compr_algs` behind it.
const ALGORITHMS: usize = 0x54;

const ZERO_PADDING: u32 = 0x01;
const COMPRESSION_SETTINGS: u32 = 0x02;
const ZTAILPACKING: u32 = 0x10;
const FRAGMENTS: u32 = 0x20;

/// Compressors by their bit in `available_compr_algs`.
const COMPRESSORS: [&str; 4] = ["LZ4", "LZMA", "deflate", "zstd"];

/// Why the EROFS in `volume` is not opened: what it is, and the ways around.
pub(super) fn refusal(volume: &Volume) -> Error {
    let packing = packing(volume).unwrap_or_default();
    Error::unsupported(format!("EROFS{packing} is recognised, but neither read nor edited")).remedy(
        "take an image with an ext4 or squashfs root, or unpack this one (fsck.erofs --extract=DIR ROOT.img) and give its tree \
         with --rootdir DIR",
    )
}

/// How it is compressed, as in ` (LZ4, fragments)`.
fn packing(volume: &Volume) -> Result<String> {
    let mut superblock = [0; 0x80];
    volume.read_at(SUPERBLOCK, &mut superblock)?;
    let field = |at: usize| superblock.get(at..).and_then(|rest| rest.first_chunk::<4>()).copied().unwrap_or_default();
    let features = u32::from_le_bytes(field(FEATURES));
    let [low, high, ..] = field(ALGORITHMS);
    let algorithms = match features {
        features if features & COMPRESSION_SETTINGS != 0 => u16::from_le_bytes([low, high]),
        // Without settings of its own a compressed one is LZ4; the padding came with compression.
        features => u16::from(features & ZERO_PADDING != 0),
    };
    let mut words: Vec<&str> = Vec::new();
    words.extend(COMPRESSORS.iter().enumerate().filter(|(bit, _)| algorithms >> bit & 1 != 0).map(|(_, name)| *name));
    if words.is_empty() {
        words.push("uncompressed");
    }
    words.extend((features & FRAGMENTS != 0).then_some("fragments or deduplicated"));
    words.extend((features & ZTAILPACKING != 0).then_some("packed tails"));
    Ok(format!(" ({})", words.join(", ")))
}

#[cfg(test)]
mod tests {
    use crate::error::ErrorKind;
    use crate::filesystem::open;
    use crate::filesystem::tests::support::volume;

    /// A superblock with these features and compressors, and nothing behind it.
    fn refused(features: u32, algorithms: u16) -> String {
        let mut image = vec![0; 8192];
        image[1024..1028].copy_from_slice(&0xE0F5_E1E2u32.to_le_bytes());
        image[1024 + 0x50..1024 + 0x54].copy_from_slice(&features.to_le_bytes());
        image[1024 + 0x54..1024 + 0x56].copy_from_slice(&algorithms.to_le_bytes());
        let Err(error) = open(volume(&image), 0) else { panic!("opened") };
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.remedy_text().unwrap().contains("--rootdir DIR"));
        error.message().to_owned()
    }

    #[test]
    fn erofs_is_told_by_its_compression() {
        let told = |packing: &str| format!("EROFS ({packing}) is recognised, but neither read nor edited");
        assert_eq!(refused(0, 0), told("uncompressed"));
        assert_eq!(refused(0x01, 65535), told("LZ4"), "the field holds a distance");
        assert_eq!(refused(0x33, 0x01), told("LZ4, fragments or deduplicated, packed tails"));
        assert_eq!(refused(0x03, 0x02), told("LZMA"));
        assert_eq!(refused(0x03, 0x0A), told("LZMA, zstd"));
    }
}
