//! What a dynamic linker reads of an ELF file: the program headers and what PT_DYNAMIC says. Section headers may be gone,
//! as OpenWrt's sstrip leaves it (gABI, chapter 5).

use std::collections::BTreeSet;

use crate::kernel::bytes::{c_string, slice, u16_at, u32_at, u64_at};

/// `e_type` of programs and of libraries (and programs that can be placed anywhere).
const EXECUTABLE: u16 = 2;
const SHARED: u16 = 3;
/// `e_machine` of x86_64.
const X86_64: u16 = 62;
/// Program header types.
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
/// Tags of the dynamic section.
const DT_NEEDED: u64 = 1;
const DT_HASH: u64 = 4;
const DT_STRTAB: u64 = 5;
const DT_SYMTAB: u64 = 6;
const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;
const DT_GNU_HASH: u64 = 0x6FFF_FEF5;
/// Most program headers, dynamic entries and symbols that are read.
const MOST_HEADERS: u16 = 512;
const MOST_ENTRIES: u64 = 4096;
const MOST_SYMBOLS: u64 = 200_000;
/// Longest name that is read.
const LONGEST_NAME: usize = 4096;

/// A program or library.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Binary {
    /// The dynamic linker that it asks the kernel for; a library, and a program that needs none, has none.
    pub(crate) interpreter: Option<String>,
    /// Libraries that it needs, in order.
    pub(crate) needed: Vec<String>,
    /// Folders that are searched before all others.
    pub(crate) run_paths: Vec<String>,
    /// Names that must be there when it is loaded; weak ones are not among them.
    pub(crate) imports: BTreeSet<String>,
    /// Names that it offers; `None` where its symbols cannot be counted (no hash table).
    pub(crate) exports: Option<BTreeSet<String>>,
}

/// Whether `bytes` begin as a program or library does, for whatever machine; kernel modules and object files do not count.
pub(crate) fn is_program(bytes: &[u8]) -> bool {
    let big = bytes.get(5) == Some(&2);
    let kind = slice(bytes, 16, 2).map(|pair| if big { pair.get(1) } else { pair.first() });
    bytes.starts_with(b"\x7fELF") && matches!(kind.flatten().map(|kind| u16::from(*kind)), Some(EXECUTABLE | SHARED))
}

/// A mapped part of the file: where it stands in memory, in the file, and how long it is there.
struct Segment {
    address: u64,
    offset: u64,
    length: u64,
}

impl Binary {
    /// Reads a program or library for x86_64.
    ///
    /// # Errors
    /// A predicate about the file, such as `is for the machine aarch64`.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        if !is_program(bytes) {
            return Err("is no ELF program or library".to_owned());
        }
        let machine = match bytes.get(5) {
            Some(2) => slice(bytes, 18, 2).and_then(|pair| Some(u16::from_be_bytes(pair.try_into().ok()?))),
            _ => u16_at(bytes, 18),
        };
        let machine = machine.ok_or("is cut short")?;
        // e_ident: class 2 is 64 bits, data 1 is little-endian.
        if machine != X86_64 || bytes.get(4..6) != Some(&[2, 1]) {
            let bits = if bytes.get(4) == Some(&1) { "32" } else { "64" };
            return Err(format!("is built for {} ({bits} bits), not for x86_64", machine_name(machine)));
        }
        let cut = || "is cut short, or its headers are damaged".to_owned();
        let (segments, dynamic, interpreter) = headers(bytes).ok_or_else(cut)?;
        let mut binary = Self { interpreter, exports: Some(BTreeSet::new()), ..Self::default() };
        if let Some((offset, length)) = dynamic {
            binary.read_dynamic(bytes, &segments, offset, length).ok_or_else(cut)?;
        }
        Ok(binary)
    }

    fn read_dynamic(&mut self, bytes: &[u8], segments: &[Segment], offset: u64, length: u64) -> Option<()> {
        let entries: Vec<(u64, u64)> = (0..(length / 16).min(MOST_ENTRIES))
            .map_while(|index| {
                let at = offset.checked_add(index.checked_mul(16)?)?;
                let tag = u64_at(bytes, at)?;
                (tag != 0).then_some((tag, u64_at(bytes, at.checked_add(8)?)?))
            })
            .collect();
        let value = |tag: u64| entries.iter().find(|(known, _)| *known == tag).map(|(_, value)| *value);
        let place = |address: u64| file_offset(segments, address);
        let names = value(DT_STRTAB).map(place);
        let name = |index: u64| text(bytes, names??.checked_add(index)?);
        for (tag, index) in &entries {
            match *tag {
                DT_NEEDED => self.needed.push(name(*index)?),
                DT_RPATH | DT_RUNPATH => {
                    self.run_paths.extend(name(*index)?.split(':').filter(|path| !path.is_empty()).map(str::to_owned));
                }
                _ => {}
            }
        }
        let Some(table) = value(DT_SYMTAB) else { return Some(()) };
        let table = place(table)?;
        let count = match (value(DT_HASH), value(DT_GNU_HASH)) {
            // gABI: nbucket, nchain; there are as many chains as symbols.
            (Some(hash), _) => u32_at(bytes, place(hash)?.checked_add(4)?).map(u64::from),
            (None, Some(hash)) => gnu_count(bytes, place(hash)?),
            (None, None) => None,
        };
        let Some(count) = count.filter(|count| *count <= MOST_SYMBOLS) else {
            self.exports = None;
            return Some(());
        };
        // Elf64_Sym: name u32, info u8, other u8, section u16, value u64, size u64. The first is none.
        for index in 1..count {
            let at = table.checked_add(index.checked_mul(24)?)?;
            let info = *slice(bytes, at.checked_add(4)?, 1)?.first()?;
            let is_defined = u16_at(bytes, at.checked_add(6)?)? != 0;
            let symbol = name(u64::from(u32_at(bytes, at)?))?;
            match (info >> 4, is_defined) {
                _ if symbol.is_empty() => {}
                (1, false) => self.imports.extend([symbol]),
                (1 | 2 | 10, true) => self.exports.get_or_insert_default().extend([symbol]),
                _ => {}
            }
        }
        Some(())
    }
}

/// The mapped parts, where the dynamic section stands, and the interpreter.
#[expect(clippy::type_complexity, reason = "three parts of one table, taken apart at once")]
fn headers(bytes: &[u8]) -> Option<(Vec<Segment>, Option<(u64, u64)>, Option<String>)> {
    let (start, size, count) = (u64_at(bytes, 0x20)?, u16_at(bytes, 0x36)?, u16_at(bytes, 0x38)?);
    if size < 56 || count > MOST_HEADERS {
        return None;
    }
    let (mut segments, mut dynamic, mut interpreter) = (Vec::new(), None, None);
    for index in 0..u64::from(count) {
        let at = start.checked_add(index.checked_mul(u64::from(size))?)?;
        let (offset, address) = (u64_at(bytes, at.checked_add(8)?)?, u64_at(bytes, at.checked_add(16)?)?);
        let length = u64_at(bytes, at.checked_add(32)?)?;
        match u32_at(bytes, at)? {
            PT_LOAD => segments.push(Segment { address, offset, length }),
            PT_DYNAMIC => dynamic = Some((offset, length)),
            PT_INTERP => interpreter = Some(text(bytes, offset)?),
            _ => {}
        }
    }
    Some((segments, dynamic, interpreter))
}

/// Where the byte at `address` stands in the file.
fn file_offset(segments: &[Segment], address: u64) -> Option<u64> {
    segments.iter().find_map(|segment| {
        let inside = address.checked_sub(segment.address).filter(|inside| *inside < segment.length)?;
        segment.offset.checked_add(inside)
    })
}

fn text(bytes: &[u8], offset: u64) -> Option<String> {
    Some(String::from_utf8_lossy(c_string(bytes, offset, LONGEST_NAME)?).into_owned())
}

/// Number of symbols by a DT_GNU_HASH table: nbuckets, symoffset, bloom size and shift as u32, bloom words of 8 bytes,
/// buckets, chains. The last symbol ends the chain of the bucket that begins last.
fn gnu_count(bytes: &[u8], table: u64) -> Option<u64> {
    let word = |index: u64| u32_at(bytes, table.checked_add(index.checked_mul(4)?)?).map(u64::from);
    let (buckets, first, bloom) = (word(0)?, word(1)?, word(2)?);
    let start = bloom.checked_mul(2)?.checked_add(4)?;
    let mut last = 0;
    for index in 0..buckets.min(MOST_SYMBOLS) {
        last = last.max(word(start.checked_add(index)?)?);
    }
    if last < first {
        return Some(first);
    }
    let chains = start.checked_add(buckets)?;
    while last.checked_sub(first)? < MOST_SYMBOLS {
        let chain = word(chains.checked_add(last.checked_sub(first)?)?)?;
        last = last.checked_add(1)?;
        if chain & 1 == 1 {
            return Some(last);
        }
    }
    None
}

fn machine_name(machine: u16) -> String {
    match machine {
        3 => "i386".to_owned(),
        8 => "MIPS".to_owned(),
        20 | 21 => "PowerPC".to_owned(),
        40 => "ARM".to_owned(),
        X86_64 => "x86_64".to_owned(),
        183 => "aarch64".to_owned(),
        243 => "RISC-V".to_owned(),
        other => format!("machine {other}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::package::testing::fixture;
    use crate::package::{self, EntryKind};

    /// A file of a package of the fixtures.
    pub(crate) fn packaged(package: &str, path: &str) -> Vec<u8> {
        let package = package::read(&fixture(package), package).unwrap();
        let entry = package.entries.iter().find(|entry| entry.path == path).unwrap();
        let EntryKind::File(bytes) = &entry.kind else { panic!("{path} is no file") };
        bytes.to_vec()
    }

    fn rdma() -> Vec<u8> {
        packaged("rdma_6.11.0-r1_x86_64.ipk", "/usr/sbin/rdma")
    }

    #[test]
    fn a_program_says_what_it_needs_with_and_without_section_headers() {
        let mut bytes = rdma();
        let whole = Binary::parse(&bytes).unwrap();
        assert_eq!(whole.interpreter.as_deref(), Some("/lib/ld-musl-x86_64.so.1"));
        assert_eq!(whole.needed, ["libmnl.so.0", "libc.so"]);
        assert!(whole.imports.contains("mnl_stub") && whole.imports.contains("puts"));
        assert!(!whole.imports.contains("__cxa_finalize"), "it is weak");
        // sstrip: e_shoff, e_shentsize, e_shnum, e_shstrndx are zero, and the file ends behind its last segment.
        bytes[0x28..0x30].fill(0);
        bytes[0x3A..0x40].fill(0);
        bytes.truncate(0x3020);
        assert_eq!(Binary::parse(&bytes).unwrap(), whole);
        let library = Binary::parse(&packaged("libmnl0_1.0.5-r2_x86_64.ipk", "/usr/lib/libmnl.so.0.2.0")).unwrap();
        assert!(library.exports.unwrap().contains("mnl_stub") && library.interpreter.is_none());
    }

    #[test]
    fn both_hash_tables_count_the_same_symbols() {
        let bytes = rdma();
        // readelf -d: HASH 0x258, GNU_HASH 0x290, both where they are in the file.
        assert_eq!(u32_at(&bytes, 0x25C), Some(9));
        assert_eq!(gnu_count(&bytes, 0x290), Some(9));
    }

    #[test]
    fn another_machine_is_named() {
        let mut bytes = rdma();
        bytes[18] = 183;
        assert_eq!(Binary::parse(&bytes).unwrap_err(), "is built for aarch64 (64 bits), not for x86_64");
        let mut bytes = rdma();
        bytes[4] = 1;
        assert_eq!(Binary::parse(&bytes).unwrap_err(), "is built for x86_64 (32 bits), not for x86_64");
        assert_eq!(Binary::parse(b"#!/bin/sh\n").unwrap_err(), "is no ELF program or library");
        assert!(!is_program(&std::fs::read("/dev/null").unwrap()));
    }

    proptest! {
        #[test]
        fn mutated_programs_never_panic(at in 0usize..0x3020, value: u8, cut in 0usize..0x3020) {
            let mut bytes = rdma();
            bytes[at] = value;
            let _ = Binary::parse(&bytes);
            let _ = Binary::parse(&bytes[..cut]);
        }
    }
}
