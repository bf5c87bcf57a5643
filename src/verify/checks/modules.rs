//! The module files one by one: where they lie, what they are, and whether they are of one build.

use std::collections::BTreeMap;

use super::link::refused;
use super::set::with_directory;
use super::{fail, judge, listing, number, skip};
use crate::kernel::{Module, ModuleName, Reason};
use crate::openwrt::{InstalledModule, ModuleDirectory};
use crate::plan::Severity;
use crate::verify::{Check, Evidence, Outcome};

pub(super) const MODULES_FLAT: Check = Check {
    id: "modules-flat",
    severity: Severity::Error,
    claim: "All modules lie directly in the module directory; kmodloader does not look into folders.",
    remedy: "Move them up into /lib/modules/<release>/, or let `ibwrt patch` put them in.",
    run: modules_flat,
};

fn modules_flat(evidence: &Evidence<'_>) -> Outcome {
    with_directory(evidence, |_, directory| {
        let nested = directory.unseen.iter().filter(|path| !is_compressed(path));
        let problems =
            nested.map(|path| format!("{path} lies in a folder, where kmodloader does not see it")).collect();
        judge(problems, || {
            format!("{} in /lib/modules/{}", number(directory.modules.len(), "module"), directory.release)
        })
    })
}

pub(super) const MODULES_UNCOMPRESSED: Check = Check {
    id: "modules-uncompressed",
    severity: Severity::Error,
    claim: "No module is compressed; kmodloader ignores .ko.gz, .ko.xz and .ko.zst.",
    remedy: "Decompress them, or let `ibwrt patch --modules` do it.",
    run: modules_uncompressed,
};

fn modules_uncompressed(evidence: &Evidence<'_>) -> Outcome {
    with_directory(evidence, |_, directory| {
        let compressed = directory.unseen.iter().filter(|path| is_compressed(path));
        let problems = compressed.map(|path| format!("{path} is compressed, and so ignored")).collect();
        judge(problems, || "no compressed module".to_owned())
    })
}

fn is_compressed(path: &str) -> bool {
    !path.ends_with(".ko")
}

fn readable(directory: &ModuleDirectory) -> impl Iterator<Item = (&InstalledModule, &Module)> {
    directory.modules.iter().filter_map(|installed| Some((installed, installed.module.as_ref().ok()?)))
}

pub(super) const MODULE_DUPLICATES: Check = Check {
    id: "module-duplicates",
    severity: Severity::Warning,
    claim: "No two files stand for the same module (`-` and `_` are equal); kmodloader takes the first and ignores the rest.",
    remedy: "Remove the one that is not meant.",
    run: module_duplicates,
};

fn module_duplicates(evidence: &Evidence<'_>) -> Outcome {
    with_directory(evidence, |_, directory| {
        let mut by_name: BTreeMap<&ModuleName, Vec<&str>> = BTreeMap::new();
        for module in &directory.modules {
            by_name.entry(&module.name).or_default().push(&module.path);
        }
        let several = by_name.iter().filter(|(_, paths)| paths.len() > 1);
        let problems = several.map(|(name, paths)| format!("{name} is there as {}", listing(paths))).collect();
        judge(problems, || format!("{}, all different", number(by_name.len(), "name")))
    })
}

pub(super) const VERMAGIC: Check = Check {
    id: "vermagic",
    severity: Severity::Error,
    claim: "All modules carry the same vermagic, and it begins with the kernel's release.",
    remedy: "OpenWrt's kernel does not compare vermagic itself, so a module of another build may crash it: take all \
             modules from the build that made this image's kernel.",
    run: vermagic,
};

fn vermagic(evidence: &Evidence<'_>) -> Outcome {
    with_directory(evidence, |_, directory| {
        let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (installed, module) in readable(directory) {
            // OpenWrt may drop the string (CONFIG_MODULE_STRIPPED): its absence is legal.
            if let Some(vermagic) = module.modinfo.vermagic.as_deref() {
                groups.entry(vermagic.trim_end()).or_default().push(installed.name.as_str());
            }
        }
        let refused = || refused(evidence, |reason| matches!(reason, Reason::Vermagic { .. } | Reason::NoVermagic));
        let Some((common, members)) = largest(&groups) else {
            let problems = refused();
            return match problems.as_slice() {
                [] => skip("no module says for which kernel it was built"),
                _ => judge(problems, String::new),
            };
        };
        let mut problems = odd_ones(&groups, common, members.len(), "vermagic");
        if common.split(' ').next() != Some(directory.release.as_str()) {
            problems.push(format!(
                "the modules were built for `{common}`, but their directory is for {}",
                directory.release
            ));
        }
        if let Some(expected) = evidence.kernel().and_then(|kernel| kernel.rules.vermagic.as_deref()) {
            // A comparison with checksums leaves the release out (same_magic); otherwise the strings are equal.
            let fits = |vermagic: &&str| *vermagic == expected.trim_end();
            let modversions = evidence.kernel().is_some_and(|kernel| kernel.modversions);
            if !modversions && !groups.keys().any(fits) {
                problems.push(format!("this kernel compares vermagic, and takes `{}` only", expected.trim_end()));
            }
        }
        if problems.is_empty() {
            problems = refused();
        }
        judge(problems, || format!("`{common}` in {}", number(members.len(), "module")))
    })
}

/// The group with the most members; the first of equals.
fn largest<'a, K: Ord + Copy>(groups: &'a BTreeMap<K, Vec<&'a str>>) -> Option<(K, &'a [&'a str])> {
    let mut best: Option<(K, &[&str])> = None;
    for (key, members) in groups {
        if best.is_none_or(|(_, most)| members.len() > most.len()) {
            best = Some((*key, members));
        }
    }
    best
}

/// One sentence per group that is not the common one.
fn odd_ones<K: Ord + Copy + std::fmt::Display>(
    groups: &BTreeMap<K, Vec<&str>>,
    common: K,
    count: usize,
    what: &str,
) -> Vec<String> {
    let odd = groups.iter().filter(|(key, _)| **key != common);
    odd.map(|(key, names)| {
        let have = if names.len() == 1 { "has" } else { "have" };
        format!("{} {have} {what} `{key}`; {} `{common}`", brief(names), others(count))
    })
    .collect()
}

fn others(count: usize) -> String {
    match count {
        1 => "1 other has".to_owned(),
        _ => format!("{count} others have"),
    }
}

/// The names, from the seventh on as a number.
fn brief(names: &[&str]) -> String {
    match names.get(..6) {
        Some(first) if names.len() > 7 => format!("{} and {} more", first.join(", "), names.len() - 6),
        _ => listing(names),
    }
}

pub(super) const STRUCT_MODULE: Check = Check {
    id: "struct-module",
    severity: Severity::Error,
    claim: "struct module has the kernel's size in all modules; the kernel refuses one of another size.",
    remedy: "The odd modules come from a kernel with other options: take all from the build that made this image's kernel.",
    run: struct_module,
};

fn struct_module(evidence: &Evidence<'_>) -> Outcome {
    with_directory(evidence, |_, directory| {
        let mut groups: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
        let mut problems = Vec::new();
        for (installed, module) in readable(directory) {
            match module.this_module_size {
                Some(size) => groups.entry(size).or_default().push(installed.name.as_str()),
                None => problems.push(format!("{} has no .gnu.linkonce.this_module", installed.path)),
            }
        }
        let own = evidence.kernel().and_then(|kernel| kernel.rules.struct_module_size);
        if let Some(own) = own {
            problems.extend(groups.iter().filter(|(size, _)| **size != own).map(|(size, names)| {
                let have = if names.len() == 1 { "has" } else { "have" };
                format!("{} {have} struct module of {size} bytes; the kernel takes {own} only", brief(names))
            }));
            let fitting = groups.get(&own).map_or(0, Vec::len);
            return judge(problems, || format!("{own} bytes in the kernel and in {}", number(fitting, "module")));
        }
        match largest(&groups) {
            Some((common, members)) => {
                problems.extend(odd_ones(&groups, common, members.len(), "struct module of size"));
                judge(problems, || {
                    format!(
                        "{common} bytes in {}; the kernel's own size cannot be told",
                        number(members.len(), "module")
                    )
                })
            }
            None if problems.is_empty() => fail("there is no module to compare with"),
            None => judge(problems, String::new),
        }
    })
}

#[cfg(test)]
mod tests {
    use crate::kernel::LoadRules;
    use crate::verify::specimen::{Specimen, passed, problems};

    #[test]
    fn a_module_in_a_folder_is_not_seen() {
        let mut specimen = Specimen::patched();
        specimen.system.module_directories[0].unseen = vec!["/lib/modules/6.6.106/extra/ib_srp.ko".into()];
        assert_eq!(
            problems(&specimen, "modules-flat"),
            ["/lib/modules/6.6.106/extra/ib_srp.ko lies in a folder, where kmodloader does not see it"]
        );
        passed(&specimen, "modules-uncompressed");
    }

    #[test]
    fn a_compressed_module_is_ignored() {
        let mut specimen = Specimen::patched();
        specimen.system.module_directories[0].unseen = vec!["/lib/modules/6.6.106/ib_srp.ko.xz".into()];
        assert_eq!(
            problems(&specimen, "modules-uncompressed"),
            ["/lib/modules/6.6.106/ib_srp.ko.xz is compressed, and so ignored"]
        );
        passed(&specimen, "modules-flat");
    }

    #[test]
    fn an_empty_module_is_an_error() {
        let mut specimen = Specimen::patched();
        specimen.module("ib_cm").size = 0;
        assert_eq!(problems(&specimen, "kmodloader-traps"), ["/lib/modules/6.6.106/ib_cm.ko is empty"]);
    }

    #[test]
    fn a_file_that_is_no_module_says_why() {
        let mut specimen = Specimen::patched();
        specimen.module("ib_cm").module = Err("no ELF file".into());
        assert_eq!(problems(&specimen, "kmodloader-traps"), ["/lib/modules/6.6.106/ib_cm.ko: no ELF file"]);
    }

    #[test]
    fn a_module_without_depends_would_crash_the_loader() {
        let mut specimen = Specimen::patched();
        specimen.parsed("ib_cm").modinfo.depends = None;
        assert_eq!(problems(&specimen, "kmodloader-traps"), ["/lib/modules/6.6.106/ib_cm.ko has no depends="]);
    }

    #[test]
    fn a_module_without_modinfo_stops_the_loader() {
        let mut specimen = Specimen::patched();
        specimen.parsed("ib_cm").has_modinfo = false;
        assert_eq!(problems(&specimen, "kmodloader-traps"), ["/lib/modules/6.6.106/ib_cm.ko has no .modinfo section"]);
    }

    #[test]
    fn dash_and_underscore_make_a_duplicate() {
        let mut specimen = Specimen::patched();
        let mut copy = specimen.module("ib_cm").clone();
        copy.path = "/lib/modules/6.6.106/ib-cm.ko".into();
        specimen.system.module_directories[0].modules.insert(0, copy);
        assert_eq!(
            problems(&specimen, "module-duplicates"),
            ["ib_cm is there as /lib/modules/6.6.106/ib-cm.ko and /lib/modules/6.6.106/ib_cm.ko"]
        );
    }

    #[test]
    fn a_module_of_another_build_is_named() {
        let mut specimen = Specimen::patched();
        specimen.parsed("mlx4_ib").modinfo.vermagic = Some("6.6.93 SMP mod_unload ".into());
        assert_eq!(
            problems(&specimen, "vermagic"),
            ["mlx4_ib has vermagic `6.6.93 SMP mod_unload`; 6 others have `6.6.106 SMP mod_unload`"]
        );
    }

    #[test]
    fn a_vermagic_that_is_absent_is_legal() {
        let mut specimen = Specimen::patched();
        specimen.parsed("mlx4_ib").modinfo.vermagic = None;
        assert_eq!(passed(&specimen, "vermagic"), "`6.6.106 SMP mod_unload` in 6 modules");
    }

    #[test]
    fn a_release_that_only_begins_alike_is_another() {
        let mut specimen = Specimen::patched();
        for name in ["e1000", "ib_cm", "ib_core", "ib_ipoib", "ib_uverbs", "mlx4_core", "mlx4_ib"] {
            specimen.parsed(name).modinfo.vermagic = Some("6.6.1061 SMP mod_unload ".into());
        }
        assert_eq!(
            problems(&specimen, "vermagic"),
            ["the modules were built for `6.6.1061 SMP mod_unload`, but their directory is for 6.6.106"]
        );
    }

    #[test]
    fn a_struct_module_of_another_size_is_named() {
        let mut specimen = Specimen::patched();
        specimen.parsed("mlx4_ib").this_module_size = Some(1216);
        assert_eq!(
            problems(&specimen, "struct-module"),
            ["mlx4_ib has struct module of 1216 bytes; the kernel takes 1280 only"]
        );
        specimen.kernel.as_mut().unwrap().rules = LoadRules::default();
        assert_eq!(
            problems(&specimen, "struct-module"),
            ["mlx4_ib has struct module of size `1216`; 6 others have `1280`"]
        );
    }

    #[test]
    fn a_module_without_this_module_is_named() {
        let mut specimen = Specimen::patched();
        specimen.parsed("mlx4_ib").this_module_size = None;
        assert_eq!(
            problems(&specimen, "struct-module"),
            ["/lib/modules/6.6.106/mlx4_ib.ko has no .gnu.linkonce.this_module"]
        );
    }
}
