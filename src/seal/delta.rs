//! Deltas: the pages of a disk that differ from those of a base image, and what they make of it.
//!
//! Containers that exist were weighed first. A qcow2 file over a backing file needs the base unpacked beside it, does not check
//! that it is the right one, and cannot give back the bytes of an `.img.gz`. `zstd --patch-from` has the whole base in its window:
//! libzstd's long distance matching, which no Rust encoder has, and as much memory. Here both sides know which pages changed, so
//! nothing has to be searched for.
//!
//! # Format, version 1
//!
//! Numbers are little-endian.
//!
//! | bytes | content |
//! |---|---|
//! | 8 | `IBDELTA` and a line feed |
//! | 4 | version: 1 |
//! | 4 | length of the header |
//! | | header: [`Header`] as JSON |
//! | | one zlib stream (RFC 1950): all page numbers, all kinds, all contents, each in ascending order of the pages |
//! | 32 | SHA-256 of everything in front |
//!
//! A page is 4096 bytes. Its number is stored as how many pages lie between it and the one before (u64), its kind as one byte:
//! 0 as it is, 1 XORed with the base's page, which is done where that leaves more zeroes. A last page that reaches behind
//! the end of the disk is zero there.

mod reader;
#[cfg(test)]
mod tests;
mod writer;

use serde::{Deserialize, Serialize};

use crate::image::{Disk, Form, PAGE};

pub(crate) use reader::Delta;
pub(super) use writer::write_delta;

/// First bytes.
const MAGIC: [u8; 8] = *b"IBDELTA\n";
/// The version that is written and read.
const VERSION: u32 = 1;
/// Bytes in front of the header.
const FRONT: usize = MAGIC.len() + 8;
/// Bytes of the SHA-256 at the end.
const SEAL: usize = 32;
/// Kind of a page that is stored as it is.
const PLAIN: u8 = 0;
/// Kind of a page that is XORed with the base's.
const XORED: u8 = 1;

/// Which file, exactly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileFacts {
    /// SHA-256, 64 lower-case hex digits.
    pub(crate) sha256: String,
    /// Length in bytes.
    pub(crate) length: u64,
}

/// What a delta says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    /// The program that wrote it.
    pub(crate) tool: String,
    /// The file that it was made against.
    pub(crate) base: FileFacts,
    /// Length of the disk that it makes, in bytes.
    pub(crate) disk_length: u64,
    /// How many pages it holds.
    pub(crate) pages: u64,
    /// Form of the output that it stands for: gzip or raw.
    pub(crate) form: Form,
    /// That output.
    pub(crate) output: FileFacts,
}

/// The program and its version, as the header names it.
fn tool() -> String {
    concat!("ibwrt ", env!("CARGO_PKG_VERSION")).to_owned()
}

/// XORs `page` with the base's content of the page with the number `number`.
fn xor(page: &mut [u8], base: &Disk, number: u64) {
    if let Some(old) = base.original_page(number) {
        page.iter_mut().zip(old).for_each(|(byte, old)| *byte ^= old);
    }
}

/// A page of zeroes.
const ZERO_PAGE: [u8; PAGE] = [0; PAGE];
