//! The x86 branch filter of xz, undone: targets of calls and jumps, which were made absolute so that equal ones look
//! equal, become relative to their place again.

use memchr::memchr2;

/// Bytes of an instruction that is looked at: its opcode (E8 call, E9 jump) and the target.
const LENGTH: usize = 5;

/// Puts relative targets back into `content`, which was filtered from address 0 on.
///
/// The filter takes an opcode for one only when the uppermost byte of its target is 00 or FF, and when no opcode that
/// was passed over stands so close before it that it might be a part of that one's target. That is kept as a history: of
/// the three bytes before the one looked at, bit 0 for the nearest, which looked like opcodes of a target that was no
/// address.
pub(super) fn undo(content: &mut [u8]) {
    // The last bytes cannot hold an instruction, and the filter leaves them.
    let Some(end) = content.len().checked_sub(LENGTH - 1) else { return };
    let mut at = 0;
    // Where the last opcode stood that was looked at, and the history as of there.
    let (mut last, mut history): (Option<usize>, u32) = (None, 0);
    while let Some(step) = content.get(at..end).and_then(|rest| memchr2(0xE8, 0xE9, rest)) {
        at += step;
        history = match last.map(|last| at - last) {
            Some(distance @ 1..=3) => (history << (distance - 1)) & 0b111,
            _ => 0,
        };
        last = Some(at);
        let Some(instruction) = content.get_mut(at..at + LENGTH).and_then(|bytes| bytes.first_chunk_mut()) else {
            return;
        };
        match (is_open(history, instruction), is_address(instruction[LENGTH - 1])) {
            (true, true) => {
                relocate(instruction, at, history);
                history = 0;
                at += LENGTH;
            }
            _ => {
                history = history << 1 | 1;
                at += 1;
            }
        }
    }
}

/// Whether an uppermost byte is that of a target within 16 MiB, ahead or behind.
fn is_address(byte: u8) -> bool {
    byte == 0 || byte == 0xFF
}

/// How many of a target's uppermost bytes an earlier opcode may have claimed.
fn claimed(history: u32) -> usize {
    match history {
        0 => 0,
        1 => 1,
        2 | 3 => 2,
        _ => 3,
    }
}

/// Whether an opcode with that history is one for the filter.
fn is_open(history: u32, instruction: &[u8; LENGTH]) -> bool {
    let contested = instruction.get(LENGTH - 1 - claimed(history)).copied().unwrap_or(0);
    history == 0 || matches!(history, 1 | 2 | 4) && !is_address(contested)
}

/// Makes the target of the instruction at `address` relative.
fn relocate(instruction: &mut [u8; LENGTH], address: usize, history: u32) {
    let [_, target @ ..] = instruction;
    // Addresses are of 32 bits and wrap around.
    let next = u32::try_from((address + LENGTH) & 0xFFFF_FFFF).unwrap_or(0);
    let mut value = u32::from_le_bytes(*target).wrapping_sub(next);
    if history != 0 {
        let shift = 8 * claimed(history);
        let [contested, ..] = (value >> (24 - shift)).to_le_bytes();
        if is_address(contested) {
            // What an opcode before it might claim was turned over by the filter.
            value = (value ^ ((1 << (32 - shift)) - 1)).wrapping_sub(next);
        }
    }
    // The uppermost byte is the sign of the 25 bits below.
    let value = value & 0x01FF_FFFF;
    *target = (if value & 0x0100_0000 == 0 { value } else { value | 0xFF00_0000 }).to_le_bytes();
}
