//! The modules as a set: are those that matter there, and does everything they depend on come with them?

use std::collections::{BTreeMap, BTreeSet};

use super::causes::symbol_table;
use super::{fail, judge, listing, number, skip, with_system};
use crate::kernel::ModuleName;
use crate::openwrt::{InstalledModule, ModuleDirectory, System};
use crate::plan::Severity;
use crate::verify::{Check, Evidence, Outcome};

/// Drivers that make an RDMA device of an adapter (or of a network device), by module name.
pub(super) const PROVIDERS: &[&str] = &[
    "mlx4_ib",
    "mlx5_ib",
    "ib_mthca",
    "rdma_rxe",
    "siw",
    "ib_qib",
    "hfi1",
    "iw_cxgb4",
    "ocrdma",
    "qedr",
    "bnxt_re",
    "irdma",
    "hns_roce_hw_v2",
    "vmw_pvrdma",
    "usnic_verbs",
    "efa",
    "erdma",
    "mana_ib",
];

/// The module directory that the kernel uses: the one named by its release, else the only one.
pub(super) fn directory<'a>(evidence: &Evidence<'_>, system: &'a System) -> Option<&'a ModuleDirectory> {
    let directories = &system.module_directories;
    let named = evidence.kernel_release.as_ref().ok();
    let named = named.and_then(|release| directories.iter().find(|directory| directory.release == *release));
    match (named, directories.as_slice()) {
        (Some(named), _) => Some(named),
        (None, [only]) => Some(only),
        _ => None,
    }
}

/// Judges the module directory that the kernel uses.
pub(super) fn with_directory(
    evidence: &Evidence<'_>,
    check: impl FnOnce(&System, &ModuleDirectory) -> Outcome,
) -> Outcome {
    with_system(evidence, |system| match directory(evidence, system) {
        Some(directory) => check(system, directory),
        None => skip("there is no module directory for this kernel"),
    })
}

/// Modules that are part of the kernel: by modules.builtin, and by what the kernel exports.
pub(super) fn built_in(evidence: &Evidence<'_>, directory: &ModuleDirectory) -> BTreeSet<ModuleName> {
    let mut names: BTreeSet<ModuleName> = directory.builtin.iter().cloned().collect();
    if let (Some(kernel), Some(table)) = (evidence.kernel(), symbol_table()) {
        let modules = table.built_into(kernel).into_iter().flat_map(|entry| &entry.modules);
        names.extend(modules.map(|name| ModuleName::new(name)));
    }
    names
}

/// The module `name` of `directory`.
pub(super) fn find<'a>(directory: &'a ModuleDirectory, name: &ModuleName) -> Option<&'a InstalledModule> {
    directory.modules.iter().find(|module| module.name == *name)
}

/// What `module` says it depends on; nothing where it cannot be read.
pub(super) fn depends(module: &InstalledModule) -> &[ModuleName] {
    let modinfo = module.module.as_ref().ok().map(|module| &module.modinfo);
    modinfo.and_then(|modinfo| modinfo.depends.as_deref()).unwrap_or_default()
}

/// A dependency that no file of the directory provides.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Gap {
    /// Who needs it.
    pub(super) needed_by: ModuleName,
    /// What is missing.
    pub(super) missing: ModuleName,
}

/// Every module that loading `roots` pulls in (the present ones of `roots` included), and what is missing on the way.
pub(super) fn closure(
    directory: &ModuleDirectory,
    roots: impl IntoIterator<Item = ModuleName>,
) -> (BTreeSet<ModuleName>, BTreeSet<Gap>) {
    let mut by_name = BTreeMap::new();
    for module in &directory.modules {
        by_name.entry(&module.name).or_insert(module);
    }
    let mut reached = BTreeSet::new();
    let mut gaps = BTreeSet::new();
    let mut waiting: Vec<ModuleName> = roots.into_iter().collect();
    while let Some(name) = waiting.pop() {
        let Some(module) = by_name.get(&name) else { continue };
        if !reached.insert(name.clone()) {
            continue;
        }
        for dependency in depends(module) {
            match by_name.get(dependency) {
                Some(_) => waiting.push(dependency.clone()),
                None => drop(gaps.insert(Gap { needed_by: name.clone(), missing: dependency.clone() })),
            }
        }
    }
    (reached, gaps)
}

/// Whether the name alone tells that it is one of the InfiniBand stack.
fn by_name(name: &ModuleName) -> bool {
    let name = name.as_str();
    name.starts_with("ib_") || name.starts_with("rdma_") || PROVIDERS.contains(&name)
}

/// Modules of the InfiniBand stack: ib_core and what depends on it, directly or through others.
pub(super) fn infiniband(directory: &ModuleDirectory) -> BTreeSet<ModuleName> {
    let core = ModuleName::new("ib_core");
    let mut found: BTreeSet<ModuleName> =
        directory.modules.iter().map(|module| module.name.clone()).filter(by_name).collect();
    loop {
        let before = found.len();
        for module in &directory.modules {
            if depends(module).iter().any(|dependency| *dependency == core || found.contains(dependency)) {
                found.insert(module.name.clone());
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

pub(super) const MODULES_PRESENT: Check = Check {
    id: "modules-present",
    severity: Severity::Error,
    claim: "The InfiniBand modules that are needed are in the image.",
    remedy: "Put them in: `ibwrt patch IMAGE --modules <folder of your OpenWrt build> --overlay connectx3 --overlay ipoib \
             -o OUT`. `ibwrt overlays` lists the adapters and features there are.",
    run: modules_present,
};

fn modules_present(evidence: &Evidence<'_>) -> Outcome {
    with_directory(evidence, |_, directory| {
        let built_in = built_in(evidence, directory);
        match evidence.expectations.modules.as_slice() {
            [] => any_infiniband(directory, &built_in),
            expected => all_expected(directory, &built_in, expected),
        }
    })
}

/// Without an overlay to hold it against: is there InfiniBand support of any kind?
fn any_infiniband(directory: &ModuleDirectory, built_in: &BTreeSet<ModuleName>) -> Outcome {
    let files = infiniband(directory);
    let inside: BTreeSet<ModuleName> = built_in.iter().filter(|name| by_name(name)).cloned().collect();
    let found: BTreeSet<ModuleName> = files.union(&inside).cloned().collect();
    if found.is_empty() {
        let ethernet: Vec<&str> = ["mlx4_core", "mlx5_core"]
            .into_iter()
            .filter(|name| find(directory, &ModuleName::new(name)).is_some())
            .collect();
        let hint = match ethernet.is_empty() {
            true => String::new(),
            false => format!("; {} alone runs such a card as Ethernet only", listing(&ethernet)),
        };
        return fail(format!(
            "no InfiniBand module is in the image: it has no InfiniBand support yet, and an InfiniBand adapter in this \
             machine would get no driver and no network interface (ib0){hint}"
        ));
    }
    let mut problems = Vec::new();
    if !found.contains(&ModuleName::new("ib_core")) {
        problems.push("ib_core, the InfiniBand core that every other InfiniBand module needs, is missing".to_owned());
    }
    if !PROVIDERS.iter().any(|name| found.contains(&ModuleName::new(name))) {
        problems.push(
            "no adapter driver is in the image (mlx4_ib for ConnectX-2/3, mlx5_ib for ConnectX-4 and later, ib_mthca \
             for InfiniHost)"
                .to_owned(),
        );
    }
    judge(problems, || {
        let names: Vec<&str> = files.iter().map(ModuleName::as_str).collect();
        let inside: Vec<&str> = inside.difference(&files).map(ModuleName::as_str).collect();
        let inside = match inside.as_slice() {
            [] => String::new(),
            names => format!("; built into the kernel: {}", listing(names)),
        };
        format!("{}: {}{inside}", number(names.len(), "InfiniBand module"), listing(&names))
    })
}

fn all_expected(directory: &ModuleDirectory, built_in: &BTreeSet<ModuleName>, expected: &[ModuleName]) -> Outcome {
    let absent = |name: &&ModuleName| find(directory, name).is_none() && !built_in.contains(name);
    let missing: Vec<&str> = expected.iter().filter(absent).map(ModuleName::as_str).collect();
    let mut problems: Vec<String> = Vec::new();
    if missing.len() == expected.len() && infiniband(directory).is_empty() {
        problems.push("no InfiniBand module is in the image: it has no InfiniBand support yet".to_owned());
    }
    if !missing.is_empty() {
        problems.push(format!("missing in /lib/modules/{}: {}", directory.release, listing(&missing)));
    }
    judge(problems, || {
        let names: Vec<&str> = expected.iter().map(ModuleName::as_str).collect();
        format!("all {} that the overlays ask for: {}", expected.len(), listing(&names))
    })
}

pub(super) const MODULE_CLOSURE: Check = Check {
    id: "module-closure",
    severity: Severity::Error,
    claim: "Every module that an InfiniBand module depends on is in the image as a file.",
    remedy: "Give `ibwrt patch` the modules of the same kernel build with --modules: it takes along what depends= names. \
             A dependency that is built into this kernel means that the modules are from a build with other options.",
    run: module_closure,
};

fn module_closure(evidence: &Evidence<'_>) -> Outcome {
    with_directory(evidence, |_, directory| {
        let mut roots = infiniband(directory);
        roots.extend(evidence.expectations.modules.iter().cloned());
        let (reached, gaps) = closure(directory, roots);
        if reached.is_empty() {
            return skip("there is no InfiniBand module whose dependencies could be followed");
        }
        let built_in = built_in(evidence, directory);
        let problems = gaps.iter().map(|gap| {
            let built_in = match built_in.contains(&gap.missing) {
                true => " (it is built into the kernel, which kmodloader does not count)",
                false => "",
            };
            format!(
                "{} needs {}, which is not in /lib/modules/{}{built_in}",
                gap.needed_by, gap.missing, directory.release
            )
        });
        judge(problems.collect(), || format!("{} with everything that they depend on", number(reached.len(), "module")))
    })
}

#[cfg(test)]
mod tests {
    use crate::kernel::ModuleName;
    use crate::verify::specimen::{Specimen, passed, problems, skipped};

    #[test]
    fn a_stock_image_is_told_in_a_newcomers_words() {
        let specimen = Specimen::stock();
        assert_eq!(
            problems(&specimen, "modules-present"),
            [
                "no InfiniBand module is in the image: it has no InfiniBand support yet, and an InfiniBand adapter in this \
              machine would get no driver and no network interface (ib0); mlx4_core alone runs such a card as Ethernet \
              only"
            ]
        );
        assert!(skipped(&specimen, "module-closure").starts_with("there is no InfiniBand module"));
    }

    #[test]
    fn a_missing_module_is_named() {
        let mut specimen = Specimen::patched();
        specimen.remove_module("ib_uverbs");
        assert_eq!(problems(&specimen, "modules-present"), ["missing in /lib/modules/6.6.106: ib_uverbs"]);
        assert_eq!(
            problems(&specimen, "module-closure"),
            ["mlx4_ib needs ib_uverbs, which is not in /lib/modules/6.6.106"]
        );
    }

    #[test]
    fn a_dependency_that_is_built_in_does_not_count() {
        let mut specimen = Specimen::patched();
        specimen.remove_module("ib_cm");
        specimen.expectations.modules.retain(|name| name.as_str() != "ib_cm");
        specimen.system.module_directories[0].builtin = vec![ModuleName::new("ib_cm")];
        assert_eq!(
            problems(&specimen, "module-closure"),
            [
                "ib_ipoib needs ib_cm, which is not in /lib/modules/6.6.106 (it is built into the kernel, which kmodloader \
              does not count)"
            ]
        );
    }

    #[test]
    fn without_overlays_an_adapter_driver_is_asked_for() {
        let mut specimen = Specimen::patched();
        specimen.expectations = Default::default();
        assert_eq!(
            passed(&specimen, "modules-present"),
            "5 InfiniBand modules: ib_cm, ib_core, ib_ipoib, ib_uverbs and mlx4_ib"
        );
        specimen.remove_module("mlx4_ib");
        assert!(problems(&specimen, "modules-present")[0].starts_with("no adapter driver is in the image"));
    }
}
