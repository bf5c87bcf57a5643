//! The outer form (adb.h, adb_comp.c): a packed stream, and in it a header and blocks.

use std::io::{self, BufReader, Read};

use crate::error::{Error, Result};
use crate::kernel::bytes::{slice, u32_at, u64_at};
use crate::package::contents::LARGEST_CONTENT;
use crate::source::decoder;

/// "ADB." and, behind it, the schema of packages.
const HEADER: u64 = 8;
const SCHEMA_PACKAGE: u32 = 0x676B_6370;
const SCHEMA_INDEX: u32 = 0x7864_6E69;
const SCHEMA_INSTALLED: u32 = 0x0062_6469;
/// Block types.
const BLOCK_ADB: u32 = 0;
const BLOCK_SIGNATURE: u32 = 1;
const BLOCK_DATA: u32 = 2;
const BLOCK_EXTENDED: u32 = 3;
/// Most blocks: one per file, and signatures.
const MOST_BLOCKS: usize = 70_000;

fn damaged(error: io::Error) -> Error {
    Error::corrupt(format!("the packed stream is damaged or cut short: {error}")).remedy(ANEW)
}

const ANEW: &str = "fetch or build the package anew";

/// Undoes the packing: `ADB.` as it stands, `ADBd` raw deflate, `ADBc` with an algorithm (0 none, 1 deflate, 2 zstd) and a
/// level.
///
/// # Errors
/// Corrupt, or unsupported: another algorithm, more than an image can take.
pub(super) fn unpack(bytes: &[u8]) -> Result<Vec<u8>> {
    let body = |start: usize| bytes.get(start..).unwrap_or_default();
    let deflated = |start: usize| -> Box<dyn Read + '_> { Box::new(flate2::read::DeflateDecoder::new(body(start))) };
    let reader: Box<dyn Read + '_> = match (bytes.get(3), bytes.get(4)) {
        (Some(b'.'), _) => Box::new(bytes),
        (Some(b'd'), _) => deflated(4),
        (Some(b'c'), Some(0)) => Box::new(body(6)),
        (Some(b'c'), Some(1)) => deflated(6),
        (Some(b'c'), Some(2)) => decoder(BufReader::new(body(6))).map_err(damaged)?,
        (Some(b'c'), Some(other)) => {
            return Err(Error::unsupported(format!(
                "it is packed with algorithm {other}; 0 (none), 1 (deflate) and 2 (zstd) are read"
            ))
            .remedy("build it with `apk mkpkg --compression deflate`"));
        }
        (other, _) => {
            let other = other.map_or_else(|| "nothing".to_owned(), |byte| format!("0x{byte:02x}"));
            return Err(Error::corrupt(format!("behind ADB stands {other}, not one of `.`, `d` and `c`")).remedy(ANEW));
        }
    };
    let mut content = Vec::new();
    let mut reader = reader.take(LARGEST_CONTENT.saturating_add(1));
    reader.read_to_end(&mut content).map_err(damaged)?;
    if reader.limit() == 0 {
        return Err(Error::unsupported(format!("it unpacks to more than {} MiB", LARGEST_CONTENT >> 20))
            .remedy("give a package that fits into an image"));
    }
    Ok(content)
}

/// The content of one file, by its place among the paths.
#[derive(Debug, Clone, Copy)]
pub(super) struct Data<'a> {
    /// Which path, from 1.
    pub(super) path: u32,
    /// Which of its files, from 1.
    pub(super) file: u32,
    /// The bytes.
    pub(super) bytes: &'a [u8],
}

/// The blocks of a package.
#[derive(Debug)]
pub(super) struct Container<'a> {
    /// Payload of the ADB block.
    pub(super) adb: &'a [u8],
    /// Number of signatures.
    pub(super) signatures: usize,
    /// The files' contents, in order.
    pub(super) data: Vec<Data<'a>>,
}

impl<'a> Container<'a> {
    /// Takes `content` apart.
    ///
    /// # Errors
    /// Corrupt: blocks that do not fit or come in another order; unsupported: an index, or another schema.
    pub(super) fn parse(content: &'a [u8]) -> Result<Self> {
        let schema = match (content.starts_with(b"ADB."), u32_at(content, 4)) {
            (true, Some(schema)) => schema,
            _ => return Err(Error::corrupt("the unpacked stream does not begin with ADB. and a schema").remedy(ANEW)),
        };
        match schema {
            SCHEMA_PACKAGE => {}
            SCHEMA_INDEX | SCHEMA_INSTALLED => {
                let what = if schema == SCHEMA_INDEX { "a repository's index" } else { "a database" };
                return Err(
                    Error::unsupported(format!("this is {what}, not a package")).remedy("give the package file")
                );
            }
            other => return Err(Error::unsupported(format!("its schema is 0x{other:08x}, not that of packages"))),
        }
        let mut container = Self { adb: &[], signatures: 0, data: Vec::new() };
        let mut offset = HEADER;
        let length = content.len() as u64;
        let mut count = 0usize;
        while offset < length {
            let block = Block::parse(content, offset)?;
            container.take(&block, count).map_err(|error| error.at(format!("block at 0x{offset:x}")))?;
            count = count.saturating_add(1);
            if count > MOST_BLOCKS {
                return Err(Error::corrupt(format!("it has more than {MOST_BLOCKS} blocks")).remedy(ANEW));
            }
            offset = block.next;
        }
        if count == 0 {
            return Err(Error::corrupt("it ends before its first block").remedy(ANEW));
        }
        Ok(container)
    }

    fn take(&mut self, block: &Block<'a>, index: usize) -> Result<()> {
        let wrong = |what: &str| Err(Error::corrupt(what.to_owned()).remedy(ANEW));
        match (block.kind, index) {
            (BLOCK_ADB, 0) => self.adb = block.payload,
            (BLOCK_ADB, _) => return wrong("a second ADB block"),
            (_, 0) => return wrong("the first block is not the ADB block"),
            (BLOCK_SIGNATURE, _) if !self.data.is_empty() => return wrong("a signature behind files"),
            (BLOCK_SIGNATURE, _) => self.signatures = self.signatures.saturating_add(1),
            (BLOCK_DATA, _) => {
                let bytes = block.payload.get(8..);
                let (Some(path), Some(file), Some(bytes)) = (u32_at(block.payload, 0), u32_at(block.payload, 4), bytes)
                else {
                    return wrong("a file's block is too short to say whose it is");
                };
                self.data.push(Data { path, file, bytes });
            }
            (other, _) => {
                return Err(Error::unsupported(format!("a block of the unknown type {other}"))
                    .remedy("build the package with apk-tools 3.0"));
            }
        }
        Ok(())
    }
}

struct Block<'a> {
    kind: u32,
    payload: &'a [u8],
    /// Where the next one begins.
    next: u64,
}

impl<'a> Block<'a> {
    /// A word of type (2 bits) and length including the word; for type 3 the rest of the word is the type, and a u32 and a
    /// u64 length including these 16 bytes follow. Blocks are aligned to 8 bytes.
    fn parse(content: &'a [u8], offset: u64) -> Result<Self> {
        let cut = || Error::corrupt(format!("the block at 0x{offset:x} is cut short")).remedy(ANEW);
        let word = u32_at(content, offset).ok_or_else(cut)?;
        let low = word & 0x3FFF_FFFF;
        let (kind, header, length) = match word >> 30 {
            BLOCK_EXTENDED => (low, 16, u64_at(content, offset.saturating_add(8)).ok_or_else(cut)?),
            kind => (kind, 4, u64::from(low)),
        };
        let payload = length.checked_sub(header).ok_or_else(cut)?;
        let payload = slice(content, offset.saturating_add(header), payload).ok_or_else(cut)?;
        let next = offset.checked_add(length).and_then(|end| end.checked_next_multiple_of(8)).ok_or_else(cut)?;
        Ok(Self { kind, payload, next })
    }
}
