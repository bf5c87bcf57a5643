use std::collections::BTreeMap;

use super::super::test_module::{Tiny, converted, fixtures, run_over, tiny};
use super::super::{Module, identity};
use super::*;

/// What OpenWrt's `scripts/strip-kmod.sh` runs.
const OPENWRT: [&str; 11] = [
    "-x",
    "-G",
    "__this_module",
    "--strip-unneeded",
    "-R",
    ".comment",
    "-R",
    ".note.GNU-stack",
    "-R",
    ".note.gnu.build-id",
    "-p",
];

/// The allocatable sections and `.BTF`, by name: flags, alignment, and content.
fn sections(bytes: &[u8]) -> BTreeMap<String, (u64, u64, u64, Vec<u8>)> {
    let file = ObjectFile::parse(bytes).unwrap();
    let read = file.sections.iter().filter(|section| section.is_allocatable() || section.name == b".BTF");
    let facts = |s: &Section<'_>| {
        (s.header.sh_flags.get(LE).0, s.header.sh_addralign.get(LE), s.header.sh_size.get(LE), s.data.to_vec())
    };
    read.map(|section| (section.display_name(), facts(section))).collect()
}

/// `readelf`'s relocations of allocatable sections, without the symbol numbers: offset, type, symbol, addend.
fn relocations(bytes: &[u8]) -> Vec<String> {
    let text = run_over("readelf", &["-rW"], bytes);
    let mut section = String::new();
    let mut found = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("Relocation section '") {
            section = name.split('\'').next().unwrap().to_owned();
        } else if line.starts_with("00") && !section.starts_with(".rela.debug") {
            let mut fields: Vec<&str> = line.split_whitespace().collect();
            fields.remove(1);
            found.push(format!("{section} {}", fields.join(" ")));
        }
    }
    found
}

fn complaints(bytes: &[u8]) -> Vec<String> {
    let text = run_over("readelf", &["-aW"], bytes);
    text.lines().filter(|line| line.contains("Warning") || line.contains("Error")).map(str::to_owned).collect()
}

fn assert_sound(original: &[u8], stripped: &[u8]) {
    assert!(sections(stripped) == sections(original));
    assert_eq!(relocations(stripped), relocations(original));
    assert_eq!(complaints(stripped), complaints(original));
    assert_eq!(run_over("modinfo", &[], stripped), run_over("modinfo", &[], original));
    assert_eq!(identity(stripped).unwrap(), identity(original).unwrap());
    assert!(strip(stripped).unwrap() == stripped);
    let (before, after) = (Module::parse(original).unwrap(), Module::parse(stripped).unwrap());
    assert_eq!(after, Module { has_debug: false, is_signed: false, ..before });
}

#[test]
fn debug_sections_go_and_all_that_the_kernel_reads_stays() {
    let stripped = strip(tiny()).unwrap();
    assert!(stripped.len() < tiny().len() / 2, "{} of {}", stripped.len(), tiny().len());
    assert!(!relocations(tiny()).is_empty());
    assert_sound(tiny(), &stripped);
    let file = ObjectFile::parse(&stripped).unwrap();
    let names: Vec<_> = file.sections.iter().map(Section::display_name).collect();
    assert!(!names.iter().any(|name| name.contains("debug") || name == ".comment" || name == ".note.GNU-stack"));
    assert!(names.contains(&".BTF".to_owned()) && names.contains(&".note.gnu.build-id".to_owned()), "{names:?}");
}

#[test]
fn every_flavour_of_debug_information_is_stripped() {
    for flags in [
        &["-g3"][..],
        &["-g", "-gz"],
        &["-g", "-gdwarf-4", "-fdebug-types-section"],
        &["-g", "-ffunction-sections", "-fdata-sections"],
        &["-g0"],
        &["-gdwarf-5", "-fasynchronous-unwind-tables"],
    ] {
        let module = Tiny { flags, ..Tiny::default() }.build();
        let stripped = strip(&module).unwrap();
        assert_sound(&module, &stripped);
        assert!(stripped.len() < module.len(), "{flags:?}");
    }
}

#[test]
fn local_symbols_that_nothing_names_go_and_the_rest_stays() {
    let stripped = strip(tiny()).unwrap();
    let symbols = |bytes: &[u8]| {
        let mut names: Vec<_> = run_over("nm", &["--format=just-symbols"], bytes).lines().map(str::to_owned).collect();
        names.sort();
        names
    };
    let oracle = converted("strip", &["--strip-unneeded"], tiny());
    // binutils also drops undefined symbols that nothing uses; the kernel resolves those, so here they stay.
    let mut expected = symbols(&oracle);
    expected.push("unused_import".to_owned());
    expected.sort();
    let ours = symbols(&stripped);
    assert_eq!(ours, expected);
    assert!(symbols(tiny()).contains(&"never_called".to_owned()) && !ours.contains(&"never_called".to_owned()));
    for name in ["__this_module", "unused_import", "tiny_export", "init_module", "weak_import"] {
        assert!(ours.contains(&name.to_owned()), "{name}");
    }
}

#[test]
fn the_result_is_about_as_small_as_binutils_makes_it() {
    let oracle = converted("strip", &["--strip-unneeded", "-R", ".comment"], tiny());
    let stripped = strip(tiny()).unwrap();
    assert!(stripped.len() <= oracle.len() + 128, "{} against {}", stripped.len(), oracle.len());
    assert!(sections(&stripped) == sections(&oracle));
}

#[test]
fn modules_that_are_stripped_already_come_back_as_they_are() {
    for (name, bytes) in fixtures() {
        assert!(&strip(bytes).unwrap() == bytes, "{name}");
    }
}

#[test]
fn a_signature_stays_unless_what_it_covers_is_stripped() {
    let signature = b"0123456789ab~Module signature appended~\n";
    let bare = converted("strip", &["--strip-debug"], tiny());
    assert!(!Module::parse(&bare).unwrap().has_debug);
    let signed = [&bare, &signature[..]].concat();
    assert!(strip(&signed).unwrap() == signed);
    let signed = [tiny(), &signature[..]].concat();
    assert!(strip(&signed).unwrap() == strip(tiny()).unwrap());
}

#[test]
fn a_copy_that_openwrt_stripped_is_known_as_the_same_build() {
    let theirs = converted("objcopy", &OPENWRT, tiny());
    assert!(theirs != strip(tiny()).unwrap());
    assert_eq!(identity(&theirs).unwrap(), identity(tiny()).unwrap());
    assert_eq!(identity(&strip(tiny()).unwrap()).unwrap(), identity(tiny()).unwrap());
    assert_eq!(identity(&strip(&theirs).unwrap()).unwrap(), identity(tiny()).unwrap());
    let other = Tiny { body: 5, ..Tiny::default() }.build();
    assert_ne!(identity(&other).unwrap(), identity(tiny()).unwrap());
}

#[test]
fn two_builds_that_differ_only_in_what_they_call_are_different() {
    let other = converted("objcopy", &["--redefine-sym", "weak_import=weak_impost"], tiny());
    assert_ne!(identity(&other).unwrap(), identity(tiny()).unwrap());
    // The same undefined symbols, but two calls exchanged.
    let swapped = converted(
        "objcopy",
        &["--redefine-sym", "strong_import=unused_import", "--redefine-sym", "unused_import=strong_import"],
        tiny(),
    );
    assert_eq!(Module::parse(&swapped).unwrap().imports, Module::parse(tiny()).unwrap().imports);
    assert_ne!(identity(&swapped).unwrap(), identity(tiny()).unwrap());
}

#[test]
fn a_section_of_unknown_type_is_refused_rather_than_broken() {
    let file = ObjectFile::parse(tiny()).unwrap();
    let (index, _) = file.section(b".BTF").unwrap();
    let table = usize::try_from(file.header.e_shoff.get(LE)).unwrap();
    let mut module = tiny().to_vec();
    module[table + 64 * index + 4..][..4].copy_from_slice(&0x4000_0014_u32.to_le_bytes());
    let error = strip(&module).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot be stripped: section {index}, .BTF, is of type 0x40000014"));
    assert_eq!(error.remedy_text(), Some("keep its debug sections (--keep-debug)"));
}
