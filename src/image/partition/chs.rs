//! Cylinder, head and sector: the second way in which an MBR entry tells where its partition begins and ends. Nothing
//! boots by it any more, but it is kept in step with the first in the manner of whoever wrote the entry.

/// Sectors per track; every tool takes 63.
const SECTORS: u64 = 63;
/// What stands for a sector behind cylinder 1023, where the tool that wrote the entry respects that bound.
const BEYOND: [u8; 3] = [0xFE, 0xFF, 0xFF];

/// How an entry's addresses were computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Manner {
    heads: u64,
    /// Whether cylinders above 1023 become [`BEYOND`]; ptgen lets them wrap (firmware-utils, src/ptgen.c to_chs).
    bounded: bool,
}

/// ptgen's for MBR and GPT disks (`-h 16 -s 63`; 254 forced by `-g`), and those of partitioning programs.
const MANNERS: [Manner; 5] = [
    Manner { heads: 16, bounded: false },
    Manner { heads: 254, bounded: false },
    Manner { heads: 255, bounded: false },
    Manner { heads: 16, bounded: true },
    Manner { heads: 255, bounded: true },
];

impl Manner {
    /// The three bytes for the sector `lba`.
    fn address(self, lba: u64) -> [u8; 3] {
        let (sector, track) = (lba % SECTORS + 1, lba / SECTORS);
        let (head, cylinder) = (track % self.heads, track / self.heads);
        if self.bounded && cylinder > 1023 {
            return BEYOND;
        }
        [low(head), low(sector | cylinder >> 2 & 0xC0), low(cylinder)]
    }
}

/// The low byte of `value`.
const fn low(value: u64) -> u8 {
    let [byte, ..] = value.to_le_bytes();
    byte
}

/// The address of the sector `last`, in the manner in which an entry says `start` for the sector `first` and `end` for
/// `old_last`. An entry in no known manner gets the bytes that mean "look at the LBA".
pub(super) fn new_end(first: u64, start: [u8; 3], old_last: u64, end: [u8; 3], last: u64) -> [u8; 3] {
    let fits = |manner: &&Manner| manner.address(first) == start && manner.address(old_last) == end;
    MANNERS.iter().find(fits).map_or(BEYOND, |manner| manner.address(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ptgen_wraps_cylinders_and_others_stop_at_the_last() {
        // The root partition of an official image, from LBA 33792 to 246783.
        let (start, end) = ([0x08, 0x19, 0x21], [0x0D, 0x0D, 0xF4]);
        assert_eq!(new_end(33_792, start, 246_783, end, 246_783), end);
        // Cylinder 1040: 1040 * 16 * 63.
        assert_eq!(new_end(33_792, start, 246_783, end, 1_048_320), [0, 1, 0x10]);
        let bounded = Manner { heads: 255, bounded: true };
        let (start, end) = (bounded.address(2048), bounded.address(1 << 26));
        assert_eq!((start, end), ([0x20, 0x21, 0], BEYOND));
        assert_eq!(new_end(2048, start, 1 << 26, end, 1 << 27), BEYOND);
        assert_eq!(new_end(2048, [0, 0, 0], 1 << 26, [0, 0, 0], 5000), BEYOND);
    }
}
