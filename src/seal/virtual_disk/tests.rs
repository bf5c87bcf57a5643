//! Every form, judged by QEMU: sound, and the same disk.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;
use serde_json::Value;

use super::super::form::{Subject, form_of};
use super::super::stream::Stream;
use crate::image::{Disk, DiskBuilder, Form, unpack_virtual_disk};
use crate::progress::Silent;

const NAMES: [&str; 4] = ["a.qcow2", "a.vmdk", "a.vdi", "a.vhdx"];
const MIB: u64 = 1 << 20;

/// What QEMU's own program prints.
fn qemu_img(arguments: &[&str]) -> String {
    let output = Command::new("qemu-img").args(arguments).output().expect("qemu-img is needed");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "qemu-img {arguments:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// Writes `disk` to `path` and returns its form and its length.
fn write(disk: &Disk, path: &Path) -> (Form, u64) {
    let form = form_of(path).unwrap();
    let mut file = File::create(path).unwrap();
    let mut out = Stream::new(&mut file);
    let name = path.file_name().unwrap().to_str().unwrap();
    (form.write)(&Subject { name, disk, rehearsal: None, progress: &Silent }, &mut out).unwrap();
    let (length, sha256) = out.finish().unwrap();
    let bytes = fs::read(path).unwrap();
    assert_eq!((length, sha256), (bytes.len() as u64, crate::digest::sha256_hex(&bytes)));
    (form.form, length)
}

/// A disk of `length` bytes with noise in the pieces of 4 KiB with the numbers `pages`.
fn disk(length: u64, pages: &[u64]) -> Disk {
    let mut builder = DiskBuilder::default();
    let mut state = 1_u32;
    for page in pages {
        builder.push_zeroes(page * 4096 - builder.length());
        let bytes: Vec<u8> = (0..4096.min(length - builder.length()))
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        builder.push(&bytes);
    }
    builder.push_zeroes(length - builder.length());
    builder.build()
}

/// Writes `disk` in every form and asks QEMU whether each is sound and holds it.
fn judge(disk: &Disk) {
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("raw");
    let mut file = File::create(&raw).unwrap();
    for page in (0..disk.length().div_ceil(4096)).filter(|page| disk.page(*page).is_some()) {
        file.seek(SeekFrom::Start(page * 4096)).unwrap();
        file.write_all(disk.page(page).unwrap()).unwrap();
    }
    file.set_len(disk.length()).unwrap();
    for name in NAMES {
        let path = folder.path().join(name);
        let (_, length) = write(disk, &path);
        let text = path.to_str().unwrap();
        let format = name.split_once('.').unwrap().1;
        let check: Value = serde_json::from_str(&qemu_img(&["check", "--output=json", "-f", format, text])).unwrap();
        for problem in ["corruptions", "leaks", "check-errors"] {
            assert!(check[problem].as_u64().unwrap_or(0) == 0, "{name} of {} bytes: {check}", disk.length());
        }
        assert!(check["image-end-offset"].as_u64().is_none_or(|end| end == length), "{check}");
        if format == "vhdx" && disk.length() > 256 * MIB {
            compare_around_pages(disk, raw.to_str().unwrap(), text);
        } else {
            qemu_img(&["compare", "-f", "raw", "-F", format, raw.to_str().unwrap(), text]);
        }
        let info: Value = serde_json::from_str(&qemu_img(&["info", "--output=json", "-f", format, text])).unwrap();
        assert_eq!(info["virtual-size"], disk.length().next_multiple_of(512), "{name}: {info}");
    }
}

/// Compares the MiB around everything that is stored; QEMU's reader of VHDX takes a minute for holes of some GiB.
fn compare_around_pages(disk: &Disk, raw: &str, vhdx: &str) {
    let mut compared = 0;
    for page in (0..disk.length() / 4096).filter(|page| disk.page(*page).is_some()) {
        let offset = (page * 4096 / MIB * MIB).saturating_sub(MIB).max(compared);
        compared = (offset + 3 * MIB).min(disk.length() / 512 * 512);
        let window = format!("driver=raw,offset={offset},size={}", compared - offset);
        let raw = format!("{window},file.driver=file,file.filename={raw}");
        let vhdx = format!("{window},file.driver=vhdx,file.file.driver=file,file.file.filename={vhdx}");
        qemu_img(&["compare", "--image-opts", &raw, &vhdx]);
    }
}

#[test]
fn small_disks_of_any_length_are_sound() {
    for (length, pages) in [(512, &[0][..]), (5000, &[0, 1]), (70_000, &[]), (MIB + 1, &[256]), (2 * MIB, &[0, 300])] {
        judge(&disk(length, pages));
    }
}

#[test]
fn a_sparse_disk_that_needs_several_tables_of_every_kind_is_sound() {
    // A qcow2 L2 table spans 512 MiB, a VMDK grain table 32 MiB, a chunk of VHDX 4 GiB.
    let gib = 1024 * MIB;
    let pages: Vec<u64> = [0, 31, 32, 511, 512, 1023, 4095, 4096, 4097, 8192, 9000].map(|mib| mib * 256).to_vec();
    judge(&disk(9 * gib + 12_345, &pages));
}

#[test]
fn the_identifiers_that_others_draw_come_from_the_content() {
    let folder = tempfile::tempdir().unwrap();
    let files = |names: [&str; 4], disk: &Disk| {
        names.map(|name| {
            let path = folder.path().join(name);
            write(disk, &path);
            fs::read(path).unwrap()
        })
    };
    let (one, other) = (disk(3 * MIB, &[5]), disk(3 * MIB, &[6]));
    let first = files(NAMES, &one);
    assert!(first == files(NAMES, &one), "two runs gave different bytes");
    let uuid = |file: &[u8]| file[0x188..0x198].to_vec();
    let [_, _, first, _] = first;
    let [_, _, second, _] = files(NAMES, &other);
    assert!(uuid(&first) != uuid(&second) && uuid(&first) != [0; 16]);
}

#[test]
fn a_vmdk_file_names_itself_unless_its_name_would_break_its_description() {
    let folder = tempfile::tempdir().unwrap();
    for (name, named) in [("router 1.vmdk", "router 1.vmdk"), ("a\"\nRW.vmdk", "disk.vmdk"), ("ä.vmdk", "disk.vmdk")] {
        let path = folder.path().join(name);
        write(&disk(MIB, &[1]), &path);
        let bytes = fs::read(path).unwrap();
        let text = String::from_utf8_lossy(&bytes[512..1536]).into_owned();
        assert!(text.contains(&format!("RW 2048 SPARSE \"{named}\"\n")), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn what_is_written_opens_as_the_same_disk(
        length in 1..80 * MIB,
        pages in prop::collection::btree_set(0..20_480_u64, 0..12),
    ) {
        let pages: Vec<u64> = pages.into_iter().filter(|page| page * 4096 < length).collect();
        let disk = disk(length, &pages);
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.qcow2", "a.vmdk"] {
            let path: PathBuf = folder.path().join(name);
            let (form, _) = write(&disk, &path);
            let again = unpack_virtual_disk(form, &Disk::from_bytes(&fs::read(&path).unwrap())).unwrap();
            prop_assert_eq!(again.length(), length.next_multiple_of(512));
            for page in 0..length.div_ceil(4096) {
                prop_assert!(again.page(page).unwrap_or(&[0; 4096]) == disk.page(page).unwrap_or(&[0; 4096]), "{page}");
            }
        }
    }
}
