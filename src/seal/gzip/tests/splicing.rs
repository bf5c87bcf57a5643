//! Random edits of streams of all packers, and edits of what came out.

use proptest::prelude::*;

use super::support::{PACKERS, gzip, mixture, packed, unpack};
use crate::digest::sha256_hex;
use crate::image::Disk;
use crate::progress::Silent;
use crate::seal::gzip::segment::segments;
use crate::seal::gzip::{Rehearsal, write_gzip};
use crate::seal::stream::Stream;

/// A change to a disk.
#[derive(Debug, Clone)]
enum Edit {
    /// At a place (modulo the length), so many of such bytes; 0 for noise.
    Write(u32, u32, u8),
    /// The end moved by so many bytes.
    Length(i32),
}

fn edit() -> impl Strategy<Value = Edit> {
    let place = prop_oneof![
        4 => any::<u32>(),
        // Inside the noise, which is stored, inside both runs of zeroes, and at both ends.
        1 => 400_000..700_000u32,
        1 => 700_000..2_400_000u32,
        1 => 3_120_000..3_520_000u32,
        1 => 0..5000u32,
        1 => 4_580_000..4_590_000u32,
    ];
    let count = prop_oneof![8 => 1..9000u32, 1 => 1..400_000u32];
    prop_oneof![
        9 => (place, count, any::<u8>()).prop_map(|(at, count, byte)| Edit::Write(at, count, byte)),
        1 => prop_oneof![-2_000_000..0i32, 0..2_000_000i32, Just(-1), Just(1), Just(4096)].prop_map(Edit::Length),
    ]
}

fn carry_out(edits: &[Edit], disk: &mut Disk, content: &mut Vec<u8>) {
    for (number, edit) in edits.iter().enumerate() {
        match *edit {
            Edit::Write(at, count, byte) => {
                let at = at as usize % content.len();
                let count = (count as usize).min(content.len() - at);
                let bytes = match byte {
                    0 => super::support::noise(count, number as u32),
                    _ => vec![byte % 4; count],
                };
                content[at..at + count].copy_from_slice(&bytes);
                disk.write_at(at as u64, &bytes).unwrap();
            }
            Edit::Length(by) => {
                let length = content.len().saturating_add_signed(by as isize).max(1);
                *disk = if by < 0 { disk.shortened(length as u64).unwrap() } else { disk.lengthened(length as u64) };
                content.resize(length, 0);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn a_spliced_stream_unpacks_to_the_edited_disk_with_any_number_of_threads(
        packer in 0..PACKERS.len(),
        rounds in prop::collection::vec(prop::collection::vec(edit(), 0..7), 1..4),
    ) {
        let mut content = mixture().to_vec();
        let mut member = packed(packer).to_vec();
        // The splice of a splice of a splice.
        for edits in rounds {
            let mut disk = Disk::from_gzip(&member).unwrap();
            carry_out(&edits, &mut disk, &mut content);
            member = gzip(&disk, 2);
            prop_assert!(unpack(&member) == content, "{:?}", PACKERS[packer]);
            prop_assert!(gzip(&disk, 1) == member);
            prop_assert!(gzip(&disk, 8) == member);
        }
    }

    #[test]
    fn a_clone_becomes_the_same_bytes_after_a_rehearsal_as_without_one(
        packer in 0..PACKERS.len(),
        common in prop::collection::vec(edit(), 0..9),
        own in prop::collection::vec(edit(), 0..4),
    ) {
        let mut content = mixture().to_vec();
        let mut straight = Disk::from_gzip(packed(packer)).unwrap();
        carry_out(&common, &mut straight, &mut content);
        let base = straight.clone().founded();
        let rehearsal = Rehearsal::of(&base).unwrap();
        let mut clone = base.clone();
        carry_out(&own, &mut clone, &mut content.clone());
        carry_out(&own, &mut straight, &mut content);
        let mut member = Vec::new();
        write_gzip(&clone, Some(&rehearsal), &mut member, &Silent).unwrap();
        prop_assert!(member == gzip(&straight, 2));
        prop_assert!(unpack(&member) == content);
        prop_assert_eq!(told(&clone, Some(&rehearsal)), told(&straight, None));
        prop_assert_eq!(told(&clone, Some(&rehearsal)), (member.len() as u64, sha256_hex(&member)));
    }
}

/// Length and SHA-256 that are told of a disk that is written.
fn told(disk: &Disk, rehearsal: Option<&Rehearsal>) -> (u64, String) {
    let mut out = Stream::to_nowhere();
    write_gzip(disk, rehearsal, &mut out, &Silent).unwrap();
    out.finish().unwrap()
}

#[test]
fn what_a_clone_begins_with_as_its_rehearsal_does_is_not_hashed_again() {
    const PLACES: [u64; 3] = [600_000, 2_000_000, 4_000_000];
    let mut base = Disk::from_gzip(packed(0)).unwrap();
    PLACES.iter().for_each(|place| base.write_at(*place, b"common").unwrap());
    let base = base.founded();
    let rehearsal = Rehearsal::of(&base).unwrap();
    let known = |disk: &Disk| rehearsal.known(disk, &segments(disk, disk.stream())).map(|(count, _)| count);
    let whole = segments(&base, base.stream()).len();
    assert_eq!(known(&base), Some(whole), "a clone without edits is known to its end");
    let mut counts = vec![0];
    for place in PLACES {
        let mut clone = base.clone();
        clone.write_at(place, b"own").unwrap();
        assert_eq!(told(&clone, Some(&rehearsal)), told(&clone, None));
        counts.extend(known(&clone));
    }
    assert!(counts.len() == 4 && counts.is_sorted_by(|less, more| less < more), "the later the more: {counts:?}");
    let mut clone = base.clone();
    clone.write_at(0, b"something").unwrap();
    assert_eq!(known(&clone), None, "nothing is as it was");
    // The same content, but nobody knows that.
    assert_eq!(known(&Disk::from_gzip(packed(0)).unwrap()), None);
}

#[test]
fn long_runs_of_zeroes_are_stepped_over_and_come_back() {
    let mut content = super::support::text(100_000, 1);
    content.resize(60 << 20, 0);
    content.extend(super::support::text(100_000, 2));
    for packer in [&["gzip", "-9"][..], &["gzip", "-1"], &["pigz"], &["libdeflate-gzip", "-6"], &["igzip", "-1", "-c"]]
    {
        let packed = super::support::through(packer, &content);
        let mut disk = Disk::from_gzip(&packed).unwrap();
        assert!(disk.read_vec(0, content.len()).unwrap() == content, "{packer:?}");
        let mut edited = content.clone();
        for at in [30_000_000usize, 30_100_000, 50_000_000] {
            edited[at..at + 9].copy_from_slice(b"something");
            disk.write_at(at as u64, b"something").unwrap();
        }
        let member = gzip(&disk, 2);
        assert!(unpack(&member) == edited, "{packer:?}");
        let longer = member.len().saturating_sub(packed.len());
        assert!(longer < 2000, "{packer:?}: {longer} bytes longer");
    }
}
