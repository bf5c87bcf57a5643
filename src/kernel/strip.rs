//! Stripping a module of its debug sections.

use std::collections::BTreeSet;

use object::LittleEndian as LE;
use object::elf;

use super::object_file::{ObjectFile, Section, Symbol};
use super::object_writer;
use crate::error::{Error, Result};

/// `module` without debug sections and what only they need; everything the kernel reads stays as it is.
///
/// Dropped: debug sections, `.comment`, `.note.GNU-stack`, the relocations of these, and the local symbols that no
/// remaining relocation names. Kept: every allocatable section (the build id too: the kernel shows it in sysfs), `.BTF`
/// and `.BTF_ids` (not allocatable, yet the module loader reads them), undefined and global symbols. Where there is no
/// such section the same bytes come back, so stripping twice changes nothing. A signed module without debug sections
/// also comes back as it is; a signature that covered debug sections is no longer valid and is dropped with them.
///
/// # Errors
/// As [`super::Module::parse`]; also unsupported when a section's type holds symbol or section numbers of a kind that
/// modules do not use, so that they could not be kept right.
pub(crate) fn strip(module: &[u8]) -> Result<Vec<u8>> {
    let file = ObjectFile::parse(module)?;
    let dropped = droppable(&file)?;
    let has_debug = file.sections.iter().enumerate().any(|(index, s)| s.is_debug() && dropped.contains(&index));
    if dropped.is_empty() || (file.is_signed && !has_debug) {
        return Ok(module.to_vec());
    }
    check_types(&file, &dropped)?;
    let kept = kept_symbols(&file, &dropped)?;
    object_writer::write(&file, &dropped, &kept)
}

/// Type of `.llvm_addrsig`: symbol indices for the linker, without use to the kernel.
const SHT_LLVM_ADDRSIG: elf::SectionType = elf::SectionType(0x6fff_4c03);

fn is_dispensable(section: &Section<'_>) -> bool {
    let is_note = matches!(section.name, b".comment" | b".note.GNU-stack");
    section.is_debug() || section.kind() == SHT_LLVM_ADDRSIG || (!section.is_allocatable() && is_note)
}

/// The sections to drop, relocation sections and emptied groups included. A dispensable section that a remaining
/// relocation points into stays.
fn droppable(file: &ObjectFile<'_>) -> Result<BTreeSet<usize>> {
    let all = file.sections.iter().enumerate().skip(1);
    let mut dropped: BTreeSet<usize> = all.filter(|(_, s)| is_dispensable(s)).map(|(index, _)| index).collect();
    loop {
        let needed = pointed_at(file, &dropped)?;
        let before = dropped.len();
        dropped.retain(|index| !needed.contains(index));
        if dropped.len() == before {
            break;
        }
    }
    for (index, section) in file.sections.iter().enumerate().skip(1) {
        let target = usize::try_from(section.header.sh_info.get(LE)).unwrap_or(0);
        let is_emptied = section.kind() == elf::SHT_GROUP
            && section.group_members().next().is_some()
            && section
                .group_members()
                .all(|member| dropped.contains(&member) || is_relocation_of(file, member, &dropped));
        if is_emptied || (section.is_relocations() && dropped.contains(&target)) {
            dropped.insert(index);
        }
    }
    Ok(dropped)
}

fn is_relocation_of(file: &ObjectFile<'_>, index: usize, targets: &BTreeSet<usize>) -> bool {
    file.sections.get(index).is_some_and(|section| {
        let target = usize::try_from(section.header.sh_info.get(LE)).unwrap_or(0);
        section.is_relocations() && targets.contains(&target)
    })
}

/// The sections of `dropped` that relocations of other sections point into.
fn pointed_at(file: &ObjectFile<'_>, dropped: &BTreeSet<usize>) -> Result<BTreeSet<usize>> {
    let mut needed = BTreeSet::new();
    for section in remaining_relocations(file, dropped) {
        for relocation in section.relocations()? {
            let target = file.target(relocation)?.st_shndx.get(LE).index().map(usize::from);
            needed.extend(target.filter(|index| dropped.contains(index)));
        }
    }
    Ok(needed)
}

/// The RELA sections that apply to sections not in `dropped`.
fn remaining_relocations<'a, 'data>(
    file: &'a ObjectFile<'data>,
    dropped: &'a BTreeSet<usize>,
) -> impl Iterator<Item = &'a Section<'data>> {
    file.sections.iter().filter(|section| {
        let target = usize::try_from(section.header.sh_info.get(LE)).unwrap_or(0);
        section.kind() == elf::SHT_RELA && !dropped.contains(&target)
    })
}

/// By symbol index: whether the symbol stays.
fn kept_symbols(file: &ObjectFile<'_>, dropped: &BTreeSet<usize>) -> Result<Vec<bool>> {
    let mut kept: Vec<bool> = file.symbols.iter().enumerate().map(|(i, s)| i == 0 || is_needed(s, dropped)).collect();
    for section in remaining_relocations(file, dropped) {
        for relocation in section.relocations()? {
            file.target(relocation)?;
            mark(&mut kept, relocation.r_sym(LE, false));
        }
    }
    for (index, section) in file.sections.iter().enumerate() {
        // A group's sh_info is the symbol that names it.
        if section.kind() == elf::SHT_GROUP && !dropped.contains(&index) {
            mark(&mut kept, section.header.sh_info.get(LE));
        }
    }
    Ok(kept)
}

fn mark(kept: &mut [bool], symbol: u32) {
    if let Some(flag) = usize::try_from(symbol).ok().and_then(|index| kept.get_mut(index)) {
        *flag = true;
    }
}

/// Undefined symbols (the kernel resolves each, used or not) and global ones outside dropped sections.
fn is_needed(symbol: &Symbol, dropped: &BTreeSet<usize>) -> bool {
    let section = symbol.st_shndx.get(LE);
    let is_dropped = section.index().is_some_and(|index| dropped.contains(&usize::from(index)));
    section == elf::SHN_UNDEF || (symbol.st_bind() != elf::STB_LOCAL && !is_dropped)
}

/// Lets only section types pass whose meaning does not depend on numbers that are about to change, or that
/// [`object_writer`] rewrites.
fn check_types(file: &ObjectFile<'_>, dropped: &BTreeSet<usize>) -> Result<()> {
    for (index, section) in file.sections.iter().enumerate().skip(1).filter(|(index, _)| !dropped.contains(index)) {
        let known = matches!(
            section.kind(),
            elf::SHT_NULL
                | elf::SHT_PROGBITS
                | elf::SHT_NOBITS
                | elf::SHT_NOTE
                | elf::SHT_SYMTAB
                | elf::SHT_STRTAB
                | elf::SHT_RELA
                | elf::SHT_GROUP
                | elf::SHT_INIT_ARRAY
                | elf::SHT_FINI_ARRAY
                | elf::SHT_PREINIT_ARRAY
                | elf::SHT_X86_64_UNWIND
        );
        if !known {
            return Err(Error::unsupported(format!(
                "cannot be stripped: section {index}, {}, is of type {:#x}",
                section.display_name(),
                section.kind().0
            ))
            .remedy("keep its debug sections (--keep-debug)"));
        }
        let link = usize::try_from(section.header.sh_link.get(LE)).unwrap_or(usize::MAX);
        if section.kind() == elf::SHT_RELA && link != file.symbol_table {
            return Err(Error::corrupt(format!(
                "has relocations in {} against the symbols of section {link}, its symbol table is section {}",
                section.display_name(),
                file.symbol_table
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "strip_tests.rs"]
mod tests;
