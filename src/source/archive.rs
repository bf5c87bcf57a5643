//! Tar archives of module files, compressed or not.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Mutex;

use tempfile::SpooledTempFile;

use super::decompress::decoder;
use super::folder::is_module_name;
use crate::error::{At as _, Error, Result};

/// The largest module taken, unpacked: 256 MiB.
pub(super) const LARGEST_MODULE: u64 = 256 << 20;
/// The largest archive taken, unpacked: 4 GiB.
const LARGEST_ARCHIVE: u64 = 4 << 30;
/// Members kept in memory; beyond that they go to an unnamed temporary file.
const SPOOL_IN_MEMORY: usize = 64 << 20;

/// Where a member's bytes lie in the spool.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    start: u64,
    size: u64,
}

/// The module members of archives, as stored in them.
#[derive(Debug)]
pub(super) struct Spool(Mutex<SpooledTempFile>);

impl Spool {
    pub(super) fn new() -> Self {
        Self(Mutex::new(SpooledTempFile::new(SPOOL_IN_MEMORY)))
    }

    /// Reads one member back.
    ///
    /// # Errors
    /// Io when the temporary file cannot be read.
    pub(super) fn read(&self, extent: Extent) -> Result<Vec<u8>> {
        let mut file = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut bytes = Vec::new();
        let read = file
            .seek(SeekFrom::Start(extent.start))
            .and_then(|_| Read::take(&mut *file, extent.size).read_to_end(&mut bytes));
        match read {
            Ok(_) => Ok(bytes),
            Err(error) => Err(Error::io("read back", Path::new("the temporary file of an archive's modules"), error)),
        }
    }

    /// Appends what `source` gives, which must be `size` bytes.
    fn append(&self, source: &mut impl Read, size: u64) -> io::Result<Extent> {
        let mut file = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let start = file.seek(SeekFrom::End(0))?;
        let copied = io::copy(&mut source.take(size), &mut *file)?;
        if copied != size {
            let message = format!("{copied} of {size} bytes of a member, then the archive ends");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        Ok(Extent { start, size })
    }
}

/// Whether `block`, the first 512 bytes of a file, begins a tar archive: its checksum is right, or the archive is empty.
fn is_tar(block: &[u8]) -> bool {
    if block.len() < 512 {
        return false;
    }
    // POSIX pax, ustar header: the checksum, at 148..156, counts as blanks.
    let sum: u32 =
        block.iter().enumerate().map(|(i, &b)| u32::from(if (148..156).contains(&i) { b' ' } else { b })).sum();
    let stored = tar::Header::from_byte_slice(block).cksum();
    stored.is_ok_and(|stored| stored == sum) || block.iter().all(|&byte| byte == 0)
}

/// Puts the modules of the archive at `path` into `spool` and returns their member paths, in archive order; `None` when
/// the file is no tar archive, whatever it is compressed with.
///
/// # Errors
/// Io when the file cannot be read; corrupt when the archive is damaged or ends early; unsupported when it is larger
/// than 4 GiB unpacked.
pub(super) fn read(path: &Path, spool: &Spool) -> Result<Option<Vec<(String, Extent)>>> {
    let file = File::open(path).map_err(|e| Error::io("open", path, e))?;
    let damaged = |error: io::Error| damage(path, error);
    let mut content = decoder(BufReader::with_capacity(1 << 16, file)).map_err(damaged)?;
    let mut first = Vec::with_capacity(512);
    let read = content.by_ref().take(512).read_to_end(&mut first);
    if let Err(error) = read {
        return Err(damaged(error));
    }
    if !is_tar(&first) {
        return Ok(None);
    }
    let mut content = io::Cursor::new(first).chain(content).take(LARGEST_ARCHIVE + 1);
    let members = read_members(&mut content, spool).at(|| path.display().to_string())?;
    // To the end, so that a damaged checksum behind the last member is noticed.
    io::copy(&mut content, &mut io::sink()).map_err(damaged)?;
    if content.limit() == 0 {
        return Err(Error::unsupported("the archive holds more than 4 GiB").at(path.display().to_string()));
    }
    Ok(Some(members))
}

fn read_members(content: &mut impl Read, spool: &Spool) -> Result<Vec<(String, Extent)>> {
    let damaged = |error: io::Error| Error::corrupt(format!("the archive is damaged: {error}"));
    let mut members = Vec::new();
    let mut by_path = BTreeMap::new();
    let mut archive = tar::Archive::new(content);
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let member = member_path(&entry.path_bytes());
        if !is_module_name(&member) {
            continue;
        }
        let kind = entry.header().entry_type();
        let extent = if kind.is_hard_link() {
            // GNU tar stores a file's second name as a link to the first.
            let first = entry.link_name_bytes().map(|link| member_path(&link));
            first.and_then(|first| by_path.get(&first).copied())
        } else if kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse() {
            let size = entry.size();
            if size > LARGEST_MODULE {
                return Err(Error::unsupported(format!("{member} is {size} bytes long, more than 256 MiB")));
            }
            Some(spool.append(&mut entry, size).map_err(damaged)?)
        } else {
            None
        };
        if let Some(extent) = extent {
            by_path.insert(member.clone(), extent);
            members.push((member, extent));
        }
    }
    Ok(members)
}

fn member_path(stored: &[u8]) -> String {
    let path = String::from_utf8_lossy(stored).into_owned();
    path.strip_prefix("./").map(str::to_owned).unwrap_or(path)
}

/// A failed read: the operating system's if it has a number, else the decoder's about the content.
pub(super) fn damage(path: &Path, error: io::Error) -> Error {
    if error.raw_os_error().is_some() {
        return Error::io("read", path, error);
    }
    Error::corrupt(format!("the compressed data is damaged or cut short: {error}")).at(path.display().to_string())
}
