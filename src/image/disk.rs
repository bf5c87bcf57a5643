//! The copy-on-write disk: an immutable base shared by all clones, and the pages that one clone changed.
//!
//! A clone costs as much as its changed pages. Regions of the base that are all zeroes are not stored, so a large
//! sparse image needs no more memory than its content.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::gzip::DeflateStream;
use crate::error::{Error, Result};

/// Bytes per changed page: the unit of copying and of [`Disk::changed_pages`].
pub(crate) const PAGE: usize = 4096;
/// Bytes per stored region of the base; a multiple of [`PAGE`].
const REGION: usize = 16 * PAGE;

const PAGE_U64: u64 = PAGE as u64;
const REGION_U64: u64 = REGION as u64;
const PAGES_PER_REGION: u64 = REGION_U64 / PAGE_U64;
static ZEROES: [u8; REGION] = [0; REGION];

/// The immutable content that clones share.
struct Base {
    /// Length in bytes.
    length: u64,
    /// Region number → its [`REGION`] bytes; what is absent is all zeroes.
    regions: BTreeMap<u64, Arc<[u8]>>,
    /// The deflate stream that the content was unpacked from.
    origin: Option<Origin>,
    /// What was edited since it was unpacked.
    edited: Option<Edited>,
    /// The file that it was read from.
    file: Option<Arc<SourceFile>>,
}

/// The file that a disk was read from, whole.
#[derive(Debug)]
pub(crate) struct SourceFile {
    /// SHA-256, 64 lower-case hex digits.
    pub(crate) sha256: String,
    /// Length in bytes.
    pub(crate) length: u64,
    /// Whether it begins with the disk's bytes as they are.
    pub(crate) is_plain: bool,
}

/// How a base came about from another one.
#[derive(Clone)]
struct Edited {
    /// The base that its stream unpacks to.
    before: Arc<Base>,
    /// The pages that were changed since.
    pages: BTreeSet<u64>,
}

impl Base {
    /// The same with other content.
    fn with_regions(&self, regions: BTreeMap<u64, Arc<[u8]>>) -> Self {
        let Self { length, origin, edited, file, .. } = self;
        Self { length: *length, regions, origin: origin.clone(), edited: edited.clone(), file: file.clone() }
    }

    /// Content of a page; `None` is all zeroes.
    fn page(&self, page: u64) -> Option<&[u8]> {
        let start = page.checked_mul(PAGE_U64)?;
        let within = within(start, REGION_U64);
        self.regions.get(&(start / REGION_U64))?.get(within..within + PAGE)
    }
}

/// Where the content of a base came from.
#[derive(Debug, Clone)]
struct Origin {
    stream: Arc<DeflateStream>,
    /// How many bytes of the base are as the stream has them.
    length: u64,
}

/// A disk's bytes. Cloning shares the base.
#[derive(Clone)]
pub(crate) struct Disk {
    base: Arc<Base>,
    /// Page number → content of a page that differs from the base.
    changed: BTreeMap<u64, Box<[u8]>>,
}

impl fmt::Debug for Disk {
    /// Its sizes; the content would fill books.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (regions, changed) = (self.base.regions.len(), self.changed.len());
        f.debug_struct("Disk")
            .field("length", &self.length())
            .field("regions", &regions)
            .field("changed_pages", &changed)
            .finish()
    }
}

impl Disk {
    /// A disk holding `bytes`.
    #[cfg(test)]
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        let mut builder = DiskBuilder::default();
        builder.push(bytes);
        builder.build()
    }

    /// The same disk with zeroes behind it, up to `length` bytes; a smaller `length` changes nothing.
    pub(crate) fn lengthened(&self, length: u64) -> Self {
        let length = length.max(self.length());
        let mut base = self.base.with_regions(self.base.regions.clone());
        base.length = length;
        Self { base: Arc::new(base), changed: self.changed.clone() }
    }

    /// Length in bytes.
    pub(crate) fn length(&self) -> u64 {
        self.base.length
    }

    /// The deflate stream that the base was unpacked from, where it was kept, and how many bytes from the first one on
    /// the base has in common with it; [changed pages](Disk::changed_pages) differ all the same.
    pub(crate) fn stream(&self) -> Option<(&DeflateStream, u64)> {
        self.base.origin.as_ref().map(|origin| (&*origin.stream, origin.length))
    }

    /// The file that the base was read from, where it was read from one.
    pub(crate) fn file(&self) -> Option<&SourceFile> {
        self.base.file.as_deref()
    }

    /// The same disk, known to be read from `file`.
    pub(super) fn of_file(self, file: SourceFile) -> Self {
        let mut base = self.base.with_regions(self.base.regions.clone());
        base.file = Some(Arc::new(file));
        Self { base: Arc::new(base), changed: self.changed }
    }

    /// Content of the page with the number `page` as it was read, whatever was edited since; as [`Disk::page`].
    pub(crate) fn original_page(&self, page: u64) -> Option<&[u8]> {
        let edited = self.base.edited.as_ref();
        edited.map_or(&*self.base, |edited| &*edited.before).page(page)
    }

    /// Numbers of the pages of [`PAGE`] bytes whose content differs from what the [stream](Disk::stream) unpacks to (where
    /// there is none, from the base), ascending. How they came to differ does not matter.
    pub(crate) fn changed_pages(&self) -> Vec<u64> {
        let edited = self.base.edited.as_ref();
        let mut pages: BTreeSet<u64> = edited.map(|edited| edited.pages.clone()).unwrap_or_default();
        pages.extend(self.changed.keys());
        pages.into_iter().filter(|page| !is_same(self.original_page(*page), self.page(*page))).collect()
    }

    /// The same disk as the base of many: clones of it start without a changed page of their own.
    pub(crate) fn founded(self) -> Self {
        if self.changed.is_empty() {
            return self;
        }
        let mut regions = self.base.regions.clone();
        let mut pages = self.base.edited.as_ref().map(|edited| edited.pages.clone()).unwrap_or_default();
        let mut changed = self.changed.iter().peekable();
        while let Some((first, _)) = changed.peek() {
            let region = **first / PAGES_PER_REGION;
            let mut bytes = regions.get(&region).map_or_else(|| vec![0; REGION], |bytes| bytes.to_vec());
            while let Some((page, content)) = changed.next_if(|(page, _)| **page / PAGES_PER_REGION == region) {
                let start = within(page.saturating_mul(PAGE_U64), REGION_U64);
                if let Some(target) = bytes.get_mut(start..start + PAGE) {
                    target.copy_from_slice(content);
                }
                pages.insert(*page);
            }
            match is_zero(&bytes) {
                true => regions.remove(&region),
                false => regions.insert(region, bytes.into()),
            };
        }
        let before =
            self.base.edited.as_ref().map_or_else(|| Arc::clone(&self.base), |edited| Arc::clone(&edited.before));
        let mut base = self.base.with_regions(regions);
        base.edited = Some(Edited { before, pages });
        Self { base: Arc::new(base), changed: BTreeMap::new() }
    }

    /// Whether both are clones of one disk, and neither changed one of `pages` since.
    pub(crate) fn shares(&self, other: &Self, pages: Range<u64>) -> bool {
        let is_untouched = |disk: &Self| disk.changed.range(pages.clone()).next().is_none();
        Arc::ptr_eq(&self.base, &other.base) && is_untouched(self) && is_untouched(other)
    }

    /// Numbers of the pages in `pages` whose content is not the same in both, ascending; `None` unless they are clones of one
    /// disk.
    pub(crate) fn differing_pages(&self, other: &Self, pages: Range<u64>) -> Option<Vec<u64>> {
        if !Arc::ptr_eq(&self.base, &other.base) {
            return None;
        }
        let changed = self.changed.range(pages.clone()).chain(other.changed.range(pages));
        let changed: BTreeSet<u64> = changed.map(|(page, _)| *page).collect();
        Some(changed.into_iter().filter(|page| !is_same(self.page(*page), other.page(*page))).collect())
    }

    #[cfg(test)]
    /// Whether nothing was changed since the base.
    pub(crate) fn is_unchanged(&self) -> bool {
        self.changed.is_empty()
    }

    /// Fills `buffer` from byte `offset` on.
    ///
    /// # Errors
    /// Corrupt when the range reaches behind the end.
    pub(crate) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.check_range(offset, buffer.len())?;
        let mut position = offset;
        let mut rest = buffer;
        while !rest.is_empty() {
            let page = position / PAGE_U64;
            let within = within(position, PAGE_U64);
            let (now, later) = rest.split_at_mut(rest.len().min(PAGE - within));
            match self.page(page).and_then(|bytes| bytes.get(within..within + now.len())) {
                Some(bytes) => now.copy_from_slice(bytes),
                None => now.fill(0),
            }
            position += now.len() as u64;
            rest = later;
        }
        Ok(())
    }

    /// `length` bytes from byte `offset` on.
    ///
    /// # Errors
    /// As [`Disk::read_at`].
    pub(crate) fn read_vec(&self, offset: u64, length: usize) -> Result<Vec<u8>> {
        self.check_range(offset, length)?;
        let mut bytes = vec![0; length];
        self.read_at(offset, &mut bytes)?;
        Ok(bytes)
    }

    /// Whether a page of the `length` bytes from byte `offset` on was changed since the disk was read.
    pub(crate) fn is_changed(&self, offset: u64, length: u64) -> bool {
        let first = offset / PAGE_U64;
        let pages = first..offset.saturating_add(length).div_ceil(PAGE_U64).max(first);
        let edited = self.base.edited.as_ref().and_then(|edited| edited.pages.range(pages.clone()).next());
        edited.is_some() || self.changed.range(pages).next().is_some()
    }

    /// Replaces the bytes from `offset` on. A page that keeps its content does not count as changed.
    ///
    /// # Errors
    /// Corrupt when the range reaches behind the end.
    pub(crate) fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.check_range(offset, bytes.len())?;
        let mut position = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let page = position / PAGE_U64;
            let within = within(position, PAGE_U64);
            let (now, later) = rest.split_at(rest.len().min(PAGE - within));
            self.write_page(page, within, now);
            position += now.len() as u64;
            rest = later;
        }
        Ok(())
    }

    /// Zeroes the `length` bytes from byte `offset` on. Costs as much as what is stored there.
    ///
    /// # Errors
    /// Corrupt when the range reaches behind the end.
    pub(crate) fn clear(&mut self, offset: u64, length: u64) -> Result<()> {
        let end = offset.checked_add(length).filter(|end| *end <= self.length()).ok_or_else(|| {
            Error::corrupt(format!(
                "{length} bytes at byte {offset} reach behind the end of the disk ({} bytes)",
                self.length()
            ))
        })?;
        let pages = offset / PAGE_U64..end.div_ceil(PAGE_U64);
        let regions = offset / REGION_U64..end.div_ceil(REGION_U64);
        let mut stored: BTreeSet<u64> = self.changed.range(pages.clone()).map(|(page, _)| *page).collect();
        for (region, _) in self.base.regions.range(regions) {
            let first = region.saturating_mul(REGION_U64 / PAGE_U64);
            stored.extend((first..first + REGION_U64 / PAGE_U64).filter(|page| pages.contains(page)));
        }
        for page in stored {
            let start = page.saturating_mul(PAGE_U64);
            let (from, to) = (start.max(offset), (start + PAGE_U64).min(end));
            let count = usize::try_from(to - from).unwrap_or(PAGE);
            self.write_page(page, within(from, PAGE_U64), ZEROES.get(..count).unwrap_or_default());
        }
        Ok(())
    }

    /// Content of the page with the number `page`; `None` is all zeroes. The last page of a disk may hold bytes
    /// behind the disk's end, which are zero.
    pub(crate) fn page(&self, page: u64) -> Option<&[u8]> {
        if let Some(bytes) = self.changed.get(&page) {
            return Some(bytes);
        }
        self.base.page(page)
    }

    /// Whether the `length` bytes from byte `offset` on are all zeroes. Whole pages are looked at, so that a `false`
    /// may be due to a neighbour; bytes behind the end count as zeroes.
    pub(crate) fn is_zero(&self, offset: u64, length: u64) -> bool {
        let Some(last) = offset.saturating_add(length).checked_sub(1).filter(|_| length > 0) else {
            return true;
        };
        let pages = offset / PAGE_U64..=last / PAGE_U64;
        let regions = offset / REGION_U64..=last / REGION_U64;
        // Most of a large disk is in neither map.
        if self.changed.range(pages.clone()).next().is_none() && self.base.regions.range(regions).next().is_none() {
            return true;
        }
        pages.into_iter().all(|page| self.page(page).is_none_or(is_zero))
    }

    /// The first `length` bytes as a disk of their own, sharing the content; a greater `length` changes nothing.
    /// What was changed so far stays changed.
    ///
    /// # Errors
    /// None in practice: every write stays within the new length.
    pub(crate) fn shortened(&self, length: u64) -> Result<Self> {
        let length = length.min(self.length());
        let mut origin = self.base.origin.clone();
        if let Some(origin) = &mut origin {
            origin.length = origin.length.min(length);
        }
        let mut base = self.base.with_regions(self.base.regions.clone());
        (base.length, base.origin) = (length, origin);
        base.regions.retain(|region, _| region.saturating_mul(REGION_U64) < length);
        let cut = length / REGION_U64;
        if let Some(region) = base.regions.get_mut(&cut) {
            let mut bytes = region.to_vec();
            if let Some(behind) = bytes.get_mut(within(length, REGION_U64)..) {
                behind.fill(0);
            }
            *region = bytes.into();
        }
        let mut short = Self { base: Arc::new(base), changed: BTreeMap::new() };
        for (page, bytes) in &self.changed {
            let start = page.saturating_mul(PAGE_U64);
            let count = usize::try_from(length.saturating_sub(start)).unwrap_or(PAGE).min(PAGE);
            short.write_at(start.min(length), bytes.get(..count).unwrap_or(bytes))?;
        }
        Ok(short)
    }

    fn write_page(&mut self, page: u64, within: usize, bytes: &[u8]) {
        let range = within..within + bytes.len();
        if let Some(changed) = self.changed.get_mut(&page) {
            if let Some(target) = changed.get_mut(range) {
                target.copy_from_slice(bytes);
            }
            return;
        }
        let old = self.page(page);
        let same = match old.and_then(|old| old.get(range.clone())) {
            Some(old) => old == bytes,
            None => is_zero(bytes),
        };
        if same {
            return;
        }
        let mut content: Box<[u8]> = match old {
            Some(old) => old.into(),
            None => vec![0; PAGE].into(),
        };
        if let Some(target) = content.get_mut(range) {
            target.copy_from_slice(bytes);
        }
        self.changed.insert(page, content);
    }

    fn check_range(&self, offset: u64, length: usize) -> Result<()> {
        match offset.checked_add(length as u64) {
            Some(end) if end <= self.length() => Ok(()),
            _ => Err(Error::corrupt(format!(
                "{length} bytes at byte {offset} reach behind the end of the disk ({} bytes)",
                self.length()
            ))),
        }
    }
}

/// Position of `offset` within its unit of `unit` bytes, where `unit` is small.
fn within(offset: u64, unit: u64) -> usize {
    // The remainder is below the unit, which is at most 64 KiB.
    usize::try_from(offset % unit).unwrap_or(0)
}

/// Whether two pages have the same content; `None` is all zeroes.
fn is_same(one: Option<&[u8]>, other: Option<&[u8]>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one == other,
        (Some(bytes), None) | (None, Some(bytes)) => is_zero(bytes),
        (None, None) => true,
    }
}

/// Whether all of `bytes` are zero.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    // Comparing slices is a memcmp; testing byte by byte is several times slower.
    bytes.chunks(REGION).all(|chunk| ZEROES.get(..chunk.len()) == Some(chunk))
}

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
    pub(super) fn build_from(self, stream: Arc<DeflateStream>) -> Disk {
        let length = self.length();
        self.finish(0, Some(Origin { stream, length }))
    }

    /// A disk with what was appended so far, and zeroes behind it up to `length` bytes.
    pub(super) fn beginning(&self, length: u64) -> Disk {
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
        let base = Base { length, regions: self.regions, origin, edited: None, file: None };
        Disk { base: Arc::new(base), changed: BTreeMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counting(length: usize) -> Vec<u8> {
        (0..length).map(|i| (i % 251) as u8).collect()
    }

    #[test]
    fn what_was_built_reads_back_across_page_and_region_borders() {
        let bytes = counting(3 * REGION + 17);
        let disk = Disk::from_bytes(&bytes);
        assert_eq!(disk.length(), bytes.len() as u64);
        for (offset, length) in [(0, 10), (PAGE - 3, 7), (REGION - 5000, 10_000), (3 * REGION, 17)] {
            assert_eq!(disk.read_vec(offset as u64, length).unwrap(), &bytes[offset..offset + length]);
        }
    }

    #[test]
    fn a_write_changes_one_clone_and_not_the_other() {
        let disk = Disk::from_bytes(&counting(REGION));
        let mut edited = disk.clone();
        edited.write_at(PAGE_U64 - 1, &[0xAA, 0xBB]).unwrap();
        assert_eq!(edited.changed_pages(), [0, 1]);
        assert_eq!(edited.read_vec(PAGE_U64 - 1, 2).unwrap(), [0xAA, 0xBB]);
        assert_ne!(disk.read_vec(PAGE_U64 - 1, 2).unwrap(), [0xAA, 0xBB]);
        assert!(disk.is_unchanged());
    }

    #[test]
    fn clones_share_what_neither_changed() {
        let disk = Disk::from_bytes(&counting(4 * PAGE)).founded();
        let mut edited = disk.clone();
        edited.write_at(PAGE_U64, &[0xAA]).unwrap();
        assert!(disk.shares(&edited, 0..1) && disk.shares(&edited, 2..4));
        assert!(!disk.shares(&edited, 0..2) && !edited.shares(&disk, 1..4));
        assert!(!disk.shares(&edited.clone().founded(), 0..1), "another base");
    }

    #[test]
    fn a_page_that_has_its_old_content_again_is_not_changed() {
        let mut disk = Disk::from_bytes(&counting(REGION));
        disk.write_at(0, &[0xAA]).unwrap();
        disk.write_at(0, &[0]).unwrap();
        assert_eq!(disk.changed_pages(), Vec::<u64>::new());
    }

    #[test]
    fn writing_what_is_there_already_changes_nothing() {
        let mut disk = Disk::from_bytes(&vec![0; 2 * REGION]);
        disk.write_at(5, &[0; 9000]).unwrap();
        assert!(disk.is_unchanged());
    }

    #[test]
    fn a_range_behind_the_end_is_refused_with_its_numbers() {
        let disk = Disk::from_bytes(&[1; 100]);
        let error = disk.read_vec(90, 11).unwrap_err();
        assert_eq!(error.message(), "11 bytes at byte 90 reach behind the end of the disk (100 bytes)");
        assert!(disk.read_vec(u64::MAX, 2).is_err());
    }

    #[test]
    fn a_shortened_disk_ends_where_it_was_cut_and_is_zero_behind() {
        let bytes = counting(2 * REGION + 100);
        let mut disk = Disk::from_bytes(&bytes);
        disk.write_at(10, &[0xEE; 4]).unwrap();
        let short = disk.shortened(REGION_U64 + 50).unwrap();
        assert_eq!(short.length(), REGION_U64 + 50);
        assert_eq!(short.read_vec(0, REGION + 50).unwrap(), disk.read_vec(0, REGION + 50).unwrap());
        assert!(short.page(REGION_U64 / PAGE_U64).unwrap()[50..].iter().all(|byte| *byte == 0));
        assert!(short.page(2 * REGION_U64 / PAGE_U64).is_none());
        assert_eq!(disk.length(), bytes.len() as u64, "the original is as it was");
    }

    #[test]
    fn zero_ranges_are_known_without_reading_them() {
        let mut bytes = vec![0; 4 * REGION];
        bytes[2 * REGION] = 1;
        let mut disk = Disk::from_bytes(&bytes);
        assert!(disk.is_zero(0, 2 * REGION_U64));
        assert!(!disk.is_zero(0, 2 * REGION_U64 + 1));
        assert!(disk.is_zero(3 * REGION_U64, REGION_U64));
        disk.write_at(2 * REGION_U64, &[0]).unwrap();
        assert!(disk.is_zero(0, 4 * REGION_U64));
    }

    #[test]
    fn pieces_of_another_disk_are_appended_as_they_are() {
        let mut bytes = counting(4 * REGION + 77);
        bytes[REGION..3 * REGION].fill(0);
        let source = Disk::from_bytes(&bytes);
        for (lead, offset, length) in
            [(0, 0, bytes.len()), (5, 0, bytes.len()), (REGION, 3 * REGION, REGION + 77), (0, 9, 3 * REGION), (1, 7, 0)]
        {
            let mut builder = DiskBuilder::default();
            builder.push_zeroes(lead as u64);
            builder.push_from(&source, offset as u64, length as u64).unwrap();
            builder.push(&[1]);
            assert_eq!(builder.length(), (lead + length + 1) as u64);
            let expected = [&vec![0; lead][..], &bytes[offset..offset + length], &[1]].concat();
            assert!(builder.build().read_vec(0, expected.len()).unwrap() == expected, "{lead} {offset} {length}");
        }
        let error = DiskBuilder::default().push_from(&source, bytes.len() as u64 - 3, 4).unwrap_err();
        assert!(error.message().contains("reach behind the end"), "{error}");
    }

    #[test]
    fn a_whole_region_is_shared_and_zeroes_are_not_stored() {
        let mut builder = DiskBuilder::default();
        builder.push_from(&Disk::from_bytes(&counting(REGION)), 0, REGION_U64).unwrap();
        builder.push_zeroes(1 << 40);
        assert_eq!((builder.length(), builder.stored()), ((1 << 40) + REGION_U64, REGION_U64));
    }

    /// Up to three regions, with runs of zeroes in them.
    fn content() -> impl Strategy<Value = Vec<u8>> {
        let run = prop_oneof![
            (0..REGION).prop_map(|length| vec![0; length]),
            (any::<u8>(), 1..REGION / 2).prop_map(|(byte, length)| vec![byte; length]),
            (1..REGION / 2).prop_map(counting),
        ];
        prop::collection::vec(run, 1..6).prop_map(|runs| [&[1][..], &runs.concat()].concat())
    }

    proptest! {
        #[test]
        fn random_writes_read_back_as_from_a_plain_array(
            start in content(),
            writes in prop::collection::vec((any::<u64>(), any::<u8>(), 0..3 * PAGE), 0..20),
            cleared in prop::collection::vec((any::<u64>(), 0..3 * REGION), 0..3),
            longer in 0..2 * REGION,
            cut in any::<u64>(),
        ) {
            let mut model = start.clone();
            let untouched = Disk::from_bytes(&start);
            let mut disk = untouched.clone();
            for (offset, byte, length) in writes {
                let offset = (offset % model.len() as u64) as usize;
                let length = length.min(model.len() - offset);
                model[offset..offset + length].fill(byte);
                disk.write_at(offset as u64, &vec![byte; length]).unwrap();
            }
            for (offset, length) in cleared {
                let offset = (offset % model.len() as u64) as usize;
                let length = length.min(model.len() - offset);
                model[offset..offset + length].fill(0);
                disk.clear(offset as u64, length as u64).unwrap();
            }
            prop_assert!(disk.clear(model.len() as u64, 1).is_err());
            let long = disk.lengthened((model.len() + longer) as u64);
            let zeroes = vec![0; longer];
            prop_assert!(long.read_vec(0, model.len() + longer).unwrap() == [&model[..], &zeroes[..]].concat());
            prop_assert!(disk.read_vec(0, model.len()).unwrap() == model);
            prop_assert!(untouched.read_vec(0, start.len()).unwrap() == start);
            let changed = disk.changed_pages();
            for (page, (old, new)) in start.chunks(PAGE).zip(model.chunks(PAGE)).enumerate() {
                prop_assert_eq!(old != new, changed.contains(&(page as u64)));
                let (at, length) = ((page * PAGE) as u64, new.len() as u64);
                prop_assert_eq!(disk.is_zero(at, length), new.iter().all(|byte| *byte == 0));
            }
            let founded = disk.clone().founded();
            prop_assert!(founded.changed.is_empty() && founded.read_vec(0, model.len()).unwrap() == model);
            prop_assert_eq!(founded.changed_pages(), changed);
            let mut restored = founded.clone();
            restored.write_at(0, &start).unwrap();
            prop_assert_eq!(restored.clone().founded().changed_pages(), Vec::<u64>::new());
            prop_assert!(restored.founded().read_vec(0, start.len()).unwrap() == start);
            let cut = (cut % (model.len() as u64 + 1)) as usize;
            let short = disk.shortened(cut as u64).unwrap();
            prop_assert!(short.read_vec(0, cut).unwrap() == model[..cut]);
        }
    }
}
