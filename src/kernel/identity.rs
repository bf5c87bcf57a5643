//! What two copies of one module have in common when one is stripped and the other is not.

use std::collections::BTreeMap;

use object::LittleEndian as LE;
use object::elf;
use sha2::{Digest as _, Sha256};

use super::object_file::{ObjectFile, Relocation};
use crate::error::Result;

/// A SHA-256 over what the kernel loads and links: the allocatable sections, their relocations with each target
/// resolved to a section offset or to an undefined symbol's name. Symbol tables, undefined symbols that nothing uses
/// (binutils drops them), names of defined symbols, debug sections, the order of relocations, signatures and the build id (a hash that covers debug
/// sections) do not count, so the same build unstripped, stripped here, and stripped by OpenWrt are equal.
///
/// # Errors
/// As [`super::Module::parse`].
pub(crate) fn identity(bytes: &[u8]) -> Result<[u8; 32]> {
    let file = ObjectFile::parse(bytes)?;
    let mut hash = Sha256::new();
    let mut ordinals = BTreeMap::new();
    for (index, section) in file.sections.iter().enumerate().skip(1) {
        if section.is_allocatable() && section.name != b".note.gnu.build-id" {
            ordinals.insert(index, ordinals.len());
        }
    }
    for &index in ordinals.keys() {
        let Some(section) = file.sections.get(index) else { continue };
        feed(&mut hash, section.name);
        hash.update(section.kind().0.to_le_bytes());
        hash.update(section.header.sh_flags.get(LE).0.to_le_bytes());
        hash.update(section.header.sh_size.get(LE).to_le_bytes());
        feed(&mut hash, section.data);
        let mut relocations = Vec::new();
        for table in file.relocations_of(index) {
            for relocation in table.relocations()? {
                relocations.push(resolve(&file, &ordinals, relocation)?);
            }
        }
        relocations.sort();
        hash.update(relocations.len().to_le_bytes());
        for relocation in &relocations {
            feed_relocation(&mut hash, relocation);
        }
    }
    Ok(hash.finalize().into())
}

/// Length first.
fn feed(hash: &mut Sha256, bytes: &[u8]) {
    hash.update(bytes.len().to_le_bytes());
    hash.update(bytes);
}

/// A relocation independent of symbol indices: offset, type, and what it points at.
type Resolved<'data> = (u64, u32, Target<'data>);

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Target<'data> {
    /// The how-manieth allocatable section, and the offset in it.
    Inside(usize, u64),
    /// An undefined symbol, its binding, and the addend.
    Import(&'data [u8], u8, i64),
    /// Anything else, as an absolute symbol: `st_shndx` and value.
    Other(u16, u64),
}

fn resolve<'data>(
    file: &ObjectFile<'data>,
    ordinals: &BTreeMap<usize, usize>,
    relocation: &Relocation,
) -> Result<Resolved<'data>> {
    let symbol = file.target(relocation)?;
    let section = symbol.st_shndx.get(LE);
    let addend = relocation.r_addend.get(LE);
    let value = symbol.st_value.get(LE).wrapping_add_signed(addend);
    let target = match section.index().and_then(|index| ordinals.get(&usize::from(index))) {
        Some(&ordinal) => Target::Inside(ordinal, value),
        None if section == elf::SHN_UNDEF => Target::Import(file.symbol_name(symbol)?, symbol.st_bind().0, addend),
        None => Target::Other(section.0, value),
    };
    Ok((relocation.r_offset.get(LE), relocation.r_type(LE, false).0, target))
}

/// Every part is of fixed length or preceded by it, so that no two sequences give the same stream.
fn feed_relocation(hash: &mut Sha256, (offset, kind, target): &Resolved<'_>) {
    hash.update(offset.to_le_bytes());
    hash.update(kind.to_le_bytes());
    match target {
        Target::Inside(ordinal, value) => {
            hash.update([1]);
            hash.update(ordinal.to_le_bytes());
            hash.update(value.to_le_bytes());
        }
        Target::Import(name, bind, addend) => {
            hash.update([2, *bind]);
            hash.update(addend.to_le_bytes());
            feed(hash, name);
        }
        Target::Other(section, value) => {
            hash.update([3]);
            hash.update(section.to_le_bytes());
            hash.update(value.to_le_bytes());
        }
    }
}
