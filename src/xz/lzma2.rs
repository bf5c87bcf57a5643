//! LZMA2: chunks of LZMA, and of bytes that do not pack (The .xz File Format 1.1, section 5.3.1; xz-embedded's
//! xz_dec_lzma2.c tells the control bytes).

use super::lzma::{Model, Properties, STEP};
use super::range_decoder::CHUNK;

/// Control bytes: the end; bytes as they are, with the dictionary begun anew and without; and from where on LZMA begins, its
/// model begun anew, with other properties, with another dictionary.
const END: u8 = 0;
const PLAIN_ANEW: u8 = 1;
const PLAIN: u8 = 2;
const LZMA: u8 = 0x80;
const MODEL_ANEW: u8 = 0xA0;
const PROPERTIES: u8 = 0xC0;
const ALL_ANEW: u8 = 0xE0;

/// The content of the stream that `packed` begins with, and what follows it. The content has at most `longest` bytes, of which
/// `expected` are reserved; it refers to `dictionary` bytes before. `None` when it is longer, or damaged.
pub(super) fn unpack(packed: &[u8], expected: usize, longest: usize, dictionary: usize) -> Option<(Vec<u8>, &[u8])> {
    let mut rest = packed;
    let mut content = Vec::with_capacity(expected.min(longest).saturating_add(STEP));
    let mut length: usize = 0;
    // Where the dictionary begins.
    let mut origin = None;
    let mut model: Option<Model> = None;
    let mut input = [0; CHUNK];
    loop {
        let control = take(&mut rest)?;
        match control {
            END => break,
            PLAIN_ANEW | ALL_ANEW.. => (origin, model) = (Some(length), None),
            PLAIN | LZMA.. => {}
            _ => return None,
        }
        let highest = if control < LZMA { 0 } else { usize::from(control & 0x1F) };
        let size = (highest << 16 | number(&mut rest)?) + 1;
        let end = length.checked_add(size).filter(|end| *end <= longest)?;
        content.resize(end + STEP, 0);
        let within = content.get_mut(origin?..)?;
        let (from, to) = (length - origin?, end - origin?);
        length = end;
        if control < LZMA {
            let (bytes, behind) = rest.split_at_checked(size)?;
            within.get_mut(from..to)?.copy_from_slice(bytes);
            rest = behind;
            continue;
        }
        let packed_size = number(&mut rest)? + 1;
        match control {
            PROPERTIES.. => model = Some(Model::new(Properties::of(take(&mut rest)?)?)),
            MODEL_ANEW.. => model = Some(Model::new(model?.properties())),
            _ => {}
        }
        let (bytes, behind) = rest.split_at_checked(packed_size)?;
        input.get_mut(..packed_size)?.copy_from_slice(bytes);
        rest = behind;
        model.as_mut()?.unpack((&input, packed_size), within, (from, to), dictionary)?;
    }
    content.truncate(length);
    Some((content, rest))
}

fn take(rest: &mut &[u8]) -> Option<u8> {
    let (byte, behind) = rest.split_first()?;
    *rest = behind;
    Some(*byte)
}

/// Two bytes, the higher one first.
fn number(rest: &mut &[u8]) -> Option<usize> {
    let (bytes, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(u16::from_be_bytes(*bytes).into())
}
