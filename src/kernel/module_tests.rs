use proptest::prelude::*;

use super::super::test_module::{self, fixtures, run_over, tiny};
use super::*;
use crate::error::ErrorKind;

fn failure(bytes: &[u8]) -> (ErrorKind, String) {
    let error = Module::parse(bytes).unwrap_err();
    (error.kind(), error.to_string())
}

fn changed(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut module = tiny().to_vec();
    module[at..at + bytes.len()].copy_from_slice(bytes);
    module
}

#[test]
fn a_module_says_what_the_loader_will_read() {
    let module = Module::parse(tiny()).unwrap();
    let info = &module.modinfo;
    assert_eq!(info.name.as_deref(), Some("tiny"));
    assert_eq!(info.license.as_deref(), Some("GPL"));
    assert_eq!(info.vermagic.as_deref(), Some("6.12.117 SMP mod_unload "));
    assert_eq!(info.release(), Some(KernelRelease::new("6.12.117")));
    assert_eq!(info.depends, Some(Vec::new()));
    assert_eq!(info.aliases, ["first", "second"]);
    assert_eq!(info.namespaces, ["DMA_BUF"]);
    assert_eq!(info.parameters, ["level"]);
    assert_eq!(info.entries.len(), 8);
    assert_eq!(module.internal_name.as_deref(), Some("tiny"));
    assert_eq!(module.this_module_size, Some(1088));
    assert_eq!(module.imports, ["strong_import", "unused_import"]);
    assert_eq!(module.weak_imports, ["weak_import"]);
    assert_eq!(module.versions, [SymbolVersion { name: "strong_import".to_owned(), crc: 0xabcd }]);
    assert!(module.has_modinfo && module.has_debug && !module.is_signed);
}

#[test]
fn exports_come_from_the_relocations_whether_stripped_or_not() {
    let expected = [
        Export { name: "tiny_export".to_owned(), gpl_only: false, namespace: None, crc: Some(0x1234_5678) },
        Export { name: "tiny_gpl_export".to_owned(), gpl_only: true, namespace: Some("TINY".to_owned()), crc: None },
    ];
    assert_eq!(Module::parse(tiny()).unwrap().exports, expected);
    let bare = test_module::converted("objcopy", &["-x", "-G", "__this_module", "--strip-unneeded"], tiny());
    assert_eq!(Module::parse(&bare).unwrap().exports, expected);
}

#[test]
fn the_fixtures_modules_agree_with_modinfo_and_nm() {
    for (name, bytes) in fixtures() {
        let module = Module::parse(bytes).unwrap();
        let field = |field: &str| run_over("modinfo", &["-F", field], bytes).trim_end_matches('\n').to_owned();
        let depends: Vec<_> = module.modinfo.depends.iter().flatten().map(ModuleName::as_str).collect();
        assert_eq!(depends.join(","), field("depends").replace('-', "_"), "{name}");
        assert_eq!(module.modinfo.vermagic.unwrap_or_default(), field("vermagic"), "{name}");
        assert_eq!(module.modinfo.aliases.join("\n"), field("alias"), "{name}");
        let undefined = run_over("nm", &["-u", "--format=just-symbols"], bytes);
        let mut undefined: Vec<_> =
            undefined.lines().map(str::trim).filter(|s| *s != "_GLOBAL_OFFSET_TABLE_").collect();
        undefined.sort_unstable();
        let mut imports = [module.imports, module.weak_imports].concat();
        imports.sort();
        assert_eq!(imports, undefined, "{name}");
        assert_eq!(module.internal_name.as_deref(), Some(name.trim_end_matches(".ko")));
        assert_eq!(module.this_module_size, Some(1088), "{name}");
        assert!(!module.has_debug, "{name}");
    }
    let core = Module::parse(&fixtures()["ib_core.ko"]).unwrap();
    let export = core.exports.iter().find(|export| export.name == "ib_register_client").unwrap();
    assert!(!export.gpl_only && export.namespace.is_none());
    assert!(core.exports.is_sorted() && core.exports.len() > 200, "{}", core.exports.len());
}

#[test]
fn a_missing_depends_is_not_an_empty_one_and_the_last_of_several_counts() {
    assert_eq!(ModInfo::parse(b"license=GPL\0").depends, None);
    assert_eq!(ModInfo::parse(b"depends=\0").depends, Some(Vec::new()));
    let info = ModInfo::parse(b"depends=a\0license=GPL\0license=MIT\0depends=nvme-fabrics,,b\0\0junk\0");
    assert_eq!(info.depends, Some(vec![ModuleName::new("nvme_fabrics"), ModuleName::new("b")]));
    assert_eq!(info.license.as_deref(), Some("GPL"));
    assert_eq!(info.entries.len(), 4);
}

#[test]
fn an_empty_file_is_told_as_the_trap_that_it_is() {
    let message = "is empty (0 bytes): kmodloader would load nothing at all with it in the directory";
    assert_eq!(failure(b""), (ErrorKind::Corrupt, message.to_owned()));
}

#[test]
fn another_architecture_class_or_type_is_named() {
    let unsupported = |bytes: &[u8], message: &str| {
        assert_eq!(failure(bytes), (ErrorKind::Unsupported, message.to_owned()));
    };
    unsupported(&changed(18, &[183, 0]), "is built for AArch64, not for x86-64");
    unsupported(&changed(18, &[8, 0]), "is built for MIPS, not for x86-64");
    unsupported(&changed(18, &[0x34, 0x12]), "is built for ELF machine 4660, not for x86-64");
    unsupported(&changed(4, &[1]), "is a 32-bit ELF file, a module for x86-64 is 64-bit");
    unsupported(&changed(16, &[2]), "is an ELF executable (ET_EXEC), not the relocatable file that a kernel module is");
    let mut mips = changed(18, &[0, 8]);
    mips[5] = 2;
    unsupported(&mips, "is built for MIPS, not for x86-64");
}

#[test]
fn a_real_executable_of_this_machine_is_refused_as_one() {
    let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let (kind, message) = failure(&program);
    assert_eq!(kind, ErrorKind::Unsupported);
    assert!(message.contains("ET_DYN") || message.contains("ET_EXEC"), "{message}");
}

#[test]
fn what_is_no_elf_file_is_named_with_its_compression() {
    for (start, what) in [
        (&b"\x1f\x8b\x08"[..], "is compressed with gzip, not an ELF file"),
        (b"\xfd7zXZ\0", "is compressed with xz, not an ELF file"),
        (b"\x28\xb5\x2f\xfd", "is compressed with zstd, not an ELF file"),
        (b"#!/bin/sh", "is not an ELF file: it begins with 23 21 2f 62, not with 7f 45 4c 46"),
    ] {
        let (kind, message) = failure(start);
        assert_eq!(kind, ErrorKind::Unsupported);
        assert!(message.starts_with(what), "{message}");
    }
}

#[test]
fn a_module_cut_anywhere_is_said_to_be_cut_short() {
    assert_eq!(failure(&tiny()[..10]).1, "is cut short: 10 bytes of a 64-byte ELF header");
    assert_eq!(failure(&tiny()[..40]).1, "is cut short: 40 bytes of a 64-byte ELF header");
    let start = u64::from_le_bytes(tiny()[0x28..0x30].try_into().unwrap());
    let (kind, message) = failure(&tiny()[..tiny().len() - 1]);
    assert_eq!(kind, ErrorKind::Corrupt);
    let file = tiny().len() - 1;
    assert_eq!(
        message,
        format!(
            "is cut short or damaged: its ELF header puts the section headers at byte {start}, the file has {file} bytes"
        )
    );
}

#[test]
fn a_missing_modinfo_section_is_seen() {
    let bare = test_module::converted(
        "objcopy",
        &["--rename-section", ".modinfo=.a", "--rename-section", ".gnu.linkonce.this_module=.b"],
        tiny(),
    );
    let module = Module::parse(&bare).unwrap();
    assert!(!module.has_modinfo);
    assert_eq!((module.modinfo.depends, module.internal_name, module.this_module_size), (None, None, None));
}

#[test]
fn an_appended_signature_is_seen() {
    let signed = [tiny(), b"signature~Module signature appended~\n"].concat();
    assert!(Module::parse(&signed).unwrap().is_signed);
}

#[test]
fn an_export_without_its_name_is_corrupt() {
    let stripped = test_module::converted("objcopy", &["-R", ".rela__ksymtab"], tiny());
    let message = "has entry 0 of __ksymtab without a relocation for its name";
    assert_eq!(failure(&stripped), (ErrorKind::Corrupt, message.to_owned()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// Neither reading nor stripping nor comparing may panic, and what stripping accepts it must be able to read again.
    #[test]
    fn damaged_modules_never_cause_a_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 1..8),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut module = tiny().to_vec();
        let tables = usize::try_from(u64::from_le_bytes(module[0x28..0x30].try_into().unwrap())).unwrap();
        for (place, value, in_tables) in changes {
            // Half of the changes hit the section headers, where they matter most.
            let start = if in_tables { tables } else { 0 };
            let at = start + place.index(module.len() - start);
            module[at] = value;
        }
        if let Some(cut) = cut {
            module.truncate(cut.index(module.len()));
        }
        let parsed = Module::parse(&module);
        let _ = super::super::identity(&module);
        if let Ok(stripped) = super::super::strip(&module) {
            prop_assert!(stripped.len() <= module.len() + 65536);
            if parsed.is_ok() {
                prop_assert!(Module::parse(&stripped).is_ok());
            }
            prop_assert_eq!(&super::super::strip(&stripped).unwrap(), &stripped);
        }
    }
}
