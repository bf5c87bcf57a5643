//! New data blocks and fragments.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::compressor::Compressor;
use super::inode::{Content, NO_FRAGMENT};
use super::superblock::{NO_FRAGMENTS, PLAIN_DATA, PLAIN_FRAGMENTS, Superblock};
use super::tables::{Fragment, PLAIN};
use super::tree::Id;
use crate::error::{Error, Result};

/// The contents of new files, ready to be stored.
pub(super) struct NewData {
    /// Blocks and fragment blocks, one behind the other.
    pub(super) bytes: Vec<u8>,
    /// Where each new file lies.
    pub(super) contents: BTreeMap<Id, Content>,
    /// The new fragment blocks.
    pub(super) fragments: Vec<Fragment>,
}

/// What becomes one block on the volume.
enum Piece<'a> {
    /// A block of the file at this place in the list of files.
    Block(usize, &'a [u8]),
    /// A fragment block with the ends of several files.
    Fragment(Vec<u8>),
}

impl Piece<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Block(_, bytes) => bytes,
            Self::Fragment(bytes) => bytes,
        }
    }
}

/// Packs `files`, whose blocks will begin at byte `start` of the volume, beside `fragments` older fragment blocks.
///
/// # Errors
/// The packer fails, or a number grows beyond what the format can hold.
pub(super) fn pack(
    files: &[(Id, &[u8])],
    compressor: &Compressor,
    superblock: &Superblock,
    start: u64,
    fragments: usize,
) -> Result<NewData> {
    let (pieces, mut contents) = cut(files, superblock, fragments)?;
    let packed: Vec<Result<Option<Vec<u8>>>> =
        pieces.par_iter().map(|piece| pack_piece(piece, compressor, superblock)).collect();
    let mut data = NewData { bytes: Vec::new(), contents: BTreeMap::new(), fragments: Vec::new() };
    for (piece, packed) in pieces.iter().zip(packed) {
        let place = start + data.bytes.len() as u64;
        let packed = packed?;
        let plain = piece.bytes();
        let (bytes, mark) = packed.as_deref().map_or((plain, PLAIN), |bytes| (bytes, 0));
        let stored = u32::try_from(bytes.len()).map_err(|_| beyond())? | mark;
        match piece {
            Piece::Fragment(_) => data.fragments.push(Fragment { start: place, stored }),
            Piece::Block(file, _) => {
                let content = contents.get_mut(*file).ok_or_else(beyond)?;
                if plain.iter().all(|byte| *byte == 0) {
                    content.sparse += plain.len() as u64;
                    content.blocks.push(0);
                    continue;
                }
                if content.start == 0 {
                    content.start = place;
                }
                content.blocks.push(stored);
            }
        }
        data.bytes.extend(bytes);
    }
    data.contents = files.iter().map(|(id, _)| *id).zip(contents).collect();
    Ok(data)
}

fn beyond() -> Error {
    Error::unsupported("squashfs: the new data grows beyond what the format can hold")
}

/// Cuts the files into blocks. Files shorter than a block share fragment blocks, unless the filesystem has none.
fn cut<'a>(
    files: &[(Id, &'a [u8])],
    superblock: &Superblock,
    fragments: usize,
) -> Result<(Vec<Piece<'a>>, Vec<Content>)> {
    let block = superblock.block_length();
    let mut pieces = Vec::new();
    let mut contents = Vec::new();
    let mut shared: Vec<u8> = Vec::new();
    let mut number = u32::try_from(fragments).map_err(|_| beyond())?;
    for (index, (_, bytes)) in files.iter().enumerate() {
        let size = bytes.len() as u64;
        let mut content = Content { start: 0, size, sparse: 0, fragment: NO_FRAGMENT, offset: 0, blocks: Vec::new() };
        if bytes.is_empty() {
            // No blocks at all.
        } else if bytes.len() >= block || superblock.has(NO_FRAGMENTS) {
            pieces.extend(bytes.chunks(block).map(|bytes| Piece::Block(index, bytes)));
        } else {
            if shared.len() + bytes.len() > block {
                pieces.push(Piece::Fragment(std::mem::take(&mut shared)));
                number = number.checked_add(1).ok_or_else(beyond)?;
            }
            content.fragment = number;
            content.offset = u32::try_from(shared.len()).map_err(|_| beyond())?;
            shared.extend(*bytes);
        }
        contents.push(content);
    }
    if !shared.is_empty() {
        pieces.push(Piece::Fragment(shared));
    }
    Ok((pieces, contents))
}

fn pack_piece(piece: &Piece<'_>, compressor: &Compressor, superblock: &Superblock) -> Result<Option<Vec<u8>>> {
    let plain = match piece {
        Piece::Block(_, bytes) => superblock.has(PLAIN_DATA) || bytes.iter().all(|byte| *byte == 0),
        Piece::Fragment(_) => superblock.has(PLAIN_FRAGMENTS),
    };
    if plain { Ok(None) } else { compressor.pack(piece.bytes()) }
}
