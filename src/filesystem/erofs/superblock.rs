//! The superblock of an EROFS: whether it is read here, and how it is compressed, in words.

use crc::{CRC_32_ISCSI, Crc};

use crate::error::{Error, Result};
use crate::image::Volume;

/// Where the superblock begins.
const SUPERBLOCK: u64 = 1024;
/// Bytes of `struct erofs_super_block` (kernel, fs/erofs/erofs_fs.h).
const LENGTH: usize = 0x80;
/// Place of `checksum` in it; of the other fields as they are read below.
const CHECKSUM: usize = 0x04;

/// In `feature_compat`: the checksum is one.
const HAS_CHECKSUM: u32 = 0x01;

const ZERO_PADDING: u32 = 0x01;
const COMPRESSION_SETTINGS: u32 = 0x02;
/// Further devices, or a second compressor in a file: bit 3 is used for both.
const DEVICE_TABLE: u32 = 0x08;
const ZTAILPACKING: u32 = 0x10;
const FRAGMENTS: u32 = 0x20;
/// Up to the long prefixes of extended attributes. Behind them: 48-bit addresses and compressed metadata (Linux 6.15 and later).
const READ_FEATURES: u32 = 0x7F;

/// Compressors by their bit in `available_compr_algs`.
const COMPRESSORS: [&str; 4] = ["LZ4", "LZMA", "deflate", "zstd"];
/// The one that is read.
const LZ4: u16 = 0x01;

/// Logarithms of the lengths of blocks that Linux mounts somewhere: 512 bytes to 64 KiB.
const BLOCK_BITS: std::ops::RangeInclusive<u8> = 9..=16;

/// The fields that are looked at.
#[derive(Debug, Clone)]
pub(super) struct Superblock {
    /// Logarithm of the length of a block.
    block_bits: u8,
    /// Blocks in all.
    pub(super) blocks: u32,
    /// Inodes in all.
    pub(super) inodes: u64,
    compatible: u32,
    features: u32,
    /// A bit for each compressor.
    algorithms: u16,
    devices: u16,
}

impl Superblock {
    /// Reads it, as it is.
    ///
    /// # Errors
    /// A volume shorter than that.
    pub(super) fn read(volume: &Volume) -> Result<Self> {
        let mut bytes = [0; LENGTH];
        volume.read_at(SUPERBLOCK, &mut bytes)?;
        let word = |at: usize| u32::from_le_bytes(field(&bytes, at));
        let half = |at: usize| u16::from_le_bytes(field(&bytes, at));
        let [block_bits] = field(&bytes, 0x0C);
        let features = word(0x50);
        let algorithms = match features {
            features if features & COMPRESSION_SETTINGS != 0 => half(0x54),
            // Without settings of its own a compressed one is LZ4, and the field holds a distance; the padding came with
            // compression.
            features => u16::from(features & ZERO_PADDING != 0),
        };
        let devices = if features & DEVICE_TABLE == 0 { 0 } else { half(0x56) };
        let inodes = u64::from_le_bytes(field(&bytes, 0x10));
        Ok(Self { block_bits, blocks: word(0x24), inodes, compatible: word(0x08), features, algorithms, devices })
    }

    /// Length of a block in bytes.
    pub(super) fn block_size(&self) -> u32 {
        1u32.checked_shl(self.block_bits.into()).unwrap_or(u32::MAX)
    }

    /// Length of the filesystem in bytes.
    pub(super) fn length(&self) -> u64 {
        u64::from(self.blocks) * u64::from(self.block_size())
    }

    /// Refuses what is not read here, by its name, and what is not whole.
    ///
    /// # Errors
    /// Unsupported, corrupt.
    pub(super) fn check(&self, volume: &Volume) -> Result<()> {
        if !BLOCK_BITS.contains(&self.block_bits) {
            return Err(Error::corrupt(format!("EROFS: blocks of 2^{} bytes (2^9 to 2^16 exist)", self.block_bits)));
        }
        self.check_sum(volume)?;
        if self.algorithms & !LZ4 != 0 || self.features & !READ_FEATURES != 0 || self.devices != 0 {
            let message = format!("EROFS ({}) is recognised, but neither read nor edited", self.packing());
            return Err(Error::unsupported(message).remedy(AROUND));
        }
        if self.length() > volume.length() {
            return Err(Error::corrupt(format!(
                "EROFS: {} blocks of {} bytes reach behind the end of the partition ({} bytes)",
                self.blocks,
                self.block_size(),
                volume.length()
            )));
        }
        Ok(())
    }

    /// The checksum is the CRC-32C, not inverted at the end, of all from the superblock to the end of its block.
    fn check_sum(&self, volume: &Volume) -> Result<()> {
        if self.compatible & HAS_CHECKSUM == 0 {
            return Ok(());
        }
        let block = u64::from(self.block_size());
        let end = block * (SUPERBLOCK / block + 1);
        let mut bytes = vec![0; usize::try_from(end - SUPERBLOCK).unwrap_or(LENGTH)];
        volume.read_at(SUPERBLOCK, &mut bytes)?;
        let stored = u32::from_le_bytes(field(&bytes, CHECKSUM));
        bytes.iter_mut().skip(CHECKSUM).take(4).for_each(|byte| *byte = 0);
        let found = !Crc::<u32>::new(&CRC_32_ISCSI).checksum(&bytes);
        if found == stored {
            return Ok(());
        }
        Err(Error::corrupt(format!("EROFS: the superblock's checksum is {found:#010x}, not {stored:#010x} as it says")))
    }

    /// How it is compressed, as in `LZ4, packed tails`.
    fn packing(&self) -> String {
        let mut words: Vec<String> = Vec::new();
        let compressors = COMPRESSORS.iter().enumerate().filter(|(bit, _)| self.algorithms >> bit & 1 != 0);
        words.extend(compressors.map(|(_, name)| (*name).to_owned()));
        if words.is_empty() {
            words.push("uncompressed".to_owned());
        }
        words.extend((self.features & FRAGMENTS != 0).then(|| "fragments or deduplicated".to_owned()));
        words.extend((self.features & ZTAILPACKING != 0).then(|| "packed tails".to_owned()));
        let newer = self.features & !READ_FEATURES;
        words.extend((newer != 0).then(|| format!("features {newer:#x}")));
        words.extend((self.devices != 0).then(|| format!("spread over {} further devices", self.devices)));
        words.join(", ")
    }

    /// Why it is not edited, and the ways around.
    pub(super) fn not_edited(&self) -> Error {
        Error::unsupported(format!("EROFS ({}) is read, but not edited", self.packing())).remedy(AROUND)
    }

    /// Why it is not read in a program built for this system.
    #[cfg(not(unix))]
    pub(super) fn not_read(&self) -> Error {
        Error::unsupported(format!("EROFS ({}) is not read on this system", self.packing())).remedy(AROUND)
    }
}

const AROUND: &str = "take an image with an ext4 or squashfs root, or unpack this one (fsck.erofs --extract=DIR ROOT.img) and \
                      give its tree with --rootdir DIR";

fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|rest| rest.first_chunk::<N>()).copied().unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use crate::error::ErrorKind;
    use crate::filesystem::tests::support::volume;
    use crate::filesystem::{check_editable, open, problems};

    /// A superblock of two blocks of 4 KiB with these features and compressors, and nothing behind it.
    fn image(features: u32, algorithms: u16) -> Vec<u8> {
        let mut image = vec![0; 8192];
        let mut put = |at: usize, bytes: &[u8]| image[1024 + at..1024 + at + bytes.len()].copy_from_slice(bytes);
        put(0, &0xE0F5_E1E2u32.to_le_bytes());
        put(0x0C, &[12]);
        put(0x24, &2u32.to_le_bytes());
        put(0x50, &features.to_le_bytes());
        put(0x54, &algorithms.to_le_bytes());
        image
    }

    fn refused(image: &[u8]) -> String {
        let Err(error) = open(volume(image), 0) else { panic!("opened") };
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.remedy_text().unwrap().contains("--rootdir DIR"));
        assert_eq!(problems(&volume(image)).unwrap_err().message(), error.message());
        error.message().to_owned()
    }

    #[test]
    fn what_is_not_read_is_told_by_its_compression() {
        let told = |packing: &str| format!("EROFS ({packing}) is recognised, but neither read nor edited");
        assert_eq!(refused(&image(0x03, 0x02)), told("LZMA"));
        assert_eq!(refused(&image(0x03, 0x0A)), told("LZMA, zstd"));
        assert_eq!(refused(&image(0x103, 0x01)), told("LZ4, features 0x100"));
        let mut spread = image(0x08, 0);
        spread[1024 + 0x56] = 2;
        assert_eq!(refused(&spread), told("uncompressed, spread over 2 further devices"));
    }

    #[test]
    fn what_is_read_is_not_edited_and_told_by_its_compression() {
        let told = |features, algorithms| {
            let error = check_editable(&volume(&image(features, algorithms))).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.remedy_text().unwrap().contains("--rootdir DIR"));
            error.message().to_owned()
        };
        assert_eq!(told(0, 0), "EROFS (uncompressed) is read, but not edited");
        assert_eq!(told(0x01, 65535), "EROFS (LZ4) is read, but not edited", "the field holds a distance");
        let all = "EROFS (LZ4, fragments or deduplicated, packed tails) is read, but not edited";
        assert_eq!(told(0x33, 0x01), all);
    }

    #[test]
    fn a_superblock_that_cannot_be_one_is_corrupt() {
        let mut bits = image(0, 0);
        bits[1024 + 0x0C] = 31;
        let mut cut = image(0, 0);
        cut[1024 + 0x24] = 3;
        let mut sum = image(0, 0);
        sum[1024 + 0x08] = 1;
        for (image, words) in [
            (bits, "EROFS: blocks of 2^31 bytes"),
            (cut, "EROFS: 3 blocks of 4096 bytes reach behind the end of the partition (8192 bytes)"),
            (sum, "EROFS: the superblock's checksum is 0x"),
        ] {
            let Err(error) = open(volume(&image), 0) else { panic!("opened") };
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert!(error.message().starts_with(words), "{error}");
        }
    }
}
