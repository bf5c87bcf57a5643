use std::path::Path;

use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::reader::Delta;
use crate::error::ErrorKind;
use crate::image::{Form, Image, Keep, PAGE};
use crate::progress::Silent;
use crate::seal::output::Output;

const BASE: &[u8] = include_bytes!("../../../fixtures/openwrt-mini-ib-ext4-combined-efi.img.gz");

fn base() -> Image {
    Image::from_reader(&mut &BASE[..], &mut |_| {}, Keep::DiskAndStream, Path::new("base.img.gz"), None, &Silent)
        .unwrap()
}

/// The file that `disk` of an image becomes under the name `name`.
fn file(image: &Image, name: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    Output::prepare(&path, None, false).unwrap().write(&image.disk, None, &Silent).unwrap();
    std::fs::read(path).unwrap()
}

/// An image with edits of every kind: a byte, new content where zeroes were, zeroes where content was.
fn edited(image: &Image, places: &[u32]) -> Image {
    let mut image = image.clone();
    for (number, place) in places.iter().enumerate() {
        let at = u64::from(*place) % (image.disk.length() - 9000);
        match number % 3 {
            0 => image.disk.write_at(at, &[number as u8 | 1]).unwrap(),
            1 => image.disk.write_at(at, &vec![number as u8; 9000]).unwrap(),
            _ => image.disk.clear(at, 9000).unwrap(),
        }
    }
    image
}

/// `bytes` with a SHA-256 at the end that fits.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.len() - 32);
    let seal = Sha256::digest(&bytes);
    bytes.extend_from_slice(&seal);
    bytes
}

#[test]
fn a_delta_expands_to_the_bytes_that_the_whole_output_would_have_had() {
    let base = base();
    let image = edited(&base, &[5, 1 << 20, 2 << 20, 3_000_000, 70_000, 17]);
    for (name, whole, form) in [
        ("h.ibdelta", "h.img.gz", Form::Gzip),
        ("h.img.gz.ibdelta", "h.img.gz", Form::Gzip),
        ("h.img.ibdelta", "h.img", Form::Raw),
    ] {
        let bytes = file(&image, name);
        assert_eq!(bytes, file(&image, name), "the same every time");
        let delta = Delta::parse(bytes).unwrap();
        let disk = delta.expanded(&base.disk, &base.container).unwrap();
        let expanded = file(&Image { disk, ..base.clone() }, whole);
        assert!(expanded == file(&image, whole));
        assert_eq!(delta.header.form, form);
        assert_eq!(delta.header.output.sha256, crate::digest::sha256_hex(&expanded));
        assert_eq!(delta.header.output.length, expanded.len() as u64);
        assert_eq!(delta.header.base.sha256, crate::digest::sha256_hex(BASE));
    }
}

#[test]
fn a_disk_that_grew_expands_to_its_new_length() {
    let base = base();
    let mut image = edited(&base, &[99]);
    let length = base.disk.length() + 5_000_001;
    image.disk = image.disk.lengthened(length);
    image.disk.write_at(length - 3, b"end").unwrap();
    let delta = Delta::parse(file(&image, "h.ibdelta")).unwrap();
    let disk = delta.expanded(&base.disk, &base.container).unwrap();
    assert!(file(&Image { disk, ..base.clone() }, "h.img.gz") == file(&image, "h.img.gz"));
}

#[test]
fn a_small_edit_makes_a_small_delta() {
    let image = edited(&base(), &[123_456]);
    let length = file(&image, "h.ibdelta").len();
    assert!(length < 1024, "{length} bytes for one byte");
}

#[test]
fn another_base_is_refused_with_both_digests() {
    let base = base();
    let delta = Delta::parse(file(&edited(&base, &[7]), "h.ibdelta")).unwrap();
    let mut container = base.container.clone();
    container.sha256 = "0".repeat(64);
    let error = delta.expanded(&base.disk, &container).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.message().contains(&"0".repeat(64)) && error.message().contains(&base.container.sha256), "{error}");
}

#[test]
fn damage_is_told_by_the_digest_and_another_version_by_its_number() {
    let bytes = file(&edited(&base(), &[7, 8]), "h.ibdelta");
    let refusal = |bytes: Vec<u8>| {
        let error = Delta::parse(bytes).unwrap_err();
        (error.kind(), error.message().to_owned())
    };
    let mut flipped = bytes.clone();
    flipped[200] ^= 1;
    assert!(refusal(flipped).1.starts_with("SHA-256 of the "));
    let cut = bytes[..bytes.len() - 1].to_vec();
    assert!(refusal(cut).1.starts_with("SHA-256 of the "));
    let mut version = bytes.clone();
    version[8] = 2;
    assert_eq!(refusal(version), (ErrorKind::Unsupported, "the delta has version 2, expected 1".to_owned()));
    assert_eq!(
        refusal(bytes[..12].to_vec()),
        (ErrorKind::Corrupt, "the delta is cut: it has only 12 bytes".to_owned())
    );
    assert_eq!(refusal(BASE.to_vec()).0, ErrorKind::Unsupported);
    let long = [&bytes[..12], &u32::MAX.to_le_bytes()[..], &bytes[16..]].concat();
    assert!(refusal(sealed(long)).1.starts_with("the delta's header of 4294967295 bytes is longer"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn a_hostile_delta_never_panics(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), cut in prop::option::of(any::<prop::sample::Index>())
    ) {
        static DELTA: std::sync::OnceLock<(Image, Vec<u8>)> = std::sync::OnceLock::new();
        let (base, bytes) = DELTA.get_or_init(|| {
            let base = base();
            let bytes = file(&edited(&base, &[1, 100_000, 2_000_000]), "h.ibdelta");
            (base, bytes)
        });
        let mut bytes = bytes.clone();
        for (place, value) in damage {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()).max(PAGE / 64));
        }
        if let Ok(delta) = Delta::parse(sealed(bytes))
            && let Ok(disk) = delta.expanded(&base.disk, &base.container)
        {
            prop_assert_eq!(disk.length(), delta.header.disk_length);
        }
    }
}
