//! Graphs for tests: of made-up modules, and of the fixtures.

use super::{Facts, Graph, Scope, build};
use crate::kernel::test_module::fixtures;
use crate::kernel::{Export, KernelExports, LoadRules, ModInfo, Module, ModuleName, SymbolTable};
use crate::openwrt::{AutoloadFile, InstalledModule, ModuleFile, ModulesConf, Setup, simulate};

/// A file of the module directory.
pub(super) fn file(name: &str, module: Result<Module, String>) -> InstalledModule {
    InstalledModule {
        name: ModuleName::new(name),
        path: format!("/lib/modules/6.6.106/{name}.ko"),
        size: 2048,
        sha256: String::new(),
        module,
    }
}

/// A module that names `depends`, imports and exports.
pub(super) fn module(name: &str, depends: &[&str], imports: &[&str], exports: &[&str]) -> InstalledModule {
    let export = |name: &&str| Export { name: (*name).to_owned(), gpl_only: false, namespace: None, crc: None };
    let depends = Some(depends.iter().map(|name| ModuleName::new(name)).collect());
    let module = Module {
        modinfo: ModInfo { license: Some("GPL".to_owned()), depends, ..ModInfo::default() },
        has_modinfo: true,
        this_module_size: Some(1088),
        imports: imports.iter().map(ToString::to_string).collect(),
        exports: exports.iter().map(export).collect(),
        ..Module::default()
    };
    file(name, Ok(module))
}

fn autoload(files: &[(&str, &str)]) -> Vec<AutoloadFile> {
    files.iter().map(|(name, text)| AutoloadFile::regular(name, text.as_bytes())).collect()
}

/// The graph of `modules` (in byte order) over `kernel`, with these files in modules-boot.d and in modules.d.
pub(super) fn graph_over(
    kernel: &KernelExports,
    modules: &[InstalledModule],
    [boot, main]: [&[(&str, &str)]; 2],
    scope: Scope,
) -> Graph {
    let files: Vec<ModuleFile<'_>> = modules
        .iter()
        .map(|file| ModuleFile { file_name: file.file_name(), module: file.module.as_ref().map_err(String::as_str) })
        .collect();
    let setup =
        Setup { files: &files, boot: &autoload(boot), main: &autoload(main), modules_conf: &ModulesConf::default() };
    let report = simulate(kernel, &setup);
    let symbols = SymbolTable::built_in().unwrap();
    build(&Facts { kernel, modules, report: &report, symbols: &symbols }, scope)
}

/// The same over a kernel that exports `printk` only.
pub(super) fn graph(modules: &[InstalledModule], autoload: [&[(&str, &str)]; 2], scope: Scope) -> Graph {
    let printk = Export { name: "printk".to_owned(), gpl_only: false, namespace: None, crc: None };
    let kernel = KernelExports::of_exports(vec![printk], LoadRules::default());
    graph_over(&kernel, modules, autoload, scope)
}

/// The 23 fixture modules.
pub(super) fn fixture_modules() -> Vec<InstalledModule> {
    let module =
        |(name, bytes): (&String, &Vec<u8>)| file(name.strip_suffix(".ko").unwrap(), Ok(Module::parse(bytes).unwrap()));
    fixtures().iter().map(module).collect()
}

/// The kernel of the `ib` fixtures.
pub(super) fn fixture_kernel() -> KernelExports {
    let kernel = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/bzImage-with-ib"));
    KernelExports::read(kernel).unwrap()
}
