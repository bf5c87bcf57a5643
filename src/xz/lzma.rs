//! LZMA: what a chunk says, told by a model that learns from all before it (lzma-specification.txt of the LZMA SDK). The
//! content is its own dictionary: what is repeated is copied from where it stands.

use super::range_decoder::{CHUNK, EVEN, RangeDecoder};

/// Bytes that are copied at a time. As many are behind the end of what a chunk unpacks to.
pub(super) const STEP: usize = 16;
/// States: what the last few symbols were. Those from [`BEHIND_MATCH`] on stand behind a repetition.
const STATES: usize = 12;
const BEHIND_MATCH: usize = 7;
/// The state that a literal leads to.
const BEHIND_LITERAL: [usize; STATES] = [0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 4, 5];
/// Places within a unit of up to 16 bytes that are told apart.
const PLACES: usize = 16;

/// What was learnt of lengths.
struct Lengths {
    is_long: u16,
    is_longest: u16,
    short: [[u16; 8]; PLACES],
    long: [[u16; 8]; PLACES],
    longest: [u16; 256],
}

/// How a literal depends on what is before it, and anything on its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Properties {
    /// How many of the highest bits of the byte before count.
    literal_context: u32,
    /// Places of a literal.
    literal_places: usize,
    /// Places of a symbol.
    places: usize,
}

/// What was last.
#[derive(Clone, Copy)]
struct Last {
    state: usize,
    /// The last four distances, less 1.
    distances: [usize; 4],
}

/// What was learnt so far.
pub(super) struct Model {
    properties: Properties,
    last: Last,
    literals: Vec<[u16; 0x300]>,
    is_repetition: [[u16; PLACES]; STATES],
    is_known: [u16; STATES],
    is_older: [u16; STATES],
    is_third: [u16; STATES],
    is_fourth: [u16; STATES],
    is_longer: [[u16; PLACES]; STATES],
    /// Of a distance its length in bits and its highest two, by the length of the repetition.
    slots: [[u16; 64]; 4],
    /// The rest of it: for short ones all of it, by slot; for long ones the lowest four bits.
    rests: [[u16; 32]; 10],
    lowest: [u16; 16],
    new_lengths: Lengths,
    known_lengths: Lengths,
}

impl Properties {
    /// They are one byte; `None` unless LZMA2 allows them.
    pub(super) fn of(byte: u8) -> Option<Self> {
        let (context, literal_place, place) = (byte % 9, byte / 9 % 5, byte / 45);
        (context + literal_place <= 4 && place <= 4).then_some(Self {
            literal_context: context.into(),
            literal_places: 1 << literal_place,
            places: 1 << place,
        })
    }
}

impl Lengths {
    fn new() -> Self {
        let (short, long) = ([[EVEN; 8]; PLACES], [[EVEN; 8]; PLACES]);
        Self { is_long: EVEN, is_longest: EVEN, short, long, longest: [EVEN; 256] }
    }

    #[inline(always)]
    fn read(&mut self, range: &mut RangeDecoder<'_>, place: usize) -> Option<usize> {
        if !range.is_set(&mut self.is_long) {
            return Some(2 + range.number(self.short.get_mut(place)?)?);
        }
        if !range.is_set(&mut self.is_longest) {
            return Some(10 + range.number(self.long.get_mut(place)?)?);
        }
        Some(18 + range.number(&mut self.longest)?)
    }
}

impl Model {
    pub(super) fn new(properties: Properties) -> Self {
        let contexts = properties.literal_places << properties.literal_context;
        Self {
            properties,
            last: Last { state: 0, distances: [0; 4] },
            literals: vec![[EVEN; 0x300]; contexts],
            is_repetition: [[EVEN; PLACES]; STATES],
            is_known: [EVEN; STATES],
            is_older: [EVEN; STATES],
            is_third: [EVEN; STATES],
            is_fourth: [EVEN; STATES],
            is_longer: [[EVEN; PLACES]; STATES],
            slots: [[EVEN; 64]; 4],
            rests: [[EVEN; 32]; 10],
            lowest: [EVEN; 16],
            new_lengths: Lengths::new(),
            known_lengths: Lengths::new(),
        }
    }

    /// The properties that it began with.
    pub(super) fn properties(&self) -> Properties {
        self.properties
    }

    /// Unpacks the chunk of `length` bytes in `input` into `content`, from byte `at` up to byte `end`, behind which there
    /// is room for [`STEP`] more. Distances go up to `dictionary`. `None` when the chunk is damaged.
    pub(super) fn unpack(
        &mut self,
        (input, length): (&[u8; CHUNK], usize),
        content: &mut [u8],
        (mut at, end): (usize, usize),
        dictionary: usize,
    ) -> Option<()> {
        let mut range = RangeDecoder::new(input)?;
        // Copies, because what lies in registers is quicker at hand.
        let mut last = self.last;
        while at < end {
            let place = at & (self.properties.places - 1);
            if !range.is_set(self.is_repetition.get_mut(last.state)?.get_mut(place)?) {
                *content.get_mut(at)? = self.literal(&mut range, last, content, at)?;
                last.state = *BEHIND_LITERAL.get(last.state)?;
                at += 1;
                continue;
            }
            let length = match range.is_set(self.is_known.get_mut(last.state)?) {
                true => self.known(&mut range, &mut last, place)?,
                false => self.new_distance(&mut range, &mut last, place)?,
            };
            let [distance, ..] = last.distances;
            if distance >= at.min(dictionary) || length > end - at {
                return None;
            }
            repeat(content, at, distance + 1, length)?;
            at += length;
        }
        self.last = last;
        range.finish(length)
    }

    #[inline(always)]
    fn literal(&mut self, range: &mut RangeDecoder<'_>, last: Last, content: &[u8], at: usize) -> Option<u8> {
        let Properties { literal_context, literal_places, .. } = self.properties;
        let before = if at > 0 { usize::from(*content.get(at - 1)?) } else { 0 };
        let context = (at & (literal_places - 1)) << literal_context | before >> (8 - literal_context);
        let trees = self.literals.get_mut(context)?;
        let node = if last.state < BEHIND_MATCH {
            range.node(trees, 8)?
        } else {
            let [distance, ..] = last.distances;
            range.matched_byte(trees, *content.get(at.checked_sub(distance + 1)?)?)?
        };
        // It is 256 and the byte.
        let [byte, ..] = node.to_le_bytes();
        Some(byte)
    }

    /// The length of a repetition at a new distance.
    #[inline(always)]
    fn new_distance(&mut self, range: &mut RangeDecoder<'_>, last: &mut Last, place: usize) -> Option<usize> {
        let length = self.new_lengths.read(range, place)?;
        let slot = range.number(self.slots.get_mut((length - 2).min(3))?)?;
        let distance = match slot {
            0..4 => slot,
            _ => {
                let bits = (slot >> 1) - 1;
                let highest = (2 | slot & 1) << bits;
                match self.rests.get_mut(slot - 4) {
                    Some(rest) => highest + range.reversed(rest, bits)?,
                    None => highest + (range.direct(bits - 4) << 4) + range.reversed(&mut self.lowest, 4)?,
                }
            }
        };
        let [first, second, third, _] = last.distances;
        last.distances = [distance, first, second, third];
        last.state = if last.state < BEHIND_MATCH { 7 } else { 10 };
        Some(length)
    }

    /// The length of a repetition at one of the last distances.
    #[inline(always)]
    fn known(&mut self, range: &mut RangeDecoder<'_>, last: &mut Last, place: usize) -> Option<usize> {
        let state = last.state;
        let [first, second, third, fourth] = last.distances;
        if !range.is_set(self.is_older.get_mut(state)?) {
            if !range.is_set(self.is_longer.get_mut(state)?.get_mut(place)?) {
                last.state = if state < BEHIND_MATCH { 9 } else { 11 };
                return Some(1);
            }
        } else if !range.is_set(self.is_third.get_mut(state)?) {
            last.distances = [second, first, third, fourth];
        } else if !range.is_set(self.is_fourth.get_mut(state)?) {
            last.distances = [third, first, second, fourth];
        } else {
            last.distances = [fourth, first, second, third];
        }
        last.state = if state < BEHIND_MATCH { 8 } else { 11 };
        self.known_lengths.read(range, place)
    }
}

/// Copies the `length` bytes that stand `distance` before byte `at` of `content` there, each after the one before it.
#[inline(always)]
fn repeat(content: &mut [u8], at: usize, distance: usize, length: usize) -> Option<()> {
    let from = at.checked_sub(distance)?;
    if distance >= STEP {
        // Up to a step too much, which whatever follows overwrites.
        for done in (0..length).step_by(STEP) {
            let piece: [u8; STEP] = *content.get(from + done..)?.first_chunk()?;
            *content.get_mut(at + done..)?.first_chunk_mut()? = piece;
        }
        return Some(());
    }
    if distance == 1 {
        let byte = *content.get(from)?;
        content.get_mut(at..at + length)?.fill(byte);
        return Some(());
    }
    let room = content.get_mut(from..at + length)?;
    for place in distance..room.len() {
        *room.get_mut(place)? = *room.get(place - distance)?;
    }
    Some(())
}
