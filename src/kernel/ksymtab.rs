//! The export tables of a linked kernel: `__ksymtab`, `__ksymtab_gpl`, their strings and checksums.

use super::Export;
use super::bytes::{c_string, i32_at, slice, u32_at, u64_at};
use crate::error::{Error, Result};

/// Longest symbol name accepted, bytes: `KSYM_NAME_LEN` of Linux 6.1 and newer.
const LONGEST_NAME: usize = 512;

/// A section of the kernel with its link address.
#[derive(Debug, Clone, Copy)]
pub(super) struct Region<'a> {
    /// Virtual address of its first byte.
    pub(super) address: u64,
    /// Its bytes.
    pub(super) bytes: &'a [u8],
}

impl<'a> Region<'a> {
    /// The symbol name or namespace at virtual address `at`.
    fn name(&self, at: u64) -> Option<&'a str> {
        let text = c_string(self.bytes, at.checked_sub(self.address)?, LONGEST_NAME)?;
        std::str::from_utf8(text).ok()
    }
}

/// Layout of `struct kernel_symbol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// Value, name and namespace, 4 bytes each, relative to the field itself (include/linux/export-internal.h;
    /// `CONFIG_HAVE_ARCH_PREL32_RELOCATIONS`, Linux 5.4 and newer).
    RelativeTriple,
    /// Value and name, relative (Linux 4.19 to 5.3).
    RelativePair,
    /// Pointers to value, name and namespace (without PREL32, Linux 5.4 and newer).
    PointerTriple,
    /// Pointers to value and name (without PREL32, before 5.4).
    PointerPair,
}

impl Layout {
    /// The commonest first.
    const ALL: [Self; 4] = [Self::RelativeTriple, Self::PointerTriple, Self::PointerPair, Self::RelativePair];

    /// Bytes per entry.
    const fn entry_size(self) -> u64 {
        match self {
            Self::RelativeTriple => 12,
            Self::RelativePair => 8,
            Self::PointerTriple => 24,
            Self::PointerPair => 16,
        }
    }

    /// Addresses of name and namespace of the entry at `offset` of `table`; 0 for no namespace.
    fn addresses(self, table: &Region<'_>, offset: u64) -> Option<(u64, u64)> {
        let relative = |field: u64| {
            let distance = i32_at(table.bytes, offset.checked_add(field)?)?;
            let place = table.address.wrapping_add(offset).wrapping_add(field);
            Some(if distance == 0 { 0 } else { place.wrapping_add_signed(distance.into()) })
        };
        let pointer = |field: u64| u64_at(table.bytes, offset.checked_add(field)?);
        match self {
            Self::RelativeTriple => Some((relative(4)?, relative(8)?)),
            Self::RelativePair => Some((relative(4)?, 0)),
            Self::PointerTriple => Some((pointer(8)?, pointer(16)?)),
            Self::PointerPair => Some((pointer(8)?, 0)),
        }
    }

    /// All names and namespaces of `table`, if every entry reads well under this layout.
    fn decode<'a>(self, table: &Region<'_>, strings: &Region<'a>) -> Option<Vec<(&'a str, Option<&'a str>)>> {
        let length = table.bytes.len() as u64;
        if !length.is_multiple_of(self.entry_size()) {
            return None;
        }
        let entries = (0..length / self.entry_size()).map(|index| {
            let (name, namespace) = self.addresses(table, index * self.entry_size())?;
            let name = strings.name(name).filter(|name| is_symbol(name.as_bytes()))?;
            let namespace = if namespace == 0 { "" } else { strings.name(namespace)? };
            Some((name, Some(namespace).filter(|namespace| !namespace.is_empty())))
        });
        entries.collect()
    }
}

/// Whether `name` can be a symbol's: letters, digits, `_`, `.`, `$`, and no digit first.
pub(super) fn is_symbol(name: &[u8]) -> bool {
    name.first().is_some_and(|first| !first.is_ascii_digit())
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'$'))
}

/// The exports in `table`; `gpl_only` says which of the two tables it is. `checksums` is its `__kcrctab`.
///
/// # Errors
/// Unsupported when no known layout fits every entry; corrupt when the checksums are not one per entry.
pub(super) fn read(
    name: &str,
    table: &Region<'_>,
    strings: &Region<'_>,
    checksums: Option<&[u8]>,
    gpl_only: bool,
) -> Result<Vec<Export>> {
    let decoded = Layout::ALL.iter().find_map(|layout| layout.decode(table, strings));
    let decoded = decoded.ok_or_else(|| {
        Error::unsupported(format!(
            "{name} of {} bytes fits no known layout of struct kernel_symbol (12, 24, 16 or 8 bytes per entry)",
            table.bytes.len()
        ))
    })?;
    let crcs = match checksums {
        Some(checksums) => Some(read_checksums(name, checksums, decoded.len())?),
        None => None,
    };
    let export = |(index, (name, namespace)): (usize, &(&str, Option<&str>))| Export {
        name: (*name).to_owned(),
        gpl_only,
        namespace: namespace.map(str::to_owned),
        crc: crcs.as_ref().and_then(|crcs| crcs.get(index).copied()),
    };
    Ok(decoded.iter().enumerate().map(export).collect())
}

/// `__kcrctab*`: one u32 per entry since Linux 4.10, one `unsigned long` before.
fn read_checksums(table: &str, checksums: &[u8], count: usize) -> Result<Vec<u32>> {
    let (length, count) = (checksums.len() as u64, count as u64);
    let stride = match length {
        length if length == count * 4 => 4,
        length if length == count * 8 => 8,
        _ => {
            return Err(Error::corrupt(format!(
                "the checksums of {table} have {length} bytes; its {count} entries need 4 each"
            )));
        }
    };
    Ok((0..count).filter_map(|index| u32_at(checksums, index * stride)).collect())
}

/// Fewest entries of a table found by its looks.
const FEWEST: usize = 64;
/// Bytes searched for tables by their looks; they lie in .rodata, near the start.
const SEARCHED: usize = 256 << 20;

/// Both tables found by their looks, for kernels whose section headers are gone: two runs of relative triples behind each
/// other, each in order of its names, `__ksymtab` before `__ksymtab_gpl` (include/asm-generic/vmlinux.lds.h `RO_DATA`).
/// Distances in the file stand for distances in memory, which holds inside one segment.
pub(super) fn scan(image: &[u8]) -> Option<Vec<Export>> {
    let image = image.get(..image.len().min(SEARCHED)).unwrap_or(image);
    let run = longest_run(image)?;
    let mut exports: Vec<Export> = Vec::new();
    let mut gpl_only = false;
    for index in 0..run.entries {
        let offset = run.offset + index * 12;
        let (name, namespace) = relative_entry(image, offset)?;
        if exports.last().is_some_and(|last| last.name.as_str() > name) {
            // A second descent means that these are not the two tables.
            if gpl_only {
                return None;
            }
            gpl_only = true;
        }
        let namespace = Some(namespace).filter(|namespace| !namespace.is_empty()).map(str::to_owned);
        exports.push(Export { name: name.to_owned(), gpl_only, namespace, crc: None });
    }
    Some(exports)
}

/// A run of relative triples that read well.
#[derive(Debug, Clone, Copy)]
struct Run {
    offset: u64,
    entries: u64,
}

/// The longest run, if it is long enough for an export table.
fn longest_run(image: &[u8]) -> Option<Run> {
    let mut best = Run { offset: 0, entries: 0 };
    // Entries are 4-byte aligned and 12 bytes long: three interleaved sequences.
    for phase in [0, 4, 8] {
        let (mut offset, mut entries) = (phase, 0);
        while offset + 12 <= image.len() as u64 {
            let reads_well = relative_entry(image, offset).is_some();
            entries = if reads_well { entries + 1 } else { 0 };
            offset += 12;
            if entries > best.entries {
                best = Run { offset: offset - entries * 12, entries };
            }
        }
    }
    (best.entries >= FEWEST as u64).then_some(best)
}

/// Name and namespace of the relative triple at `offset` of the file, if it looks like one.
fn relative_entry(image: &[u8], offset: u64) -> Option<(&str, &str)> {
    let text = |field: u64, symbol: bool| {
        let place = offset.checked_add(field)?;
        let distance = i32_at(image, place)?;
        let at = place.checked_add_signed(distance.into())?;
        if !symbol && distance == 0 {
            return Some("");
        }
        // The kernel's names are all longer than one letter and, whatever the limit says, shorter than this.
        let text = c_string(image, at, 128)?;
        if symbol && (text.len() < 2 || !is_symbol(text)) {
            return None;
        }
        std::str::from_utf8(text).ok()
    };
    // Cheap first: a value of 0 is no function and no variable.
    if slice(image, offset, 4)? == [0; 4] {
        return None;
    }
    Some((text(4, true)?, text(8, false)?))
}
