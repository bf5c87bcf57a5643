//! Reading one gzip member (RFC 1952), with the numbers that a person needs when it is broken.

#[cfg(test)]
use std::path::Path;
use std::sync::Arc;

use super::disk::{Disk, DiskBuilder};
use super::input::Input;
#[cfg(test)]
use super::input::with_digest;
use crate::error::{Error, Result};
#[cfg(test)]
use crate::progress::Silent;

mod blocks;
mod inflate;
mod stream;

pub(crate) use stream::DeflateStream;

/// First bytes of a gzip member whose method is deflate (RFC 1952, 2.3.1).
pub(super) const MAGIC: [u8; 2] = [0x1F, 0x8B];

const DEFLATE: u8 = 8;
const FLAG_HEADER_CRC: u8 = 0x02;
const FLAG_EXTRA: u8 = 0x04;
const FLAG_NAME: u8 = 0x08;
const FLAG_COMMENT: u8 = 0x10;
const FLAGS_RESERVED: u8 = 0xE0;

/// Longest file name or comment in a gzip header that is read.
const LONGEST_TEXT: usize = 64 * 1024;
/// Unpacks the gzip member that begins at the input's position; leaves the input behind the member. With `keep` the disk
/// [knows](Disk::stream) the stream that it came from.
///
/// # Errors
/// Corrupt when the member is cut, its deflate stream broken, or its CRC or length wrong; unsupported above the limits
/// of which `grown` knows, which is called whenever the disk grew.
pub(super) fn unpack(input: &mut Input<'_>, keep: bool, grown: impl FnMut(&DiskBuilder) -> Result<()>) -> Result<Disk> {
    skip_header(input)?;
    let blocks::Inflated { builder, crc, stream } = blocks::inflate(input, keep, grown)?;
    check_footer(input, crc, builder.length())?;
    Ok(match stream {
        Some(stream) => builder.build_from(Arc::new(stream)),
        None => builder.build(),
    })
}

#[cfg(test)]
impl Disk {
    /// The disk in the gzip member `member`. It keeps the member's [stream](Disk::stream).
    ///
    /// # Errors
    /// Corrupt when it is no member, or a broken one.
    pub(crate) fn from_gzip(member: &[u8]) -> Result<Self> {
        let mut reader = member;
        let name = Path::new("gzip data in memory");
        with_digest(&mut reader, name, None, &Silent, |input| unpack(input, true, |_| Ok(()))).map(|(disk, _)| disk)
    }
}

fn ended(at: u64, unpacked: u64) -> Error {
    Error::corrupt(format!("the gzip data ends too early, at byte {at}; {unpacked} bytes were unpacked"))
        .remedy("the file was cut: download or build it again")
}

/// The next byte; `unpacked` is for the message when the file is over.
fn next_byte(input: &mut Input<'_>, unpacked: u64) -> Result<u8> {
    let at = input.position();
    let byte = input.peek()?.first().copied().ok_or_else(|| ended(at, unpacked))?;
    input.consume(1);
    Ok(byte)
}

/// RFC 1952, 2.3: ten fixed bytes, then what the flags announce.
fn skip_header(input: &mut Input<'_>) -> Result<()> {
    let mut fixed = [0; 10];
    for byte in &mut fixed {
        *byte = next_byte(input, 0)?;
    }
    let [_, _, method, flags, ..] = fixed;
    if method != DEFLATE {
        return Err(Error::corrupt(format!("gzip method {method} in byte 2, expected 8 (deflate)")));
    }
    if flags & FLAGS_RESERVED != 0 {
        return Err(Error::corrupt(format!("reserved gzip flags {flags:#04x} in byte 3")));
    }
    if flags & FLAG_EXTRA != 0 {
        let length = u16::from_le_bytes([next_byte(input, 0)?, next_byte(input, 0)?]);
        for _ in 0..length {
            next_byte(input, 0)?;
        }
    }
    for (flag, what) in [(FLAG_NAME, "file name"), (FLAG_COMMENT, "comment")] {
        if flags & flag != 0 {
            skip_text(input, what)?;
        }
    }
    if flags & FLAG_HEADER_CRC != 0 {
        next_byte(input, 0)?;
        next_byte(input, 0)?;
    }
    Ok(())
}

fn skip_text(input: &mut Input<'_>, what: &str) -> Result<()> {
    for _ in 0..LONGEST_TEXT {
        if next_byte(input, 0)? == 0 {
            return Ok(());
        }
    }
    Err(Error::corrupt(format!("the {what} in the gzip header is longer than {LONGEST_TEXT} bytes")))
}

/// RFC 1952, 2.3.1: CRC-32 of the unpacked bytes and their number modulo 2^32, both little-endian.
fn check_footer(input: &mut Input<'_>, crc: u32, length: u64) -> Result<()> {
    let at = input.position();
    let mut footer = [0; 8];
    for byte in &mut footer {
        *byte = next_byte(input, length)?;
    }
    let [a, b, c, d, e, f, g, h] = footer;
    let stored_crc = u32::from_le_bytes([a, b, c, d]);
    let stored_length = u32::from_le_bytes([e, f, g, h]);
    let remedy = "the file is damaged: download or build it again";
    if stored_crc != crc {
        return Err(Error::corrupt(format!(
            "CRC-32 of the {length} unpacked bytes is {crc:#010x}, the gzip footer at byte {at} says {stored_crc:#010x}"
        ))
        .remedy(remedy));
    }
    if u64::from(stored_length) != length & 0xFFFF_FFFF {
        return Err(Error::corrupt(format!(
            "{length} bytes were unpacked, the gzip footer at byte {at} says {stored_length} (modulo 4 GiB)"
        ))
        .remedy(remedy));
    }
    Ok(())
}
