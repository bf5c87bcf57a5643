//! Runs of blocks that begin and end at every bit of a byte.

use super::support::{assert_foreign_programs_unpack, text};
use crate::crc;
use crate::image::Disk;
use crate::seal::gzip::joint::{Run, take_over};
use crate::seal::gzip::{DEFAULT_LEVEL, FINAL_BLOCK, HEADER, piece};

/// Blocks of 128 symbols, so that there are many places to cut.
const PYTHON_SHORT_BLOCKS: &str = "import sys,zlib;c=zlib.compressobj(6,zlib.DEFLATED,31,1);\
    sys.stdout.buffer.write(c.compress(sys.stdin.buffer.read())+c.flush())";

/// Marks of the disk's stream between which runs lie that begin and end at each bit of a byte.
fn cuts(disk: &Disk) -> Vec<(usize, usize)> {
    let stream = disk.stream().unwrap().0;
    let mut found = Vec::new();
    for start in 0..8 {
        for end in 0..8 {
            let mut marks = stream.marks.iter().enumerate();
            let starting = marks.find(|(_, mark)| mark.bit % 8 == start).unwrap().0;
            let ending = marks.rfind(|(_, mark)| mark.bit % 8 == end).unwrap().0;
            found.push((starting, ending));
        }
    }
    found
}

#[test]
fn a_run_can_begin_and_end_at_any_bit() {
    let content = text(1_500_000, 7);
    let packed = super::support::through(&["python3", "-c", PYTHON_SHORT_BLOCKS], &content);
    let disk = Disk::from_gzip(&packed).unwrap();
    let stream = disk.stream().unwrap().0;
    for (number, (start, end)) in cuts(&disk).into_iter().enumerate() {
        let (first, last) = (stream.marks[start], stream.marks[end]);
        let is_end = end == stream.marks.len() - 1;
        let (before, after) = (first.at as usize, last.at as usize);
        let lead = piece::compress(&content[..before], 0, DEFAULT_LEVEL).unwrap();
        let mut member = [&HEADER[..], &lead.bytes].concat();
        let run = Run { start: first.bit, end: last.bit, clear: None, is_end };
        take_over(stream.bytes(), run, |bytes| {
            member.extend(bytes);
            Ok(())
        })
        .unwrap();
        if !is_end {
            member.extend(FINAL_BLOCK);
        }
        let length = last.at - first.at;
        let crc = crc::joined(lead.crc, crc::of_end(last.crc, first.crc, length), length);
        member.extend(crc.to_le_bytes());
        member.extend((after as u32).to_le_bytes());
        assert!(super::support::unpack(&member) == content[..after], "bits {} to {}", first.bit % 8, last.bit % 8);
        // Each way in and each way out once.
        if number % 9 == 0 {
            let what = format!("bits {} to {}", first.bit % 8, last.bit % 8);
            assert_foreign_programs_unpack(&member, &content[..after], &what);
        }
    }
}
