//! An ELF64 little-endian x86-64 relocatable file: its sections, symbols and relocations, every range checked once.

use object::LittleEndian as LE;
use object::elf;
use object::pod;
use object::read::elf::{FileHeader as _, SectionHeader as _};

use crate::error::{Error, Result};

pub(super) type FileHeader = elf::FileHeader64<LE>;
pub(super) type SectionHeader = elf::SectionHeader64<LE>;
pub(super) type Symbol = elf::Sym64<LE>;
pub(super) type Relocation = elf::Rela64<LE>;

/// Longest section or symbol name taken; the kernel's own limit for symbols (KSYM_NAME_LEN) is 512.
const LONGEST_NAME: usize = 4096;

/// `scripts/sign-file.c`: the last 28 bytes of a signed module.
const SIGNATURE_MAGIC: &[u8] = b"~Module signature appended~\n";

/// One section: its header, name, and bytes (none for `SHT_NOBITS`).
#[derive(Debug, Clone, Copy)]
pub(super) struct Section<'data> {
    pub(super) header: &'data SectionHeader,
    pub(super) name: &'data [u8],
    pub(super) data: &'data [u8],
}

impl Section<'_> {
    pub(super) fn kind(&self) -> elf::SectionType {
        self.header.sh_type.get(LE)
    }

    /// The members of a section group: its words after the first, which holds flags.
    pub(super) fn group_members(&self) -> impl Iterator<Item = usize> + '_ {
        let words = self.data.chunks_exact(4).skip(1).filter_map(|word| word.first_chunk::<4>());
        words.map(|word| usize::try_from(u32::from_le_bytes(*word)).unwrap_or(usize::MAX))
    }

    /// Whether the kernel loads it into memory.
    pub(super) fn is_allocatable(&self) -> bool {
        self.header.sh_flags.get(LE).contains(elf::SHF_ALLOC)
    }

    /// Whether it only serves debuggers. Names as binutils' bfd knows them (`_bfd_elf_make_section_from_shdr`).
    pub(super) fn is_debug(&self) -> bool {
        const PREFIXES: [&[u8]; 6] =
            [b".debug", b".zdebug", b".gnu.debuglto_.debug_", b".gnu.linkonce.wi.", b".line", b".stab"];
        !self.is_allocatable()
            && (PREFIXES.iter().any(|prefix| self.name.starts_with(prefix)) || self.name == b".gdb_index")
    }

    pub(super) fn display_name(&self) -> String {
        String::from_utf8_lossy(self.name).into_owned()
    }

    /// Whether this section holds relocations (with or without addends).
    pub(super) fn is_relocations(&self) -> bool {
        matches!(self.kind(), elf::SHT_RELA | elf::SHT_REL)
    }

    /// The entries of a RELA section.
    ///
    /// # Errors
    /// Corrupt when its size is no multiple of 24.
    pub(super) fn relocations(&self) -> Result<&[Relocation]> {
        pod::slice_from_all_bytes(self.data).map_err(|()| {
            Error::corrupt(format!("has {} bytes in {}, no multiple of 24", self.data.len(), self.display_name()))
        })
    }
}

/// The whole file. Everything borrows from the bytes.
#[derive(Debug)]
pub(super) struct ObjectFile<'data> {
    pub(super) header: &'data FileHeader,
    /// By section index; index 0 is the null section.
    pub(super) sections: Vec<Section<'data>>,
    /// Index of the `SHT_SYMTAB` section, 0 when there is none.
    pub(super) symbol_table: usize,
    /// By symbol index; index 0 is the null symbol.
    pub(super) symbols: &'data [Symbol],
    /// The symbols' names.
    pub(super) strings: &'data [u8],
    /// Index of the section that holds the section names.
    pub(super) section_names: usize,
    /// Whether a module signature follows the ELF file.
    pub(super) is_signed: bool,
}

impl<'data> ObjectFile<'data> {
    /// Reads the tables of `bytes`.
    ///
    /// # Errors
    /// Messages are predicates about the file ("is empty (0 bytes): …"). Unsupported: not an ELF file for x86-64 or not
    /// relocatable. Corrupt: empty, cut short, or a table that contradicts itself.
    pub(super) fn parse(bytes: &'data [u8]) -> Result<Self> {
        check_kind(bytes)?;
        let header = FileHeader::parse(bytes).map_err(|e| Error::corrupt(format!("has a bad ELF header: {e}")))?;
        if header.e_type.get(LE) != elf::ET_REL {
            return Err(Error::unsupported(format!(
                "is an ELF {}, not the relocatable file that a kernel module is",
                type_name(header.e_type.get(LE).0)
            )));
        }
        let table_start = header.e_shoff.get(LE);
        let headers = header.section_headers(LE, bytes).map_err(|_| {
            Error::corrupt(format!(
                "is cut short or damaged: its ELF header puts the section headers at byte {table_start}, the file has \
                 {} bytes",
                bytes.len()
            ))
        })?;
        if headers.is_empty() {
            return Err(Error::corrupt("has no section headers"));
        }
        let section_names = usize::from(header.e_shstrndx.get(LE).0);
        let section_names = match headers.first() {
            // gABI: indices from SHN_LORESERVE on stand in the null section's sh_link.
            Some(null) if section_names == 0xffff => usize::try_from(null.sh_link.get(LE)).unwrap_or(usize::MAX),
            _ => section_names,
        };
        let names = headers
            .get(section_names)
            .map(|section| section_data(bytes, section, ".shstrtab"))
            .transpose()?
            .ok_or_else(|| Error::corrupt(format!("names section {section_names} of {} as names", headers.len())))?;
        let mut sections = Vec::with_capacity(headers.len());
        for header in headers {
            let name = c_string(names, header.sh_name.get(LE), "section")?;
            sections.push(Section { header, name, data: section_data(bytes, header, &String::from_utf8_lossy(name))? });
        }
        let mut file = Self {
            header,
            sections,
            symbol_table: 0,
            symbols: &[],
            strings: &[],
            section_names,
            is_signed: bytes.ends_with(SIGNATURE_MAGIC),
        };
        file.read_symbols()?;
        Ok(file)
    }

    fn read_symbols(&mut self) -> Result<()> {
        let mut tables = self.sections.iter().enumerate().filter(|(_, s)| s.kind() == elf::SHT_SYMTAB);
        let Some((index, table)) = tables.next() else { return Ok(()) };
        if let Some((second, _)) = tables.next() {
            return Err(Error::corrupt(format!("has two symbol tables, sections {index} and {second}")));
        }
        let symbols = pod::slice_from_all_bytes(table.data).map_err(|()| {
            Error::corrupt(format!("has a symbol table of {} bytes, no multiple of 24", table.data.len()))
        })?;
        let link = table.header.sh_link.get(LE);
        let strings = usize::try_from(link).ok().and_then(|link| self.sections.get(link));
        let strings =
            strings.ok_or_else(|| Error::corrupt(format!("has a symbol table whose names are in section {link}")))?;
        (self.symbol_table, self.symbols, self.strings) = (index, symbols, strings.data);
        Ok(())
    }

    /// The name of `symbol`.
    ///
    /// # Errors
    /// Corrupt when it lies outside the string table or does not end.
    pub(super) fn symbol_name(&self, symbol: &Symbol) -> Result<&'data [u8]> {
        c_string(self.strings, symbol.st_name.get(LE), "symbol")
    }

    /// The symbol that `relocation` refers to.
    ///
    /// # Errors
    /// Corrupt when there is no such symbol.
    pub(super) fn target(&self, relocation: &Relocation) -> Result<&'data Symbol> {
        let index = relocation.r_sym(LE, false);
        usize::try_from(index).ok().and_then(|index| self.symbols.get(index)).ok_or_else(|| {
            Error::corrupt(format!("has a relocation against symbol {index}, of {} symbols", self.symbols.len()))
        })
    }

    /// The first section called `name`: the one that the kernel's `find_sec` takes.
    pub(super) fn section(&self, name: &[u8]) -> Option<(usize, &Section<'data>)> {
        self.sections.iter().enumerate().skip(1).find(|(_, section)| section.name == name)
    }

    /// The RELA sections that apply to section `index`.
    pub(super) fn relocations_of(&self, index: usize) -> impl Iterator<Item = &Section<'data>> {
        self.sections.iter().filter(move |section| {
            section.kind() == elf::SHT_RELA && usize::try_from(section.header.sh_info.get(LE)) == Ok(index)
        })
    }
}

/// The NUL-terminated string at `offset` of `table`.
///
/// # Errors
/// Corrupt when it begins outside the table, does not end in it, or is longer than [`LONGEST_NAME`].
pub(super) fn c_string<'data>(table: &'data [u8], offset: u32, what: &str) -> Result<&'data [u8]> {
    let tail = usize::try_from(offset).ok().and_then(|offset| table.get(offset..));
    // A file without any names may have an empty table, and offset 0 then means "no name".
    let tail = match tail {
        Some(tail) if !tail.is_empty() || offset != 0 => tail,
        _ if offset == 0 => return Ok(&[]),
        _ => {
            let size = table.len();
            return Err(Error::corrupt(format!(
                "has a {what} name at byte {offset} of a string table of {size} bytes"
            )));
        }
    };
    tail.iter().take(LONGEST_NAME + 1).position(|&byte| byte == 0).and_then(|end| tail.get(..end)).ok_or_else(|| {
        Error::corrupt(format!("has a {what} name at byte {offset} of its string table that does not end"))
    })
}

fn section_data<'data>(bytes: &'data [u8], header: &SectionHeader, name: &str) -> Result<&'data [u8]> {
    header.data(LE, bytes).map_err(|_| {
        Error::corrupt(format!(
            "is cut short or damaged: section {name} needs {} bytes from byte {}, the file has {}",
            header.sh_size.get(LE),
            header.sh_offset.get(LE),
            bytes.len()
        ))
    })
}

/// Refuses what is no ELF64 file for x86-64, by its own name.
fn check_kind(bytes: &[u8]) -> Result<()> {
    if bytes.is_empty() {
        let message = "is empty (0 bytes): kmodloader would load nothing at all with it in the directory";
        return Err(Error::corrupt(message).remedy("build or copy the module again"));
    }
    if !bytes.starts_with(b"\x7fELF") {
        return Err(not_elf(bytes));
    }
    let (Some(&class), Some(&encoding), Some(&[a, b])) =
        (bytes.get(4), bytes.get(5), bytes.get(18..20).and_then(|machine| machine.first_chunk::<2>()))
    else {
        return Err(Error::corrupt(format!("is cut short: {} bytes of a 64-byte ELF header", bytes.len())));
    };
    let machine = if encoding == 2 { u16::from_be_bytes([a, b]) } else { u16::from_le_bytes([a, b]) };
    if machine != elf::EM_X86_64.0 {
        return Err(Error::unsupported(format!("is built for {}, not for x86-64", machine_name(machine))));
    }
    match (class, encoding) {
        (2, 1) if bytes.len() < 64 => {
            Err(Error::corrupt(format!("is cut short: {} bytes of a 64-byte ELF header", bytes.len())))
        }
        (2, 1) => Ok(()),
        (1, _) => Err(Error::unsupported("is a 32-bit ELF file, a module for x86-64 is 64-bit")),
        (2, 2) => Err(Error::unsupported("is a big-endian ELF file, a module for x86-64 is little-endian")),
        _ => Err(Error::corrupt(format!("has ELF class {class} and data encoding {encoding}, 2 and 1 are right"))),
    }
}

fn not_elf(bytes: &[u8]) -> Error {
    const FORMATS: [(&[u8], &str); 7] = [
        (b"\x1f\x8b", "compressed with gzip"),
        (b"\xfd7zXZ\0", "compressed with xz"),
        (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
        (b"BZh", "compressed with bzip2"),
        (b"\x04\x22\x4d\x18", "compressed with lz4"),
        (b"!<arch>\n", "an ar archive"),
        (b"PK\x03\x04", "a zip archive"),
    ];
    if let Some((_, what)) = FORMATS.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return Error::unsupported(format!("is {what}, not an ELF file: kmodloader reads uncompressed modules only"))
            .remedy("unpack it");
    }
    let start = bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
    Error::unsupported(format!("is not an ELF file: it begins with {start}, not with 7f 45 4c 46"))
}

fn type_name(number: u16) -> String {
    match number {
        0 => "file without a type".to_owned(),
        2 => "executable (ET_EXEC)".to_owned(),
        3 => "shared object (ET_DYN)".to_owned(),
        4 => "core dump (ET_CORE)".to_owned(),
        other => format!("file of type {other}"),
    }
}

/// The name of an `e_machine` value, as far as OpenWrt has targets for it.
fn machine_name(number: u16) -> String {
    let name = match number {
        2 => "SPARC",
        3 => "i386",
        8 => "MIPS",
        20 => "PowerPC",
        21 => "PowerPC64",
        22 => "S390",
        40 => "ARM",
        93 | 195 => "ARC",
        183 => "AArch64",
        243 => "RISC-V",
        258 => "LoongArch",
        other => return format!("ELF machine {other}"),
    };
    name.to_owned()
}
