//! What a kernel offers to modules, read from its unpacked ELF file.

use object::LittleEndian as LE;
use object::elf::{FileHeader64, SHT_NOBITS};
use object::read::elf::{FileHeader, SectionHeader};
use serde::Serialize;

use super::bytes::slice;
use super::ksymtab::{self, Region};
use super::load_rules::LoadRules;
use super::squashfs::SquashfsReader;
use super::{Compression, Export, KernelImage, KernelRelease, decompress};
use crate::error::{At, Error, Result};

/// How sure the export tables are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Proof {
    /// Read from the sections that the kernel itself uses.
    Sections,
    /// The section headers are gone; the tables were found by their looks. Checksums are unknown.
    Weaker,
}

/// What a kernel offers to modules, and what it asks of them.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct KernelExports {
    /// As `uname -r` prints it.
    pub(crate) release: KernelRelease,
    /// The whole version string.
    pub(crate) version: String,
    /// How the file was packed.
    pub(crate) compression: Compression,
    /// Unpacked size, bytes.
    pub(crate) unpacked_size: u64,
    /// Every exported symbol, sorted by name, each once.
    exports: Vec<Export>,
    /// Whether modules' imports carry checksums that must agree (`CONFIG_MODVERSIONS`).
    pub(crate) modversions: bool,
    /// What else it checks when it loads a module, as far as the image tells.
    pub(crate) rules: LoadRules,
    /// Whether and how it reads squashfs.
    pub(crate) squashfs: SquashfsReader,
    /// How sure the export tables are.
    pub(crate) proof: Proof,
}

impl KernelExports {
    /// Unpacks `kernel` (a bzImage or vmlinux) and reads its export tables.
    ///
    /// # Errors
    /// As [`KernelImage::parse`] and [`decompress`]; unsupported when the ELF file has no export tables, or tables of an
    /// unknown layout; corrupt when it contradicts itself.
    pub(crate) fn read(kernel: &[u8]) -> Result<Self> {
        let image = KernelImage::parse(kernel)?;
        let vmlinux = decompress(image.payload())?;
        Self::of(&image, &vmlinux)
    }

    /// Reads the export tables of `vmlinux`, which is what [`decompress`] makes of `image`'s payload.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(crate) fn of(image: &KernelImage<'_>, vmlinux: &[u8]) -> Result<Self> {
        let release = image.release();
        let sections = Sections::parse(vmlinux).at(|| "unpacked kernel".to_owned())?;
        let (mut exports, modversions, proof) = match tables(&sections).at(|| "unpacked kernel".to_owned())? {
            Some((exports, modversions)) => (exports, modversions, Proof::Sections),
            None => {
                let exports = ksymtab::scan(vmlinux).ok_or_else(|| no_tables().at("unpacked kernel"))?;
                (exports, false, Proof::Weaker)
            }
        };
        exports.sort();
        exports.dedup_by(|later, earlier| later.name == earlier.name);
        let rules = LoadRules::of(
            &release,
            sections.named(".rodata").map_or(vmlinux, |section| section.bytes),
            sections.named(".text").map_or(vmlinux, |section| section.bytes),
        );
        let squashfs = SquashfsReader::of(sections.named(".rodata"), sections.named(".text"));
        Ok(Self {
            release,
            version: image.version().to_owned(),
            compression: image.compression(),
            unpacked_size: vmlinux.len() as u64,
            exports,
            modversions,
            rules,
            squashfs,
            proof,
        })
    }

    /// A kernel that is not read from a file.
    #[cfg(test)]
    pub(crate) fn of_exports(mut exports: Vec<Export>, rules: LoadRules) -> Self {
        exports.sort();
        Self {
            release: KernelRelease::new("6.6.106"),
            version: "6.6.106 (test)".to_owned(),
            compression: Compression::None,
            unpacked_size: 0,
            modversions: exports.iter().any(|export| export.crc.is_some()),
            exports,
            rules,
            squashfs: SquashfsReader::Unknown("it was made by hand"),
            proof: Proof::Sections,
        }
    }

    /// The export `name`, if there is one.
    pub(crate) fn export(&self, name: &str) -> Option<&Export> {
        let index = self.exports.binary_search_by(|export| export.name.as_str().cmp(name)).ok()?;
        self.exports.get(index)
    }

    /// All exports, sorted by name.
    pub(crate) fn exports(&self) -> &[Export] {
        &self.exports
    }
}

/// Neither sections nor anything that looks like export tables.
fn no_tables() -> Error {
    Error::unsupported(
        "no export tables: neither sections __ksymtab and __ksymtab_strings nor anything that looks like them",
    )
    .remedy("a kernel without CONFIG_MODULES cannot load any module; otherwise give the build's own vmlinux")
}

/// The exports of both tables, and whether they have checksums; `None` when the sections are missing.
fn tables(sections: &Sections<'_>) -> Result<Option<(Vec<Export>, bool)>> {
    let Some(strings) = sections.named("__ksymtab_strings") else { return Ok(None) };
    if sections.named("__kflagstab").is_some() {
        return Err(Error::unsupported(
            "the section __kflagstab is present: this kernel keeps the licence of its exports in a layout not known here",
        ));
    }
    let mut exports = Vec::new();
    let (mut seen, mut modversions) = (false, false);
    // The unused and future tables were dropped in Linux 5.12; before, symbols in them resolve like the others.
    for (table, checksums, gpl_only) in [
        ("__ksymtab", "__kcrctab", false),
        ("__ksymtab_gpl", "__kcrctab_gpl", true),
        ("__ksymtab_unused", "__kcrctab_unused", false),
        ("__ksymtab_unused_gpl", "__kcrctab_unused_gpl", true),
        ("__ksymtab_gpl_future", "__kcrctab_gpl_future", false),
    ] {
        let Some(region) = sections.named(table) else { continue };
        seen = true;
        let crcs = sections.named(checksums).map(|section| section.bytes).filter(|bytes| !bytes.is_empty());
        modversions |= crcs.is_some();
        exports.extend(ksymtab::read(table, &region, &strings, crcs, gpl_only)?);
    }
    Ok(seen.then_some((exports, modversions)))
}

/// The sections of an ELF64 file by name.
struct Sections<'a> {
    named: Vec<(&'a str, Region<'a>)>,
}

impl<'a> Sections<'a> {
    /// Sections without content in the file (`.bss`) and those with unreadable names are left out.
    ///
    /// # Errors
    /// Unsupported for anything but ELF64 little-endian x86-64; corrupt when a section lies outside the file.
    fn parse(vmlinux: &'a [u8]) -> Result<Self> {
        let corrupt = |error: object::Error| Error::corrupt(format!("no usable ELF header: {error}"));
        let header = FileHeader64::<LE>::parse(vmlinux).map_err(corrupt)?;
        if !header.is_class_64() || !header.is_little_endian() {
            return Err(Error::unsupported("the ELF file is not of the 64-bit little-endian kind"));
        }
        let machine = header.e_machine.get(LE);
        if machine != object::elf::EM_X86_64 {
            return Err(Error::unsupported(format!("the ELF file is for machine {machine}; x86-64 is 62")));
        }
        let table = header.sections(LE, vmlinux).map_err(|error| {
            Error::corrupt(format!("the section headers cannot be read: {error}"))
                .remedy("the kernel's payload is damaged")
        })?;
        let mut named = Vec::new();
        for section in table.iter().skip(1) {
            let name = table.section_name(LE, section).ok().and_then(|name| std::str::from_utf8(name).ok());
            let Some(name) = name.filter(|_| section.sh_type(LE) != SHT_NOBITS) else { continue };
            let (offset, size) = (section.sh_offset(LE), section.sh_size(LE));
            let bytes = slice(vmlinux, offset, size).ok_or_else(|| {
                Error::corrupt(format!(
                    "section {name}, {size} bytes at offset {offset}, ends beyond the file's {} bytes",
                    vmlinux.len()
                ))
            })?;
            named.push((name, Region { address: section.sh_addr(LE), bytes }));
        }
        Ok(Self { named })
    }

    /// The first section of that name.
    fn named(&self, name: &str) -> Option<Region<'a>> {
        self.named.iter().find(|(candidate, _)| *candidate == name).map(|(_, region)| *region)
    }
}

#[cfg(test)]
#[path = "vmlinux_tests.rs"]
mod tests;
