//! The compressor of a squashfs: one of the kernel's, with the options that the filesystem carries.

use std::fmt;
use std::io::{self, Read, Write};

use lzma_rust2::{CheckType, FilterType, XzOptions, XzReader, XzWriter};
use serde::Serialize;

use super::fields::Fields;
use super::superblock::{COMPRESSOR_OPTIONS, LENGTH, Superblock, compressor_name};
use crate::error::{Error, Result};
use crate::image::{Volume, Way};
use crate::xz;

/// The smallest dictionary that the kernel's xz decoder is given: one metadata block.
const SMALLEST_DICTIONARY: u32 = 8192;
/// The number of xz in a superblock.
const XZ: u16 = 4;
/// The x86 branch filter among the filters of the xz options: the lowest bit of the u32 behind the dictionary's length.
const X86_FILTER: u8 = 1;
/// The largest window of a zstd frame that is read; blocks have at most 1 MiB.
const LARGEST_WINDOW: u64 = 8 << 20;

/// How blocks are packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Compressor {
    /// zlib streams.
    Gzip {
        /// Level, 1 to 9.
        level: u32,
    },
    /// xz streams with CRC-32.
    Xz {
        /// Bytes of the decoder's dictionary.
        dictionary: u32,
        /// Whether x86 branches may be filtered.
        x86: bool,
    },
    /// LZ4 blocks.
    Lz4,
    /// zstd frames.
    Zstd,
}

impl Compressor {
    /// The compressor of `volume`, whose options follow the superblock when there are any: one metadata block that is
    /// not packed.
    ///
    /// # Errors
    /// As [`Compressor::new`].
    pub(super) fn read(volume: &Volume, superblock: &Superblock) -> Result<Self> {
        let options = options(volume, superblock)?;
        Self::new(superblock.compressor, options.as_deref(), superblock.block_size)
    }

    /// The compressor `number` for blocks of `block_size` bytes, with the bytes of the options block.
    /// Options as in mksquashfs's *_wrapper.h.
    ///
    /// # Errors
    /// Unsupported, by name; or corrupt options.
    fn new(number: u16, options: Option<&[u8]>, block_size: u32) -> Result<Self> {
        let mut options = options.map(|bytes| Fields::new("the compressor options", bytes));
        match number {
            1 => {
                let level = options.as_mut().map_or(Ok(9), Fields::u32)?;
                Ok(Self::Gzip { level: level.clamp(1, 9) })
            }
            XZ => {
                let (dictionary, filters) = match &mut options {
                    None => (block_size, 0),
                    Some(fields) => (fields.u32()?, fields.u32()?),
                };
                let top = dictionary.checked_ilog2().map_or(0, |log| 1 << log);
                if dictionary != top && dictionary != top | top >> 1 || dictionary > 1 << 30 {
                    let message = format!("squashfs: an xz dictionary of {dictionary} bytes, not 2^n or 2^n + 2^(n-1)");
                    return Err(Error::corrupt(message));
                }
                Ok(Self::Xz {
                    dictionary: dictionary.max(SMALLEST_DICTIONARY),
                    x86: filters & u32::from(X86_FILTER) != 0,
                })
            }
            5 => Ok(Self::Lz4),
            6 => Ok(Self::Zstd),
            other => {
                let name = compressor_name(other);
                Err(Error::unsupported(format!("squashfs compressed with {name} is not supported"))
                    .remedy("make the image with xz, gzip, zstd or lz4"))
            }
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Gzip { .. } => "gzip",
            Self::Xz { .. } => "xz",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// How blocks of `block_size` bytes are unpacked.
    pub(super) fn way(&self, block_size: usize) -> Way {
        let dictionary = if let Self::Xz { dictionary, .. } = self { *dictionary } else { 0 };
        (self.name(), dictionary, u32::try_from(block_size).unwrap_or(u32::MAX))
    }

    /// Unpacks `packed` to at most `limit` bytes.
    ///
    /// # Errors
    /// Corrupt: damaged, or more bytes than that.
    pub(super) fn unpack(&self, packed: &[u8], limit: usize) -> Result<Vec<u8>> {
        let broken = |error: &dyn fmt::Display| {
            let (name, length) = (self.name(), packed.len());
            Error::corrupt(format!("squashfs: a {name} block of {length} bytes is damaged: {error}"))
        };
        let plain = match self {
            Self::Gzip { .. } => at_most(flate2::read::ZlibDecoder::new(packed), limit),
            Self::Xz { dictionary, .. } => match xz::unpack(packed, limit, limit, *dictionary) {
                Some(plain) => Ok(plain),
                None => at_most(XzReader::new_mem_limit(packed, false, dictionary / 1024 + 1024), limit),
            },
            Self::Lz4 => {
                let mut plain = vec![0; limit];
                let length = lz4_flex::block::decompress_into(packed, &mut plain).map_err(|error| broken(&error))?;
                plain.truncate(length);
                Ok(plain)
            }
            Self::Zstd => {
                let decoder = ruzstd::decoding::StreamingDecoder::new_with_max_window_size(packed, LARGEST_WINDOW);
                at_most(decoder.map_err(|error| broken(&error))?, limit)
            }
        };
        plain.map_err(|error| broken(&error))
    }

    /// Packs `plain`, or gives `None` when that does not make it shorter. `branches`: it holds machine code whose
    /// branches have their targets, so that xz tries the filesystem's branch filter too.
    ///
    /// # Errors
    /// The packer fails.
    pub(super) fn pack(&self, plain: &[u8], branches: bool) -> Result<Option<Vec<u8>>> {
        let packed = match self {
            Self::Gzip { level } => {
                let mut writer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(*level));
                writer.write_all(plain).and_then(|()| writer.finish())
            }
            Self::Xz { dictionary, x86 } => pack_xz(plain, *dictionary, *x86 && branches),
            Self::Lz4 => Ok(lz4_flex::block::compress(plain)),
            Self::Zstd => Ok(pack_zstd(plain)),
        };
        let packed = packed.map_err(|error| Error::corrupt(format!("squashfs: {} fails: {error}", self.name())))?;
        Ok((packed.len() < plain.len()).then_some(packed))
    }
}

/// The bytes of the options block, where there is one.
fn options(volume: &Volume, superblock: &Superblock) -> Result<Option<Vec<u8>>> {
    if !superblock.has(COMPRESSOR_OPTIONS) {
        return Ok(None);
    }
    let mut head = [0; 2];
    volume.read_at(LENGTH, &mut head)?;
    let head = u16::from_le_bytes(head);
    let length = usize::from(head & 0x7FFF);
    if head & 0x8000 == 0 || length > 512 {
        return Err(Error::corrupt(format!("squashfs: the compressor options have a head of {head:#06x}")));
    }
    let mut options = vec![0; length];
    volume.read_at(LENGTH + 2, &mut options)?;
    Ok(Some(options))
}

/// What a kernel must be able to unpack to read a squashfs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Packing {
    /// The compressor's number in the superblock.
    pub(crate) number: u16,
    /// Its name.
    pub(crate) compressor: String,
    /// Whether blocks may have gone through xz's x86 filter.
    pub(crate) x86_filter: bool,
    /// Bytes per block.
    pub(crate) block_size: u32,
}

impl fmt::Display for Packing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let filter = if self.x86_filter { " with the x86 filter" } else { "" };
        write!(f, "{}{filter}", self.compressor)
    }
}

impl Packing {
    /// That of the squashfs in `volume`, supported here or not.
    ///
    /// # Errors
    /// Corrupt superblock or options.
    pub(crate) fn read(volume: &Volume) -> Result<Self> {
        let superblock = Superblock::read(volume)?;
        let number = superblock.compressor;
        let options = options(volume, &superblock)?.unwrap_or_default();
        let x86_filter = number == XZ && options.get(4).is_some_and(|filters| filters & X86_FILTER != 0);
        let block_size = superblock.block_size;
        Ok(Self { number, compressor: compressor_name(number), x86_filter, block_size })
    }

    /// The name of the compressor with that number.
    pub(crate) fn name_of(number: u16) -> String {
        compressor_name(number)
    }
}

/// All of `reader`, which must be at most `limit` bytes.
fn at_most(reader: impl Read, limit: usize) -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    reader.take(limit as u64 + 1).read_to_end(&mut plain)?;
    if plain.len() > limit {
        return Err(io::Error::other(format!("it unpacks to more than {limit} bytes")));
    }
    Ok(plain)
}

/// The shorter of plain LZMA2 and, when `x86`, x86 BCJ before LZMA2, as mksquashfs chooses.
fn pack_xz(plain: &[u8], dictionary: u32, x86: bool) -> io::Result<Vec<u8>> {
    let pack = |x86: bool| {
        let mut options = XzOptions::with_preset(6);
        options.set_check_sum_type(CheckType::Crc32);
        // A dictionary beyond the block's length only costs memory, here and in the kernel.
        let enough = u32::try_from(plain.len()).map_or(dictionary, |length| length.next_power_of_two());
        options.lzma_options.dict_size = dictionary.min(enough.max(4096));
        if x86 {
            options.prepend_pre_filter(FilterType::BcjX86, 0);
        }
        let mut writer = XzWriter::new(Vec::new(), options)?;
        writer.write_all(plain)?;
        writer.finish()
    };
    let without = pack(false)?;
    if !x86 {
        return Ok(without);
    }
    let with = pack(true)?;
    Ok(if with.len() < without.len() { with } else { without })
}

/// A zstd frame whose window is no larger than the content needs: the kernel gives its decoder one block.
fn pack_zstd(plain: &[u8]) -> Vec<u8> {
    const DESCRIPTOR: usize = 5;
    let mut packed = ruzstd::encoding::compress_to_vec(plain, ruzstd::encoding::CompressionLevel::Fastest);
    let needed = plain.len().next_power_of_two().max(1024).ilog2();
    // Frame_Header of RFC 8878: the descriptor's upper five bits are the window's logarithm less ten.
    if let Some(window) = packed.get_mut(DESCRIPTOR)
        && let Ok(exponent) = u8::try_from(needed - 10)
    {
        *window = (*window).min(exponent << 3);
    }
    packed
}
