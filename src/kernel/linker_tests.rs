use std::io::Read;

use super::*;
use crate::kernel::test_module::fixtures;
use crate::kernel::{LoadRules, ModInfo, SymbolVersion};

/// A module as it would be parsed.
fn module(name: &str, imports: &[&str], exports: &[Export]) -> (ModuleName, Module) {
    let modinfo = ModInfo {
        name: Some(name.to_owned()),
        license: Some("GPL".to_owned()),
        depends: Some(Vec::new()),
        vermagic: Some("6.6.106 SMP mod_unload ".to_owned()),
        ..ModInfo::default()
    };
    let module = Module {
        modinfo,
        has_modinfo: true,
        internal_name: Some(name.to_owned()),
        this_module_size: Some(1088),
        imports: imports.iter().map(ToString::to_string).collect(),
        exports: exports.to_vec(),
        ..Module::default()
    };
    (ModuleName::new(name), module)
}

fn export(name: &str) -> Export {
    Export { name: name.to_owned(), gpl_only: false, namespace: None, crc: None }
}

fn gpl(name: &str) -> Export {
    Export { gpl_only: true, ..export(name) }
}

fn kernel() -> KernelExports {
    let namespaced = Export { namespace: Some("DMA_BUF".to_owned()), ..gpl("dma_buf_attach") };
    KernelExports::of_exports(vec![export("printk"), gpl("irq_poll_init"), namespaced], LoadRules::default())
}

fn verdicts(kernel: &KernelExports, modules: &[(ModuleName, Module)]) -> Vec<LoadResult> {
    let order: Vec<_> = modules.iter().map(|(name, module)| LoadStep { name, module: Ok(module) }).collect();
    link(kernel, &order)
}

/// The kernel's messages for the last of `modules`; empty when it loads.
fn messages(kernel: &KernelExports, modules: &[(ModuleName, Module)]) -> Vec<String> {
    let results = verdicts(kernel, modules);
    results.last().unwrap().refusals().iter().flat_map(|refusal| refusal.messages.clone()).collect()
}

#[test]
fn a_module_whose_symbols_are_all_there_loads_and_names_whose_it_uses() {
    let modules = [module("ib_core", &["printk"], &[gpl("ib_alloc")]), module("ib_cm", &["ib_alloc", "printk"], &[])];
    let results = verdicts(&kernel(), &modules);
    assert!(results.iter().all(|result| result.verdict == Verdict::Loads));
    assert_eq!(results[1].uses, [ModuleName::new("ib_core")]);
}

#[test]
fn every_missing_symbol_is_named_in_the_kernels_words() {
    let modules = [module("ib_core", &["irq_poll_complete", "irq_poll_init", "irq_poll_sched"], &[])];
    let expected =
        ["ib_core: Unknown symbol irq_poll_complete (err -2)", "ib_core: Unknown symbol irq_poll_sched (err -2)"];
    assert_eq!(messages(&kernel(), &modules), expected);
}

#[test]
fn the_users_of_a_refused_module_are_refused_in_turn() {
    let modules = [module("ib_core", &["gone"], &[gpl("ib_alloc")]), module("ib_cm", &["ib_alloc"], &[])];
    let results = verdicts(&kernel(), &modules);
    let Reason::UnknownSymbol { provider, .. } = &results[1].refusals()[0].reason else { panic!("{results:?}") };
    assert_eq!(*provider, Provider::Refused(ModuleName::new("ib_core")));
}

#[test]
fn a_provider_that_comes_later_is_named() {
    let modules = [module("ib_cm", &["ib_alloc"], &[]), module("ib_core", &[], &[gpl("ib_alloc")])];
    let results = verdicts(&kernel(), &modules);
    let Reason::UnknownSymbol { provider, .. } = &results[0].refusals()[0].reason else { panic!("{results:?}") };
    assert_eq!(*provider, Provider::NotYetLoaded(ModuleName::new("ib_core")));
    assert!(results[1].is_loaded());
}

#[test]
fn a_weak_import_may_be_missing() {
    let mut weak = module("mlx4_ib", &[], &[]);
    weak.1.weak_imports = vec!["no_such_symbol".to_owned()];
    assert_eq!(messages(&kernel(), &[weak]), [""; 0]);
}

#[test]
fn a_proprietary_module_does_not_see_gpl_only_symbols() {
    let mut foreign = module("foreign", &["irq_poll_init", "printk"], &[]);
    foreign.1.modinfo.license = Some("Proprietary".to_owned());
    assert_eq!(messages(&kernel(), &[foreign.clone()]), ["foreign: Unknown symbol irq_poll_init (err -2)"]);
    foreign.1.modinfo.license = None;
    let results = verdicts(&kernel(), &[foreign.clone()]);
    let expected = Reason::GplOnly { symbol: "irq_poll_init".to_owned(), owner: "kernel".to_owned(), licence: None };
    assert_eq!(results[0].refusals()[0].reason, expected);
    foreign.1.modinfo.license = Some("Dual BSD/GPL".to_owned());
    assert_eq!(messages(&kernel(), &[foreign]), [""; 0]);
}

#[test]
fn symbols_of_a_proprietary_module_are_not_mixed_with_gpl_only_ones() {
    let mut foreign = module("foreign", &[], &[export("foreign_hook")]);
    foreign.1.modinfo.license = Some("Proprietary".to_owned());
    let user = module("user", &["foreign_hook"], &[]);
    assert_eq!(messages(&kernel(), &[foreign.clone(), user]), [""; 0]);
    let mixed = module("mixed", &["dma", "foreign_hook", "irq_poll_init"], &[]);
    let expected = ["mixed: Unknown symbol dma (err -2)", "mixed: Unknown symbol irq_poll_init (err -2)"];
    assert_eq!(messages(&kernel(), &[foreign.clone(), mixed]), expected);
    let earlier = module("earlier", &["irq_poll_init", "zz_hook"], &[]);
    foreign.1.exports = vec![export("zz_hook")];
    let expected = [
        "earlier: module using GPL-only symbols uses symbols zz_hook from proprietary module foreign.",
        "earlier: Unknown symbol zz_hook (err -2)",
    ];
    assert_eq!(messages(&kernel(), &[foreign, earlier]), expected);
}

#[test]
fn a_namespace_must_be_imported() {
    let mut user = module("ib_uverbs", &["dma_buf_attach"], &[]);
    let expected = [
        "ib_uverbs: module uses symbol (dma_buf_attach) from namespace DMA_BUF, but does not import it.",
        "ib_uverbs: Unknown symbol dma_buf_attach (err -22)",
    ];
    assert_eq!(messages(&kernel(), &[user.clone()]), expected);
    user.1.modinfo.namespaces = vec!["DMA_BUF".to_owned()];
    assert_eq!(messages(&kernel(), &[user.clone()]), [""; 0]);
    user.1.modinfo.namespaces = vec!["DMA".to_owned()];
    let mut lenient = kernel();
    lenient.rules.allows_missing_namespaces = true;
    assert_eq!(messages(&lenient, &[user]), [""; 0]);
}

#[test]
fn a_module_namespace_admits_the_modules_it_names() {
    let space = Export { namespace: Some("module:kvm-intel,ib_*".to_owned()), ..export("secret") };
    let kernel = KernelExports::of_exports(vec![space], LoadRules::default());
    assert_eq!(messages(&kernel, &[module("ib_core", &["secret"], &[])]), [""; 0]);
    assert_eq!(messages(&kernel, &[module("kvm_intel", &["secret"], &[])]), [""; 0]);
    assert_eq!(messages(&kernel, &[module("kvm", &["secret"], &[])]).len(), 2);
}

#[test]
fn the_second_exporter_of_a_symbol_is_refused() {
    let modules = [module("first", &[], &[export("hook")]), module("second", &[], &[gpl("a_hook"), export("hook")])];
    assert_eq!(messages(&kernel(), &modules), ["second: exports duplicate symbol hook (owned by first)"]);
    let builtin = [module("third", &[], &[gpl("irq_poll_init"), export("printk")])];
    assert_eq!(messages(&kernel(), &builtin), ["third: exports duplicate symbol printk (owned by kernel)"]);
}

#[test]
fn a_second_file_of_the_same_internal_name_counts_as_loaded() {
    let mut second = module("ib_core", &["gone"], &[]);
    second.0 = ModuleName::new("ib_core_copy");
    let results = verdicts(&kernel(), &[module("ib_core", &[], &[]), second]);
    assert_eq!(results[1].verdict, Verdict::AlreadyLoaded);
}

#[test]
fn the_size_of_struct_module_must_equal_the_kernels() {
    let mut kernel = kernel();
    kernel.rules = LoadRules {
        checks_struct_module: true,
        struct_module_size: Some(1152),
        names_module_in_elf_errors: true,
        ..LoadRules::default()
    };
    let expected = "module ib_core: .gnu.linkonce.this_module section size must match the kernel's built struct module \
                    size at run time";
    assert_eq!(messages(&kernel, &[module("ib_core", &["gone"], &[])]), [expected]);
    kernel.rules.struct_module_size = Some(1088);
    assert_eq!(messages(&kernel, &[module("ib_core", &[], &[])]), [""; 0]);
}

#[test]
fn the_vermagic_is_compared_only_where_the_kernel_compares_it() {
    let mut kernel = kernel();
    let mut other = module("ib_core", &[], &[]);
    other.1.modinfo.vermagic = Some("6.6.110 SMP mod_unload ".to_owned());
    assert_eq!(messages(&kernel, &[other.clone()]), [""; 0]);
    kernel.rules.vermagic = Some("6.6.106 SMP mod_unload ".to_owned());
    let expected = "ib_core: version magic '6.6.110 SMP mod_unload ' should be '6.6.106 SMP mod_unload '";
    assert_eq!(messages(&kernel, &[other.clone()]), [expected]);
    other.1.modinfo.vermagic = None;
    let result = verdicts(&kernel, &[other.clone()]);
    assert_eq!(result[0].refusals()[0].reason, Reason::NoVermagic);
    kernel.rules.force_load = true;
    assert_eq!(messages(&kernel, &[other]), [""; 0]);
}

/// A kernel with checksums, and a module built for it.
fn with_versions() -> (KernelExports, (ModuleName, Module)) {
    let exports =
        [("module_layout", 7), ("printk", 8)].map(|(name, crc)| Export { crc: Some(crc), ..export(name) }).to_vec();
    let rules = LoadRules { vermagic: Some("6.6.106 SMP mod_unload modversions ".to_owned()), ..LoadRules::default() };
    let mut module = module("ib_core", &["printk"], &[]);
    module.1.modinfo.vermagic = Some("6.6.110-cloud SMP mod_unload modversions ".to_owned());
    module.1.versions =
        [("module_layout", 7), ("printk", 8)].map(|(name, crc)| SymbolVersion { name: name.to_owned(), crc }).to_vec();
    (KernelExports::of_exports(exports, rules), module)
}

#[test]
fn with_checksums_the_release_may_differ_but_no_used_symbol() {
    let (kernel, mut user) = with_versions();
    assert_eq!(messages(&kernel, &[user.clone()]), [""; 0]);
    user.1.versions[1].crc = 9;
    let expected = ["ib_core: disagrees about version of symbol printk", "ib_core: Unknown symbol printk (err -22)"];
    assert_eq!(messages(&kernel, &[user.clone()]), expected);
    user.1.versions[0].crc = 9;
    let expected = ["ib_core: disagrees about version of symbol module_layout"];
    assert_eq!(messages(&kernel, &[user.clone()]), expected);
    // A symbol without checksum in the module is let through.
    user.1.versions[0].crc = 7;
    user.1.versions.pop();
    assert_eq!(messages(&kernel, &[user.clone()]), [""; 0]);
    user.1.versions.clear();
    assert_eq!(verdicts(&kernel, &[user])[0].refusals()[0].reason, Reason::NoVersions);
}

#[test]
fn a_weak_import_that_disagrees_is_refused() {
    let (kernel, mut user) = with_versions();
    user.1.weak_imports = std::mem::take(&mut user.1.imports);
    user.1.versions[1].crc = 9;
    assert_eq!(messages(&kernel, &[user]).len(), 2);
}

#[test]
fn a_file_that_is_no_module_is_refused_and_the_rest_go_on() {
    let (core, module) = module("ib_core", &[], &[]);
    let broken = ModuleName::new("ib_cm");
    let order = [LoadStep { name: &broken, module: Err("is empty") }, LoadStep { name: &core, module: Ok(&module) }];
    let results = link(&kernel(), &order);
    assert_eq!(results[0].refusals()[0].reason, Reason::NotAModule { error: "is empty".to_owned() });
    assert!(results[1].is_loaded());
}

#[test]
fn two_thousand_modules_in_a_chain_link() {
    let modules: Vec<_> = (0..2000_usize)
        .map(|number| {
            let imports: Vec<String> =
                (number.saturating_sub(20)..number).map(|other| format!("symbol_{other}")).collect();
            let imports: Vec<&str> = imports.iter().map(String::as_str).collect();
            module(&format!("module_{number}"), &imports, &[export(&format!("symbol_{number}"))])
        })
        .collect();
    let results = verdicts(&kernel(), &modules);
    assert!(results.iter().all(LoadResult::is_loaded));
    assert_eq!(results[1999].uses.len(), 20);
}

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures");

/// The fixture modules and the `ptp` of the fixture images, in the order of their `depends=`.
pub(crate) fn fixture_modules() -> Vec<(ModuleName, Module)> {
    let parsed = |(name, bytes): (&String, &Vec<u8>)| (ModuleName::new(name), Module::parse(bytes).unwrap());
    let mut unsorted: Vec<_> = fixtures().iter().map(parsed).chain([ptp()]).collect();
    unsorted.sort_by(|a, b| a.0.cmp(&b.0));
    let mut sorted: Vec<(ModuleName, Module)> = Vec::new();
    while !unsorted.is_empty() {
        let names: Vec<_> = unsorted.iter().map(|(name, _)| name.clone()).collect();
        let ready = |(_, module): &(ModuleName, Module)| {
            module.modinfo.depends.iter().flatten().all(|needed| !names.contains(needed))
        };
        let next = unsorted.iter().position(ready).expect("no cycle");
        sorted.push(unsorted.remove(next));
    }
    sorted
}

/// The fixture images' own `ptp.ko`: what it exports is all that matters here.
fn ptp() -> (ModuleName, Module) {
    module(
        "ptp",
        &[],
        &[
            "ptp_clock_register",
            "ptp_clock_unregister",
            "ptp_clock_index",
            "ptp_clock_event",
            "ptp_find_pin",
            "ptp_find_pin_unlocked",
            "ptp_schedule_worker",
            "ptp_cancel_worker_sync",
        ]
        .map(export),
    )
}

/// The kernel on the boot partition of a fixture image, taken out by mtools.
fn kernel_of(image: &str) -> KernelExports {
    let folder = tempfile::tempdir().unwrap();
    let (disk, kernel) = (folder.path().join("disk.img"), folder.path().join("vmlinuz"));
    let packed = std::fs::read(format!("{FIXTURES}/{image}")).unwrap();
    let mut bytes = Vec::new();
    flate2::bufread::GzDecoder::new(packed.as_slice()).read_to_end(&mut bytes).unwrap();
    std::fs::write(&disk, bytes).unwrap();
    // The first partition of the fixtures starts at sector 512.
    let status = std::process::Command::new("mcopy")
        .args(["-n", "-i", &format!("{}@@262144", disk.display()), "::boot/vmlinuz"])
        .arg(&kernel)
        .status()
        .expect("mtools is needed by this test");
    assert!(status.success());
    KernelExports::read(&std::fs::read(kernel).unwrap()).unwrap()
}

#[test]
fn the_kernel_with_infiniband_takes_all_fixture_modules() {
    let modules = fixture_modules();
    assert_eq!(modules.len(), 24);
    let swapped_in = KernelExports::read(&std::fs::read(format!("{FIXTURES}/bzImage-with-ib")).unwrap()).unwrap();
    for kernel in [swapped_in, kernel_of("openwrt-mini-ib-ext4-combined-efi.img.gz")] {
        for result in verdicts(&kernel, &modules) {
            assert!(result.is_loaded(), "{result:?}");
        }
    }
}

#[test]
fn the_stock_kernel_refuses_ib_core_for_irq_poll_and_its_users_for_ib_core() {
    let kernel = kernel_of("openwrt-mini-stock-ext4-combined-efi.img.gz");
    let results = verdicts(&kernel, &fixture_modules());
    let refused: Vec<&str> =
        results.iter().filter(|result| !result.is_loaded()).map(|result| result.name.as_str()).collect();
    let core = results.iter().find(|result| result.name.as_str() == "ib_core").unwrap();
    let messages: Vec<String> = core.refusals().iter().flat_map(|refusal| refusal.messages.clone()).collect();
    let expected = ["irq_poll_complete", "irq_poll_disable", "irq_poll_init", "irq_poll_sched"]
        .map(|symbol| format!("ib_core: Unknown symbol {symbol} (err -2)"));
    assert_eq!(messages, expected);
    assert_eq!(refused.len(), 16, "{refused:?}");
    for name in ["libcrc32c", "libiscsi", "mlx4_core", "mlx4_en", "mlx5_core", "scsi_transport_srp"] {
        assert!(!refused.contains(&name), "{name}");
    }
    // What no module there is offers, either: on-demand paging and tunnels want more of the kernel; the rest of the
    // refused fail for the modules that were refused before them.
    let mut missing = Vec::new();
    for result in &results {
        for refusal in result.refusals() {
            match &refusal.reason {
                Reason::UnknownSymbol { provider: Provider::Refused(_), .. } => {}
                Reason::UnknownSymbol { symbol, .. } => missing.push(format!("{} {symbol}", result.name)),
                other => panic!("{other:?}"),
            }
        }
    }
    missing.retain(|line| !line.starts_with("ib_core "));
    let expected = [
        "ib_uverbs hmm_range_fault",
        "mlx4_ib irq_poll_disable",
        "mlx4_ib irq_poll_enable",
        "mlx5_ib irq_poll_disable",
        "mlx5_ib irq_poll_enable",
        "udp_tunnel dst_cache_get_ip4",
        "udp_tunnel dst_cache_set_ip4",
    ];
    assert_eq!(missing, expected);
}
