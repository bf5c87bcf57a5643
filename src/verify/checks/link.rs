//! Whether the kernel takes the modules that the boot asks it for: its own checks, in its own words.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::causes::{Missing, option, sentences};
use super::set::{closure, infiniband, with_directory};
use super::{judge, number, skip};
use crate::kernel::{KernelExports, ModuleName, Proof, Provider, Reason, Refusal};
use crate::openwrt::{Attempt, LoadReport, ModuleDirectory, Outcome as Answer, Trap};
use crate::plan::Severity;
use crate::verify::{Check, Evidence, Outcome};

/// What comes of the boot, where it is known and the module loader gets as far as asking the kernel.
pub(super) fn with_load(
    evidence: &Evidence<'_>,
    check: impl FnOnce(&KernelExports, &ModuleDirectory, &LoadReport) -> Outcome,
) -> Outcome {
    let (kernel, report) = match (evidence.kernel(), &evidence.load) {
        (Some(kernel), Ok(report)) => (kernel, report),
        (_, Err(reason)) => return skip(reason.clone()),
        (None, Ok(_)) => return skip("the kernel could not be read"),
    };
    let is_fatal = |trap: &Trap| matches!(trap, Trap::ScanAborts { .. } | Trap::ModulesConfCrashes { .. });
    if report.traps.iter().any(is_fatal) {
        return skip("kmodloader loads nothing at all in this image (see kmodloader-traps)");
    }
    with_directory(evidence, |_, directory| check(kernel, directory, report))
}

/// The last attempt on each module.
pub(super) fn last_attempts(report: &LoadReport) -> BTreeMap<&ModuleName, &Attempt> {
    report.attempts.iter().map(|attempt| (&attempt.name, attempt)).collect()
}

/// Why the kernel refuses modules, each with its name.
fn refusals<'a>(attempts: &BTreeMap<&'a ModuleName, &'a Attempt>) -> Vec<(&'a ModuleName, &'a Refusal)> {
    let refusals = attempts.iter().flat_map(|(name, attempt)| match &attempt.outcome {
        Answer::Asked(result) => result.refusals().iter().map(|refusal| (*name, refusal)).collect(),
        Answer::WaitsFor(_) => Vec::new(),
    });
    refusals.collect()
}

/// The modules that InfiniBand takes: the stack's own, those that are asked for, and all that these depend on.
fn concerned(evidence: &Evidence<'_>, directory: &ModuleDirectory) -> BTreeSet<ModuleName> {
    let mut roots = infiniband(directory);
    roots.extend(evidence.expectations.modules.iter().cloned());
    roots.extend(evidence.expectations.autoload.iter().map(|wish| wish.module.clone()));
    closure(directory, roots).0
}

/// Judges the modules that InfiniBand takes and that the boot selects.
fn with_concerned(
    evidence: &Evidence<'_>,
    check: impl FnOnce(&KernelExports, &ModuleDirectory, &BTreeMap<&ModuleName, &Attempt>) -> Outcome,
) -> Outcome {
    with_load(evidence, |kernel, directory, report| {
        let concerned = concerned(evidence, directory);
        let mut attempts = last_attempts(report);
        attempts.retain(|name, _| concerned.contains(name));
        match attempts.is_empty() {
            true => skip("the boot loads no module for InfiniBand"),
            false => check(kernel, directory, &attempts),
        }
    })
}

/// Fails with what the kernel says where `matters`; passes with `detail` over the number of modules it was asked for.
fn judge_refusals(
    evidence: &Evidence<'_>,
    matters: impl Fn(&Reason) -> bool,
    detail: impl FnOnce(&KernelExports, usize) -> String,
) -> Outcome {
    with_concerned(evidence, |kernel, _, attempts| {
        let problems = refusals(attempts).into_iter().filter(|(_, refusal)| matters(&refusal.reason));
        let problems = problems.map(|(name, refusal)| said(name, refusal)).collect();
        judge(problems, || detail(kernel, asked(attempts)))
    })
}

/// What the kernel says of the modules that it refuses where `matters`; nothing where the boot is not known.
pub(super) fn refused(evidence: &Evidence<'_>, matters: impl Fn(&Reason) -> bool) -> Vec<String> {
    let attempts = evidence.load.as_ref().map(last_attempts).unwrap_or_default();
    let refusals = refusals(&attempts).into_iter();
    refusals.filter(|(_, refusal)| matters(&refusal.reason)).map(|(name, refusal)| said(name, refusal)).collect()
}

/// How many modules the kernel is asked for.
fn asked(attempts: &BTreeMap<&ModuleName, &Attempt>) -> usize {
    attempts.values().filter(|attempt| matches!(attempt.outcome, Answer::Asked(_))).count()
}

/// The kernel's words on a refusal, with what they leave out.
fn said(name: &ModuleName, refusal: &Refusal) -> String {
    let message = match refusal.messages.first() {
        Some(message) => message.clone(),
        None => format!("{name}: refused without a word"),
    };
    match &refusal.reason {
        Reason::GplOnly { owner, licence, .. } => {
            let licence = licence.as_deref().unwrap_or("none");
            format!("{message}: {owner} offers it to GPL-compatible modules only; the licence of {name} is {licence:?}")
        }
        Reason::StructModuleSize { size, expected, .. } => {
            format!("{name} has struct module of size {size}, the kernel {expected}: {message}")
        }
        Reason::NoVermagic => format!("{message}: it has no vermagic, and this kernel insists on one"),
        Reason::NoVersions => format!("{message}: it holds no checksums, and this kernel compares them (MODVERSIONS)"),
        Reason::Version { owner, .. } => format!("{message}, which {owner} exports"),
        _ => message,
    }
}

/// The check that tells of refusals of this sort.
pub(super) fn check_of(reason: &Reason) -> &'static str {
    match reason {
        Reason::UnknownSymbol { .. } => SYMBOLS_RESOLVE.id,
        Reason::GplOnly { .. } | Reason::ProprietaryProvider { .. } => GPL_ONLY.id,
        Reason::Namespace { .. } => NAMESPACES.id,
        Reason::Version { .. } | Reason::ModuleLayout | Reason::NoVersions => CRC.id,
        Reason::DuplicateExport { .. } => DUPLICATE_EXPORTS.id,
        Reason::Vermagic { .. } | Reason::NoVermagic => "vermagic",
        Reason::NoThisModule { .. } | Reason::StructModuleSize { .. } => "struct-module",
        Reason::NotAModule { .. } => "kmodloader-traps",
    }
}

pub(super) const SYMBOLS_RESOLVE: Check = Check {
    id: "symbols-resolve",
    severity: Severity::Error,
    claim: "Every symbol that the modules loaded at boot import is exported, by the kernel or by a module loaded before.",
    remedy: "Build the image with CONFIG_INFINIBAND=m and take kernel and modules from that build; or keep this image and \
             put that build's kernel in: `ibwrt patch IMAGE --kernel BZIMAGE …`.",
    run: symbols_resolve,
};

fn symbols_resolve(evidence: &Evidence<'_>) -> Outcome {
    with_concerned(evidence, |kernel, directory, attempts| {
        let missing = missing(kernel, directory, attempts);
        judge(sentences(&missing), || {
            let exports = number(kernel.exports().len(), "export");
            let proof = match kernel.proof {
                Proof::Sections => "",
                Proof::Weaker => {
                    "; the kernel's section headers are gone and its export tables were found by their looks, so this \
                     proof is weaker"
                }
            };
            format!("{} linked against the kernel's {exports}{proof}", number(asked(attempts), "module"))
        })
    })
}

/// Symbols that nothing exports, by the module that needs them. A missing one whose exporter is refused or comes too
/// late is the exporter's matter, or that of `load-order`.
fn missing<'a>(
    kernel: &KernelExports,
    directory: &'a ModuleDirectory,
    attempts: &BTreeMap<&'a ModuleName, &'a Attempt>,
) -> Missing<'a> {
    let mut missing = Missing::new();
    for (name, refusal) in refusals(attempts) {
        missing.entry(name).or_default().extend(unknown_to_all(refusal));
    }
    let told: HashSet<_> = missing.values().flatten().filter_map(|symbol| option(symbol)).collect();
    let modules =
        || directory.modules.iter().filter_map(|installed| Some((installed, installed.module.as_ref().ok()?)));
    let exports: HashSet<&str> =
        modules().flat_map(|(_, module)| &module.exports).map(|export| export.name.as_str()).collect();
    for (installed, module) in modules() {
        let waits = |attempt: &&Attempt| matches!(attempt.outcome, Answer::WaitsFor(_));
        if attempts.get(&installed.name).copied().filter(waits).is_none() {
            continue;
        }
        // The kernel is never asked for it, but would say the same once it is. Of a cause told already no more is said.
        let imports = module.imports.iter().map(String::as_str);
        let unknown = imports.filter(|symbol| kernel.export(symbol).is_none() && !exports.contains(symbol));
        let news = unknown.filter(|symbol| option(symbol).is_none_or(|option| !told.contains(option)));
        missing.entry(&installed.name).or_default().extend(news);
    }
    missing
}

fn unknown_to_all(refusal: &Refusal) -> Option<&str> {
    match &refusal.reason {
        Reason::UnknownSymbol { symbol, provider: Provider::Nobody } => Some(symbol),
        _ => None,
    }
}

pub(super) const GPL_ONLY: Check = Check {
    id: "gpl-only",
    severity: Severity::Error,
    claim: "No module uses a GPL-only symbol without a GPL-compatible licence.",
    remedy: "Take modules that are built from the kernel's own sources; all of its InfiniBand modules are under a \
             GPL-compatible licence.",
    run: gpl_only,
};

fn gpl_only(evidence: &Evidence<'_>) -> Outcome {
    let matters = |reason: &Reason| matches!(reason, Reason::GplOnly { .. } | Reason::ProprietaryProvider { .. });
    judge_refusals(evidence, matters, |_, asked| format!("{} may use what they use", number(asked, "module")))
}

pub(super) const NAMESPACES: Check = Check {
    id: "namespaces",
    severity: Severity::Error,
    claim: "Every module imports the namespaces of the symbols that it uses.",
    remedy: "Take the module from the build that made this image's kernel: in another release the symbol is in another \
             namespace.",
    run: namespaces,
};

fn namespaces(evidence: &Evidence<'_>) -> Outcome {
    let matters = |reason: &Reason| matches!(reason, Reason::Namespace { .. });
    judge_refusals(evidence, matters, |kernel, _| {
        let spaces: BTreeSet<_> = kernel.exports().iter().filter_map(|export| export.namespace.as_ref()).collect();
        match spaces.len() {
            0 => "the kernel's exports are in no namespace".to_owned(),
            count => format!("the kernel exports from {}", number(count, "namespace")),
        }
    })
}

pub(super) const CRC: Check = Check {
    id: "crc",
    severity: Severity::Error,
    claim: "The checksums of imported symbols are those of the kernel (MODVERSIONS).",
    remedy: "The modules were built against other types than this kernel's: take both from one build.",
    run: crc,
};

fn crc(evidence: &Evidence<'_>) -> Outcome {
    if evidence.kernel().is_some_and(|kernel| kernel.proof == Proof::Weaker) {
        return skip("the kernel's section headers are gone, and with them its checksums");
    }
    if evidence.kernel().is_some_and(|kernel| !kernel.modversions) {
        return skip("this kernel has no checksums to compare (CONFIG_MODVERSIONS is off, as OpenWrt has it)");
    }
    let matters =
        |reason: &Reason| matches!(reason, Reason::Version { .. } | Reason::ModuleLayout | Reason::NoVersions);
    judge_refusals(evidence, matters, |_, asked| format!("{} agree with the kernel", number(asked, "module")))
}

pub(super) const DUPLICATE_EXPORTS: Check = Check {
    id: "duplicate-exports",
    severity: Severity::Error,
    claim: "No module exports what the kernel or a module loaded before exports; the kernel refuses the second.",
    remedy: "Remove one of the two, and take the modules from the build that made this image's kernel: what is a module in \
             one build may be built in in another.",
    run: duplicate_exports,
};

fn duplicate_exports(evidence: &Evidence<'_>) -> Outcome {
    let matters = |reason: &Reason| matches!(reason, Reason::DuplicateExport { .. });
    judge_refusals(evidence, matters, |_, asked| format!("none among {}", number(asked, "module")))
}

pub(super) const OTHER_MODULES: Check = Check {
    id: "other-modules",
    severity: Severity::Warning,
    claim: "The kernel takes the modules that have nothing to do with InfiniBand as well.",
    remedy: "InfiniBand does without them, but the rest of the system may not: take kernel and modules from one build.",
    run: other_modules,
};

fn other_modules(evidence: &Evidence<'_>) -> Outcome {
    with_load(evidence, |_, directory, report| {
        let concerned = concerned(evidence, directory);
        let mut attempts = last_attempts(report);
        attempts.retain(|name, _| !concerned.contains(name));
        if attempts.is_empty() {
            return skip("the boot loads no other module");
        }
        let mut problems: BTreeMap<&ModuleName, Vec<&str>> = BTreeMap::new();
        for (name, refusal) in refusals(&attempts) {
            let message = refusal.messages.first().map_or("refused without a word", String::as_str);
            problems.entry(name).or_default().push(message);
        }
        let problems = problems.iter().filter_map(|(name, messages)| match messages.split_first()? {
            (only, []) => Some(format!("{name} is refused: {only}")),
            (first, more) => Some(format!("{name} is refused: {first}, and {} like it", number(more.len(), "message"))),
        });
        judge(problems.collect(), || format!("{} loaded", number(asked(&attempts), "other module")))
    })
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
