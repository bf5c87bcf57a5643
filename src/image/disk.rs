//! The copy-on-write disk: an immutable base shared by all clones, and the pages that one clone changed.
//!
//! A clone costs as much as its changed pages. Regions of the base that are all zeroes are not stored, so a large
//! sparse image needs no more memory than its content.

mod builder;
mod made;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::gzip::DeflateStream;
use crate::error::{Error, Result};

pub(crate) use builder::DiskBuilder;
use made::Made;
pub(crate) use made::Way;

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
    /// What was made of its bytes.
    made: Made,
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
        let (origin, edited, file) = (origin.clone(), edited.clone(), file.clone());
        Self { length: *length, regions, origin, edited, file, made: Made::default() }
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

    /// What is made of the `length` bytes from byte `offset` on, in the way `way` by `make`, which depends on nothing else.
    /// Clones ask for it once, as long as these bytes are those of the base.
    ///
    /// # Errors
    /// Those of `make`.
    pub(crate) fn made(
        &self,
        (offset, length): (u64, u64),
        way: Way,
        make: impl FnOnce() -> Result<Vec<u8>>,
    ) -> Result<Arc<[u8]>> {
        match self.changed.range(pages(offset, length)).next() {
            Some(_) => Ok(make()?.into()),
            None => self.base.made.get((offset, length, way), make),
        }
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
        let pages = pages(offset, length);
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

/// Numbers of the pages that the `length` bytes from byte `offset` on lie in.
fn pages(offset: u64, length: u64) -> Range<u64> {
    let first = offset / PAGE_U64;
    first..offset.saturating_add(length).div_ceil(PAGE_U64).max(first)
}

/// Whether all of `bytes` are zero.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    // Comparing slices is a memcmp; testing byte by byte is several times slower.
    bytes.chunks(REGION).all(|chunk| ZEROES.get(..chunk.len()) == Some(chunk))
}

#[cfg(test)]
mod tests;
