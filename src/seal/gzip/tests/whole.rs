//! Disks that came from no stream.

use std::io;

use flate2::read::GzDecoder;
use proptest::prelude::*;

use super::support::{assert_foreign_programs_unpack, gzip, gzip_at, mixture, unpack};
use crate::image::{Disk, DiskBuilder};
use crate::seal::gzip::DEFAULT_LEVEL;

#[test]
fn foreign_programs_unpack_what_was_written() {
    let packed = gzip(&Disk::from_bytes(mixture()), 2);
    assert_foreign_programs_unpack(&packed, mixture(), "compressed");
}

#[test]
fn the_header_names_no_file_and_no_time() {
    let packed = gzip(&Disk::from_bytes(b"x"), 1);
    assert_eq!(packed[..10], [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 2, 3]);
}

#[test]
fn a_disk_of_a_gibibyte_of_zeroes_stays_small_and_whole() {
    let mut builder = DiskBuilder::default();
    builder.push_zeroes(1 << 30);
    builder.push(&[1]);
    let packed = gzip(&builder.build(), 2);
    assert!(packed.len() < 1_200_000, "{} bytes", packed.len());
    let mut decoder = GzDecoder::new(packed.as_slice());
    assert_eq!(io::copy(&mut decoder, &mut io::sink()).unwrap(), (1 << 30) + 1);
}

#[test]
fn an_empty_disk_is_an_empty_member() {
    assert_eq!(unpack(&gzip(&Disk::from_bytes(b""), 1)), b"");
}

/// Runs of one byte, counted up, or noise.
fn content() -> impl Strategy<Value = Vec<u8>> {
    let run = prop_oneof![
        (any::<u8>(), 0..200_000usize).prop_map(|(byte, length)| vec![byte; length]),
        (0..300_000usize).prop_map(|length| vec![0; length]),
        prop::collection::vec(any::<u8>(), 0..20_000),
        (1..250u8, 0..100_000usize)
            .prop_map(|(step, length)| (0..length).map(|i| (i as u8).wrapping_mul(step)).collect()),
    ];
    prop::collection::vec(run, 0..8).prop_map(|runs| runs.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_content_comes_back_and_threads_do_not_matter(bytes in content(), level in 1..10u32) {
        let disk = Disk::from_bytes(&bytes);
        let packed = gzip_at(&disk, None, level, 1);
        prop_assert!(unpack(&packed) == bytes);
        prop_assert!(gzip_at(&disk, None, level, 2) == packed);
        prop_assert!(gzip_at(&disk, None, level, 8) == packed);
        prop_assert!(level != DEFAULT_LEVEL || gzip(&disk, 2) == packed);
    }
}
