//! Packs blocks. What many filesystems with one beginning pack alike is packed once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::compressor::Compressor;
use crate::error::Result;

/// Bytes of packed blocks from which on what was not asked for lately is forgotten.
const REMEMBERED: usize = 4 << 20;

/// A packed block; `None` when packing does not make it shorter.
type Block = Option<Arc<[u8]>>;

/// What tells a block: SHA-256 of its bytes, and whether branch filters were tried.
type Key = ([u8; 32], bool);

/// Packs blocks by one compressor.
#[derive(Clone, Copy)]
pub(super) struct Packer<'a> {
    pub(super) compressor: &'a Compressor,
    pub(super) packed: &'a Packed,
}

impl Packer<'_> {
    /// `plain` packed, or `None` when that does not make it shorter. `branches` as for [`Compressor::pack`].
    ///
    /// # Errors
    /// The packer fails.
    pub(super) fn pack(&self, plain: &[u8], branches: bool) -> Result<Block> {
        let pack = || Ok(self.compressor.pack(plain, branches)?.map(Arc::from));
        let Some(known) = &self.packed.0 else { return pack() };
        let lock = || known.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (Sha256::digest(plain).into(), branches);
        if let Some(block) = lock().get(&key) {
            return Ok(block);
        }
        // Two may pack the same at the same time; both get the same.
        let block: Block = pack()?;
        lock().put(key, block.clone());
        Ok(block)
    }
}

/// What blocks were packed to by one compressor; the default remembers nothing. Clones remember in common.
#[derive(Clone, Default)]
pub(super) struct Packed(Option<Arc<Mutex<Known>>>);

impl Packed {
    /// Remembers.
    pub(super) fn remembering() -> Self {
        Self(Some(Arc::default()))
    }
}

/// Blocks in two ages: when the young ones are many, the old ones go and the young ones are the old ones. What is asked for
/// is young again, so what everybody asks for stays.
#[derive(Default)]
struct Known {
    young: HashMap<Key, Block>,
    old: HashMap<Key, Block>,
    /// Bytes of the young ones.
    held: usize,
}

impl Known {
    fn get(&mut self, key: &Key) -> Option<Block> {
        if let Some(block) = self.young.get(key) {
            return Some(block.clone());
        }
        let block = self.old.remove(key)?;
        self.put(*key, block.clone());
        Some(block)
    }

    fn put(&mut self, key: Key, block: Block) {
        let length = size_of::<(Key, Block)>() + block.as_ref().map_or(0, |block| block.len());
        if self.held + length > REMEMBERED {
            self.old = std::mem::take(&mut self.young);
            self.held = 0;
        }
        self.held += length;
        self.young.insert(key, block);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_stays_and_memory_is_bounded() {
        let mut known = Known::default();
        let key = |number: u32| {
            let mut digest = [0; 32];
            digest[..4].copy_from_slice(&number.to_le_bytes());
            (digest, false)
        };
        let block = |number: u32| Some(Arc::from(vec![u8::try_from(number % 251).unwrap(); 100_000]));
        for number in 0..1000 {
            known.put(key(number), block(number));
            assert_eq!(known.get(&key(0)), Some(block(0)), "after {number}");
            assert_eq!(known.get(&key(number)), Some(block(number)));
            let held: usize = known.young.values().chain(known.old.values()).flatten().map(|block| block.len()).sum();
            assert!(held <= 2 * REMEMBERED, "{held} bytes after {number}");
        }
        assert_eq!(known.get(&key(1)), None);
    }
}
