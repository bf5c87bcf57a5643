//! Joining runs of deflate blocks that are taken over from another stream.
//!
//! A run begins at any bit of a byte. What is put before it ends at the same bit of a byte, so that the run need not be
//! shifted: its bytes are those of the other stream, and its stored blocks, which are aligned to bytes, stay whole.
//! What leads to that bit are blocks that hold nothing.

use std::io;

/// An empty block with fixed codes: BFINAL 0, BTYPE 01, seven zeroes for the end of the block (RFC 1951, 3.2.6).
/// Ten bits: a step from one even bit to the next.
const EMPTY_FIXED: &[(u64, u32)] = &[(0b010, 3), (0, 7)];

/// An empty block with dynamic codes, 103 bits long: from an even bit to an odd one (RFC 1951, 3.2.7). Both of its codes are
/// complete, with two codewords of one bit each, so that the strictest reader takes it.
const EMPTY_DYNAMIC: &[(u64, u32)] = &[
    (0b100, 3), // BFINAL 0, BTYPE 10
    (0, 5),     // HLIT: 257 literal/length codes
    (1, 5),     // HDIST: 2 distance codes
    (14, 4),    // HCLEN: 18 code length codes, in the order 16 17 18 0 8 7 9 6 10 5 11 4 12 3 13 2 14 1
    (0, 3),
    (2, 3), // 17: two bits, not used
    (2, 3), // 18: two bits
    (0, 42),
    (1, 3), // 1: one bit
    // The codewords that follow from these: 1 is `0`, 17 is `10`, 18 is `11`.
    (0b11, 2),
    (127, 7), // 11 + 127 zeroes
    (0b11, 2),
    (95, 7), // 11 + 95 zeroes
    (0b11, 2),
    (0, 7), // 11 zeroes: literals 0 to 254 have no codeword
    (0, 4), // literal 255, the end of the block and both distances: one bit each
    (1, 1), // the end of the block: the second codeword
];

/// An empty stored block behind its three header bits and the padding: LEN and NLEN (RFC 1951, 3.2.4).
const EMPTY_STORED: [u8; 4] = [0, 0, 0xFF, 0xFF];

/// Bits that are written one behind the other, from the lowest of a byte on.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    /// Bits in use of the last byte; 0 when all are.
    within: u32,
}

impl Bits {
    fn push(&mut self, (value, count): (u64, u32)) {
        for bit in 0..count {
            if self.within == 0 {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= u8::from(value >> bit & 1 != 0) << self.within;
            }
            self.within = (self.within + 1) % 8;
        }
    }
}

/// Where a run of blocks lies in a stream, in bits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    /// Its first bit.
    pub(super) start: u64,
    /// The bit behind its last one, at least 64 bits on.
    pub(super) end: u64,
    /// The BFINAL bit that is to be cleared, because more follows.
    pub(super) clear: Option<u64>,
    /// Whether the stream ends with it.
    pub(super) is_end: bool,
}

/// Calls `each` with the pieces that put `run` of `stream` at a byte border and end at one, unless the stream ends.
pub(super) fn take_over(stream: &[u8], run: Run, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let low = |bits: u32| u8::try_from((1u16 << bits) - 1).unwrap_or(u8::MAX);
    let byte = |bit: u64| {
        let byte = stream.get(index(bit)?).copied().ok_or_else(outside)?;
        let cleared = run.clear.filter(|clear| clear / 8 == bit / 8).map_or(0, |clear| 1 << within(clear));
        Ok::<u8, io::Error>(byte & !cleared)
    };
    let (lead, left) = (within(run.start), within(run.end));
    if lead > 0 {
        let mut bytes = lead_to(lead);
        if let Some(last) = bytes.last_mut() {
            *last |= byte(run.start)? & !low(lead);
        }
        each(&bytes)?;
    }
    let mut from = index(run.start + 7)?;
    let until = index(run.end)?;
    if let Some(clear) = run.clear.filter(|clear| clear / 8 >= from as u64) {
        let at = index(clear)?;
        each(stream.get(from..at).ok_or_else(outside)?)?;
        each(&[byte(clear)?])?;
        from = at + 1;
    }
    each(stream.get(from..until).ok_or_else(outside)?)?;
    if left > 0 {
        let mut tail = vec![byte(run.end)? & low(left)];
        if !run.is_end {
            // The header's three bits may need another byte.
            if left + 3 > 8 {
                tail.push(0);
            }
            tail.extend(EMPTY_STORED);
        }
        each(&tail)?;
    }
    Ok(())
}

/// Empty blocks from a byte border to bit `within` (1 to 7) of a byte.
fn lead_to(within: u32) -> Vec<u8> {
    let mut bits = Bits::default();
    if within % 2 == 1 {
        EMPTY_DYNAMIC.iter().for_each(|field| bits.push(*field));
    }
    while bits.within != within {
        EMPTY_FIXED.iter().for_each(|field| bits.push(*field));
    }
    bits.bytes
}

fn within(bit: u64) -> u32 {
    // A remainder of 8.
    u32::try_from(bit % 8).unwrap_or(0)
}

fn index(bit: u64) -> io::Result<usize> {
    usize::try_from(bit / 8).map_err(io::Error::other)
}

fn outside() -> io::Error {
    io::Error::other("a block lies outside its stream")
}
