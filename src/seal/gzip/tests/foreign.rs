//! Streams of foreign programs, edited, and read by foreign programs.

use super::support::{PACKERS, assert_foreign_programs_unpack, gzip, mixture, packed};
use crate::image::Disk;
use crate::seal::gzip::segment::{Segment, segments};

/// A few small edits that meet each kind of content: text, noise, zeroes, and both ends.
fn edit(disk: &mut Disk, content: &mut [u8]) {
    let end = content.len();
    let edits: [(usize, &[u8]); 6] = [
        (3, b"first bytes"),
        (399_990, b"from text into noise, which is stored"),
        (1_200_000, b"in zeroes"),
        (2_600_000, &[0; 5000]),
        (3_350_000, b"noise"),
        (end - 4, b"last"),
    ];
    for (at, bytes) in edits {
        content[at..at + bytes.len()].copy_from_slice(bytes);
        disk.write_at(at as u64, bytes).unwrap();
    }
}

fn compressed_anew(disk: &Disk) -> u64 {
    let length = |segment| if let Segment::Fresh(range) = segment { range.end - range.start } else { 0 };
    segments(disk, disk.stream()).into_iter().map(length).sum()
}

#[test]
fn the_streams_of_every_packer_are_spliced_so_that_every_unpacker_takes_them() {
    for (number, packer) in PACKERS.iter().enumerate() {
        let mut disk = Disk::from_gzip(packed(number)).unwrap();
        let mut content = mixture().to_vec();
        edit(&mut disk, &mut content);
        let member = gzip(&disk, 2);
        assert_foreign_programs_unpack(&member, &content, &format!("{packer:?}"));
        // igzip -0 makes one block of it all, of which nothing can be kept.
        let blocks = disk.stream().unwrap().0.marks.len();
        let fresh = compressed_anew(&disk);
        assert!(fresh < content.len() as u64 / 3 || blocks < 4, "{packer:?}: {fresh} bytes compressed anew");
        let longer = member.len().saturating_sub(packed(number).len());
        assert!(longer < packed(number).len() / 25, "{packer:?}: {longer} bytes longer");
    }
}

#[test]
fn a_stream_without_edits_is_the_same_stream() {
    for (number, packer) in PACKERS.iter().enumerate() {
        let disk = Disk::from_gzip(packed(number)).unwrap();
        let member = gzip(&disk, 1);
        let stream = disk.stream().unwrap().0.bytes();
        assert!(member[10..member.len() - 8] == stream[..], "{packer:?}");
        assert!(packed(number).ends_with(&member[10..]), "{packer:?}");
    }
}
