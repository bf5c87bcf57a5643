//! Reading qcow2, versions 2 and 3. Source: QEMU's `docs/interop/qcow2.txt`. All numbers are big-endian.
//!
//! The L1 table leads to L2 tables of one cluster each, and these to the disk's clusters, in order. Reference counts and
//! snapshots are not looked at: the tables that the header names are the disk as it is now.

use std::collections::HashSet;
use std::io::Read;

use flate2::{Decompress, FlushDecompress};

use super::place::{array, check_inside, damaged};
use crate::error::{Error, Result};
use crate::image::disk::{Disk, DiskBuilder};
use crate::image::limits::{check_lengths, check_size};

/// First bytes of the file.
pub(super) const MAGIC: [u8; 4] = *b"QFI\xFB";

/// Bits of the cluster size: 512 bytes to 2 MiB.
const CLUSTER_BITS: std::ops::RangeInclusive<u32> = 9..=21;
/// Bits of an entry that hold a place in the file.
const PLACE: u64 = 0x00FF_FFFF_FFFF_FE00;
/// In an L2 entry: the cluster is compressed.
const COMPRESSED: u64 = 1 << 62;
/// In an L2 entry, since version 3: the cluster reads as zeroes.
const ZERO: u64 = 1;
const SECTOR: u64 = 512;

const FLATTEN: &str = "convert it to an image of its own first: qemu-img convert -O qcow2 FILE whole.qcow2";
const REPAIR: &str = "let QEMU mend it first: qemu-img check -r all FILE";

/// Incompatible features (header, byte 72) that are refused, each with its name and the remedy.
const REFUSED: [(u64, &str, &str); 4] = [
    (1, "was not closed by the program that wrote it (the dirty bit is set)", REPAIR),
    (1 << 1, "is marked as damaged (the corrupt bit is set)", REPAIR),
    (1 << 2, "keeps its data in another file", FLATTEN),
    (1 << 4, "has extended L2 entries, which are not read", FLATTEN),
];
/// The incompatible feature that says how clusters are compressed, in byte 104.
const COMPRESSION_TYPE: u64 = 1 << 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    Deflate,
    Zstandard,
}

/// What of the header is needed.
struct Header {
    version: u32,
    cluster_bits: u32,
    /// Length of the disk in bytes.
    size: u64,
    l1_table: u64,
    compression: Compression,
}

impl Header {
    fn read(file: &Disk) -> Result<Self> {
        let head: [u8; 72] = array(file, 0, "the header")?;
        let u32_at = |at| array(file, at, "the header").map(u32::from_be_bytes);
        let u64_at = |at| array(file, at, "the header").map(u64::from_be_bytes);
        debug_assert!(head.starts_with(&MAGIC));
        let version = u32_at(4)?;
        if !(2..=3).contains(&version) {
            return Err(Error::unsupported(format!("this is qcow2 of version {version}; versions 2 and 3 are read"))
                .remedy(FLATTEN));
        }
        if u64_at(8)? != 0 {
            return Err(Error::unsupported(format!("this qcow2 file holds only what differs from {}", backing(file)?))
                .remedy(FLATTEN));
        }
        let cluster_bits = u32_at(20)?;
        if !CLUSTER_BITS.contains(&cluster_bits) {
            return Err(damaged(format!("the header says clusters of 2^{cluster_bits} bytes, expected 2^9 to 2^21")));
        }
        let size = u64_at(24)?;
        check_lengths(size, 0)?;
        match u32_at(32)? {
            0 => {}
            method => {
                let name = if method == 2 { "LUKS".to_owned() } else { format!("method {method}") };
                return Err(Error::unsupported(format!("this qcow2 file is encrypted ({name})")).remedy(
                    "decrypt it first with qemu-img convert and its --object secret; only plain images can be edited",
                ));
            }
        }
        let compression = if version < 3 { Compression::Deflate } else { features(file)? };
        let header = Self { version, cluster_bits, size, l1_table: u64_at(40)?, compression };
        let (l1_entries, needed) = (u64::from(u32_at(36)?), header.l1_entries());
        if l1_entries < needed {
            return Err(damaged(format!(
                "the L1 table has {l1_entries} entries, a disk of {size} bytes needs {needed}"
            )));
        }
        check_inside(file, header.l1_table, needed * 8, || "the L1 table".to_owned())?;
        Ok(header)
    }

    fn cluster(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// Bytes of the disk that one L2 table describes.
    fn span(&self) -> u64 {
        self.cluster() * (self.cluster() / 8)
    }

    fn l1_entries(&self) -> u64 {
        self.size.div_ceil(self.span())
    }
}

/// The name of the backing file.
fn backing(file: &Disk) -> Result<String> {
    /// Longest name by the specification.
    const LONGEST: u32 = 1023;

    let at = u64::from_be_bytes(array(file, 8, "the header")?);
    let length = u32::from_be_bytes(array(file, 16, "the header")?).min(LONGEST);
    check_inside(file, at, u64::from(length), || "the name of the backing file".to_owned())?;
    let name = file.read_vec(at, usize::try_from(length).unwrap_or_default())?;
    Ok(String::from_utf8_lossy(&name).chars().filter(|c| !c.is_control()).collect())
}

/// Looks at the incompatible features of a version 3 header.
fn features(file: &Disk) -> Result<Compression> {
    let features = u64::from_be_bytes(array(file, 72, "the header")?);
    if let Some((_, what, remedy)) = REFUSED.iter().find(|(bit, ..)| features & bit != 0) {
        return Err(Error::unsupported(format!("this qcow2 file {what}")).remedy(*remedy));
    }
    if features & !COMPRESSION_TYPE != 0 {
        return Err(Error::unsupported(format!("this qcow2 file needs features that are not known ({features:#x})"))
            .remedy(FLATTEN));
    }
    let length = u32::from_be_bytes(array(file, 100, "the header")?);
    let kind = if length > 104 { array(file, 104, "the header")? } else { [0] };
    match kind {
        [0] => Ok(Compression::Deflate),
        [1] => Ok(Compression::Zstandard),
        [other] => {
            Err(Error::unsupported(format!("this qcow2 file is compressed in a way that is not known ({other})"))
                .remedy(FLATTEN))
        }
    }
}

/// The disk in `file`.
///
/// # Errors
/// As [`super::unpack`].
pub(super) fn unpack(file: &Disk) -> Result<Disk> {
    let header = Header::read(file)?;
    let mut unpacking = Unpacking { file, header, disk: DiskBuilder::default(), seen: HashSet::new() };
    for index in 0..unpacking.header.l1_entries() {
        unpacking.take_l1_entry(index)?;
    }
    Ok(unpacking.disk.build())
}

/// A disk that is being read.
struct Unpacking<'a> {
    file: &'a Disk,
    header: Header,
    disk: DiskBuilder,
    /// L2 tables and compressed clusters that were read. A file that leads to one of them twice is damaged, and could
    /// make endless work of few bytes.
    seen: HashSet<u64>,
}

impl Unpacking<'_> {
    /// Bytes of the disk that are still to come.
    fn left(&self) -> u64 {
        self.header.size.saturating_sub(self.disk.length())
    }

    fn take_l1_entry(&mut self, index: u64) -> Result<()> {
        let entry: [u8; 8] = array(self.file, self.header.l1_table + index * 8, "the L1 table")?;
        let at = u64::from_be_bytes(entry) & PLACE;
        if at == 0 {
            self.disk.push_zeroes(self.left().min(self.header.span()));
            return Ok(());
        }
        let what = || format!("the L2 table of entry {index}");
        self.check_place(at, self.header.cluster(), what)?;
        self.see(at, what)?;
        let length = usize::try_from(self.header.cluster()).unwrap_or_default();
        for entry in self.file.read_vec(at, length)?.as_chunks().0 {
            if self.left() == 0 {
                break;
            }
            self.take_l2_entry(u64::from_be_bytes(*entry))?;
            check_size(&self.disk)?;
        }
        Ok(())
    }

    fn take_l2_entry(&mut self, entry: u64) -> Result<()> {
        let start = self.disk.length();
        let length = self.left().min(self.header.cluster());
        let what = || format!("the cluster of the disk's byte {start}");
        if entry & COMPRESSED != 0 {
            let mut content = self.unpacked(entry, what)?;
            content.truncate(usize::try_from(length).unwrap_or_default());
            self.disk.push(&content);
            return Ok(());
        }
        if entry & ZERO != 0 && self.header.version < 3 {
            return Err(damaged(format!("{} is marked as zero, which version 2 does not know", what())));
        }
        let at = entry & PLACE;
        if entry & ZERO != 0 || at == 0 {
            self.disk.push_zeroes(length);
            return Ok(());
        }
        // The last cluster of a disk may be stored as far as the disk goes.
        self.check_place(at, length, what)?;
        self.disk.push_from(self.file, at, length)
    }

    /// The content of a compressed cluster, one cluster long.
    fn unpacked(&mut self, entry: u64, what: impl Fn() -> String + Copy) -> Result<Vec<u8>> {
        let place_bits = 62 - (self.header.cluster_bits - 8);
        let at = entry & ((1 << place_bits) - 1);
        let more_sectors = (entry & (COMPRESSED - 1)) >> place_bits;
        // What is stored ends within the last sector, and so may the file.
        let end = ((at / SECTOR + more_sectors + 1) * SECTOR).min(self.file.length());
        let Some(length) = end.checked_sub(at).filter(|length| *length > 0) else {
            check_inside(self.file, at, 1, what)?;
            return Err(damaged(format!("{} is empty", what())));
        };
        self.see(at, what)?;
        let packed = self.file.read_vec(at, usize::try_from(length).unwrap_or_default())?;
        let mut content = vec![0; usize::try_from(self.header.cluster()).unwrap_or_default()];
        let filled = match self.header.compression {
            Compression::Deflate => inflate(&packed, &mut content),
            Compression::Zstandard => unpack_zstandard(&packed, &mut content),
        };
        match filled {
            Ok(()) => Ok(content),
            Err(reason) => Err(damaged(format!("{} (byte {at} of the file) cannot be unpacked: {reason}", what()))),
        }
    }

    /// A place in the file is the start of a cluster, and `length` bytes are there.
    fn check_place(&self, at: u64, length: u64, what: impl Fn() -> String) -> Result<()> {
        let cluster = self.header.cluster();
        if !at.is_multiple_of(cluster) {
            return Err(damaged(format!("{} lies at byte {at}, no multiple of {cluster}", what())));
        }
        check_inside(self.file, at, length, what)
    }

    fn see(&mut self, at: u64, what: impl Fn() -> String) -> Result<()> {
        match self.seen.insert(at) {
            true => Ok(()),
            false => Err(damaged(format!("{} lies at byte {at}, which is in use already", what()))),
        }
    }
}

/// Fills `content` from a deflate stream without a header.
fn inflate(packed: &[u8], content: &mut [u8]) -> Result<(), String> {
    let mut inflater = Decompress::new(false);
    let result = inflater.decompress(packed, content, FlushDecompress::Finish);
    match (result, inflater.total_out()) {
        (Err(error), _) => Err(error.to_string()),
        (Ok(_), made) if made == content.len() as u64 => Ok(()),
        (Ok(_), made) => Err(format!("it holds {made} bytes, expected {}", content.len())),
    }
}

/// Fills `content` from a Zstandard frame.
fn unpack_zstandard(packed: &[u8], content: &mut [u8]) -> Result<(), String> {
    /// Windows are no longer than a cluster; QEMU's writer asks for the library's default.
    const LARGEST_WINDOW: u64 = 8 << 20;

    ruzstd::decoding::StreamingDecoder::new_with_max_window_size(packed, LARGEST_WINDOW)
        .map_err(|error| error.to_string())?
        .read_exact(content)
        .map_err(|error| error.to_string())
}
