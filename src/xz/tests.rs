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

/// Pieces of noise, of periods and of what stands before.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = (0..3, any::<u32>(), 1..3000_usize, 1..40_usize);
    prop::collection::vec(piece, 1..12).prop_map(|pieces| {
        let mut bytes: Vec<u8> = Vec::new();
        for (kind, seed, length, period) in pieces {
            let mut state = seed | 1;
            let (from, has_past) = (seed as usize % bytes.len().max(1), !bytes.is_empty());
            for place in 0..length {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                let byte = match kind {
                    1 if place >= period => bytes[bytes.len() - period],
                    2 if has_past => bytes[from + place],
                    _ => state as u8,
                };
                bytes.push(byte);
            }
        }
        bytes
    })
}

#[test]
fn every_setting_of_lzma_and_every_kind_of_chunk_is_unpacked() {
    let text: Vec<u8> =
        (0..9_000_u32).flat_map(|number| format!("{} is {number:x};\n", number * 7).into_bytes()).collect();
    let mut state = 1_u32;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    // Noise is stored, and what is behind it begins with another model; the zeroes are more than a chunk can hold.
    let parts = [text.clone(), noise.take(150_000).collect(), text, vec![0; 2_500_000], b"the end".to_vec()];
    let content = parts.concat();
    for setting in ["lc=3,lp=0,pb=2", "lc=0,lp=4,pb=0", "lc=4,lp=0,pb=4", "lc=2,lp=2,pb=3", "lc=1,lp=0,pb=1,dict=32KiB"]
    {
        let packed = packed(&["--check=crc32", &format!("--lzma2=preset=4,{setting}")], &content);
        assert!(unpack(&packed, 0, content.len(), 64 << 20).as_ref() == Some(&content), "{setting}");
    }
}

#[test]
fn a_distance_beyond_the_dictionary_is_damage() {
    let noise: Vec<u8> = (0..9_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let content = [&noise[..], &noise[..]].concat();
    let mut packed = packed(&["--check=crc32", "--lzma2=preset=1,dict=64KiB"], &content);
    assert!(packed.len() < 12_000 && whole(&packed) == Some(content));
    // Stream header: 12 bytes. Size, flags, filter and its properties' size; 4 KiB is the exponent 0.
    packed[12 + 4] = 0;
    let crc = crc32fast::hash(&packed[12..20]);
    packed[20..24].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(whole(&packed), None);
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
    fn repetitions_near_and_far_are_what_xz_says_that_they_are(content in pieces()) {
        let unpacked = whole(&packed(&["--check=none", "--lzma2=preset=3,lc=1,lp=1"], &content));
        prop_assert!(unpacked.as_ref() == Some(&content), "{} bytes", content.len());
    }

    #[test]
    fn damage_is_found_or_does_no_harm(place in any::<prop::sample::Index>(), bit in 0..8_u8) {
        static PACKED: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
        let mut damaged = PACKED.get_or_init(|| packed(SIMPLE, &code()[..40_000])).clone();
        let place = place.index(damaged.len());
        damaged[place] ^= 1_u8 << bit;
        prop_assert!(whole(&damaged).is_none_or(|content| content == code()[..40_000]), "byte {}", place);
    }
}
