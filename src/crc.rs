//! Arithmetic with CRC-32 values: what the CRC of joined pieces is, without looking at the bytes.

use crc32fast::Hasher;

/// The CRC-32 of bytes that have the CRC `first` followed by `length` bytes that have the CRC `second`.
pub(crate) fn joined(first: u32, second: u32, length: u64) -> u32 {
    let mut crc = Hasher::new_with_initial(first);
    crc.combine(&Hasher::new_with_initial_len(second, length));
    crc.finalize()
}

/// The CRC-32 of bytes that have the CRC `crc` followed by `count` zero bytes.
pub(crate) fn with_zeroes(crc: u32, count: u64) -> u32 {
    // Zeroes only shift the register, which the CRC is the complement of.
    !joined(!crc, 0, count)
}

/// The CRC-32 of the last `length` bytes of a sequence that has the CRC `whole`, where what is before them has the CRC
/// `before`.
pub(crate) fn of_end(whole: u32, before: u32, length: u64) -> u32 {
    if length == 0 { 0 } else { joined(before, whole, length) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joining_and_taking_apart_agree_with_looking_at_the_bytes() {
        let bytes: Vec<u8> = (0..5000u32).flat_map(|i| (i * i).to_le_bytes()).collect();
        for cut in [0, 1, 77, 4096, bytes.len()] {
            let (a, b) = bytes.split_at(cut);
            let [whole, first, second] = [&bytes, a, b].map(crc32fast::hash);
            assert_eq!(joined(first, second, b.len() as u64), whole);
            assert_eq!(of_end(whole, first, b.len() as u64), second);
        }
    }

    #[test]
    fn zeroes_are_appended_without_writing_them_out() {
        for count in [0, 1, 5, 100_000] {
            let bytes = [&b"some bytes"[..], &vec![0; count]].concat();
            assert_eq!(with_zeroes(crc32fast::hash(b"some bytes"), count as u64), crc32fast::hash(&bytes));
            assert_eq!(with_zeroes(0, count as u64), crc32fast::hash(&vec![0; count]));
        }
    }
}
