//! Reading xz streams of the simple kind, fast: one block, LZMA2 alone or behind the x86 branch filter, CRC-32 or no check,
//! as the kernel's build and mksquashfs write them (The .xz File Format 1.1). Nothing takes longer when one image is patched
//! than unpacking its kernel. A library's reader has a dictionary beside the content, and passes it on in small pieces
//! through filter and checksum; here LZMA2 goes straight into the content, and both go over all of it at once, in two thirds
//! of the time and half of the memory. Whatever is out of the ordinary is left to that reader, its errors included.

mod branches;
mod lzma;
mod lzma2;
mod range_decoder;

const MAGIC: [u8; 6] = [0xFD, b'7', b'z', b'X', b'Z', 0];
/// Filter IDs (section 5.3).
const LZMA2: u64 = 0x21;
const X86: u64 = 0x04;
/// Block flags (section 3.1.2).
const TWO_FILTERS: u8 = 0x01;
const HAS_PACKED_SIZE: u8 = 0x40;
const HAS_SIZE: u8 = 0x80;

/// How the content of a stream is held against a checksum (section 2.1.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    None,
    Crc32,
}

/// What the header of a block says.
#[derive(Debug, PartialEq, Eq)]
struct BlockHeader {
    /// Bytes of the header.
    length: usize,
    /// Whether x86 branches were filtered.
    x86: bool,
    /// Bytes of the dictionary.
    dictionary: u32,
}

/// The content of the xz stream that `packed` begins with: at most `longest` bytes, unpacked with a dictionary of at most
/// `largest_dictionary` bytes. `expected` bytes are reserved. The content was held against its checksum; the index, which
/// says nothing more of a single block, is not looked at.
///
/// `None` when the stream is of another kind, larger, or damaged: then the library's reader can tell.
pub(crate) fn unpack(packed: &[u8], expected: usize, longest: usize, largest_dictionary: u32) -> Option<Vec<u8>> {
    let (check, rest) = stream_header(packed)?;
    let header = block_header(rest)?;
    if header.dictionary > largest_dictionary {
        return None;
    }
    let dictionary = usize::try_from(header.dictionary).ok()?;
    let block = rest.get(header.length..)?;
    let (mut content, behind) = lzma2::unpack(block, expected, longest, dictionary)?;
    if header.x86 {
        branches::undo(&mut content);
    }
    let data = block.len().checked_sub(behind.len())?;
    is_sound(check, behind, data, &content).then_some(content)
}

/// Flags of the stream, and what follows its header (section 2.1.1).
fn stream_header(packed: &[u8]) -> Option<(Check, &[u8])> {
    let (magic, rest) = packed.split_first_chunk::<6>()?;
    let (flags, rest) = rest.split_first_chunk::<2>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    if *magic != MAGIC || crc32fast::hash(flags) != u32::from_le_bytes(*crc) {
        return None;
    }
    let check = match flags {
        [0, 0] => Check::None,
        [0, 1] => Check::Crc32,
        _ => return None,
    };
    Some((check, rest))
}

/// The header of the block that `bytes` begin with (section 3.1).
fn block_header(bytes: &[u8]) -> Option<BlockHeader> {
    // A first byte of 0 would be the index's.
    let length = usize::from(*bytes.first().filter(|&&size| size != 0)?).checked_add(1)?.checked_mul(4)?;
    let (fields, crc) = bytes.get(..length)?.split_last_chunk::<4>()?;
    if crc32fast::hash(fields) != u32::from_le_bytes(*crc) {
        return None;
    }
    let (&flags, mut rest) = fields.get(1..)?.split_first()?;
    if flags & !(TWO_FILTERS | HAS_PACKED_SIZE | HAS_SIZE) != 0 {
        return None;
    }
    for size in [HAS_PACKED_SIZE, HAS_SIZE] {
        if flags & size != 0 {
            number(&mut rest)?;
        }
    }
    let x86 = flags & TWO_FILTERS != 0;
    // No properties: the content begins at address 0.
    if x86 && (number(&mut rest)?, number(&mut rest)?) != (X86, 0) {
        return None;
    }
    if (number(&mut rest)?, number(&mut rest)?) != (LZMA2, 1) {
        return None;
    }
    let (&exponent, padding) = rest.split_first()?;
    padding.iter().all(|&byte| byte == 0).then_some(())?;
    Some(BlockHeader { length, x86, dictionary: dictionary(exponent)? })
}

/// Bytes of a dictionary (section 5.3.1): 2^n or 2^n + 2^(n-1), or what four bytes can say.
fn dictionary(exponent: u8) -> Option<u32> {
    match exponent {
        0..40 => Some((2 | u32::from(exponent & 1)) << (exponent / 2 + 11)),
        40 => Some(u32::MAX),
        _ => None,
    }
}

/// A number of at most nine bytes, seven bits in each, the lowest first (section 1.2).
fn number(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for place in 0..9 {
        let (&byte, tail) = rest.split_first()?;
        *rest = tail;
        value |= u64::from(byte & 0x7F) << (7 * place);
        if byte & 0x80 == 0 {
            return (byte != 0 || place == 0).then_some(value);
        }
    }
    None
}

/// Whether `behind`, what follows `data` bytes of packed data, is their padding and the checksum of `content`
/// (sections 3.3 and 3.4).
fn is_sound(check: Check, behind: &[u8], data: usize, content: &[u8]) -> bool {
    let padding = data.next_multiple_of(4) - data;
    let Some((padding, rest)) = behind.split_at_checked(padding) else { return false };
    let stored = rest.first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes));
    let agrees = match check {
        Check::None => true,
        Check::Crc32 => stored == Some(crc32fast::hash(content)),
    };
    // Behind it all a second block would begin, or the index, whose first byte is 0.
    let check_length = if check == Check::None { 0 } else { 4 };
    agrees && padding.iter().all(|&byte| byte == 0) && rest.get(check_length) == Some(&0)
}

#[cfg(test)]
mod tests;
