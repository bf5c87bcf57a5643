//! One `.ko` file: what its ELF sections say.

use std::collections::BTreeSet;

use object::LittleEndian as LE;
use object::elf;
use serde::Serialize;

use super::exports::{self, Export};
use super::object_file::ObjectFile;
use super::{KernelRelease, ModuleName};
use crate::error::{Error, Result};

/// The `.modinfo` strings that matter here. Where the kernel reads one value, the first one stands; kmodloader takes
/// the last `depends=`, and so does this.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct ModInfo {
    /// `name=`, where present.
    pub(crate) name: Option<String>,
    /// `license=`.
    pub(crate) license: Option<String>,
    /// `depends=` split at commas; `None` when there is no such string at all (kmodloader crashes on it).
    pub(crate) depends: Option<Vec<ModuleName>>,
    /// `vermagic=`, as stored (trailing blank included).
    pub(crate) vermagic: Option<String>,
    /// `alias=`, all of them.
    pub(crate) aliases: Vec<String>,
    /// `import_ns=`, all of them.
    pub(crate) namespaces: Vec<String>,
    /// `softdep=`, all of them.
    pub(crate) softdeps: Vec<String>,
    /// The names in `parmtype=`, all of them: the parameters that the module takes.
    pub(crate) parameters: Vec<String>,
    /// Every string in file order, split at the first `=`.
    #[serde(skip)]
    pub(crate) entries: Vec<(String, String)>,
}

impl ModInfo {
    /// Reads NUL-separated `key=value` strings; those without `=` are skipped, as the kernel does.
    pub(crate) fn parse(section: &[u8]) -> Self {
        let mut info = Self::default();
        for string in section.split(|&byte| byte == 0) {
            let string = String::from_utf8_lossy(string);
            let Some((key, value)) = string.split_once('=') else { continue };
            info.take(key, value);
            info.entries.push((key.to_owned(), value.to_owned()));
        }
        info
    }

    fn take(&mut self, key: &str, value: &str) {
        let text = || value.to_owned();
        match key {
            "name" => _ = self.name.get_or_insert_with(text),
            "license" => _ = self.license.get_or_insert_with(text),
            "vermagic" => _ = self.vermagic.get_or_insert_with(text),
            "depends" => {
                let names = value.split(',').filter(|name| !name.is_empty());
                self.depends = Some(names.map(ModuleName::new).collect());
            }
            "alias" => self.aliases.push(text()),
            "import_ns" => self.namespaces.push(text()),
            "softdep" => self.softdeps.push(text()),
            "parmtype" => self.parameters.extend(value.split_once(':').map(|(name, _)| name.to_owned())),
            _ => {}
        }
    }

    /// The kernel release that it was built for: the first word of `vermagic=`.
    pub(crate) fn release(&self) -> Option<KernelRelease> {
        self.vermagic.as_deref()?.split_whitespace().next().map(KernelRelease::new)
    }
}

/// Strings that tell with which options a module was built, where no symbol does. `enable_rdma`: a devlink parameter that
/// mlx5_core has only with `CONFIG_MLX5_INFINIBAND` (drivers/net/ethernet/mellanox/mlx5/core/devlink.c, Linux 5.15).
const MARKS: [&str; 1] = ["enable_rdma"];

/// An imported symbol's checksum (`CONFIG_MODVERSIONS`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct SymbolVersion {
    /// The symbol's name.
    pub(crate) name: String,
    /// The checksum of its type.
    pub(crate) crc: u64,
}

/// A parsed kernel module (ELF64 little-endian x86-64 relocatable).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Module {
    /// The `.modinfo` strings.
    pub(crate) modinfo: ModInfo,
    /// Whether there is a `.modinfo` section at all: without one kmodloader loads nothing of the whole directory.
    pub(crate) has_modinfo: bool,
    /// The kernel's internal name, from `.gnu.linkonce.this_module`; `None` when that section is missing or zeroed.
    pub(crate) internal_name: Option<String>,
    /// Size in bytes of `.gnu.linkonce.this_module`; `None` when the section is missing.
    pub(crate) this_module_size: Option<u64>,
    /// Undefined symbols that must resolve, sorted.
    pub(crate) imports: Vec<String>,
    /// Undefined weak symbols, sorted.
    pub(crate) weak_imports: Vec<String>,
    /// What it offers to other modules, sorted by name.
    pub(crate) exports: Vec<Export>,
    /// Checksums of imported symbols, in file order; empty without `CONFIG_MODVERSIONS`.
    pub(crate) versions: Vec<SymbolVersion>,
    /// Which of [`MARKS`] stand in its constants; `None` when it has none, or only zeroes.
    pub(crate) marks: Option<Vec<&'static str>>,
    /// Whether debug sections are present.
    pub(crate) has_debug: bool,
    /// Whether a signature is appended to the file.
    pub(crate) is_signed: bool,
}

impl Module {
    /// Reads `bytes`, an uncompressed `.ko` file.
    ///
    /// # Errors
    /// Messages are predicates about the file; add the path with `.at(…)`. Unsupported: no ELF file, another
    /// architecture or class, not relocatable. Corrupt: empty, cut short, or tables that contradict themselves.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let file = ObjectFile::parse(bytes)?;
        let modinfo = file.section(b".modinfo").map(|(_, section)| ModInfo::parse(section.data));
        let this_module = file.section(b".gnu.linkonce.this_module").map(|(_, section)| section);
        let (imports, weak_imports) = imports(&file, bytes.len())?;
        let versions = file.section(b"__versions").map(|(_, section)| versions(section.data)).transpose()?;
        Ok(Self {
            has_modinfo: modinfo.is_some(),
            modinfo: modinfo.unwrap_or_default(),
            internal_name: this_module.and_then(|section| internal_name(section.data)),
            this_module_size: this_module.map(|section| section.header.sh_size.get(LE)),
            imports,
            weak_imports,
            exports: exports::read(&file, bytes.len())?,
            versions: versions.unwrap_or_default(),
            marks: marks(&file),
            has_debug: file.sections.iter().any(|section| section.is_debug()),
            is_signed: file.is_signed,
        })
    }
}

/// Which of [`MARKS`] are whole strings of the sections `.rodata*`.
fn marks(file: &ObjectFile<'_>) -> Option<Vec<&'static str>> {
    let constants = file.sections.iter().filter(|section| section.is_allocatable());
    let constants: Vec<&[u8]> =
        constants.filter(|section| section.name.starts_with(b".rodata")).map(|section| section.data).collect();
    if constants.iter().all(|data| data.iter().all(|&byte| byte == 0)) {
        return None;
    }
    let holds = |mark: &&str| {
        let (inner, first) = (format!("\0{mark}\0"), format!("{mark}\0"));
        let inside = |data: &&[u8]| memchr::memmem::find(data, inner.as_bytes()).is_some();
        constants.iter().any(|data| data.starts_with(first.as_bytes()) || inside(data))
    };
    Some(MARKS.into_iter().filter(holds).collect())
}

/// `struct module`: state (4, padded to 8), list_head (16), then `char name[56]`; equal from Linux 4.19 to 6.12.
fn internal_name(this_module: &[u8]) -> Option<String> {
    let field = this_module.get(24..80)?;
    let name = field.split(|&byte| byte == 0).next().filter(|name| !name.is_empty())?;
    Some(String::from_utf8_lossy(name).into_owned())
}

/// `struct modversion_info`: `unsigned long crc; char name[56]`.
fn versions(section: &[u8]) -> Result<Vec<SymbolVersion>> {
    if !section.len().is_multiple_of(64) {
        return Err(Error::corrupt(format!("has {} bytes in __versions, no multiple of 64", section.len())));
    }
    let entry = |entry: &[u8]| {
        let (crc, name) = entry.split_first_chunk::<8>()?;
        let name = name.split(|&byte| byte == 0).next()?;
        Some(SymbolVersion { name: String::from_utf8_lossy(name).into_owned(), crc: u64::from_le_bytes(*crc) })
    };
    Ok(section.chunks_exact(64).filter_map(entry).collect())
}

/// Undefined symbols: those that must resolve, and the weak ones.
fn imports(file: &ObjectFile<'_>, file_size: usize) -> Result<(Vec<String>, Vec<String>)> {
    let (mut strong, mut weak) = (BTreeSet::new(), BTreeSet::new());
    for symbol in file.symbols.iter().skip(1).filter(|symbol| symbol.st_shndx.get(LE) == elf::SHN_UNDEF) {
        let name = file.symbol_name(symbol)?;
        // The linker's own; the kernel ignores it too (kernel/module/main.c simplify_symbols).
        if name.is_empty() || name == b"_GLOBAL_OFFSET_TABLE_" {
            continue;
        }
        if symbol.st_bind() == elf::STB_WEAK {
            weak.insert(name)
        } else {
            strong.insert(name)
        };
    }
    Ok((owned(&strong, file_size)?, owned(&weak, file_size)?))
}

/// `names` as text.
///
/// # Errors
/// Corrupt when they overlap so much that together they are longer than the file.
fn owned(names: &BTreeSet<&[u8]>, file_size: usize) -> Result<Vec<String>> {
    let total: usize = names.iter().map(|name| name.len()).sum();
    if total > file_size {
        return Err(Error::corrupt(format!("has {} bytes but {total} bytes of symbol names", file_size)));
    }
    Ok(names.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect())
}

#[cfg(test)]
#[path = "module_tests.rs"]
mod tests;
