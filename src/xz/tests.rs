use std::io::Write;
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;

const SIMPLE: &[&str] = &["--check=crc32", "--x86", "--lzma2=preset=1"];

/// `content` as xz packs it.
fn packed(options: &[&str], content: &[u8]) -> Vec<u8> {
    let mut xz = Command::new("xz");
    xz.args(["--stdout", "--threads=1"]).args(options).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = xz.spawn().unwrap_or_else(|error| panic!("xz is needed by this test: {error}"));
    let (mut stdin, content) = (child.stdin.take().unwrap(), content.to_vec());
    let feeder = std::thread::spawn(move || stdin.write_all(&content));
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap().unwrap();
    assert!(output.status.success(), "xz {options:?} failed");
    output.stdout
}

fn whole(packed: &[u8]) -> Option<Vec<u8>> {
    unpack(packed, 0, 1 << 20, 64 << 20)
}

/// Calls and jumps, near and far, among other bytes.
fn code() -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in 0..20_000_u32 {
        bytes.push(if number % 3 == 0 { 0xE8 } else { 0xE9 });
        bytes.extend_from_slice(&number.wrapping_mul(77_777).wrapping_sub(1 << 24).to_le_bytes());
        bytes.extend_from_slice(&number.to_be_bytes()[4 - (number % 5) as usize..]);
    }
    bytes
}

#[test]
fn what_the_kernels_build_and_mksquashfs_pack_is_unpacked() {
    let content = code();
    let kinds: [&[&str]; 6] = [
        SIMPLE,
        &["--check=crc32", "--x86", "--lzma2=preset=9,dict=32MiB"],
        &["--check=crc32", "--lzma2=preset=6"],
        &["--check=none", "--x86", "--lzma2=preset=6,lc=0,pb=0"],
        // Sizes in the block's header; pieces that do not pack.
        &["--check=crc32", "--threads=2", "-1"],
        &["--check=crc32", "--x86", "--lzma2=preset=0,dict=4KiB,mode=fast,nice=2"],
    ];
    for kind in kinds {
        assert!(whole(&packed(kind, &content)).as_ref() == Some(&content), "{kind:?}");
        for short in 1..12 {
            assert_eq!(whole(&packed(kind, &content[..short])).as_deref(), Some(&content[..short]), "{kind:?}");
        }
    }
    // The kernel's build puts the size behind the stream.
    let mut payload = packed(SIMPLE, &content);
    payload.extend_from_slice(&(content.len() as u32).to_le_bytes());
    assert!(whole(&payload) == Some(content));
}

#[test]
fn what_is_out_of_the_ordinary_is_left_to_the_library() {
    let content = code();
    let kinds: [&[&str]; 6] = [
        &["--check=crc64", "--lzma2=preset=1"],
        &["--check=sha256", "--lzma2=preset=1"],
        &["--check=crc32", "--arm", "--lzma2=preset=1"],
        &["--check=crc32", "--x86=start=4096", "--lzma2=preset=1"],
        &["--check=crc32", "--delta=dist=4", "--x86", "--lzma2=preset=1"],
        &["--check=crc32", "--block-size=32KiB", "--lzma2=preset=1"],
    ];
    for kind in kinds {
        assert_eq!(whole(&packed(kind, &content)), None, "{kind:?}");
    }
    assert_eq!(whole(&packed(SIMPLE, b"")).as_deref(), None, "an empty stream has no block");
    let packed = packed(SIMPLE, &content);
    assert_eq!(unpack(&packed, 0, content.len() - 1, 64 << 20), None, "longer than wanted");
    assert_eq!(unpack(&packed, 0, content.len(), 1 << 19), None, "the dictionary is larger than wanted");
    assert!(unpack(&packed, usize::MAX, content.len(), 1 << 20) == Some(content), "neither");
}

#[test]
fn a_cut_stream_is_not_taken_for_a_whole_one() {
    let content = code();
    let packed = packed(SIMPLE, &content);
    // The index and the footer take 24 bytes here, of which one is looked at.
    for length in (0..packed.len() - 23).rev().take(200).chain(0..40) {
        assert!(whole(&packed[..length]).is_none(), "{length} of {} bytes", packed.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn branches_are_what_xz_says_that_they_are(
        content in prop::collection::vec(
            prop_oneof![4 => Just(0xE8_u8), 2 => Just(0xE9), 3 => Just(0), 3 => Just(0xFF), 1 => any::<u8>()], 1..600
        )
    ) {
        let unpacked = whole(&packed(SIMPLE, &content));
        prop_assert_eq!(unpacked.as_deref(), Some(content.as_slice()));
    }

    #[test]
    fn damage_is_found_or_does_no_harm(place in any::<prop::sample::Index>(), bit in 0..8_u8) {
        static PACKED: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
        let mut damaged = PACKED.get_or_init(|| packed(SIMPLE, &code())).clone();
        let place = place.index(damaged.len());
        damaged[place] ^= 1_u8 << bit;
        prop_assert!(whole(&damaged).is_none_or(|content| content == code()), "byte {}", place);
    }
}
