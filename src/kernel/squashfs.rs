//! What a kernel's own squashfs can unpack, told by the table that it looks compressors up in.
//!
//! fs/squashfs/decompressor.c holds one `struct squashfs_decompressor` for every compressor of the format, built or
//! not: four functions (`init`, `comp_opts`, `free`, `decompress`), a number and a name. Of one that was not built the
//! functions are null; `mount` then says `Filesystem uses "zstd" compression. This is not supported`. Functions,
//! number and name lie in that order since Linux 3.13; what follows them varies.

use std::collections::BTreeMap;

use serde::Serialize;

use super::bytes::{c_string, find, u64_at};
use super::bzimage::banner;
use super::ksymtab::Region;

/// Numbers of the compressors as superblocks name them, with the kernel's names (fs/squashfs/squashfs_fs.h).
const NAMES: [(u16, &[u8]); 6] = [(1, b"zlib"), (2, b"lzma"), (3, b"lzo"), (4, b"xz"), (5, b"lz4"), (6, b"zstd")];
/// Every kernel since Linux 2.6.38 knows these; lz4 came with 3.11, zstd with 4.14.
const KNOWN_TO_ALL: std::ops::RangeInclusive<u16> = 1..=4;
/// `mask_to_allowed_status` and `mask_to_bit_num` of the x86 filter (lib/xz/xz_dec_bcj.c, `CONFIG_XZ_DEC_X86`).
const X86_FILTER: [u8; 16] = [1, 1, 1, 0, 1, 0, 0, 0, 0, 1, 2, 2, 3, 3, 3, 3];

/// How a kernel reads squashfs before any module is loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SquashfsReader {
    /// It cannot be told, for this reason.
    Unknown(&'static str),
    /// Not at all: squashfs is a module or was not built (`CONFIG_SQUASHFS`).
    Absent,
    /// It was built in.
    BuiltIn {
        /// Numbers of the compressors that it unpacks, ascending.
        compressors: Vec<u16>,
        /// Whether xz is seen to have its x86 filter; `false` is no proof that it lacks it.
        x86_filter: bool,
    },
}

impl SquashfsReader {
    /// Reads the table out of a kernel's `.rodata` and `.text`.
    pub(super) fn of(rodata: Option<Region<'_>>, text: Option<Region<'_>>) -> Self {
        let (Some(rodata), Some(text)) = (rodata, text) else {
            return Self::Unknown("its ELF file names no sections .rodata and .text");
        };
        // A kernel that holds only export tables has no banner either.
        if banner(rodata.bytes).is_none() {
            return Self::Unknown("its constants are not in it");
        }
        // The name under which every built-in filesystem is registered.
        if find(rodata.bytes, b"squashfs\0").is_none() {
            return Self::Absent;
        }
        match table(&rodata, &text) {
            Some(table) if KNOWN_TO_ALL.into_iter().all(|number| table.contains_key(&number)) => Self::BuiltIn {
                compressors: table.into_iter().filter_map(|(number, built)| built.then_some(number)).collect(),
                x86_filter: find(rodata.bytes, &X86_FILTER).is_some(),
            },
            _ => Self::Unknown("its table of squashfs decompressors was not found"),
        }
    }
}

/// Every compressor of the table, and whether it was built; `None` when two records of one contradict each other.
fn table(rodata: &Region<'_>, text: &Region<'_>) -> Option<BTreeMap<u16, bool>> {
    let mut table = BTreeMap::new();
    // Addresses of records are multiples of a pointer's length.
    let first = rodata.address.wrapping_neg() % 8;
    for at in (first..rodata.bytes.len() as u64).step_by(8) {
        let Some((number, built)) = record(rodata, text, at) else { continue };
        if table.insert(number, built).is_some_and(|before| before != built) {
            return None;
        }
    }
    Some(table)
}

/// The number in the record at offset `at` of `rodata`, and whether its functions are there; `None` when no record is
/// there.
fn record(rodata: &Region<'_>, text: &Region<'_>, at: u64) -> Option<(u16, bool)> {
    let field = |offset: u64| u64_at(rodata.bytes, at.checked_add(offset)?);
    // The number has 32 bits, the padding behind it is zero.
    let number = u16::try_from(field(32)?).ok()?;
    let (_, name) = NAMES.iter().find(|(known, _)| *known == number)?;
    if c_string(rodata.bytes, field(40)?.checked_sub(rodata.address)?, name.len() + 1)? != *name {
        return None;
    }
    let functions = [field(0)?, field(8)?, field(16)?, field(24)?];
    let is_code = |address: u64| address.checked_sub(text.address).is_some_and(|at| at < text.bytes.len() as u64);
    let [initialise, _, free, decompress] = functions;
    match functions {
        [0, 0, 0, 0] => Some((number, false)),
        // Those without options have no `comp_opts`.
        _ => [initialise, free, decompress].into_iter().all(is_code).then_some((number, true)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the `.rodata` of a test's kernel is linked to: not a multiple of a pointer's length.
    const RODATA: u64 = 0xFFFF_FFFF_81C0_0004;
    const TEXT: Region<'static> = Region { address: 0xFFFF_FFFF_8100_0000, bytes: &[0x90; 64] };

    /// `.rodata` of a kernel that has these compressors built in, with the table as 6.12 lays it out.
    fn rodata(built: &[u16]) -> Vec<u8> {
        let mut bytes = b"Linux version 6.6.106 (builder@host) #0 SMP\n\0a squashfs\0".to_vec();
        let names = NAMES.map(|(_, name)| {
            let at = RODATA + bytes.len() as u64;
            bytes.extend([name, b"\0"].concat());
            at
        });
        bytes.resize(bytes.len().next_multiple_of(8) + 4, 0);
        for ((number, _), name) in NAMES.into_iter().zip(names) {
            let (function, flags) = if built.contains(&number) { (TEXT.address + 16, 3) } else { (0, 0) };
            // zlib has no options to read.
            let options = if number == 1 { 0 } else { function };
            for word in [function, options, function, function, number.into(), name, flags] {
                bytes.extend(word.to_le_bytes());
            }
        }
        bytes
    }

    fn read(bytes: &[u8]) -> SquashfsReader {
        SquashfsReader::of(Some(Region { address: RODATA, bytes }), Some(TEXT))
    }

    #[test]
    fn the_table_tells_what_was_built_in() {
        let built = |built: &[u16], x86_filter| SquashfsReader::BuiltIn { compressors: built.to_vec(), x86_filter };
        assert_eq!(read(&rodata(&[4])), built(&[4], false));
        assert_eq!(read(&[rodata(&[4]), X86_FILTER.to_vec()].concat()), built(&[4], true));
        assert_eq!(read(&rodata(&[1, 3, 4, 5, 6])), built(&[1, 3, 4, 5, 6], false));
        assert_eq!(read(&rodata(&[])), built(&[], false));
    }

    #[test]
    fn a_kernel_that_knows_no_filesystem_of_the_name_has_none_built_in() {
        assert_eq!(read(b"Linux version 6.6.106 (builder@host) #0 SMP\n\0squash\0"), SquashfsReader::Absent);
    }

    #[test]
    fn what_cannot_be_told_is_not_guessed() {
        let reason = |reader: SquashfsReader| match reader {
            SquashfsReader::Unknown(reason) => reason,
            other => panic!("{other:?}"),
        };
        let table = "its table of squashfs decompressors was not found";
        assert_eq!(reason(SquashfsReader::of(None, Some(TEXT))), "its ELF file names no sections .rodata and .text");
        assert_eq!(reason(read(b"squashfs\0")), "its constants are not in it");
        let whole = rodata(&[4]);
        assert_eq!(reason(read(&whole[..whole.len() - 4 * 56])), table, "the table is cut");
        let mut other = whole.clone();
        let at = whole.len() - 3 * 56;
        other[at + 3] ^= 1;
        assert_eq!(reason(read(&other)), table, "a function lies outside the code");
        let mut twice = whole.clone();
        twice.extend(&rodata(&[])[whole.len() - 6 * 56..]);
        assert_eq!(reason(read(&twice)), table, "two records of xz say different things");
    }

    #[test]
    fn a_kernel_of_export_tables_only_does_not_tell() {
        let kernel = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/bzImage-with-ib"));
        let kernel = crate::kernel::KernelExports::read(kernel).unwrap();
        assert!(matches!(kernel.squashfs, SquashfsReader::Unknown(_)), "{:?}", kernel.squashfs);
    }
}
