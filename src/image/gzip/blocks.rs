//! Inflating block by block: checking, mapping, and stepping over the blocks of long runs of zeroes, which repeat.

use super::super::disk::DiskBuilder;
use super::super::input::Input;
use super::inflate::{Inflater, Place};
use super::stream::{DeflateStream, Mark, SPACING};
use crate::crc::with_zeroes;
use crate::error::{Error, Result};

/// Bytes unpacked at a time.
const OUTPUT: usize = 256 * 1024;
/// How far a deflate block refers back (RFC 1951, 2).
const WINDOW: u64 = 32 * 1024;
/// Marks in a run of zeroes are at least this far apart: nobody needs more, since zeroes cost nothing to write anew.
const ZERO_SPACING: u64 = 8 << 20;
/// The longest block of zeroes that is remembered, in compressed bytes. gzip -9 needs 8 KiB for 8 MiB.
const LONGEST_REPEAT: u64 = 128 * 1024;

/// A stream, inflated.
pub(super) struct Inflated {
    /// What it unpacks to.
    pub(super) builder: DiskBuilder,
    /// CRC-32 of that.
    pub(super) crc: u32,
    /// The stream itself, where it was to be kept.
    pub(super) stream: Option<DeflateStream>,
}

/// Inflates the deflate stream that begins at the input's position, and leaves the input behind it.
///
/// # Errors
/// Corrupt when it is cut or broken; those of `grown`, which is called whenever the disk grew.
pub(super) fn inflate(
    input: &mut Input<'_>,
    keep: bool,
    grown: impl FnMut(&DiskBuilder) -> Result<()>,
) -> Result<Inflated> {
    let inflater = Inflater::new().ok_or_else(|| no_memory("inflating"))?;
    if keep {
        input.hold_all();
    } else {
        input.hold();
    }
    let pass = Pass {
        start: input.position(),
        input,
        inflater,
        builder: DiskBuilder::default(),
        output: vec![0; OUTPUT],
        filled: 0,
        crc: crc32fast::Hasher::new(),
        marks: vec![Mark { bit: 0, at: 0, crc: 0 }],
        block: Block { bit: 0, at: 0, is_zero: true },
        keep,
    };
    pass.run(grown)
}

fn no_memory(what: &str) -> Error {
    Error::unsupported(format!("no memory for {what}")).remedy("use a machine with more memory")
}

/// The block being inflated.
#[derive(Clone, Copy)]
struct Block {
    /// Where it begins, in bits of the stream.
    bit: u64,
    /// Where it begins, in unpacked bytes.
    at: u64,
    /// Whether all it gave so far is zeroes.
    is_zero: bool,
}

/// A block that unpacks to zeroes only.
struct ZeroBlock {
    /// Its bits, from bit 0 of the first byte on.
    bits: Vec<u8>,
    /// How many they are.
    count: u64,
    /// How many zeroes it stands for.
    zeroes: u64,
}

struct Pass<'a, 'i> {
    /// Where the stream begins in the file.
    start: u64,
    input: &'a mut Input<'i>,
    inflater: Inflater,
    builder: DiskBuilder,
    /// What was unpacked and is not in the builder yet.
    output: Vec<u8>,
    /// How much of `output` that is.
    filled: usize,
    crc: crc32fast::Hasher,
    marks: Vec<Mark>,
    block: Block,
    keep: bool,
}

impl Pass<'_, '_> {
    fn run(mut self, mut grown: impl FnMut(&DiskBuilder) -> Result<()>) -> Result<Inflated> {
        let mut end = None;
        loop {
            let at = self.input.position();
            let bytes = self.input.peek()?;
            if bytes.is_empty() {
                return Err(super::ended(at, self.unpacked()));
            }
            let room = self.output.get_mut(self.filled..).unwrap_or_default();
            let step = match self.inflater.step(bytes, room) {
                Ok(step) => step,
                Err(complaint) => return Err(self.broken(at, &complaint)),
            };
            let made = room.get(..step.made).unwrap_or_default();
            self.crc.update(made);
            self.block.is_zero = self.block.is_zero && is_zero(made);
            self.filled += step.made;
            self.input.consume(step.eaten);
            if self.filled == OUTPUT {
                self.hand_over();
                grown(&self.builder)?;
            }
            match step.place {
                Place::BehindLast => end = Some(self.bit(step.left_bits)),
                Place::AtEnd => {
                    let bit = end.unwrap_or(self.bit(step.left_bits));
                    self.hand_over();
                    grown(&self.builder)?;
                    return Ok(self.finished(bit));
                }
                Place::BetweenBlocks => {
                    self.between_blocks(step.left_bits)?;
                    grown(&self.builder)?;
                }
                Place::InBlock if step.eaten > 0 || step.made > 0 => {}
                Place::InBlock => {
                    return Err(Error::corrupt(format!("compressed data makes no progress at byte {at}")));
                }
            }
        }
    }

    /// How many bytes were unpacked so far.
    fn unpacked(&self) -> u64 {
        self.builder.length() + self.filled as u64
    }

    /// Puts what was unpacked into the builder.
    fn hand_over(&mut self) {
        self.builder.push(self.output.get(..self.filled).unwrap_or_default());
        self.filled = 0;
    }

    fn broken(&self, at: u64, complaint: &str) -> Error {
        Error::corrupt(format!(
            "broken compressed data near byte {at}, behind {} unpacked bytes ({complaint})",
            self.unpacked()
        ))
        .remedy("the file is damaged: download or build it again")
    }

    /// Where the inflater stands, in bits of the stream.
    fn bit(&self, left_bits: u8) -> u64 {
        (self.input.position() - self.start) * 8 - u64::from(left_bits)
    }

    /// The stream from the byte with `bit` on, as far as it was read, and where in it that bit is.
    fn held_from(&self, bit: u64) -> (&[u8], u64) {
        (self.input.held(self.start + bit / 8), bit % 8)
    }

    fn between_blocks(&mut self, left_bits: u8) -> Result<()> {
        let bit = self.bit(left_bits);
        let mut end = Mark { bit, at: self.unpacked(), crc: 0 };
        if self.block.is_zero && end.at - self.block.at >= WINDOW {
            end = self.step_over_repeats(end)?;
        }
        self.mark(end, SPACING);
        self.begin_block(end);
        Ok(())
    }

    /// Sets a mark if the last one is far enough away. Its CRC is that of all there is by now.
    fn mark(&mut self, mark: Mark, spacing: u64) {
        if self.marks.last().is_none_or(|last| mark.at - last.at >= spacing) {
            self.marks.push(Mark { crc: self.crc.clone().finalize(), ..mark });
        }
    }

    fn begin_block(&mut self, start: Mark) {
        self.block = Block { bit: start.bit, at: start.at, is_zero: true };
        if !self.keep {
            self.input.hold_from(self.start + start.bit / 8);
        }
    }

    /// Behind a block of zeroes, which ends at `end`: takes the blocks that follow and are the same, bit by bit, without
    /// inflating them. They are zeroes as well: the first one's literals are, and whatever they refer to is, since
    /// the window holds nothing else. Empty stored blocks between them, as flushing makes them, are taken too.
    /// Returns where that led.
    fn step_over_repeats(&mut self, end: Mark) -> Result<Mark> {
        let Some(block) = self.zero_block(end) else {
            return Ok(end);
        };
        let needed = usize::try_from(block.count / 8).unwrap_or(0) + 64;
        let mut place = end;
        loop {
            // From the byte with the bit on: that byte may have been consumed already.
            self.input.peek_many(needed)?;
            let (bytes, within) = self.held_from(place.bit);
            let behind_flush = within + empty_stored_block(bytes, within).unwrap_or(0);
            if !block.is_at(bytes, behind_flush) {
                break;
            }
            self.hand_over();
            self.mark(place, ZERO_SPACING);
            place.bit += behind_flush - within + block.count;
            place.at += block.zeroes;
            self.builder.push_zeroes(block.zeroes);
            let crc = with_zeroes(self.crc.clone().finalize(), block.zeroes);
            self.crc = crc32fast::Hasher::new_with_initial(crc);
            self.advance(place.bit);
            if !self.keep {
                self.input.hold_from(self.start + place.bit / 8);
            }
        }
        if place.bit != end.bit {
            let left = place.bit.next_multiple_of(8) - place.bit;
            let (bytes, within) = self.held_from(place.bit);
            let bits = bytes.first().map_or(0, |byte| byte >> within);
            let left = u8::try_from(left).unwrap_or(0);
            let at = self.input.position();
            self.inflater.replace_left_bits(left, bits).map_err(|complaint| self.broken(at, &complaint))?;
        }
        Ok(place)
    }

    /// Consumes input up to the byte that holds the last bit before `bit`.
    fn advance(&mut self, bit: u64) {
        let target = self.start + bit.div_ceil(8);
        let count = target.saturating_sub(self.input.position());
        self.input.consume(usize::try_from(count).unwrap_or(usize::MAX));
    }

    /// The block that just ended at `end`, if it is one that can repeat.
    fn zero_block(&self, end: Mark) -> Option<ZeroBlock> {
        let count = end.bit - self.block.bit;
        let (bytes, within) = self.held_from(self.block.bit);
        // BTYPE 00 is a stored block, which is aligned to bytes and so not the same elsewhere.
        if count.div_ceil(8) > LONGEST_REPEAT || bits_at(bytes, within) & 0b110 == 0 {
            return None;
        }
        let whole = usize::try_from(count / 8).ok()?;
        let mut bits: Vec<u8> = shifted(bytes, within).take(whole + 1).collect();
        bits.resize(whole + 1, 0);
        Some(ZeroBlock { bits, count, zeroes: end.at - self.block.at })
    }

    fn finished(mut self, bit: u64) -> Inflated {
        let at = self.builder.length();
        let crc = self.crc.clone().finalize();
        self.marks.push(Mark { bit, at, crc });
        let stream = self.keep.then(|| {
            let (bytes, start) = self.input.release();
            DeflateStream { bytes, start, marks: self.marks, final_block: self.block.bit }
        });
        Inflated { builder: self.builder, crc, stream }
    }
}

impl ZeroBlock {
    /// Whether the same block begins at bit `from` of `bytes`.
    fn is_at(&self, bytes: &[u8], from: u64) -> bool {
        let Some(bytes) = usize::try_from(from / 8).ok().and_then(|first| bytes.get(first..)) else {
            return false;
        };
        if (bytes.len() as u64) * 8 < from % 8 + self.count {
            return false;
        }
        let Some((last, whole)) = self.bits.split_last() else {
            return false;
        };
        let mut found = shifted(bytes, from % 8);
        let rest = (1u16 << (self.count % 8)) - 1;
        whole.iter().all(|byte| found.next() == Some(*byte))
            && u16::from(*last) & rest == u16::from(found.next().unwrap_or(0)) & rest
    }
}

/// The bits of `bytes` from bit `within` (0 to 7) on, eight at a time; what is behind the end is zero.
fn shifted(bytes: &[u8], within: u64) -> impl Iterator<Item = u8> + '_ {
    let following = bytes.iter().skip(1).chain(std::iter::once(&0));
    bytes.iter().zip(following).map(move |(low, high)| {
        let [shifted, _] = (u16::from_le_bytes([*low, *high]) >> within).to_le_bytes();
        shifted
    })
}

/// Eight bits of `bytes` from bit `from` on.
fn bits_at(bytes: &[u8], from: u64) -> u8 {
    let first = usize::try_from(from / 8).unwrap_or(usize::MAX);
    bytes.get(first..).and_then(|bytes| shifted(bytes, from % 8).next()).unwrap_or(0)
}

/// How many bits from bit `from` of `bytes` on are a stored block that is empty and not the final one (RFC 1951,
/// 3.2.4): three zero bits, zeroes up to a byte border, LEN 0 and its complement.
fn empty_stored_block(bytes: &[u8], from: u64) -> Option<u64> {
    const LENGTHS: [u8; 4] = [0, 0, 0xFF, 0xFF];
    let behind_header = from + 3;
    let border = behind_header.next_multiple_of(8);
    let padding_is_zero = (from..border).all(|bit| bits_at(bytes, bit) & 1 == 0);
    let first = usize::try_from(border / 8).ok()?;
    let is_one = padding_is_zero && bytes.get(first..first + LENGTHS.len()) == Some(&LENGTHS);
    is_one.then_some(border + 32 - from)
}

fn is_zero(bytes: &[u8]) -> bool {
    super::super::disk::is_zero(bytes)
}
