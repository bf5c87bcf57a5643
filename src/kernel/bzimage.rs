//! A kernel as a file: the header of a bzImage, or a plain vmlinux. Nothing is decompressed here.

use serde::Serialize;

use super::KernelRelease;
use super::bytes::{c_string, find, slice, u16_at, u32_at};
use super::decompress::Compression;
use crate::error::{Error, Result};

/// Oldest boot protocol that has `payload_offset` and `payload_length` (Documentation/arch/x86/boot.rst).
const OLDEST_PROTOCOL: u16 = 0x0208;
/// Size of a sector in `setup_sects`, bytes.
const SECTOR: u64 = 512;
/// Longest version string accepted, bytes; uname's release alone is at most 64.
const LONGEST_VERSION: usize = 1024;

/// What sort of file holds the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KernelFormat {
    /// A bzImage; the boot protocol's version (0x020F = 2.15).
    BzImage {
        /// Boot protocol version.
        protocol: u16,
    },
    /// An uncompressed ELF vmlinux.
    Elf,
}

/// A kernel file: who it says it is, and where its payload lies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KernelImage<'a> {
    format: KernelFormat,
    version: &'a str,
    payload: &'a [u8],
    compression: Compression,
}

impl<'a> KernelImage<'a> {
    /// Reads the header of `bytes`, a bzImage (boot protocol 2.08 or newer) or an ELF vmlinux.
    ///
    /// # Errors
    /// Unsupported when it is neither, or an older protocol; corrupt when a field contradicts the file.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self> {
        if bytes.starts_with(b"\x7fELF") {
            return Self::parse_elf(bytes);
        }
        if bytes.is_empty() {
            return Err(Error::corrupt("the kernel file is empty"));
        }
        if slice(bytes, 0x202, 4) != Some(b"HdrS") {
            return Err(not_a_kernel(bytes));
        }
        Self::parse_bzimage(bytes)
    }

    /// Fields as in Documentation/arch/x86/boot.rst and arch/x86/boot/header.S; offsets from the file's start.
    fn parse_bzimage(bytes: &'a [u8]) -> Result<Self> {
        let length = bytes.len() as u64;
        let truncated = |field: &str, offset: u64| {
            Error::corrupt(format!("the file ends at byte {length}, before {field} at offset {offset:#x}"))
        };
        let boot_flag = u16_at(bytes, 0x1FE).ok_or_else(|| truncated("boot_flag", 0x1FE))?;
        if boot_flag != 0xAA55 {
            return Err(Error::corrupt(format!("boot_flag at 0x1FE is {boot_flag:#06x}, a bzImage has 0xaa55")));
        }
        let protocol = u16_at(bytes, 0x206).ok_or_else(|| truncated("version", 0x206))?;
        if protocol < OLDEST_PROTOCOL {
            return Err(Error::unsupported(format!(
                "the boot protocol is {}.{:02}; only 2.08 (Linux 2.6.26) and newer say where the kernel's payload is",
                protocol >> 8,
                protocol & 0xFF
            )));
        }
        // 0 stands for 4, for the sake of very old loaders.
        let setup_sects = match bytes.get(0x1F1).copied().ok_or_else(|| truncated("setup_sects", 0x1F1))? {
            0 => 4,
            sectors => u64::from(sectors),
        };
        let setup = (setup_sects + 1) * SECTOR;
        // 16-byte paragraphs of protected-mode code.
        let code = u64::from(u32_at(bytes, 0x1F4).ok_or_else(|| truncated("syssize", 0x1F4))?) * 16;
        if length < setup + code {
            return Err(Error::corrupt(format!(
                "the file has {length} bytes, but its header asks for {setup} bytes of setup and {code} of code"
            ))
            .remedy("the kernel file is cut short: copy it again"));
        }
        let version = version(bytes, setup)?;
        let offset = u64::from(u32_at(bytes, 0x248).ok_or_else(|| truncated("payload_offset", 0x248))?);
        let payload_length = u64::from(u32_at(bytes, 0x24C).ok_or_else(|| truncated("payload_length", 0x24C))?);
        if payload_length == 0 {
            return Err(Error::corrupt("payload_length at 0x24C is 0"));
        }
        let payload_offset = setup + offset;
        let payload = slice(bytes, payload_offset, payload_length).ok_or_else(|| {
            Error::corrupt(format!(
                "the payload of {payload_length} bytes at offset {payload_offset} ends beyond the file's {length} bytes"
            ))
        })?;
        Ok(Self { format: KernelFormat::BzImage { protocol }, version, payload, compression: Compression::of(payload) })
    }

    /// The version of a vmlinux is that of its `linux_banner` (init/version.c).
    fn parse_elf(bytes: &'a [u8]) -> Result<Self> {
        let version = banner(bytes).ok_or_else(|| {
            Error::unsupported("an ELF file without the text \"Linux version \": it is no vmlinux of a Linux kernel")
        })?;
        Ok(Self { format: KernelFormat::Elf, version, payload: bytes, compression: Compression::None })
    }

    /// The kernel release, as `uname -r` will print it.
    pub(crate) fn release(&self) -> KernelRelease {
        KernelRelease::new(self.version.split(' ').next().unwrap_or_default())
    }

    /// The whole version string: release, builder, number, date.
    pub(crate) fn version(&self) -> &'a str {
        self.version
    }

    /// What sort of file this is.
    pub(crate) fn format(&self) -> KernelFormat {
        self.format
    }

    /// How the payload is compressed, told by its first bytes.
    pub(crate) fn compression(&self) -> Compression {
        self.compression
    }

    /// The payload: the compressed vmlinux, with the four bytes of its unpacked size behind it.
    pub(crate) fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// The version string that `kernel_version` points at. It lies in the setup part.
fn version(bytes: &[u8], setup: u64) -> Result<&str> {
    let pointer = u16_at(bytes, 0x20E).unwrap_or_default();
    if pointer == 0 {
        return Err(Error::corrupt("kernel_version at 0x20E is 0: the kernel does not say which release it is"));
    }
    let offset = u64::from(pointer) + 0x200;
    if offset >= setup {
        return Err(Error::corrupt(format!(
            "kernel_version at 0x20E points at byte {offset}, outside the {setup} bytes of setup code"
        )));
    }
    let text = c_string(bytes, offset, LONGEST_VERSION)
        .ok_or_else(|| Error::corrupt(format!("the version string at byte {offset} has no end")))?;
    let text = std::str::from_utf8(text).ok().filter(|text| is_version(text));
    text.ok_or_else(|| Error::corrupt(format!("the text at byte {offset} is no kernel version")))
}

/// Whether `text` begins like a kernel release and holds printable ASCII only.
fn is_version(text: &str) -> bool {
    let release = text.split(' ').next().unwrap_or_default();
    text.bytes().all(|byte| (0x20..0x7F).contains(&byte))
        && release.starts_with(|first: char| first.is_ascii_digit())
        && release.contains('.')
        && !release.contains('/')
}

/// What follows "Linux version " in a vmlinux, up to the end of the line.
pub(super) fn banner(bytes: &[u8]) -> Option<&str> {
    const MARK: &[u8] = b"Linux version ";
    let mut tail = bytes;
    loop {
        let at = find(tail, MARK)?;
        tail = tail.get(at.checked_add(MARK.len())?..)?;
        let end = tail.iter().take(LONGEST_VERSION).position(|&byte| byte == b'\n' || byte == 0).unwrap_or(0);
        let text = tail.get(..end).and_then(|text| std::str::from_utf8(text).ok());
        // linux_proc_banner holds the same words with %s in place of the release.
        if let Some(text) = text.filter(|text| is_version(text)) {
            return Some(text);
        }
    }
}

/// Says what a file that is neither bzImage nor ELF looks like.
fn not_a_kernel(bytes: &[u8]) -> Error {
    let seen = match bytes {
        [0x1F, 0x8B, ..] => "a gzip file",
        [0xFD, b'7', b'z', b'X', b'Z', 0, ..] => "an xz file",
        [0x28, 0xB5, 0x2F, 0xFD, ..] => "a zstd file",
        [0xD0, 0x0D, 0xFE, 0xED, ..] => "a flattened image tree (FIT)",
        [b'M', b'Z', ..] => "an EFI program, perhaps a unified kernel image",
        _ => "something else",
    };
    Error::unsupported(format!(
        "no x86 kernel: no \"HdrS\" at offset 0x202 and no ELF header; the file of {} bytes is {seen}",
        bytes.len()
    ))
    .remedy("give a bzImage (OpenWrt: bin/targets/x86/64/*-kernel.bin) or an ELF vmlinux")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    const WITH_IB: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/bzImage-with-ib"));

    fn changed(edit: impl FnOnce(&mut Vec<u8>)) -> Error {
        let mut bytes = WITH_IB.to_vec();
        edit(&mut bytes);
        KernelImage::parse(&bytes).expect_err("the change must be noticed")
    }

    #[test]
    fn the_release_is_read_without_unpacking() {
        let image = KernelImage::parse(WITH_IB).unwrap();
        assert_eq!(image.release().as_str(), "6.12.117");
        assert!(image.version().starts_with("6.12.117 ("), "{}", image.version());
        assert_eq!(image.compression(), Compression::Xz);
        assert!(matches!(image.format(), KernelFormat::BzImage { protocol: 0x208.. }));
    }

    #[test]
    fn a_cut_kernel_names_both_lengths() {
        // 16 bytes of code more than there are.
        let paragraphs = u32::try_from((WITH_IB.len() - 1024) / 16 + 1).unwrap();
        let error = changed(|bytes| bytes[0x1F4..0x1F8].copy_from_slice(&paragraphs.to_le_bytes()));
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.message().contains(&format!("has {} bytes", WITH_IB.len())), "{error}");
        assert!(error.message().contains(&format!("and {} of code", paragraphs * 16)), "{error}");
    }

    #[test]
    fn an_old_protocol_is_unsupported_by_name() {
        let error = changed(|bytes| bytes[0x206..0x208].copy_from_slice(&[0x07, 0x02]));
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.message().starts_with("the boot protocol is 2.07;"), "{error}");
    }

    #[test]
    fn a_payload_beyond_the_end_is_corrupt() {
        let error = changed(|bytes| bytes[0x24C..0x250].copy_from_slice(&u32::MAX.to_le_bytes()));
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.message().contains("payload of 4294967295 bytes"), "{error}");
    }

    #[test]
    fn a_version_pointer_outside_the_setup_is_corrupt() {
        let error = changed(|bytes| bytes[0x20E..0x210].copy_from_slice(&[0xFF, 0xFF]));
        assert!(error.message().contains("points at byte 66047, outside the"), "{error}");
        let error = changed(|bytes| bytes[0x20E..0x210].copy_from_slice(&[0, 0]));
        assert!(error.message().contains("does not say which release"), "{error}");
    }

    #[test]
    fn a_gzip_file_is_named_as_such() {
        let error = KernelImage::parse(b"\x1f\x8b\x08 and more").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.message().ends_with("is a gzip file"), "{error}");
    }

    #[test]
    fn a_vmlinux_gives_its_banner_not_the_format_string() {
        let mut elf = b"\x7fELF....%s version %s\0Linux version %s (x)\n\0".to_vec();
        assert!(KernelImage::parse(&elf).is_err());
        elf.extend(b"Linux version 6.6.106 (builder@host) #0 SMP\n\0");
        let image = KernelImage::parse(&elf).unwrap();
        assert_eq!(image.release().as_str(), "6.6.106");
        assert_eq!(image.version(), "6.6.106 (builder@host) #0 SMP");
        assert_eq!(image.format(), KernelFormat::Elf);
    }

    #[test]
    fn no_prefix_of_a_kernel_panics() {
        for length in 0..0x400 {
            assert!(KernelImage::parse(&WITH_IB[..length]).is_err());
        }
    }
}
