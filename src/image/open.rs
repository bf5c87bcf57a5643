//! Opening an image file: its wrapping is told by its first bytes, never by its name.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::Path;

use super::container::{Container, Form, Image};
use super::disk::{Disk, DiskBuilder};
use super::input::{Input, with_digest};
use super::partition::PartitionTable;
use super::trailer::Trailer;
use super::{foreign, gzip, trailer};
use crate::error::{At, Error, Result};
use crate::progress::Progress;

/// Longest disk that is opened, in bytes.
const LONGEST_DISK: u64 = 1 << 40;
/// Most bytes of a disk that are not zero and so need memory: no OpenWrt image comes near, a decompression bomb does.
const MOST_CONTENT: u64 = 16 << 30;
/// Most bytes behind a gzip member; trailers need a few hundred.
const LONGEST_TAIL: u64 = 64 << 20;

impl Image {
    /// Opens the image file at `path`, `.img` or `.img.gz`.
    ///
    /// # Errors
    /// Usage when there is no such file or it is no file; I/O; those of [`Image::from_reader`].
    pub(crate) fn open(path: &Path, progress: &dyn Progress) -> Result<Self> {
        let metadata = fs::metadata(path).map_err(|error| cannot_open(path, error))?;
        if metadata.is_dir() {
            return Err(Error::usage(format!("{} is a folder, not an image", path.display()))
                .remedy("name the image file in it"));
        }
        let mut file = File::open(path).map_err(|error| cannot_open(path, error))?;
        let known_length = metadata.is_file().then_some(metadata.len());
        Self::from_reader(&mut file, path, known_length, progress)
    }

    /// Opens the image that `reader` yields from its first byte to its last. `name` stands in messages, `known_length`
    /// (in bytes) only for the progress.
    ///
    /// # Errors
    /// Corrupt when the file, its gzip member or its partition table contradicts itself; unsupported when it is another
    /// format, another partitioning or bigger than the limits; I/O.
    pub(crate) fn from_reader(
        reader: &mut dyn Read,
        name: &Path,
        known_length: Option<u64>,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let file_name = name.file_name().map_or_else(|| name.display().to_string(), |name| name.display().to_string());
        progress.begin(&format!("Reading {file_name}"), known_length);
        let read = with_digest(reader, name, progress, read);
        progress.end();
        let place = || name.display().to_string();
        let (Contents { form, disk, trailers, unknown_tail, file_length }, sha256) = read.at(place)?;
        let table = PartitionTable::read(&disk).at(place)?;
        Ok(Self { disk, container: Container { form, file_length, sha256, trailers, unknown_tail }, table })
    }
}

fn cannot_open(path: &Path, error: std::io::Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound => {
            Error::usage(format!("there is no file {}", path.display())).remedy("check the path of the image")
        }
        ErrorKind::PermissionDenied => Error::io("open", path, error).remedy("make the file readable for your user"),
        _ => Error::io("open", path, error),
    }
}

/// What a file was taken apart into.
struct Contents {
    form: Form,
    disk: Disk,
    trailers: Vec<Trailer>,
    unknown_tail: u64,
    file_length: u64,
}

fn read(input: &mut Input<'_>) -> Result<Contents> {
    let head = input.peek()?;
    if head.is_empty() {
        return Err(Error::corrupt("the file is empty (0 bytes)").remedy("download or build the image again"));
    }
    if let Some(found) = foreign::wrapping(head) {
        return Err(Error::unsupported(format!("this is {}, not a raw or gzip-compressed disk image", found.name))
            .remedy(found.remedy));
    }
    if head.starts_with(&gzip::MAGIC) { read_gzip(input) } else { read_raw(input) }
}

fn check_size(builder: &DiskBuilder) -> Result<()> {
    let (what, limit) = if builder.length() > LONGEST_DISK {
        ("bytes", LONGEST_DISK)
    } else if builder.stored() > MOST_CONTENT {
        ("bytes that are not zero", MOST_CONTENT)
    } else {
        return Ok(());
    };
    Err(Error::unsupported(format!("the image holds more than {limit} {what}"))
        .remedy("give an OpenWrt image; a copy of a whole disk must be cut to its partitions first"))
}

fn read_gzip(input: &mut Input<'_>) -> Result<Contents> {
    let disk = gzip::unpack(input, check_size)?.build();
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

fn read_raw(input: &mut Input<'_>) -> Result<Contents> {
    let mut builder = DiskBuilder::default();
    while let Some(bytes) = input.take()? {
        builder.push(&bytes);
        check_size(&builder)?;
    }
    let mut disk = builder.build();
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
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::read::GzDecoder;
    use flate2::write::GzEncoder;

    use super::*;
    use crate::error::ErrorKind as Kind;
    use crate::image::{Scheme, TrailerKind, sha256_hex};
    use crate::progress::Silent;

    const EFI: &[u8] = include_bytes!("../../fixtures/openwrt-mini-ib-ext4-combined-efi.img.gz");
    const BIOS: &[u8] = include_bytes!("../../fixtures/openwrt-mini-ib-ext4-combined.img.gz");

    fn open(bytes: &[u8]) -> Result<Image> {
        Image::from_reader(&mut &bytes[..], Path::new("dir/router.img"), None, &Silent)
    }

    /// The error of opening `bytes`: kind and whole line.
    fn refusal(bytes: &[u8]) -> (Kind, String) {
        let error = open(bytes).unwrap_err();
        (error.kind(), error.to_string())
    }

    fn unpack(bytes: &[u8]) -> Vec<u8> {
        let mut all = Vec::new();
        Read::read_to_end(&mut GzDecoder::new(bytes), &mut all).unwrap();
        all
    }

    fn pack(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Where the gzip member of a fixture ends: its trailer has 18 + 16 bytes.
    fn member(fixture: &[u8]) -> &[u8] {
        &fixture[..fixture.len() - 34]
    }

    #[test]
    fn an_official_image_opens_without_its_trailer() {
        for (bytes, scheme) in [(EFI, Scheme::Gpt), (BIOS, Scheme::Mbr)] {
            let image = open(bytes).unwrap();
            assert_eq!(image.container.form, Form::Gzip);
            assert_eq!(image.container.file_length, bytes.len() as u64);
            assert_eq!(image.container.sha256, sha256_hex(bytes));
            let trailer = Trailer { kind: TrailerKind::Signature, payload_length: 18, crc_matches: true };
            assert_eq!(image.container.trailers, [trailer]);
            assert_eq!(image.container.unknown_tail, 0);
            assert_eq!(image.table.scheme, scheme);
            let content = unpack(bytes);
            assert!(image.disk.read_vec(0, content.len()).unwrap() == content);
            assert_eq!(image.disk.length(), content.len() as u64);
        }
    }
}
