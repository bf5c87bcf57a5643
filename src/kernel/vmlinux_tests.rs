use proptest::prelude::*;

use super::*;
use crate::error::ErrorKind;

const WITH_IB: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/bzImage-with-ib"));
const BANNER: &[u8] = b"Linux version 6.6.106 (builder@host) #0 SMP\n\0";

/// How a synthetic kernel stores its export tables.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Stored {
    RelativeTriple,
    RelativePair,
    PointerTriple,
    PointerPair,
}

/// Name, GPL only, namespace.
type Wanted<'a> = (&'a str, bool, &'a str);

/// An ELF64 file of the given sections; section headers and program headers as a linker leaves them.
fn elf(sections: &[(&str, u64, Vec<u8>)]) -> Vec<u8> {
    let mut names = vec![0];
    let (mut body, mut headers) = (vec![0; 64], vec![0; 64]);
    let shstrtab = (".shstrtab", 0, Vec::new());
    for (name, address, bytes) in sections.iter().chain([&shstrtab]) {
        let name_offset = names.len() as u32;
        names.extend(name.as_bytes().iter().chain([&0]));
        let bytes = if *name == ".shstrtab" { &names } else { bytes };
        // As a linker does: distances between addresses are distances in the file.
        if *address != 0 {
            body.resize(64 + (address - TABLES) as usize, 0);
        }
        let offset = body.len() as u64;
        body.extend(bytes);
        let mut header = [0_u8; 64];
        header[..4].copy_from_slice(&name_offset.to_le_bytes());
        header[4] = 1;
        header[16..24].copy_from_slice(&address.to_le_bytes());
        header[24..32].copy_from_slice(&offset.to_le_bytes());
        header[32..40].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
        headers.extend(header);
    }
    let table = body.len() as u64;
    body.extend(&headers);
    body[..16].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    body[16..20].copy_from_slice(&[2, 0, 62, 0]);
    body[20] = 1;
    body[40..48].copy_from_slice(&table.to_le_bytes());
    body[52] = 64;
    body[58] = 64;
    body[60] = sections.len() as u8 + 2;
    body[62] = sections.len() as u8 + 1;
    body
}

/// Where the tables of a synthetic kernel are linked to.
const TABLES: u64 = 0xFFFF_FFFF_81E0_0000;

/// The sections of a kernel that exports `wanted`.
fn sections(wanted: &[Wanted<'_>], stored: Stored, crcs: bool) -> Vec<(&'static str, u64, Vec<u8>)> {
    let mut strings = b"\0".to_vec();
    let mut place = |text: &str| {
        let at = strings.len() as u64;
        strings.extend(text.as_bytes().iter().chain([&0]));
        if text.is_empty() { 0 } else { at }
    };
    let placed: Vec<_> = wanted.iter().map(|(name, gpl, space)| (place(name), *gpl, place(space))).collect();
    let strings_at = TABLES + 0x20_0000;
    let mut tail = Vec::new();
    let mut out = vec![(".rodata", TABLES, BANNER.to_vec())];
    for (gpl_only, name, crc_name, at) in [
        (false, "__ksymtab", "__kcrctab", TABLES + 0x1_0000),
        (true, "__ksymtab_gpl", "__kcrctab_gpl", TABLES + 0x1_0000 + entry_size(stored) * count(wanted, false)),
    ] {
        let mut table = Vec::new();
        let mut checksums = Vec::new();
        for (index, (name, gpl, namespace)) in placed.iter().enumerate() {
            if *gpl != gpl_only {
                continue;
            }
            checksums.extend((0x1000 + index as u32).to_le_bytes());
            let here = at + table.len() as u64;
            let distance = |field: u64, to: u64| (to.wrapping_sub(here + field) as i32).to_le_bytes();
            let (name, namespace) = (strings_at + name, strings_at + namespace);
            match stored {
                Stored::RelativeTriple => {
                    table.extend(distance(0, TABLES));
                    table.extend(distance(4, name));
                    table.extend(distance(8, namespace));
                }
                Stored::RelativePair => {
                    table.extend(distance(0, TABLES));
                    table.extend(distance(4, name));
                }
                Stored::PointerTriple => {
                    for pointer in [TABLES, name, if namespace == strings_at { 0 } else { namespace }] {
                        table.extend(pointer.to_le_bytes());
                    }
                }
                Stored::PointerPair => {
                    table.extend(TABLES.to_le_bytes());
                    table.extend(name.to_le_bytes());
                }
            }
        }
        out.push((name, at, table));
        if crcs {
            tail.push((crc_name, 0, checksums));
        }
    }
    out.push(("__ksymtab_strings", strings_at, strings));
    out.extend(tail);
    out
}

fn entry_size(stored: Stored) -> u64 {
    match stored {
        Stored::RelativeTriple => 12,
        Stored::RelativePair => 8,
        Stored::PointerTriple => 24,
        Stored::PointerPair => 16,
    }
}

fn count(wanted: &[Wanted<'_>], gpl_only: bool) -> u64 {
    wanted.iter().filter(|(_, gpl, _)| *gpl == gpl_only).count() as u64
}

const WANTED: [Wanted<'static>; 5] = [
    ("alloc_netdev", false, ""),
    ("irq_poll_init", false, ""),
    ("dma_buf_attach", true, "DMA_BUF"),
    ("dma_buf_get", true, "DMA_BUF"),
    ("pci_reset", true, ""),
];

fn assert_offers_wanted(kernel: &KernelExports, namespaces: bool) {
    assert_eq!(kernel.exports().len(), WANTED.len());
    for (name, gpl_only, namespace) in WANTED {
        let export = kernel.export(name).unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!(export.gpl_only, gpl_only, "{name}");
        let namespace = Some(namespace).filter(|space| namespaces && !space.is_empty());
        assert_eq!(export.namespace.as_deref(), namespace, "{name}");
    }
}

#[test]
fn every_layout_of_the_export_tables_is_read() {
    for stored in [Stored::RelativeTriple, Stored::RelativePair, Stored::PointerTriple, Stored::PointerPair] {
        let kernel = KernelExports::read(&elf(&sections(&WANTED, stored, false))).unwrap();
        assert_offers_wanted(&kernel, matches!(stored, Stored::RelativeTriple | Stored::PointerTriple));
        assert_eq!(kernel.proof, Proof::Sections);
        assert!(!kernel.modversions);
        assert_eq!(kernel.release.as_str(), "6.6.106");
    }
}

#[test]
fn checksums_belong_to_the_entry_at_the_same_index() {
    let kernel = KernelExports::read(&elf(&sections(&WANTED, Stored::RelativeTriple, true))).unwrap();
    assert!(kernel.modversions);
    assert_eq!(kernel.export("irq_poll_init").unwrap().crc, Some(0x1001));
    assert_eq!(kernel.export("pci_reset").unwrap().crc, Some(0x1004));
}

#[test]
fn a_checksum_too_few_is_corrupt() {
    let mut sections = sections(&WANTED, Stored::RelativeTriple, true);
    let checksums = sections.iter_mut().find(|(name, ..)| *name == "__kcrctab_gpl").unwrap();
    checksums.2.truncate(8);
    let error = KernelExports::read(&elf(&sections)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(
        error.to_string(),
        "unpacked kernel: the checksums of __ksymtab_gpl have 8 bytes; its 3 entries need 4 each"
    );
}

#[test]
fn a_table_of_no_known_layout_is_unsupported_with_its_size() {
    let mut sections = sections(&WANTED, Stored::RelativeTriple, false);
    let table = sections.iter_mut().find(|(name, ..)| *name == "__ksymtab").unwrap();
    table.2[4] = 0xFF;
    table.2[7] = 0x7F;
    let error = KernelExports::read(&elf(&sections)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.message().starts_with("__ksymtab of 24 bytes fits no known layout"), "{error}");
}

#[test]
fn a_section_outside_the_file_is_corrupt() {
    let mut bytes = elf(&sections(&WANTED, Stored::RelativeTriple, false));
    let headers = u64::from_le_bytes(bytes[40..48].try_into().unwrap()) as usize;
    bytes[headers + 64 + 32..headers + 64 + 40].copy_from_slice(&u64::MAX.to_le_bytes());
    let error = KernelExports::read(&bytes).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.message().starts_with("section .rodata, 18446744073709551615 bytes"), "{error}");
}

/// Enough exports for a table to be known by its looks.
fn many() -> Vec<(String, bool)> {
    let name = |number: usize, gpl_only: bool| (format!("symbol_{number:04}"), gpl_only);
    (0..100).map(|number| name(number, false)).chain((0..60).map(|number| name(number * 3, true))).collect()
}

fn stripped(names: &[(String, bool)]) -> Vec<u8> {
    let wanted: Vec<Wanted<'_>> =
        names.iter().map(|(name, gpl)| (name.as_str(), *gpl, if *gpl { "SPACE" } else { "" })).collect();
    let mut bytes = elf(&sections(&wanted, Stored::RelativeTriple, false));
    // What sstrip does: no section headers.
    bytes[40..48].fill(0);
    bytes[60..64].fill(0);
    bytes
}

#[test]
fn without_section_headers_the_tables_are_found_by_their_looks_and_the_proof_is_weaker() {
    // A name that both tables hold would be an error of the build; the linker takes the first.
    let mut names = many();
    names.iter_mut().filter(|(_, gpl)| *gpl).for_each(|(name, _)| name.push_str("_gpl"));
    let kernel = KernelExports::read(&stripped(&names)).unwrap();
    assert_eq!(kernel.proof, Proof::Weaker);
    assert_eq!(kernel.exports().len(), 160);
    assert_eq!(kernel.export("symbol_0042").map(|export| export.gpl_only), Some(false));
    let gpl = kernel.export("symbol_0042_gpl").unwrap();
    assert!(gpl.gpl_only);
    assert_eq!(gpl.namespace.as_deref(), Some("SPACE"));
}

#[test]
fn a_kernel_without_any_table_is_unsupported() {
    let error = KernelExports::read(&elf(&[(".rodata", TABLES, BANNER.to_vec())])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.message().starts_with("no export tables:"), "{error}");
    assert!(error.remedy_text().unwrap().contains("CONFIG_MODULES"));
}

#[test]
fn the_fixture_kernel_offers_what_infiniband_needs() {
    let kernel = KernelExports::read(WITH_IB).unwrap();
    assert_eq!(kernel.exports().len(), 9216);
    assert_eq!(kernel.release.as_str(), "6.12.117");
    assert_eq!(kernel.proof, Proof::Sections);
    for name in ["irq_poll_init", "irq_poll_sched", "irq_poll_enable", "irq_poll_disable", "irq_poll_complete"] {
        assert!(kernel.export(name).is_some(), "{name}");
    }
    let attach = kernel.export("dma_buf_attach").unwrap();
    assert!(attach.gpl_only);
    assert_eq!(attach.namespace.as_deref(), Some("DMA_BUF"));
    assert!(kernel.export("no_such_symbol").is_none());
}

#[test]
fn the_messages_in_the_image_tell_the_rules() {
    let rodata = [
        BANNER,
        b"6.6.106 SMP preempt mod_unload modversions \0",
        b"\x013%s: version magic '%s' should be '%s'\n\0",
        b"\x014%s: %s: kernel tainted.\n\0",
        b"\x014%s: module uses symbol (%s) from namespace %s, but does not import it.\n\0",
        b"\x013module %s: .gnu.linkonce.this_module section size must match the kernel's built struct module size\n\0",
    ]
    .concat();
    // cmpq $0x440,0x20(%rbx), and a comparison of another field.
    let text = b"\x90\x48\x81\x7b\x20\x40\x04\0\0\x75\x02\x48\x81\x7b\x28\x80\x02\0\0".to_vec();
    let release = KernelRelease::new("6.6.106");
    let rules = LoadRules::of(&release, &rodata, &text);
    let vermagic = Some("6.6.106 SMP preempt mod_unload modversions ".to_owned());
    let expected = LoadRules {
        vermagic: vermagic.clone(),
        own_vermagic: vermagic,
        checks_struct_module: true,
        struct_module_size: Some(1088),
        names_module_in_elf_errors: true,
        force_load: true,
        allows_missing_namespaces: true,
    };
    assert_eq!(rules, expected);
    // OpenWrt's kernels hold the string but not the comparison.
    let rodata = b"\0 6.6.106 x\0\x006.6.106 SMP mod_unload \0".to_vec();
    let rules = LoadRules::of(&release, &rodata, &text);
    assert_eq!(rules.vermagic, None);
    assert_eq!(rules.own_vermagic.as_deref(), Some("6.6.106 SMP mod_unload "));
    // Without the message there is no check, whatever constants the code compares.
    assert_eq!(rules.struct_module_size, None);
}

#[test]
fn two_constants_that_would_do_leave_the_size_unknown() {
    let text = b"\x48\x81\x7b\x20\x40\x04\0\0\x49\x81\x7c\x20\x80\x04\0\0\x49\x81\x7d\x20\x80\x04\0\0".to_vec();
    let rodata = b"\0.gnu.linkonce.this_module section size must match\0".to_vec();
    let rules = LoadRules::of(&KernelRelease::new("6.6.106"), &rodata, &text);
    assert!(rules.checks_struct_module);
    assert_eq!(rules.struct_module_size, None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn damaged_kernels_never_panic_and_never_invent_exports(
        headers in any::<bool>(), places in proptest::collection::vec((any::<u32>(), any::<u8>()), 1..20)
    ) {
        let mut bytes = if headers { elf(&sections(&WANTED, Stored::RelativeTriple, true)) } else { stripped(&many()) };
        let length = bytes.len();
        // Most of the file is padding: aim at its headers and tables.
        let interesting = [0..64, 64..128, 0x1_0040..0x1_0400, 0x20_0040..length];
        for (place, value) in places {
            let range = interesting[place as usize % 4].clone();
            bytes[range.start + (place as usize / 4) % range.len()] = value;
        }
        if let Ok(kernel) = KernelExports::read(&bytes) {
            prop_assert!(kernel.exports().len() <= 160);
        }
    }

    #[test]
    fn damaged_bzimages_never_panic(places in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..6)) {
        let mut bytes = WITH_IB.to_vec();
        for (place, value) in places {
            bytes[0x1F0 + usize::from(place) % 0x900] = value;
        }
        let _ = KernelExports::read(&bytes);
    }
}
