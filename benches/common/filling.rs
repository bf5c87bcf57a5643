//! Files to fill a root with, the same every time.

use std::path::Path;

use super::support;

/// Fills a root up to `content` bytes with files that compress as a system's do, to about two fifths: text, tables, and
/// what is packed already. Each has one of `lengths` lengths: 1 KiB, 2 KiB, 4 KiB and so on, all as often.
pub(crate) fn fill(tree: &Path, content: usize, lengths: usize) {
    let present: u64 = support::listing(tree)
        .iter()
        .map(|path| tree.join(path))
        .filter(|path| path.is_file() && !path.is_symlink())
        .map(|path| std::fs::metadata(path).unwrap().len())
        .sum();
    let folder = tree.join("usr/share/filling");
    std::fs::create_dir_all(&folder).unwrap();
    let mut left = content.saturating_sub(usize::try_from(present).unwrap());
    let mut random = Random(0x2545_F491_4F6C_DD1D);
    let words: Vec<Vec<u8>> = (0..4096).map(|_| random.word()).collect();
    for number in 0.. {
        let length = (1024 << random.below(lengths)).min(left);
        if length == 0 {
            break;
        }
        let bytes = match random.below(10) {
            0 => random.noise(length),
            1..3 => random.table(length),
            _ => random.text(length, &words),
        };
        std::fs::write(folder.join(format!("file-{number:05}")), bytes).unwrap();
        left -= length;
    }
}

/// xorshift64: the same numbers every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % limit
    }

    fn word(&mut self) -> Vec<u8> {
        let length = 2 + self.below(9);
        let mut word: Vec<u8> = (0..length).map(|_| b"etaoinshrdlucmfwypvbgk_.-/=<>();"[self.below(32)]).collect();
        word.push(b" \n\t "[self.below(4)]);
        word
    }

    fn noise(&mut self, length: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..length.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).collect();
        bytes.truncate(length);
        bytes
    }

    /// Records with counters and flags, as in object files.
    fn table(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 24);
        let mut address = 0x40_0000_u64;
        while bytes.len() < length {
            address += 16 * (1 + self.next() % 32);
            bytes.extend(address.to_le_bytes());
            bytes.extend((self.next() % 4096).to_le_bytes());
            bytes.extend([0, 0, 0, 0, 0x12, 0, 0x0C, 0]);
        }
        bytes.truncate(length);
        bytes
    }

    /// Words, the first ones far more often than the last.
    fn text(&mut self, length: usize, words: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 16);
        while bytes.len() < length {
            let limit = 1 << (1 + self.below(12));
            bytes.extend(&words[self.below(limit)]);
        }
        bytes.truncate(length);
        bytes
    }
}
