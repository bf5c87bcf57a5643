//! Reading VMDK files that hold a whole disk: `monolithicSparse` and `streamOptimized`. Source: VMware's "Virtual Disk
//! Format 1.1". All numbers are little-endian, all places are sectors of 512 bytes.
//!
//! The grain directory leads to grain tables, and these to the disk's grains, in order.

use flate2::{Decompress, FlushDecompress};

use super::place::{array, check_inside, damaged};
use crate::error::{Error, Result};
use crate::image::SECTOR;
use crate::image::disk::{Disk, DiskBuilder};
use crate::image::limits::{check_lengths, check_size};

/// First bytes of the file.
pub(super) const MAGIC: [u8; 4] = *b"KDMV";

/// Flag: the four bytes that show a transfer as text are there.
const NEWLINES: u32 = 1;
/// Flag: the entry 1 of a grain table is a grain of zeroes.
const ZERO_GRAINS: u32 = 1 << 2;
/// Flag: grains are compressed.
const COMPRESSED: u32 = 1 << 16;
/// Flag: a marker precedes each compressed grain.
const MARKERS: u32 = 1 << 17;
/// Bytes of a marker in front of a compressed grain: its first sector (8) and its length (4).
const MARKER: u64 = 12;
/// Stands for the place of the grain directory that only the footer tells.
const AT_END: u64 = u64::MAX;
/// Sectors of a grain: the specification asks for at least 8, all writers make 128, and one grain shall fit in memory.
const GRAIN: std::ops::RangeInclusive<u64> = 8..=65536;
/// Most entries of a grain table; all writers make 512.
const MOST_ENTRIES: u32 = 512;
/// Longest description that is read, in sectors.
const LONGEST_DESCRIPTION: u64 = 128;

const WHOLE: &str = "convert it to one file first: qemu-img convert -f vmdk -O qcow2 FILE whole.qcow2";

/// What of the header is needed.
struct Header {
    flags: u32,
    /// Sectors of the disk.
    capacity: u64,
    /// Sectors of a grain.
    grain: u64,
    /// Where the description is, and how long it is.
    description: (u64, u64),
    /// Entries of a grain table.
    entries: u64,
    directory: u64,
}

impl Header {
    /// The header at byte `at`, which is `what`.
    fn read(file: &Disk, at: u64, what: &str) -> Result<Self> {
        let u32_at = |offset| array(file, at + offset, what).map(u32::from_le_bytes);
        let u64_at = |offset| array(file, at + offset, what).map(u64::from_le_bytes);
        if array(file, at, what)? != MAGIC {
            return Err(damaged(format!("{what} at byte {at} does not begin with KDMV")));
        }
        let version = u32_at(0x04)?;
        if !(1..=3).contains(&version) {
            return Err(Error::unsupported(format!("this is VMDK of version {version}; versions 1 to 3 are read"))
                .remedy(WHOLE));
        }
        let flags = u32_at(0x08)?;
        if flags & NEWLINES != 0 && array(file, at + 0x49, what)? != *b"\n \r\n" {
            return Err(damaged(format!("{what} was changed on its way: line ends were converted")));
        }
        check_compression(flags, u16::from_le_bytes(array(file, at + 0x4D, what)?))?;
        let (capacity, grain) = (u64_at(0x0C)?, u64_at(0x14)?);
        check_lengths(capacity.saturating_mul(SECTOR), 0)?;
        if !GRAIN.contains(&grain) || !grain.is_power_of_two() {
            return Err(damaged(format!(
                "{what} says grains of {grain} sectors, expected a power of two from 8 to 65536"
            )));
        }
        let entries = u32_at(0x2C)?;
        if entries == 0 || entries > MOST_ENTRIES {
            return Err(damaged(format!("{what} says grain tables of {entries} entries, expected up to 512")));
        }
        let description = (u64_at(0x1C)?, u64_at(0x24)?);
        Ok(Self { flags, capacity, grain, description, entries: u64::from(entries), directory: u64_at(0x38)? })
    }

    /// Bytes of a grain.
    fn grain_length(&self) -> u64 {
        self.grain * SECTOR
    }

    /// Bytes of the disk that one grain table describes.
    fn span(&self) -> u64 {
        self.grain_length() * self.entries
    }

    fn length(&self) -> u64 {
        self.capacity * SECTOR
    }

    fn tables(&self) -> u64 {
        self.length().div_ceil(self.span())
    }
}

/// `algorithm` stands in byte 0x4D of the header.
fn check_compression(flags: u32, algorithm: u16) -> Result<()> {
    if flags & COMPRESSED != 0 && (flags & MARKERS == 0 || algorithm != 1) {
        return Err(Error::unsupported(format!(
            "this VMDK file is compressed in a way that is not known (flags {flags:#x}, algorithm {algorithm})"
        ))
        .remedy(WHOLE));
    }
    Ok(())
}

/// Refuses a disk whose description says that it is not whole in this file.
fn check_description(file: &Disk, header: &Header) -> Result<()> {
    let (at, length) = header.description;
    if length > LONGEST_DESCRIPTION {
        return Err(damaged(format!("the description has {length} sectors, expected up to {LONGEST_DESCRIPTION}")));
    }
    let (at, length) = (at.saturating_mul(SECTOR), length * SECTOR);
    check_inside(file, at, length, || "the description".to_owned())?;
    let text = file.read_vec(at, usize::try_from(length).unwrap_or_default())?;
    let text = String::from_utf8_lossy(&text);
    let text = text.trim_end_matches('\0');
    if at == 0 || text.is_empty() {
        return Err(Error::unsupported("this VMDK file is one extent of a disk in several files").remedy(
            "convert the disk first, by the small .vmdk file that names the extents: \
             qemu-img convert -f vmdk -O qcow2 DISK.vmdk whole.qcow2",
        ));
    }
    let value = |key: &str| {
        let lines = text.lines().filter_map(|line| line.split_once('='));
        let mut values = lines.filter(|(name, _)| name.trim().eq_ignore_ascii_case(key));
        values.next().map(|(_, value)| value.trim().trim_matches('"').to_owned())
    };
    match value("createType").as_deref() {
        Some("monolithicSparse" | "streamOptimized") => {}
        Some(kind) => {
            return Err(Error::unsupported(format!(
                "this VMDK file is of the type {kind}; monolithicSparse and streamOptimized are read"
            ))
            .remedy(WHOLE));
        }
        None => return Err(damaged("the description names no createType".to_owned())),
    }
    match value("parentCID") {
        Some(parent) if !parent.eq_ignore_ascii_case("ffffffff") => {
            let name = value("parentFileNameHint").unwrap_or_else(|| format!("the disk with CID {parent}"));
            Err(Error::unsupported(format!("this VMDK file holds only what differs from {name}")).remedy(WHOLE))
        }
        _ => Ok(()),
    }
}

/// The disk in `file`.
///
/// # Errors
/// As [`super::unpack`].
pub(super) fn unpack(file: &Disk) -> Result<Disk> {
    let mut header = Header::read(file, 0, "the header")?;
    check_description(file, &header)?;
    if header.directory == AT_END {
        // The last three sectors: a marker, the footer, the end marker.
        let at = file.length().checked_sub(2 * SECTOR).ok_or_else(|| damaged("the file has no footer".to_owned()))?;
        header.directory = Header::read(file, at, "the footer")?.directory;
    }
    let directory = header.directory.saturating_mul(SECTOR);
    check_inside(file, directory, header.tables() * 4, || "the grain directory".to_owned())?;
    let mut unpacking = Unpacking { file, header, disk: DiskBuilder::default() };
    for index in 0..unpacking.header.tables() {
        let table: [u8; 4] = array(file, directory + index * 4, "the grain directory")?;
        unpacking.take_table(index, u64::from(u32::from_le_bytes(table)))?;
    }
    Ok(unpacking.disk.build())
}

/// A disk that is being read.
struct Unpacking<'a> {
    file: &'a Disk,
    header: Header,
    disk: DiskBuilder,
}

impl Unpacking<'_> {
    /// Bytes of the disk that are still to come.
    fn left(&self) -> u64 {
        self.header.length().saturating_sub(self.disk.length())
    }

    /// Takes the grain table with the number `index`, in the sector `table`.
    fn take_table(&mut self, index: u64, table: u64) -> Result<()> {
        if table == 0 {
            self.disk.push_zeroes(self.left().min(self.header.span()));
            return Ok(());
        }
        let (at, length) = (table * SECTOR, self.header.entries * 4);
        check_inside(self.file, at, length, || format!("grain table {index}"))?;
        for entry in self.file.read_vec(at, usize::try_from(length).unwrap_or_default())?.as_chunks().0 {
            if self.left() == 0 {
                break;
            }
            self.take_grain(u64::from(u32::from_le_bytes(*entry)))?;
            check_size(&self.disk)?;
        }
        Ok(())
    }

    fn take_grain(&mut self, entry: u64) -> Result<()> {
        let length = self.left().min(self.header.grain_length());
        let is_zero = entry == 0 || (entry == 1 && self.header.flags & ZERO_GRAINS != 0);
        if is_zero {
            self.disk.push_zeroes(length);
        } else if self.header.flags & COMPRESSED != 0 {
            let content = self.unpacked(entry * SECTOR, length)?;
            self.disk.push(&content);
        } else {
            check_inside(self.file, entry * SECTOR, length, || self.grain_name())?;
            self.disk.push_from(self.file, entry * SECTOR, length)?;
        }
        Ok(())
    }

    /// The first `length` bytes of the compressed grain whose marker is at byte `at`.
    fn unpacked(&self, at: u64, length: u64) -> Result<Vec<u8>> {
        let marker: [u8; 12] = array(self.file, at, &format!("the marker of {}", self.grain_name()))?;
        let [a, b, c, d, e, f, g, h, i, j, k, l] = marker;
        let sector = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        let packed = u64::from(u32::from_le_bytes([i, j, k, l]));
        let expected = self.disk.length() / SECTOR;
        if sector != expected {
            return Err(damaged(format!("the marker at byte {at} is of sector {sector}, expected {expected}")));
        }
        // Deflate makes nothing longer by more than a few bytes in 16 KiB.
        if packed > 2 * self.header.grain_length() {
            return Err(damaged(format!("{} says {packed} compressed bytes", self.grain_name())));
        }
        check_inside(self.file, at + MARKER, packed, || self.grain_name())?;
        let packed = self.file.read_vec(at + MARKER, usize::try_from(packed).unwrap_or_default())?;
        let mut content = vec![0; usize::try_from(self.header.grain_length()).unwrap_or_default()];
        let mut inflater = Decompress::new(true);
        let result = inflater.decompress(&packed, &mut content, FlushDecompress::Finish);
        let reason = match result {
            Err(error) => error.to_string(),
            Ok(_) if inflater.total_out() < length => format!("it holds {} bytes", inflater.total_out()),
            Ok(_) => {
                content.truncate(usize::try_from(length).unwrap_or_default());
                return Ok(content);
            }
        };
        Err(damaged(format!("{} (byte {at} of the file) cannot be unpacked: {reason}", self.grain_name())))
    }

    /// How messages name the grain that comes next.
    fn grain_name(&self) -> String {
        format!("the grain of the disk's byte {}", self.disk.length())
    }
}
