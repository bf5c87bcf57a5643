use crate::kernel::{Export, KernelExports, LoadRules, ModuleName};
use crate::verify::specimen::{Specimen, autoload_file, export, kernel, passed, problems, skipped};

/// The exports of the specimen's kernel, changed.
fn specimen_on(edit: impl FnOnce(&mut Vec<Export>)) -> Specimen {
    let mut specimen = Specimen::patched();
    let kernel = specimen.kernel.as_ref().unwrap();
    let (mut exports, rules) = (kernel.exports().to_vec(), kernel.rules.clone());
    edit(&mut exports);
    specimen.kernel = Ok(KernelExports::of_exports(exports, rules));
    specimen
}

#[test]
fn a_kernel_without_irq_poll_is_told_with_every_symbol_the_cause_and_the_way_out() {
    let mut specimen = Specimen::patched();
    specimen.kernel = Ok(kernel(&["printk"]));
    assert_eq!(
        problems(&specimen, "symbols-resolve"),
        ["ib_core: Unknown symbol irq_poll_init (err -2), likewise irq_poll_sched: this kernel was built without \
          CONFIG_IRQ_POLL; INFINIBAND=m would set it: ib_core polls completion queues by it; it is part of the kernel \
          image and cannot be a module. What to do: put in a kernel that was built with INFINIBAND=m (--kernel BZIMAGE), or \
          build the image with it"]
    );
    assert_eq!(
        problems(&specimen, "load-order"),
        [
            "ib_core is not loaded: the kernel refuses it (see symbols-resolve)",
            "ib_cm, ib_ipoib, ib_uverbs and mlx4_ib are not loaded: waiting for ib_core, which the kernel refuses"
        ]
    );
}

#[test]
fn what_a_module_misses_is_told_even_while_it_waits_for_another() {
    let mut specimen = Specimen::patched();
    specimen.kernel = Ok(kernel(&["printk"]));
    specimen.parsed("ib_uverbs").imports.push("hmm_range_fault".into());
    let problems = problems(&specimen, "symbols-resolve");
    assert_eq!(problems.len(), 2);
    assert!(
        problems[1].starts_with("ib_uverbs: Unknown symbol hmm_range_fault (err -2): this kernel was built without")
    );
}

#[test]
fn one_cause_in_several_modules_is_one_sentence() {
    let mut specimen = Specimen::patched();
    specimen.parsed("ib_core").imports.push("dma_buf_attach".into());
    specimen.parsed("mlx4_core").imports.extend(["dma_buf_get".into(), "dma_buf_put".into()]);
    let problems = problems(&specimen, "symbols-resolve");
    assert_eq!(problems.len(), 1);
    assert!(
        problems[0].starts_with(
            "ib_core: Unknown symbol dma_buf_attach (err -2); mlx4_core: Unknown symbol dma_buf_get (err -2), likewise \
             dma_buf_put: it belongs to CONFIG_DMA_SHARED_BUFFER"
        ),
        "{problems:?}"
    );
}

#[test]
fn a_symbol_that_no_option_is_known_for_says_so() {
    let mut specimen = Specimen::patched();
    specimen.parsed("ib_core").imports.push("of_another_build".into());
    assert_eq!(
        problems(&specimen, "symbols-resolve"),
        [
            "ib_core: Unknown symbol of_another_build (err -2): neither this kernel nor a module in the image exports that. \
          What to do: take modules and kernel from one build"
        ]
    );
}

#[test]
fn a_missing_weak_symbol_is_no_problem() {
    let mut specimen = Specimen::patched();
    specimen.parsed("ib_core").weak_imports.push("of_another_build".into());
    assert_eq!(passed(&specimen, "symbols-resolve"), "6 modules linked against the kernel's 3 exports");
}

#[test]
fn a_proprietary_module_may_not_use_a_gpl_only_symbol() {
    let mut specimen = specimen_on(|exports| exports.iter_mut().for_each(|export| export.gpl_only = true));
    assert_eq!(passed(&specimen, "gpl-only"), "6 modules may use what they use");
    specimen.parsed("mlx4_core").modinfo.license = Some("Proprietary".into());
    assert_eq!(
        problems(&specimen, "gpl-only"),
        ["mlx4_core: Unknown symbol printk (err -2): kernel offers it to GPL-compatible modules only; the licence of \
          mlx4_core is \"Proprietary\""]
    );
    passed(&specimen, "symbols-resolve");
}

#[test]
fn a_namespace_must_be_imported() {
    let mut specimen = specimen_on(|exports| exports[2].namespace = Some("LOG".into()));
    for name in ["ib_core", "mlx4_core"] {
        specimen.parsed(name).modinfo.namespaces.push("LOG".into());
    }
    assert_eq!(passed(&specimen, "namespaces"), "the kernel exports from 1 namespace");
    specimen.parsed("mlx4_core").modinfo.namespaces.clear();
    assert_eq!(
        problems(&specimen, "namespaces"),
        ["mlx4_core: module uses symbol (printk) from namespace LOG, but does not import it."]
    );
}

#[test]
fn checksums_are_compared_where_the_kernel_does() {
    assert!(skipped(&Specimen::patched(), "crc").starts_with("this kernel has no checksums"));
    let mut specimen = specimen_on(|exports| exports[2].crc = Some(7));
    let version = |crc| crate::kernel::SymbolVersion { name: "printk".into(), crc };
    for name in ["ib_cm", "ib_core", "ib_ipoib", "ib_uverbs", "mlx4_core", "mlx4_ib"] {
        specimen.parsed(name).versions.push(version(7));
    }
    assert_eq!(passed(&specimen, "crc"), "6 modules agree with the kernel");
    specimen.parsed("mlx4_core").versions[0].crc = 8;
    assert_eq!(
        problems(&specimen, "crc"),
        ["mlx4_core: disagrees about version of symbol printk, which kernel exports"]
    );
}

#[test]
fn a_second_exporter_is_refused() {
    let mut specimen = Specimen::patched();
    specimen.parsed("ib_cm").exports.push(export("irq_poll_init"));
    assert_eq!(
        problems(&specimen, "duplicate-exports"),
        ["ib_cm: exports duplicate symbol irq_poll_init (owned by kernel)"]
    );
}

#[test]
fn of_a_cause_that_is_told_already_a_waiting_module_says_no_more() {
    let mut specimen = Specimen::patched();
    specimen.kernel = Ok(kernel(&["printk"]));
    specimen.parsed("mlx4_ib").imports.push("irq_poll_enable".into());
    let problems = problems(&specimen, "symbols-resolve");
    assert_eq!(problems.len(), 1);
    assert!(!problems[0].contains("irq_poll_enable"), "{problems:?}");
}

#[test]
fn an_image_that_loads_nothing_is_not_judged() {
    let mut specimen = Specimen::stock();
    assert_eq!(skipped(&specimen, "symbols-resolve"), "the boot loads no module for InfiniBand");
    specimen.module("mlx4_core").module = Err("no ELF file".into());
    assert_eq!(
        skipped(&specimen, "symbols-resolve"),
        "kmodloader loads nothing at all in this image (see kmodloader-traps)"
    );
}

#[test]
fn a_module_that_infiniband_does_without_is_a_warning() {
    let mut specimen = Specimen::patched();
    specimen.system.autoload.push(autoload_file("35-e1000", "e1000"));
    assert_eq!(passed(&specimen, "other-modules"), "1 other module loaded");
    specimen.parsed("e1000").imports.extend(["dst_cache_init".into(), "gro_cells_init".into()]);
    assert_eq!(
        problems(&specimen, "other-modules"),
        ["e1000 is refused: e1000: Unknown symbol dst_cache_init (err -2), and 1 message like it"]
    );
    passed(&specimen, "symbols-resolve");
    assert!(!specimen.report().failed());
}

#[test]
fn what_is_built_into_the_kernel_counts_as_present() {
    let mut specimen = Specimen::patched();
    specimen.kernel = Ok(kernel(&["ib_register_client", "ib_register_device", "ib_umem_get", "printk"]));
    for name in ["ib_core", "ib_uverbs"] {
        specimen.remove_module(name);
    }
    for name in ["ib_cm", "ib_ipoib", "mlx4_ib"] {
        let depends = specimen.parsed(name).modinfo.depends.as_mut().unwrap();
        depends.retain(|name| !["ib_core", "ib_uverbs"].contains(&name.as_str()));
    }
    let report = specimen.report();
    assert!(!report.failed(), "{:#?}", report.failures().collect::<Vec<_>>());
    specimen.expectations = Default::default();
    assert_eq!(
        passed(&specimen, "modules-present"),
        "3 InfiniBand modules: ib_cm, ib_ipoib and mlx4_ib; built into the kernel: ib_core and ib_uverbs"
    );
    specimen.parsed("mlx4_ib").modinfo.depends.as_mut().unwrap().push(ModuleName::new("ib_core"));
    assert_eq!(
        problems(&specimen, "module-closure"),
        [
            "mlx4_ib needs ib_core, which is not in /lib/modules/6.6.106 (it is built into the kernel, which kmodloader does \
          not count)"
        ]
    );
}

#[test]
fn a_kernel_that_compares_vermagic_names_its_own() {
    let mut specimen = Specimen::patched();
    let rules = &mut specimen.kernel.as_mut().unwrap().rules;
    *rules = LoadRules { vermagic: Some("6.6.106 SMP preempt mod_unload ".into()), ..rules.clone() };
    assert_eq!(
        problems(&specimen, "vermagic"),
        ["this kernel compares vermagic, and takes `6.6.106 SMP preempt mod_unload` only"]
    );
    for installed in &mut specimen.system.module_directories[0].modules {
        installed.module.as_mut().unwrap().modinfo.vermagic = Some("6.6.106 SMP preempt mod_unload ".into());
    }
    passed(&specimen, "vermagic");
    specimen.parsed("mlx4_ib").modinfo.vermagic = None;
    assert_eq!(
        problems(&specimen, "vermagic"),
        ["mlx4_ib: refused without a word: it has no vermagic, and this kernel insists on one"]
    );
}
