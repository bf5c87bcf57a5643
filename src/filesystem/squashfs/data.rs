//! New data blocks and fragments.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rayon::prelude::*;

use super::inode::{Content, NO_FRAGMENT};
use super::packer::Packer;
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

/// How an ELF file begins.
const ELF: &[u8] = b"\x7FELF";

/// What becomes of the last fragment blocks, in which there is room for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Last {
    /// They are stored.
    Stored,
    /// They wait for further files; those in them are not among [`NewData::contents`].
    Open,
}

/// What becomes one block on the volume.
struct Piece<'a> {
    bytes: Cow<'a, [u8]>,
    /// The place in the list of files of the file whose block it is; `None`: a fragment block with several files.
    file: Option<usize>,
    /// Whether [`branches`] says so of a file in it.
    branches: bool,
}

/// Whether `bytes` are a linked ELF file: its branches have their targets and a branch filter pays. Those of a
/// relocatable one, as every kernel module is, are still open: of 22 blocks of modules the filter shortened none.
fn branches(bytes: &[u8]) -> bool {
    let kind = bytes.get(16..18);
    bytes.starts_with(ELF) && (kind == Some(&[2, 0]) || kind == Some(&[3, 0]))
}

/// Packs `files`, whose blocks will begin at byte `start` of the volume, beside `fragments` older fragment blocks.
///
/// # Errors
/// The packer fails, or a number grows beyond what the format can hold.
pub(super) fn pack(
    files: &[(Id, &[u8])],
    packer: Packer<'_>,
    superblock: &Superblock,
    start: u64,
    fragments: usize,
    last: Last,
) -> Result<NewData> {
    let Cut { pieces, mut contents, open } = Cut::of(files, superblock, fragments, last)?;
    let packed: Vec<Result<Option<Arc<[u8]>>>> =
        pieces.par_iter().map(|piece| pack_piece(piece, packer, superblock)).collect();
    let mut data = NewData { bytes: Vec::new(), contents: BTreeMap::new(), fragments: Vec::new() };
    for (piece, packed) in pieces.iter().zip(packed) {
        let place = start + data.bytes.len() as u64;
        let packed = packed?;
        let (bytes, mark) = packed.as_deref().map_or((&*piece.bytes, PLAIN), |bytes| (bytes, 0));
        let stored = u32::try_from(bytes.len()).map_err(|_| beyond())? | mark;
        let Some(file) = piece.file else {
            data.fragments.push(Fragment { start: place, stored });
            data.bytes.extend(bytes);
            continue;
        };
        let content = contents.get_mut(file).ok_or_else(beyond)?;
        if is_zero(&piece.bytes) {
            content.sparse += piece.bytes.len() as u64;
            content.blocks.push(0);
            continue;
        }
        if content.start == 0 {
            content.start = place;
        }
        content.blocks.push(stored);
        data.bytes.extend(bytes);
    }
    let placed = files.iter().map(|(id, _)| *id).zip(contents).enumerate();
    data.contents = placed.filter(|(index, _)| !open.contains(index)).map(|(_, content)| content).collect();
    Ok(data)
}

fn beyond() -> Error {
    Error::unsupported("squashfs: the new data grows beyond what the format can hold")
}

/// Files cut into blocks.
struct Cut<'a> {
    pieces: Vec<Piece<'a>>,
    contents: Vec<Content>,
    /// The places in the list of files of those whose fragment block is not among the pieces yet.
    open: BTreeSet<usize>,
}

/// A fragment block in the making.
struct Shared<'a> {
    piece: Piece<'a>,
    /// The places in the list of files of those in it.
    files: Vec<usize>,
}

impl Shared<'_> {
    fn new() -> Self {
        Self { piece: Piece { bytes: Cow::default(), file: None, branches: false }, files: Vec::new() }
    }
}

/// Whether a file shorter than a block shares a fragment block with short texts, not with programs, modules and longer files.
/// Like packs well with like; and a host's own settings, which are short texts, do not make what is alike in every host be
/// packed with them.
fn is_short_text(bytes: &[u8], block: usize) -> bool {
    !bytes.starts_with(ELF) && bytes.len() <= block / 4
}

impl<'a> Cut<'a> {
    /// Cuts the files into blocks. Files shorter than a block share fragment blocks, unless the filesystem has none.
    fn of(files: &[(Id, &'a [u8])], superblock: &Superblock, fragments: usize, last: Last) -> Result<Self> {
        let block = superblock.block_length();
        let mut cut = Cut { pieces: Vec::new(), contents: Vec::new(), open: BTreeSet::new() };
        let mut number = u32::try_from(fragments).map_err(|_| beyond())?;
        let (mut others, mut texts) = (Shared::new(), Shared::new());
        for (index, (_, bytes)) in files.iter().enumerate() {
            let size = bytes.len() as u64;
            let mut content =
                Content { start: 0, size, sparse: 0, fragment: NO_FRAGMENT, offset: 0, blocks: Vec::new() };
            if bytes.is_empty() {
                // No blocks at all.
            } else if bytes.len() >= block || superblock.has(NO_FRAGMENTS) {
                let branches = branches(bytes);
                let piece = |bytes: &'a [u8]| Piece { bytes: bytes.into(), file: Some(index), branches };
                cut.pieces.extend(bytes.chunks(block).map(piece));
            } else {
                let shared = if is_short_text(bytes, block) { &mut texts } else { &mut others };
                if shared.piece.bytes.len() + bytes.len() > block {
                    cut.close(std::mem::replace(shared, Shared::new()), &mut number)?;
                }
                content.offset = u32::try_from(shared.piece.bytes.len()).map_err(|_| beyond())?;
                shared.piece.bytes.to_mut().extend(*bytes);
                shared.piece.branches |= branches(bytes);
                shared.files.push(index);
            }
            cut.contents.push(content);
        }
        for shared in [others, texts].into_iter().filter(|shared| !shared.files.is_empty()) {
            match last {
                Last::Open => cut.open.extend(shared.files),
                Last::Stored => cut.close(shared, &mut number)?,
            }
        }
        Ok(cut)
    }

    /// Adds a fragment block, which gets `number`, the next one's after it.
    fn close(&mut self, shared: Shared<'a>, number: &mut u32) -> Result<()> {
        for file in shared.files {
            self.contents.get_mut(file).ok_or_else(beyond)?.fragment = *number;
        }
        self.pieces.push(shared.piece);
        *number = number.checked_add(1).ok_or_else(beyond)?;
        Ok(())
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

fn pack_piece(piece: &Piece<'_>, packer: Packer<'_>, superblock: &Superblock) -> Result<Option<Arc<[u8]>>> {
    let plain = match piece.file {
        Some(_) => superblock.has(PLAIN_DATA) || is_zero(&piece.bytes),
        None => superblock.has(PLAIN_FRAGMENTS),
    };
    if plain { Ok(None) } else { packer.pack(&piece.bytes, piece.branches) }
}
