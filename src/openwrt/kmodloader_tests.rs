use super::*;
use crate::kernel::{Export, LoadRules, ModInfo, Verdict};

fn module(depends: Option<&[&str]>, imports: &[&str], exports: &[&str]) -> Module {
    let depends = depends.map(|names| names.iter().map(|name| ModuleName::new(name)).collect());
    let export = |name: &&str| Export { name: (*name).to_owned(), gpl_only: false, namespace: None, crc: None };
    Module {
        modinfo: ModInfo { license: Some("GPL".to_owned()), depends, ..ModInfo::default() },
        has_modinfo: true,
        this_module_size: Some(1088),
        imports: imports.iter().map(ToString::to_string).collect(),
        exports: exports.iter().map(export).collect(),
        ..Module::default()
    }
}

/// ib_core <- ib_cm <- ib_ipoib, and mlx4_ib, which nobody depends on.
fn infiniband() -> Vec<(&'static str, Module)> {
    vec![
        ("ib_cm.ko", module(Some(&["ib_core"]), &["core"], &["cm"])),
        ("ib_core.ko", module(Some(&[]), &[], &["core"])),
        ("ib_ipoib.ko", module(Some(&["ib_core", "ib-cm"]), &["cm", "core"], &[])),
        ("mlx4_ib.ko", module(Some(&["ib_core"]), &["core"], &[])),
    ]
}

fn autoload(files: &[(&str, &str)]) -> Vec<AutoloadFile> {
    files.iter().map(|(name, text)| AutoloadFile::regular(name, text.as_bytes())).collect()
}

fn run(modules: &[(&str, Module)], boot: &[(&str, &str)], main: &[(&str, &str)], conf: &str) -> LoadReport {
    let kernel = KernelExports::of_exports(Vec::new(), LoadRules::default());
    let files: Vec<_> =
        modules.iter().map(|(file_name, module)| ModuleFile { file_name, module: Ok(module) }).collect();
    let (boot, main, conf) = (autoload(boot), autoload(main), ModulesConf::parse(conf));
    simulate(&kernel, &Setup { files: &files, boot: &boot, main: &main, modules_conf: &conf })
}

/// What is loaded, in order.
fn loaded(report: &LoadReport) -> Vec<&str> {
    let loaded = |attempt: &&Attempt| matches!(&attempt.outcome, Outcome::Asked(result) if result.is_loaded());
    report.attempts.iter().filter(loaded).map(|attempt| attempt.name.as_str()).collect()
}

fn never(report: &LoadReport) -> Vec<&str> {
    report.never_loaded.iter().map(ModuleName::as_str).collect()
}

#[test]
fn one_entry_pulls_its_dependencies_in_first() {
    let report = run(&infiniband(), &[], &[("38-ib", "ib_ipoib\n")], "");
    assert_eq!(loaded(&report), ["ib_core", "ib_cm", "ib_ipoib"]);
    assert_eq!(never(&report), ["mlx4_ib"]);
    let core = report.attempt(&ModuleName::new("ib_core")).unwrap();
    assert!(matches!(core.cause, Cause::DependencyOf(_)), "{core:?}");
    assert_eq!(core.stage, Stage::Main);
    assert!(report.traps.is_empty() && report.missing_dependencies.is_empty());
}

#[test]
fn files_that_begin_with_a_letter_wait_for_the_end_and_load_in_name_order() {
    let main = [("37-mlx4", "mlx4_ib\n"), ("ib", "ib_ipoib\nib_cm\n")];
    let report = run(&infiniband(), &[], &main, "");
    assert_eq!(loaded(&report), ["ib_core", "mlx4_ib", "ib_cm", "ib_ipoib"]);
}

#[test]
fn what_the_boot_stage_loads_the_main_stage_skips_with_its_parameters() {
    let report = run(
        &infiniband(),
        &[("30-ib", "ib_core\n")],
        &[("30-ib", "ib_core late=1\nib_cm a=1 b=2\n")],
        "options ib_cm c=3\n",
    );
    let stages: Vec<_> = report.attempts.iter().map(|attempt| (attempt.name.as_str(), attempt.stage)).collect();
    assert_eq!(stages, [("ib_core", Stage::Boot), ("ib_cm", Stage::Main)]);
    assert_eq!(report.attempts[0].parameters, "");
    assert_eq!(report.attempts[1].parameters, "c=3 a=1 b=2");
    assert_eq!(report.attempts[1].cause, Cause::Listed { file: "30-ib".to_owned(), line: 2 });
}

#[test]
fn a_dependency_without_a_file_keeps_the_module_out_though_its_symbols_are_there() {
    let modules = [("ib_core.ko", module(Some(&["dimlib"]), &[], &["core"]))];
    let report = run(&modules, &[], &[("30-ib", "ib_core\n")], "");
    assert_eq!(loaded(&report), [""; 0]);
    let missing: Vec<_> = report.missing_dependencies.keys().map(ModuleName::as_str).collect();
    assert_eq!(missing, ["dimlib"]);
    let attempt = report.attempt(&ModuleName::new("ib_core")).unwrap();
    assert_eq!(attempt.outcome, Outcome::WaitsFor(vec![ModuleName::new("dimlib")]));
    assert!(never(&report).is_empty());
}

#[test]
fn a_refused_module_keeps_out_what_depends_on_it_and_gets_one_more_try() {
    let mut modules = infiniband();
    modules[1].1.imports = vec!["irq_poll_init".to_owned()];
    let report = run(&modules, &[], &[("30-ib", "ib_ipoib\n")], "");
    let core = report.attempt(&ModuleName::new("ib_core")).unwrap();
    let Outcome::Asked(result) = &core.outcome else { panic!("{core:?}") };
    assert_eq!(result.refusals()[0].messages, ["ib_core: Unknown symbol irq_poll_init (err -2)"]);
    let waiting = report.attempt(&ModuleName::new("ib_ipoib")).unwrap();
    let expected = ["ib_core", "ib_cm"].map(ModuleName::new).to_vec();
    assert_eq!(waiting.outcome, Outcome::WaitsFor(expected));
    assert!(!report.is_loaded(&ModuleName::new("ib_core")));
}

#[test]
fn a_provider_that_depends_does_not_name_is_made_up_for_by_the_retry() {
    // a_user comes first in name order and needs z_provider without saying so.
    let modules =
        [("a_user.ko", module(Some(&[]), &["late"], &[])), ("z_provider.ko", module(Some(&[]), &[], &["late"]))];
    let report = run(&modules, &[], &[("lazy", "a_user\nz_provider\n")], "");
    assert_eq!(loaded(&report), ["z_provider", "a_user"]);
    let report = run(&modules, &[], &[("10-user", "a_user\n"), ("20-provider", "z_provider\n")], "");
    assert_eq!(loaded(&report), ["z_provider", "a_user"]);
}

#[test]
fn a_bad_file_stops_everything() {
    let kernel = KernelExports::of_exports(Vec::new(), LoadRules::default());
    let good = module(Some(&[]), &[], &[]);
    let files = [
        ModuleFile { file_name: "aaa.ko", module: Err("is empty") },
        ModuleFile { file_name: "ib_core.ko", module: Ok(&good) },
    ];
    let main = autoload(&[("30-ib", "ib_core\n")]);
    let setup = Setup { files: &files, boot: &[], main: &main, modules_conf: &ModulesConf::default() };
    let report = simulate(&kernel, &setup);
    let expected = Trap::ScanAborts { file_name: "aaa.ko".to_owned(), reason: "is empty".to_owned() };
    assert_eq!(report.traps, [expected]);
    assert!(report.attempts.is_empty());
    assert_eq!(never(&report), ["ib_core"]);
}

#[test]
fn a_module_without_modinfo_or_a_word_alone_in_modules_conf_stops_everything() {
    let mut modules = infiniband();
    modules[3].1.has_modinfo = false;
    let report = run(&modules, &[], &[("30-ib", "ib_core\n")], "");
    assert!(matches!(&report.traps[..], [Trap::ScanAborts { file_name, .. }] if file_name == "mlx4_ib.ko"));
    let report = run(&infiniband(), &[], &[("30-ib", "ib_core\n")], "blacklist\n");
    assert!(matches!(&report.traps[..], [Trap::ModulesConfCrashes { line: 1, .. }]), "{:?}", report.traps);
    assert!(report.attempts.is_empty());
}

#[test]
fn a_selected_module_without_depends_crashes_the_run_where_it_stands() {
    let mut modules = infiniband();
    modules[3].1.modinfo.depends = None;
    let main = [("30-ib", "ib_core\n"), ("31-mlx4", "mlx4_ib\n"), ("32-ib", "ib_cm\n")];
    let report = run(&modules, &[], &main, "");
    assert_eq!(report.traps, [Trap::NoDepends { stage: Stage::Main, name: ModuleName::new("mlx4_ib") }]);
    assert_eq!(loaded(&report), ["ib_core"]);
    // Nobody selects it: nothing happens.
    assert!(run(&modules, &[], &main[..1], "").traps.is_empty());
}

#[test]
fn a_blacklisted_module_is_loaded_only_as_a_dependency() {
    let report = run(&infiniband(), &[], &[("30-ib", "ib_core\nib_cm\n")], "blacklist ib_core\nblacklist ib-cm\n");
    assert_eq!(loaded(&report), ["ib_core", "ib_cm"]);
    let report = run(&infiniband(), &[], &[("30-ib", "ib_core\n")], "blacklist ib_core\n");
    assert_eq!(loaded(&report), [""; 0]);
}

#[test]
fn the_second_of_two_files_of_one_name_is_ignored() {
    let mut modules = infiniband();
    modules.insert(0, ("ib-core.ko", module(Some(&[]), &[], &["other"])));
    let report = run(&modules, &[], &[("30-ib", "ib_cm\n")], "");
    let expected = Trap::Shadowed { file_name: "ib_core.ko".to_owned(), by: "ib-core.ko".to_owned() };
    assert_eq!(report.traps, [expected]);
    assert_eq!(loaded(&report), ["ib_core"]);
    let cm = report.attempt(&ModuleName::new("ib_cm")).unwrap();
    assert!(matches!(&cm.outcome, Outcome::Asked(result) if matches!(result.verdict, Verdict::Refused(_))), "{cm:?}");
}

#[test]
fn an_alias_names_its_module() {
    let mut modules = infiniband();
    modules[2].1.modinfo.aliases = vec!["rtnl-link-ipoib".to_owned()];
    let report = run(&modules, &[], &[("30-ib", "rtnl_link_ipoib\n")], "");
    assert_eq!(loaded(&report), ["ib_core", "ib_cm", "ib_ipoib"]);
}

#[test]
fn dependencies_in_a_circle_load_nothing_and_end() {
    let modules = [("a.ko", module(Some(&["b"]), &[], &[])), ("b.ko", module(Some(&["a"]), &[], &[]))];
    let report = run(&modules, &[], &[("10-a", "a\n")], "");
    assert_eq!(loaded(&report), [""; 0]);
    assert_eq!(report.attempts.len(), 2);
}

#[test]
fn names_are_ordered_as_the_loader_orders_them() {
    assert_eq!(loader_order("ib-core", "ib_core"), Ordering::Equal);
    assert_eq!(loader_order("ib_a", "ib-b"), Ordering::Less);
    assert_eq!(loader_order("nvme-rdma", "nvmet"), Ordering::Less);
    assert_eq!(loader_order("nvme_rdma", "nvmet"), Ordering::Less);
    assert_eq!(loader_order("nvme", "nvme_rdma"), Ordering::Less);
}
