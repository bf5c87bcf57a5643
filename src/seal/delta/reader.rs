//! Reading a delta, every field checked, and applying it.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use flate2::bufread::ZlibDecoder;

use super::{FRONT, Header, MAGIC, PLAIN, SEAL, VERSION, XORED, xor};
use crate::digest::sha256_hex;
use crate::error::{At, Error, Result};
use crate::image::{Container, Disk, Form, LONGEST_DISK, MOST_CONTENT, PAGE};

/// What is to be done with a damaged delta.
const AGAIN: &str = "the file is damaged: copy it or make it again";

/// A delta in memory, whose digest is right.
#[derive(Debug)]
pub(crate) struct Delta {
    /// What it says about itself.
    pub(crate) header: Header,
    /// The zlib stream.
    packed: Vec<u8>,
}

impl Delta {
    /// Reads the delta at `path`.
    ///
    /// # Errors
    /// Usage when there is no such file; unsupported when it is something else, or of another version; corrupt when it is
    /// damaged; I/O.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let metadata = fs::metadata(path).map_err(|error| Error::unopened("delta", path, error))?;
        if !metadata.is_file() {
            return Err(Error::usage(format!("{} is not a file, so no delta", path.display())));
        }
        let bytes = fs::read(path).map_err(|error| Error::io("read", path, error))?;
        Self::parse(bytes).at(|| path.display().to_string())
    }

    /// The delta that `bytes` are.
    ///
    /// # Errors
    /// As [`Delta::read`].
    pub(super) fn parse(mut bytes: Vec<u8>) -> Result<Self> {
        if !bytes.starts_with(&MAGIC) {
            return Err(Error::unsupported("this is not a delta: it does not begin with IBDELTA")
                .remedy("give the base image first, then the delta: ibwrt expand BASE DELTA -o IMAGE"));
        }
        let too_short = Error::corrupt(format!("the delta is cut: it has only {} bytes", bytes.len())).remedy(AGAIN);
        let number = |at: usize| bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map(u32::from_le_bytes);
        let (Some(version), Some(length)) = (number(MAGIC.len()), number(MAGIC.len() + 4)) else {
            return Err(too_short);
        };
        if version != VERSION {
            return Err(Error::unsupported(format!("the delta has version {version}, expected {VERSION}"))
                .remedy("expand it with the release of ibwrt that made it"));
        }
        let Some(sealed) = bytes.len().checked_sub(SEAL).filter(|sealed| *sealed >= FRONT) else {
            return Err(too_short);
        };
        let seal = bytes.split_off(sealed);
        let (stored, computed) = (hex(&seal), sha256_hex(&bytes));
        if stored != computed {
            return Err(Error::corrupt(format!(
                "SHA-256 of the {sealed} bytes of the delta is {computed}, its last {SEAL} bytes say {stored}"
            ))
            .remedy(AGAIN));
        }
        let header_end = usize::try_from(length).ok().and_then(|length| FRONT.checked_add(length));
        let Some(header) = header_end.and_then(|end| bytes.get(FRONT..end)) else {
            return Err(Error::corrupt(format!("the delta's header of {length} bytes is longer than the delta")));
        };
        let header: Header = serde_json::from_slice(header)
            .map_err(|error| Error::corrupt(format!("the delta's header is broken: {error}")).remedy(AGAIN))?;
        check(&header)?;
        let packed = bytes.split_off(header_end.unwrap_or(FRONT));
        Ok(Self { header, packed })
    }

    /// The disk that it makes of `base`, which was read from the file that `container` describes.
    ///
    /// # Errors
    /// Usage when the base is another file; corrupt when the delta contradicts itself.
    pub(crate) fn expanded(&self, base: &Disk, container: &Container) -> Result<Disk> {
        let Header { base: wanted, disk_length, .. } = &self.header;
        if container.sha256 != wanted.sha256 {
            return Err(Error::usage(format!(
                "the base has SHA-256 {} ({} bytes), the delta was made against {} ({} bytes)",
                container.sha256, container.file_length, wanted.sha256, wanted.length
            ))
            .remedy("give the very image file that was patched, with the same wrapping"));
        }
        let mut disk = base.shortened(*disk_length)?.lengthened(*disk_length);
        let mut content = ZlibDecoder::new(&*self.packed);
        self.put_pages(base, &mut disk, &mut content)?;
        Ok(disk)
    }

    fn put_pages(&self, base: &Disk, disk: &mut Disk, content: &mut impl Read) -> Result<()> {
        let count = self.header.pages;
        let pages = self.numbers(&taken(content, count.saturating_mul(8))?)?;
        let kinds = taken(content, count)?;
        for (page, kind) in pages.into_iter().zip(kinds) {
            let mut bytes = taken(content, PAGE as u64)?;
            match kind {
                PLAIN => {}
                XORED => xor(&mut bytes, base, page),
                _ => {
                    return Err(Error::corrupt(format!(
                        "page {page} of the delta has the kind {kind}, expected 0 or 1"
                    )));
                }
            }
            let start = page.saturating_mul(PAGE as u64);
            let within = usize::try_from(disk.length() - start).unwrap_or(PAGE).min(PAGE);
            let (inside, behind) = bytes.split_at_checked(within).unwrap_or((&bytes, &[]));
            if behind.iter().any(|byte| *byte != 0) {
                return Err(Error::corrupt(format!("page {page} of the delta reaches behind the end of the disk")));
            }
            disk.write_at(start, inside)?;
        }
        match content.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(Error::corrupt(format!("the delta holds more than its {count} pages"))),
            Err(error) => Err(broken(&error)),
        }
    }

    /// The page numbers, all of them on the disk.
    fn numbers(&self, gaps: &[u8]) -> Result<Vec<u64>> {
        let on_disk = self.header.disk_length.div_ceil(PAGE as u64);
        let mut next = 0_u64;
        let mut numbers = Vec::new();
        for gap in gaps.chunks_exact(8) {
            let gap = gap.try_into().map(u64::from_le_bytes).unwrap_or(u64::MAX);
            let page = next.saturating_add(gap);
            if page >= on_disk {
                return Err(Error::corrupt(format!(
                    "page {page} of the delta lies behind the disk of {on_disk} pages"
                )));
            }
            numbers.push(page);
            next = page + 1;
        }
        Ok(numbers)
    }
}

/// The header's fields are possible ones.
fn check(header: &Header) -> Result<()> {
    let Header { base, disk_length, pages, form, output, .. } = header;
    for (what, file) in [("base", base), ("output", output)] {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if file.sha256.len() != 64 || !file.sha256.bytes().all(is_hex) {
            return Err(Error::corrupt(format!(
                "the delta's SHA-256 of the {what} is {:?}, expected 64 hex digits",
                file.sha256
            )));
        }
    }
    if !matches!(form, Form::Gzip | Form::Raw) {
        return Err(Error::unsupported(format!(
            "the delta stands for a {}, expected a plain or gzip-compressed image",
            form.name()
        )));
    }
    let on_disk = disk_length.div_ceil(PAGE as u64);
    if *pages > on_disk {
        return Err(Error::corrupt(format!("the delta holds {pages} pages, but its disk only {on_disk}")));
    }
    if *disk_length > LONGEST_DISK || pages.saturating_mul(PAGE as u64) > MOST_CONTENT {
        return Err(Error::unsupported(format!(
            "the delta makes a disk of {disk_length} bytes with {pages} changed pages; at most {LONGEST_DISK} bytes, {MOST_CONTENT} of \
             them changed, are handled"
        )));
    }
    Ok(())
}

/// The next `count` bytes.
fn taken(content: &mut impl Read, count: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    content.take(count).read_to_end(&mut bytes).map_err(|error| broken(&error))?;
    if bytes.len() as u64 != count {
        return Err(Error::corrupt("the delta holds fewer pages than it says").remedy(AGAIN));
    }
    Ok(bytes)
}

fn broken(error: &io::Error) -> Error {
    Error::corrupt(format!("the pages of the delta do not unpack: {error}")).remedy(AGAIN)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
