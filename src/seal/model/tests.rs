//! What is written over a clone, whatever that held; whether files are clones at all is for the suite.

use std::fs;
use std::io::Write as _;

use proptest::prelude::*;

use super::*;
use crate::digest::sha256_hex;

/// Runs of zeroes, of one byte, and of counting ones, up to a few blocks.
fn content() -> impl Strategy<Value = Vec<u8>> {
    let run = prop_oneof![
        (0..3 * BLOCK).prop_map(|length| vec![0; length]),
        (any::<u8>(), 0..2 * PAGE).prop_map(|(byte, length)| vec![byte; length]),
        (0..BLOCK).prop_map(|length| (0..length).map(|at| (at % 251) as u8).collect()),
    ];
    prop::collection::vec(run, 1..6).prop_map(|runs| [&[1][..], &runs.concat()].concat())
}

fn file_of(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn bytes_of(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
    assert_eq!(system::read(file, 0, &mut bytes).unwrap(), bytes.len());
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_file_becomes_the_disk_whatever_it_held(
        held in content(), wanted in content(), edits in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        is_alike in any::<bool>(), is_own in any::<bool>(),
    ) {
        let mut wanted = if is_alike { held.clone() } else { wanted };
        let length = wanted.len();
        for edit in edits {
            wanted[edit.index(length)] ^= 0x55;
        }
        let (file, model) = (file_of(&held), Model { file: file_of(&held), is_own });
        let mut out = Stream::over(&file, &model);
        write_raw(&Disk::from_bytes(&wanted), &mut out, &Silent).unwrap();
        prop_assert_eq!(out.finish().unwrap(), (wanted.len() as u64, sha256_hex(&wanted)));
        prop_assert!(bytes_of(&file) == wanted);
        prop_assert!(bytes_of(&model.file) == held, "the model was written to");
    }
}

#[test]
fn only_pages_that_differ_are_written() {
    let mut wanted = vec![7; 5 * PAGE];
    let held = wanted.clone();
    wanted[PAGE] = 8;
    wanted[2 * PAGE + 5] = 9;
    wanted[4 * PAGE] = 1;
    let (file, model) = (file_of(&held), Model { file: file_of(&held), is_own: true });
    let mut over = Over::new(&file, &model);
    assert_eq!(over.differing(0, &wanted).unwrap(), [PAGE..3 * PAGE, 4 * PAGE..5 * PAGE]);
    assert!(over.differing(0, &held).unwrap().is_empty());
    assert_eq!(over.differing(5 * PAGE as u64, &[0, 0, 1]).unwrap().len(), 1, "zeroes lie behind its end");
}

#[test]
fn where_files_cannot_be_clones_there_is_no_model_and_nothing_is_left() {
    // /dev/shm is a tmpfs, which knows no clones.
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    assert!(Model::of(&Disk::from_bytes(&[1; 9000]), Path::new("none"), "", folder.path()).is_none());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
