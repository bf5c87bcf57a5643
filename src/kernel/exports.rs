//! The export tables of a module: `__ksymtab` and `__ksymtab_gpl`.

use std::collections::BTreeMap;

use object::LittleEndian as LE;
use serde::Serialize;

use super::object_file::{ObjectFile, Section, c_string};
use crate::error::{Error, Result};

/// A symbol that a module or kernel offers to modules.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Export {
    /// Its name.
    pub(crate) name: String,
    /// Whether only modules under a GPL-compatible licence may use it.
    pub(crate) gpl_only: bool,
    /// The namespace that a user must import, if any.
    pub(crate) namespace: Option<String>,
    /// The checksum of its type (`CONFIG_MODVERSIONS`), where stored as a plain number (Linux 5.19 and later).
    pub(crate) crc: Option<u32>,
}

/// `struct kernel_symbol` with `CONFIG_HAVE_ARCH_PREL32_RELOCATIONS`: value, name and namespace, 4 bytes each, relative
/// to the field itself (include/linux/export-internal.h; Linux 5.4 to 6.12).
const ENTRY_SIZE: usize = 12;

/// All exports of `file`, sorted by name. In a module the fields are zero until relocated, so names come from the
/// relocations, not from the `__ksymtab_*` symbols, which stripping removes.
///
/// # Errors
/// Corrupt when an entry has no relocation for its name or that does not point into `__ksymtab_strings`.
pub(super) fn read(file: &ObjectFile<'_>, file_size: usize) -> Result<Vec<Export>> {
    let mut exports = Vec::new();
    let mut total = 0_usize;
    for (table, checksums, gpl_only) in
        [(&b"__ksymtab"[..], &b"__kcrctab"[..], false), (b"__ksymtab_gpl", b"__kcrctab_gpl", true)]
    {
        let Some((index, section)) = file.section(table) else { continue };
        let targets = targets(file, index)?;
        let crcs = crcs(file, checksums);
        for k in 0..entry_count(section)? {
            let (name, namespace) = names(file, section, &targets, k)?;
            total = total.saturating_add(name.len()).saturating_add(namespace.len());
            if total > file_size {
                return Err(Error::corrupt(format!("has {file_size} bytes but {total} bytes of export names")));
            }
            exports.push(Export {
                name: String::from_utf8_lossy(name).into_owned(),
                gpl_only,
                namespace: (!namespace.is_empty()).then(|| String::from_utf8_lossy(namespace).into_owned()),
                crc: crcs.get(k).copied(),
            });
        }
    }
    exports.sort();
    Ok(exports)
}

fn entry_count(section: &Section<'_>) -> Result<usize> {
    let size = section.data.len();
    if !size.is_multiple_of(ENTRY_SIZE) {
        return Err(Error::corrupt(format!("has {size} bytes in {}, no multiple of 12", section.display_name())));
    }
    Ok(size / ENTRY_SIZE)
}

/// What a relocation points at: section index and offset in it.
type Target = (usize, u32);

/// The relocations of section `index` by the offset they patch.
fn targets(file: &ObjectFile<'_>, index: usize) -> Result<BTreeMap<u64, Target>> {
    let mut targets = BTreeMap::new();
    for section in file.relocations_of(index) {
        for relocation in section.relocations()? {
            let symbol = file.target(relocation)?;
            let Some(section) = symbol.st_shndx.get(LE).index() else { continue };
            let offset = symbol.st_value.get(LE).wrapping_add_signed(relocation.r_addend.get(LE));
            let Ok(offset) = u32::try_from(offset) else { continue };
            targets.insert(relocation.r_offset.get(LE), (usize::from(section), offset));
        }
    }
    Ok(targets)
}

/// Name and namespace (empty: none) of entry `k`.
fn names<'data>(
    file: &ObjectFile<'data>,
    table: &Section<'_>,
    targets: &BTreeMap<u64, Target>,
    k: usize,
) -> Result<(&'data [u8], &'data [u8])> {
    let at = |field: usize| targets.get(&u64::try_from(k * ENTRY_SIZE + field).unwrap_or(u64::MAX));
    let string = |&(section, offset): &Target| {
        let strings = file.sections.get(section).filter(|section| section.name == b"__ksymtab_strings");
        let strings = strings.ok_or_else(|| {
            Error::corrupt(format!("has entry {k} of {} named outside __ksymtab_strings", table.display_name()))
        })?;
        c_string(strings.data, offset, "export")
    };
    let name = at(4).ok_or_else(|| {
        Error::corrupt(format!("has entry {k} of {} without a relocation for its name", table.display_name()))
    })?;
    Ok((string(name)?, at(8).map(string).transpose()?.unwrap_or_default()))
}

/// The checksums of one table, in its order; empty when there are none or when they are relocated.
fn crcs(file: &ObjectFile<'_>, name: &[u8]) -> Vec<u32> {
    let Some((index, section)) = file.section(name) else { return Vec::new() };
    if file.relocations_of(index).next().is_some() {
        return Vec::new();
    }
    section.data.chunks_exact(4).filter_map(|crc| crc.first_chunk::<4>()).map(|crc| u32::from_le_bytes(*crc)).collect()
}
