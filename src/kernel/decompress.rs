//! Unpacking a kernel's payload, bounded by the size it states and by a limit.

use serde::Serialize;

/// How a kernel's payload is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Compression {
    /// Not at all: an ELF file.
    None,
    /// gzip.
    Gzip,
    /// xz, as a rule with the x86 branch filter and a large dictionary.
    Xz,
    /// Zstandard.
    Zstd,
    /// LZ4's legacy frame, as `lz4 -l` writes it.
    Lz4,
    /// LZMA alone.
    Lzma,
    /// lzop.
    Lzo,
    /// bzip2.
    Bzip2,
    /// None that the kernel's build knows.
    Unknown,
}

impl Compression {
    /// Told by the payload's first bytes (lib/decompress.c `compressed_formats`, with lzop's full magic).
    pub(crate) fn of(payload: &[u8]) -> Self {
        match payload {
            [0x7F, b'E', b'L', b'F', ..] => Self::None,
            [0x1F, 0x8B | 0x9E, ..] => Self::Gzip,
            [0xFD, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [0x28, 0xB5, 0x2F, 0xFD, ..] => Self::Zstd,
            [0x02, 0x21, 0x4C, 0x18, ..] => Self::Lz4,
            [0x5D, 0x00, 0x00, ..] => Self::Lzma,
            [0x89, b'L', b'Z', b'O', ..] => Self::Lzo,
            [b'B', b'Z', b'h', ..] => Self::Bzip2,
            _ => Self::Unknown,
        }
    }
}
