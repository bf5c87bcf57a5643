//! Writing an ELF relocatable file again without some of its sections and symbols, all numbers adjusted.

use std::collections::{BTreeMap, BTreeSet};

use object::LittleEndian as LE;
use object::elf;
use object::endian::{U16, U32, U64};
use object::pod;

use super::object_file::{FileHeader, ObjectFile, Section, SectionHeader, Symbol};
use crate::error::{Error, Result};

/// Alignment inside the file beyond which nothing is gained: the kernel copies each section to where it belongs.
const LARGEST_ALIGNMENT: u64 = 4096;

/// `file` without the sections of `dropped` and the symbols whose `kept` is false. Sections keep their order, in the
/// section table and in the file; the section headers come last, as `ld -r` writes them.
///
/// # Errors
/// Corrupt when sections overlap in the file or refer to symbols or sections that do not exist.
pub(super) fn write(file: &ObjectFile<'_>, dropped: &BTreeSet<usize>, kept: &[bool]) -> Result<Vec<u8>> {
    let numbering = Numbering::new(file, dropped, kept)?;
    let tables = Tables::build(file, &numbering)?;
    let mut headers = Vec::with_capacity(numbering.section_count);
    let mut contents = Vec::with_capacity(numbering.section_count);
    for (index, section) in numbering.sections(file) {
        headers.push(numbering.header(section, &tables)?);
        contents.push((index, tables.content(file, &numbering, index, section)?));
    }
    let mut out = vec![0; size_of::<FileHeader>()];
    for position in file_order(file, &contents)? {
        let (Some(header), Some((index, content))) = (headers.get_mut(position), contents.get(position)) else {
            continue;
        };
        if !content.is_empty() {
            pad(&mut out, header.sh_addralign.get(LE));
        }
        header.sh_offset = U64::new(LE, to_u64(out.len()));
        if file.sections.get(*index).is_some_and(|section| section.kind() != elf::SHT_NOBITS) {
            header.sh_size = U64::new(LE, to_u64(content.len()));
            out.extend_from_slice(content);
        }
    }
    pad(&mut out, 8);
    let mut header = *file.header;
    header.e_shoff = U64::new(LE, to_u64(out.len()));
    header.e_shnum = U16::new(LE, to_u16(headers.len())?);
    header.e_shstrndx = U16::new(LE, elf::SymbolSection(to_u16(numbering.section(file.section_names)?)?));
    header.e_phoff = U64::new(LE, 0);
    header.e_phnum = U16::new(LE, 0);
    out.extend_from_slice(pod::bytes_of_slice(&headers));
    if let Some(start) = out.get_mut(..size_of::<FileHeader>()) {
        start.copy_from_slice(pod::bytes_of(&header));
    }
    Ok(out)
}

/// The positions in `contents` in order of file offset.
///
/// # Errors
/// Corrupt when two of them overlap: their sum could then be far larger than the file.
fn file_order<T>(file: &ObjectFile<'_>, contents: &[(usize, T)]) -> Result<Vec<usize>> {
    let place = |position: usize| {
        let section = contents.get(position).and_then(|(index, _)| file.sections.get(*index));
        section.map_or((0, 0), |s| (s.header.sh_offset.get(LE), to_u64(s.data.len())))
    };
    // Position 0 is the null section, which has no place in the file.
    let mut order: Vec<usize> = (1..contents.len()).collect();
    order.sort_by_key(|&position| (place(position), position));
    let mut end = 0;
    for (start, size) in order.iter().map(|&position| place(position)).filter(|(_, size)| *size != 0) {
        if start < end {
            return Err(Error::corrupt(format!("has sections that overlap at byte {start} of the file")));
        }
        end = start.saturating_add(size);
    }
    Ok(order)
}

fn pad(out: &mut Vec<u8>, alignment: u64) {
    let alignment = usize::try_from(alignment.clamp(1, LARGEST_ALIGNMENT)).unwrap_or(1);
    out.resize(out.len().next_multiple_of(alignment), 0);
}

/// Old numbers to new ones.
struct Numbering {
    /// By old section index; 0 for the null section, `None` for a dropped one.
    sections: Vec<Option<usize>>,
    section_count: usize,
    /// By old symbol index.
    symbols: Vec<Option<u32>>,
    /// Number of local symbols that stay, the null symbol included.
    local_symbols: u32,
}

impl Numbering {
    fn new(file: &ObjectFile<'_>, dropped: &BTreeSet<usize>, kept: &[bool]) -> Result<Self> {
        let mut section_count = 0;
        let mut number = |index: usize| {
            (!dropped.contains(&index)).then(|| {
                section_count += 1;
                section_count - 1
            })
        };
        let sections = (0..file.sections.len()).map(&mut number).collect();
        let mut next = 0_u32;
        let mut local_symbols = 0;
        let first_global = file.sections.get(file.symbol_table).map_or(0, |table| table.header.sh_info.get(LE));
        let mut symbols = Vec::with_capacity(kept.len());
        for (index, &stays) in kept.iter().enumerate() {
            if u32::try_from(index).is_ok_and(|index| index == first_global) {
                local_symbols = next;
            }
            symbols.push(stays.then_some(next));
            next = next.checked_add(u32::from(stays)).ok_or_else(|| Error::corrupt("has too many symbols"))?;
        }
        if usize::try_from(first_global).is_ok_and(|first| first >= kept.len()) {
            local_symbols = next;
        }
        Ok(Self { sections, section_count, symbols, local_symbols })
    }

    fn section(&self, old: usize) -> Result<usize> {
        self.sections.get(old).copied().flatten().ok_or_else(|| {
            Error::corrupt(format!("refers to section {old}, which is a debug section or does not exist"))
        })
    }

    fn symbol(&self, old: u32) -> Result<u32> {
        let new = usize::try_from(old).ok().and_then(|old| self.symbols.get(old).copied().flatten());
        new.ok_or_else(|| Error::corrupt(format!("refers to symbol {old}, which does not exist")))
    }

    /// The sections that stay.
    fn sections<'a, 'data>(&'a self, file: &'a ObjectFile<'data>) -> impl Iterator<Item = (usize, &'a Section<'data>)> {
        let stays = |index: usize| self.sections.get(index).copied().flatten().is_some();
        file.sections.iter().enumerate().filter(move |(index, _)| stays(*index))
    }

    /// The header of `section` with its new name, link and info; place and size are still to be set.
    fn header(&self, section: &Section<'_>, tables: &Tables) -> Result<SectionHeader> {
        let mut header = *section.header;
        header.sh_name = U32::new(LE, tables.section_names.offset(section.name));
        let link = to_usize(header.sh_link.get(LE));
        // A linked section that is gone (SHF_LINK_ORDER of a debug section) leaves no link.
        header.sh_link = U32::new(LE, to_u32(self.sections.get(link).copied().flatten().unwrap_or(0)));
        let info = header.sh_info.get(LE);
        header.sh_info = U32::new(
            LE,
            match section.kind() {
                elf::SHT_SYMTAB => self.local_symbols,
                elf::SHT_GROUP => self.symbol(info)?,
                elf::SHT_RELA => to_u32(self.section(to_usize(info))?),
                _ if header.sh_flags.get(LE).contains(elf::SHF_INFO_LINK) => to_u32(self.section(to_usize(info))?),
                _ => info,
            },
        );
        if section.kind() == elf::SHT_NULL {
            // The null section's fields hold numbers that do not fit the ELF header; after stripping all fit.
            header.sh_size = U64::new(LE, 0);
            header.sh_link = U32::new(LE, 0);
            header.sh_info = U32::new(LE, 0);
        }
        Ok(header)
    }
}

/// A string table in the making: each string once, in the order first asked for.
struct Strings {
    bytes: Vec<u8>,
    offsets: BTreeMap<Vec<u8>, u32>,
}

impl Strings {
    fn new() -> Self {
        Self { bytes: vec![0], offsets: BTreeMap::from([(Vec::new(), 0)]) }
    }

    /// The offset of `string`; 0, the empty string, if it was never added.
    fn offset(&self, string: &[u8]) -> u32 {
        self.offsets.get(string).copied().unwrap_or(0)
    }

    /// Adds `string` unless the table, bounded by `limit` bytes, has it.
    fn add(&mut self, string: &[u8], limit: usize) -> Result<()> {
        if self.offsets.contains_key(string) {
            return Ok(());
        }
        let offset = u32::try_from(self.bytes.len()).ok().filter(|_| self.bytes.len() <= limit);
        let offset =
            offset.ok_or_else(|| Error::corrupt(format!("has more than {limit} bytes of overlapping names")))?;
        self.offsets.insert(string.to_vec(), offset);
        self.bytes.extend_from_slice(string);
        self.bytes.push(0);
        Ok(())
    }
}

/// The tables that are written anew.
struct Tables {
    section_names: Strings,
    symbol_names: Strings,
    symbols: Vec<Symbol>,
    /// Index of the symbols' string table; may be the same as that of the section names.
    symbol_names_section: usize,
}

impl Tables {
    fn build(file: &ObjectFile<'_>, numbering: &Numbering) -> Result<Self> {
        let table = file.sections.get(file.symbol_table).filter(|_| file.symbol_table != 0);
        let symbol_names_section = table.map_or(0, |table| to_usize(table.header.sh_link.get(LE)));
        let names_table = file.sections.get(file.section_names).map_or(0, |names| names.data.len());
        // Tail merging (".rela.text" also holds ".text") can make the old table a little smaller than the new one.
        let limit = names_table.saturating_mul(4).saturating_add(file.strings.len().saturating_mul(4)).max(4096);
        let mut section_names = Strings::new();
        for (_, section) in numbering.sections(file) {
            section_names.add(section.name, limit)?;
        }
        let is_shared = symbol_names_section == file.section_names;
        let mut symbol_names = Strings::new();
        let mut symbols = Vec::new();
        for (index, symbol) in file.symbols.iter().enumerate() {
            if numbering.symbols.get(index).copied().flatten().is_none() {
                continue;
            }
            let names = if is_shared { &mut section_names } else { &mut symbol_names };
            let name = file.symbol_name(symbol)?;
            names.add(name, limit)?;
            let mut symbol = *symbol;
            symbol.st_name = U32::new(LE, names.offset(name));
            if let Some(old) = symbol.st_shndx.get(LE).index() {
                let new = numbering.section(usize::from(old))?;
                symbol.st_shndx = U16::new(LE, elf::SymbolSection(to_u16(new)?));
            }
            symbols.push(symbol);
        }
        Ok(Self { section_names, symbol_names, symbols, symbol_names_section })
    }

    /// The bytes of section `index`, all numbers in them new.
    fn content(
        &self,
        file: &ObjectFile<'_>,
        numbering: &Numbering,
        index: usize,
        section: &Section<'_>,
    ) -> Result<Vec<u8>> {
        if index != 0 && index == file.section_names {
            return Ok(self.section_names.bytes.clone());
        }
        if index != 0 && index == self.symbol_names_section {
            return Ok(self.symbol_names.bytes.clone());
        }
        match section.kind() {
            elf::SHT_SYMTAB => Ok(pod::bytes_of_slice(&self.symbols).to_vec()),
            elf::SHT_RELA => {
                let mut relocations = section.relocations()?.to_vec();
                for relocation in &mut relocations {
                    let symbol = numbering.symbol(relocation.r_sym(LE, false))?;
                    relocation.set_r_info(LE, false, symbol, relocation.r_type(LE, false));
                }
                Ok(pod::bytes_of_slice(&relocations).to_vec())
            }
            elf::SHT_GROUP => {
                let mut words = section.data.get(..4).unwrap_or_default().to_vec();
                let members = section.group_members().filter_map(|old| numbering.sections.get(old).copied().flatten());
                members.for_each(|new| words.extend(to_u32(new).to_le_bytes()));
                Ok(words)
            }
            _ => Ok(section.data.to_vec()),
        }
    }
}

fn to_u64(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// For numbers of sections, which [`write`] has found to be below 65280.
fn to_u32(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// # Errors
/// Unsupported from SHN_LORESERVE on: such files need a table of extended indices, and no module is that large.
fn to_u16(number: usize) -> Result<u16> {
    u16::try_from(number)
        .ok()
        .filter(|&number| number < elf::SHN_LORESERVE)
        .ok_or_else(|| Error::unsupported(format!("has {number} sections, more than 65279")))
}
