//! The range coder of LZMA, read: bits by their probabilities (lzma-specification.txt of the LZMA SDK).
//!
//! A bit that can be foreseen is a branch, which the processor takes ahead. One that cannot is chosen without a branch, and
//! while that goes on both probabilities that may come next are fetched.

use std::hint::select_unpredictable;

/// Most bytes of a packed LZMA2 chunk.
pub(super) const CHUNK: usize = 1 << 16;
/// Below this range, another byte is taken.
const TOP: u32 = 1 << 24;
/// The probability of a zero is in 2048ths, and moves by a 32nd of what is missing to a certainty.
const CERTAIN: u16 = 1 << 11;
const CERTAIN_BITS: u32 = 11;
const MOVE_BITS: u32 = 5;
/// What it is at first.
pub(super) const EVEN: u16 = CERTAIN / 2;

/// A chunk being read.
pub(super) struct RangeDecoder<'a> {
    range: u32,
    code: u32,
    /// Bytes taken so far; what is behind the chunk's end can be taken, and is noticed [at the end](Self::finish).
    taken: usize,
    input: &'a [u8; CHUNK],
}

impl<'a> RangeDecoder<'a> {
    /// Begins to read the chunk in `input`, which has at least five bytes; `None` when the first is not 0.
    pub(super) fn new(input: &'a [u8; CHUNK]) -> Option<Self> {
        let [0, a, b, c, d, ..] = *input else { return None };
        Some(Self { range: u32::MAX, code: u32::from_be_bytes([a, b, c, d]), taken: 5, input })
    }

    /// `None` unless the chunk, of `length` bytes, was read to its very end.
    pub(super) fn finish(mut self, length: usize) -> Option<()> {
        self.normalize();
        (self.taken == length && self.code == 0).then_some(())
    }

    #[inline(always)]
    fn normalize(&mut self) {
        if self.range < TOP {
            // The mask saves looking for the end with every byte.
            let byte = self.input.get(self.taken & (CHUNK - 1)).copied().unwrap_or(0);
            self.range <<= 8;
            self.code = self.code << 8 | u32::from(byte);
            self.taken += 1;
        }
    }

    /// The next bit, which is a branch.
    #[inline(always)]
    pub(super) fn is_set(&mut self, probability: &mut u16) -> bool {
        self.normalize();
        let bound = (self.range >> CERTAIN_BITS) * u32::from(*probability);
        let is_set = self.code >= bound;
        if is_set {
            self.range -= bound;
            self.code -= bound;
            *probability -= *probability >> MOVE_BITS;
        } else {
            self.range = bound;
            *probability += (CERTAIN - *probability) >> MOVE_BITS;
        }
        is_set
    }

    /// The next bit without a branch, and what its probability becomes.
    #[inline(always)]
    fn bit(&mut self, probability: u16) -> (bool, u16) {
        self.normalize();
        let bound = (self.range >> CERTAIN_BITS) * u32::from(probability);
        let is_set = self.code >= bound;
        self.range = select_unpredictable(is_set, self.range.wrapping_sub(bound), bound);
        self.code = select_unpredictable(is_set, self.code.wrapping_sub(bound), self.code);
        let (less, more) =
            (probability - (probability >> MOVE_BITS), probability + ((CERTAIN - probability) >> MOVE_BITS));
        (is_set, select_unpredictable(is_set, less, more))
    }

    /// `bits` bits of a tree whose root is node 1: the node behind the last of them. `None` when the tree has fewer levels.
    #[inline(always)]
    pub(super) fn node<const N: usize>(&mut self, tree: &mut [u16; N], bits: usize) -> Option<usize> {
        let mut node = 1;
        let mut probability = *tree.get(node)?;
        for left in (0..bits).rev() {
            // Behind the last bit there is no node.
            let (zero, one) = if left > 0 { (*tree.get(2 * node)?, *tree.get(2 * node + 1)?) } else { (0, 0) };
            let (bit, moved) = self.bit(probability);
            *tree.get_mut(node)? = moved;
            probability = select_unpredictable(bit, one, zero);
            node = 2 * node + usize::from(bit);
        }
        Some(node)
    }

    /// A number below `N`, the highest bit first.
    #[inline(always)]
    pub(super) fn number<const N: usize>(&mut self, tree: &mut [u16; N]) -> Option<usize> {
        self.node(tree, usize::try_from(N.ilog2()).ok()?).map(|node| node - N)
    }

    /// A number of `bits` bits, the lowest first.
    #[inline(always)]
    pub(super) fn reversed<const N: usize>(&mut self, tree: &mut [u16; N], bits: usize) -> Option<usize> {
        let mut node = self.node(tree, bits)?;
        let mut number = 0;
        for _ in 0..bits {
            number = number << 1 | node & 1;
            node >>= 1;
        }
        Some(number)
    }

    /// A byte that another one, `matched`, foretells in part: as long as their bits agree, the other's next bit tells the
    /// tree.
    #[inline(always)]
    pub(super) fn matched_byte(&mut self, trees: &mut [u16; 0x300], matched: u8) -> Option<usize> {
        let mut matched = usize::from(matched) << 1;
        // 0x100 as long as all bits agree, then 0.
        let mut agreeing = 0x100;
        let mut node = 1;
        let mut place = agreeing + (matched & agreeing) + node;
        let mut probability = *trees.get(place)?;
        for _ in 0..8 {
            let expected = matched & agreeing;
            matched <<= 1;
            let (if_zero, if_one) = (agreeing ^ expected, expected);
            let zero_place = if_zero + (matched & if_zero) + 2 * node;
            let one_place = if_one + (matched & if_one) + 2 * node + 1;
            // Behind the last bit, these are of no use.
            let (zero, one) = (*trees.get(zero_place)?, *trees.get(one_place)?);
            let (bit, moved) = self.bit(probability);
            *trees.get_mut(place)? = moved;
            probability = select_unpredictable(bit, one, zero);
            place = select_unpredictable(bit, one_place, zero_place);
            agreeing = select_unpredictable(bit, if_one, if_zero);
            node = 2 * node + usize::from(bit);
        }
        Some(node)
    }

    /// A number of `bits` bits that are as often 0 as 1, the highest first.
    #[inline(always)]
    pub(super) fn direct(&mut self, bits: usize) -> usize {
        let mut number = 0;
        for _ in 0..bits {
            self.normalize();
            self.range >>= 1;
            let rest = self.code.wrapping_sub(self.range);
            // Both are below 2^31: of a difference below zero, which stands for a 0, the highest bit is set.
            let is_below = rest >> 31;
            self.code = rest.wrapping_add(self.range & is_below.wrapping_neg());
            number = number << 1 | usize::from(is_below == 0);
        }
        number
    }
}
