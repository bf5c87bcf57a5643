//! Building a disk from bytes that arrive in order.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::made::Made;
use super::{Base, Disk, Origin, REGION, REGION_U64, ZEROES, is_zero, within};
use crate::error::Result;
use crate::image::gzip::DeflateStream;

/// Builds a [`Disk`] from bytes that arrive in order.
#[derive(Debug, Default, Clone)]
pub(crate) struct DiskBuilder {
    /// How many bytes whole regions were made of.
    whole: u64,
    regions: BTreeMap<u64, Arc<[u8]>>,
    /// What came behind them.
    pending: Vec<u8>,
}

impl DiskBuilder {
    /// Appends `bytes`.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            if let Some((region, later)) = rest.split_at_checked(REGION).filter(|_| self.pending.is_empty()) {
                self.push_region(region);
                rest = later;
                continue;
            }
            let (now, later) = rest.split_at(rest.len().min(REGION - self.pending.len()));
            self.pending.extend_from_slice(now);
            if self.pending.len() == REGION {
                let region = std::mem::take(&mut self.pending);
                self.push_region(&region);
            }
            rest = later;
        }
    }

    /// Appends `count` zeroes, in a time that does not depend on how many.
    pub(crate) fn push_zeroes(&mut self, count: u64) {
        let zeroes = |count: u64| ZEROES.get(..within(count, REGION_U64)).unwrap_or_default();
        // Up to the border of a region, whole regions, and the beginning of another.
        let to_border = (self.length().next_multiple_of(REGION_U64) - self.length()).min(count);
        self.push(zeroes(to_border));
        let rest = (count - to_border) % REGION_U64;
        self.whole += count - to_border - rest;
        self.push(zeroes(rest));
    }

    /// Appends the `length` bytes of `source` from byte `offset` on. Whole regions are shared, where both sides begin
    /// at one; zeroes cost nothing.
    ///
    /// # Errors
    /// Corrupt when the range reaches behind the end of `source`.
    pub(crate) fn push_from(&mut self, source: &Disk, offset: u64, length: u64) -> Result<()> {
        source.check_range(offset, usize::try_from(length).unwrap_or(usize::MAX))?;
        let (mut position, end) = (offset, offset + length);
        while position < end {
            let count = (end - position).min(REGION_U64);
            if source.is_zero(position, count) {
                self.push_zeroes(count);
            } else if let Some(region) = self.whole_region(source, position, count) {
                self.regions.insert(self.whole / REGION_U64, region);
                self.whole += REGION_U64;
            } else {
                self.push(&source.read_vec(position, within(count, 2 * REGION_U64))?);
            }
            position += count;
        }
        Ok(())
    }

    /// The region of `source` that begins at byte `position`, if it can be shared.
    fn whole_region(&self, source: &Disk, position: u64, count: u64) -> Option<Arc<[u8]>> {
        let fits = self.pending.is_empty() && count == REGION_U64 && position.is_multiple_of(REGION_U64);
        (fits && source.changed.is_empty())
            .then(|| source.base.regions.get(&(position / REGION_U64)).cloned())
            .flatten()
    }

    /// Bytes appended so far.
    pub(crate) fn length(&self) -> u64 {
        self.whole + self.pending.len() as u64
    }

    /// Bytes held in memory for regions that are not all zeroes.
    pub(crate) fn stored(&self) -> u64 {
        self.regions.len() as u64 * REGION_U64
    }

    /// The finished disk.
    pub(crate) fn build(self) -> Disk {
        self.finish(0, None)
    }

    /// The finished disk, which was unpacked from `stream`.
    pub(in crate::image) fn build_from(self, stream: Arc<DeflateStream>) -> Disk {
        let length = self.length();
        self.finish(0, Some(Origin { stream, length }))
    }

    /// A disk with what was appended so far, and zeroes behind it up to `length` bytes.
    pub(in crate::image) fn beginning(&self, length: u64) -> Disk {
        self.clone().finish(length, None)
    }

    fn push_region(&mut self, bytes: &[u8]) {
        if !is_zero(bytes) {
            self.regions.insert(self.whole / REGION_U64, bytes.into());
        }
        self.whole += REGION_U64;
    }

    fn finish(mut self, least: u64, origin: Option<Origin>) -> Disk {
        let length = self.length().max(least);
        if !self.pending.is_empty() {
            let mut last = std::mem::take(&mut self.pending);
            last.resize(REGION, 0);
            self.push_region(&last);
        }
        let base = Base { length, regions: self.regions, origin, edited: None, file: None, made: Made::default() };
        Disk { base: Arc::new(base), changed: BTreeMap::new() }
    }
}
