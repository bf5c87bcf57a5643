//! Opening an image file: its wrapping is told by its first bytes, never by its name.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use super::container::{Container, Form, Image};
use super::disk::{Disk, DiskBuilder, SourceFile};
use super::early::FirstPartition;
use super::input::{Input, with_digest};
use super::limits::check_size;
use super::partition::PartitionTable;
use super::trailer::Trailer;
use super::{foreign, gzip, trailer, virtual_disk, zstd};
use crate::error::{Error, Result};
use crate::progress::Progress;

/// Most bytes behind a gzip member; trailers need a few hundred.
const LONGEST_TAIL: u64 = 64 << 20;

/// What of an image file stays in memory.
///
/// An image that is written again with edits is opened with the stream: then only what is edited is compressed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// The disk's bytes.
    Disk,
    /// Where it is a gzip image, the [stream](Disk::stream) that they were unpacked from as well.
    DiskAndStream,
}

impl Image {
    /// Opens the image file at `path`, `.img` or `.img.gz`, to look at it.
    ///
    /// # Errors
    /// As [`Image::open_showing`].
    pub(crate) fn open(path: &Path, progress: &dyn Progress) -> Result<Self> {
        Self::open_showing(&mut |_| {}, Keep::Disk, path, progress)
    }

    /// Opens the image file at `path`. `early` is shown the image once, as soon as its first partition was read; behind
    /// that there are zeroes, and of the container nothing is known by then but the form. It need not be shown at all.
    ///
    /// # Errors
    /// Usage when there is no such file or it is no file; I/O; those of [`Image::from_reader`].
    pub(crate) fn open_showing(
        early: &mut dyn FnMut(Self),
        keep: Keep,
        path: &Path,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let metadata = fs::metadata(path).map_err(|error| Error::unopened("image", path, error))?;
        if metadata.is_dir() {
            return Err(Error::usage(format!("{} is a folder, not an image", path.display()))
                .remedy("name the image file in it; a root filesystem's tree is given with --rootdir"));
        }
        if is_character_device(&metadata) {
            // Such as /dev/zero, which does not end.
            return Err(Error::usage(format!("{} is a character device, not an image", path.display()))
                .remedy("give an image file, or a disk"));
        }
        let mut file = File::open(path).map_err(|error| Error::unopened("image", path, error))?;
        let known_length = metadata.is_file().then_some(metadata.len());
        Self::from_reader(&mut file, early, keep, path, known_length, progress)
    }

    /// Opens the image that `reader` yields from its first byte to its last, as [`Image::open_showing`]. `name` stands in
    /// messages; `known_length` (in bytes) is for the progress, and saves moving memory about.
    ///
    /// # Errors
    /// Corrupt when the file, its gzip member or its partition table contradicts itself; unsupported when it is another
    /// format, another partitioning or bigger than the limits; I/O.
    pub(crate) fn from_reader(
        reader: &mut (dyn Read + Send),
        early: &mut dyn FnMut(Self),
        keep: Keep,
        name: &Path,
        known_length: Option<u64>,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let file_name = name.file_name().map_or_else(|| name.display().to_string(), |name| name.display().to_string());
        progress.begin(&format!("Reading {file_name}"), known_length);
        let read = with_digest(reader, name, known_length, progress, |input| read(input, early, keep));
        progress.end();
        // A message about a failed system call names the file already.
        let place = |error: Error| match error.kind() {
            crate::error::ErrorKind::Io => error,
            _ => error.at(name.display().to_string()),
        };
        let (Contents { form, disk, trailers, unknown_tail, file_length }, sha256) = read.map_err(place)?;
        let table = PartitionTable::find(&disk).map_err(place)?;
        let is_plain = form == Form::Raw;
        let disk = disk.of_file(SourceFile { sha256: sha256.clone(), length: file_length, is_plain });
        Ok(Self { disk, container: Container { form, file_length, sha256, trailers, unknown_tail }, table })
    }
}

/// Whether it is one, on systems that have them.
fn is_character_device(metadata: &fs::Metadata) -> bool {
    #[cfg(unix)]
    let is_one = std::os::unix::fs::FileTypeExt::is_char_device(&metadata.file_type());
    #[cfg(not(unix))]
    let is_one = {
        let _ = metadata;
        false
    };
    is_one
}

/// What a file was taken apart into.
struct Contents {
    form: Form,
    disk: Disk,
    trailers: Vec<Trailer>,
    unknown_tail: u64,
    file_length: u64,
}

fn read(input: &mut Input<'_>, early: &mut dyn FnMut(Image), keep: Keep) -> Result<Contents> {
    let mut early = FirstPartition::new(early);
    let head = input.peek()?;
    if head.is_empty() {
        return Err(Error::corrupt("the file is empty (0 bytes)").remedy("download or build the image again"));
    }
    if let Some(found) = foreign::wrapping(head) {
        return Err(Error::unsupported(format!(
            "this is {}; images are read plain, gzip- or zstd-compressed, as qcow2 and as VMDK",
            found.name
        ))
        .remedy(found.remedy));
    }
    if let Some(form) = virtual_disk::form(head) {
        return read_virtual_disk(input, form);
    }
    if crate::zstd::begins(head) {
        return read_zstd(input, &mut early);
    }
    if head.starts_with(&gzip::MAGIC) { read_gzip(input, &mut early, keep) } else { read_raw(input, &mut early) }
}

fn read_gzip(input: &mut Input<'_>, early: &mut FirstPartition<'_>, keep: Keep) -> Result<Contents> {
    let disk = gzip::unpack(input, keep == Keep::DiskAndStream, |builder| {
        early.grown(builder, Form::Gzip);
        check_size(builder)
    })?;
    let (member_end, crc) = (input.position(), input.crc());
    let mut tail = DiskBuilder::default();
    while let Some(bytes) = input.take()? {
        tail.push(&bytes);
        if tail.length() > LONGEST_TAIL {
            return Err(Error::unsupported(format!(
                "more than {LONGEST_TAIL} bytes follow the gzip data, which ends at byte {member_end}"
            ))
            .remedy(format!("if they are of no use, cut them off: head -c {member_end} FILE > CUT.img.gz")));
        }
    }
    let tail = tail.build();
    let chunks = trailer::find(&tail, crc)?;
    let unknown_tail = chunks.first().map_or(tail.length(), |chunk| chunk.start);
    let mut magic = [0; 2];
    if unknown_tail >= 18 {
        tail.read_at(0, &mut magic)?;
    }
    if magic == gzip::MAGIC {
        return Err(Error::unsupported(format!(
            "a second gzip member begins at byte {member_end}; only images of one member are handled"
        ))
        .remedy("pack it again: gzip -dc FILE | gzip -9n > ONE.img.gz"));
    }
    let trailers = chunks.into_iter().map(|chunk| chunk.trailer).collect();
    Ok(Contents { form: Form::Gzip, disk, trailers, unknown_tail, file_length: input.position() })
}

fn read_zstd(input: &mut Input<'_>, early: &mut FirstPartition<'_>) -> Result<Contents> {
    let disk = zstd::unpack(input, |builder| {
        early.grown(builder, Form::Zstd);
        check_size(builder)
    })?;
    Ok(Contents { form: Form::Zstd, disk, trailers: Vec::new(), unknown_tail: 0, file_length: input.position() })
}

/// The whole file, as it is; `grown` is shown every part.
fn read_file(input: &mut Input<'_>, mut grown: impl FnMut(&DiskBuilder)) -> Result<Disk> {
    let mut builder = DiskBuilder::default();
    while let Some(bytes) = input.take()? {
        builder.push(&bytes);
        grown(&builder);
        check_size(&builder)?;
    }
    Ok(builder.build())
}

fn read_virtual_disk(input: &mut Input<'_>, form: Form) -> Result<Contents> {
    let file = read_file(input, |_| {})?;
    let disk = virtual_disk::unpack(form, &file)?;
    Ok(Contents { form, disk, trailers: Vec::new(), unknown_tail: 0, file_length: file.length() })
}

fn read_raw(input: &mut Input<'_>, early: &mut FirstPartition<'_>) -> Result<Contents> {
    let mut disk = read_file(input, |builder| early.grown(builder, Form::Raw))?;
    let mut chunks = trailer::find(&disk, crc32fast::Hasher::new())?;
    // A chunk whose CRC is wrong may as well be content: it is a trailer only behind the last partition.
    if chunks.iter().any(|chunk| !chunk.trailer.crc_matches) {
        let partitions_end = PartitionTable::read(&disk).map_or(u64::MAX, |table| table.end());
        let content = |chunk: &trailer::Chunk| !chunk.trailer.crc_matches && chunk.start < partitions_end;
        let trailers_from = chunks.iter().rposition(content).map_or(0, |last| last + 1);
        chunks.drain(..trailers_from);
    }
    if let Some(first) = chunks.first() {
        disk = disk.shortened(first.start)?;
    }
    let trailers = chunks.into_iter().map(|chunk| chunk.trailer).collect();
    Ok(Contents { form: Form::Raw, disk, trailers, unknown_tail: 0, file_length: input.position() })
}

#[cfg(test)]
#[path = "open_tests.rs"]
mod tests;
