//! What the kernel loads of a module, read by the `object` crate: two files with the same answer are the same module to
//! it, however much debug information one of them has lost.

use std::path::Path;

use object::{Object, ObjectSection, ObjectSymbol, RelocationFlags, RelocationTarget, SectionFlags};

/// `SHF_ALLOC` of `sh_flags`: the section is part of the loaded module.
const ALLOC: u64 = 2;

/// One loaded section: name, content, size, and its relocations as offset, type, target and addend.
type Loaded = (String, Vec<u8>, u64, Vec<(u64, String, String, i64)>);

/// Every loaded section, in the file's order.
pub(crate) fn loadable(module: &Path) -> Vec<Loaded> {
    let bytes = std::fs::read(module).unwrap();
    let file = object::File::parse(bytes.as_slice()).unwrap_or_else(|error| panic!("{}: {error}", module.display()));
    let is_loaded = |section: &object::Section<'_, '_>| matches!(section.flags(), SectionFlags::Elf { sh_flags, .. } if sh_flags.0 & ALLOC != 0);
    let sections = file.sections().filter(is_loaded);
    sections
        .map(|section| {
            let relocations = section.relocations().map(|(offset, relocation)| {
                let RelocationFlags::Elf { r_type } = relocation.flags() else { panic!("no ELF relocation") };
                let target = target_name(&file, relocation.target());
                (offset, format!("{r_type:?}"), target, relocation.addend())
            });
            let relocations = relocations.collect();
            (section.name().unwrap().to_string(), section.data().unwrap().to_vec(), section.size(), relocations)
        })
        .collect()
}

/// A symbol by its name, a nameless one by its section and value.
fn target_name(file: &object::File<'_>, target: RelocationTarget) -> String {
    let RelocationTarget::Symbol(index) = target else { return format!("{target:?}") };
    let symbol = file.symbol_by_index(index).unwrap();
    let home = symbol.section_index().map(|index| file.section_by_index(index).unwrap().name().unwrap().to_string());
    format!("{} in {home:?} at {}", symbol.name().unwrap(), symbol.address())
}
