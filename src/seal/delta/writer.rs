//! Writing a delta.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use sha2::{Digest, Sha256};

use super::{FileFacts, Header, MAGIC, PLAIN, VERSION, XORED, ZERO_PAGE, tool, xor};
use crate::image::{Disk, Form};
use crate::seal::form::{Subject, written_as};
use crate::seal::stream::Stream;

/// Writes what the subject's disk changed in its base, for an output in the form `form`.
///
/// # Errors
/// Those of `out`; another one when the disk was read from no file.
pub(in crate::seal) fn write_delta(subject: &Subject<'_>, out: &mut Stream<'_>, form: Form) -> io::Result<()> {
    let disk = subject.disk;
    let file = disk.file().ok_or_else(|| io::Error::other("there is no base: the disk was read from no file"))?;
    let (length, sha256) = written_as(form, subject)?;
    let pages = disk.changed_pages();
    let header = Header {
        tool: tool(),
        base: FileFacts { sha256: file.sha256.clone(), length: file.length },
        disk_length: disk.length(),
        pages: pages.len() as u64,
        form,
        output: FileFacts { sha256, length },
    };
    let header = serde_json::to_vec(&header)?;
    let mut out = Digested { out, digest: Sha256::new() };
    out.write_all(&MAGIC)?;
    out.write_all(&VERSION.to_le_bytes())?;
    out.write_all(&u32::try_from(header.len()).map_err(io::Error::other)?.to_le_bytes())?;
    out.write_all(&header)?;
    let mut packer = ZlibEncoder::new(&mut out, Compression::best());
    put_pages(disk, &pages, &mut packer)?;
    packer.finish()?;
    let Digested { out, digest } = out;
    out.write_all(&digest.finalize())
}

/// Numbers, kinds and contents.
fn put_pages(disk: &Disk, pages: &[u64], packer: &mut impl Write) -> io::Result<()> {
    let mut next = 0;
    for page in pages {
        packer.write_all(&page.saturating_sub(next).to_le_bytes())?;
        next = page + 1;
    }
    let kinds: Vec<u8> = pages.iter().map(|page| kind(disk, *page)).collect();
    packer.write_all(&kinds)?;
    for (page, kind) in pages.iter().zip(kinds) {
        let mut content = content(disk, *page);
        if kind == XORED {
            xor(&mut content, disk, *page);
        }
        packer.write_all(&content)?;
    }
    Ok(())
}

fn content(disk: &Disk, page: u64) -> Vec<u8> {
    disk.page(page).unwrap_or(&ZERO_PAGE).to_vec()
}

/// The kind that leaves more zeroes.
fn kind(disk: &Disk, page: u64) -> u8 {
    let zeroes = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == 0).count();
    let plain = content(disk, page);
    let mut xored = plain.clone();
    xor(&mut xored, disk, page);
    if zeroes(&xored) > zeroes(&plain) { XORED } else { PLAIN }
}

/// A stream that is hashed once more: its own digest is that of the whole file.
struct Digested<'a, 'b> {
    out: &'a mut Stream<'b>,
    digest: Sha256,
}

impl Write for Digested<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.digest.update(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
