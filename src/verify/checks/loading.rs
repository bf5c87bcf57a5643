//! What the simulated boot loads: the module loader's own traps, and what becomes of the modules that matter.

use std::collections::{BTreeMap, BTreeSet};

use super::autoload::{line_traps, must_be_named};
use super::link::{check_of, last_attempts, with_load};
use super::set::{directory, find, infiniband};
use super::{judge, listing, number, skip, with_system};
use crate::kernel::{ModuleName, Provider, Reason};
use crate::openwrt::{
    Attempt, InstalledModule, LoadReport, ModuleDirectory, ModulesConf, Outcome as Answer, System, Trap,
};
use crate::plan::Severity;
use crate::verify::{Check, Evidence, Outcome};

pub(super) const KMODLOADER_TRAPS: Check = Check {
    id: "kmodloader-traps",
    severity: Severity::Error,
    claim: "Nothing makes kmodloader stop or overlook a line: every .ko file is a module with .modinfo and depends=, \
            entries are in the form it accepts, and /etc/modules.conf is complete.",
    remedy: "Remove or replace these files and lines: at the first bad .ko file, and at a bad line in modules.conf, the \
             loader ends and the system comes up without any module, network cards included. An entry is a name, one \
             blank and parameters.",
    run: kmodloader_traps,
};

fn kmodloader_traps(evidence: &Evidence<'_>) -> Outcome {
    with_system(evidence, |system| {
        let modules = directory(evidence, system).map_or(&[][..], |directory| &directory.modules);
        let conf = system.modules_conf_entries();
        let mut problems: Vec<String> = modules.iter().filter_map(file_trap).collect();
        problems.extend(line_traps(system));
        problems.extend(conf.traps.iter().map(|(line, trap)| format!("/etc/modules.conf line {line}: {trap}")));
        judge(problems, || clean(modules.len(), system, &conf))
    })
}

fn file_trap(installed: &InstalledModule) -> Option<String> {
    let path = &installed.path;
    match &installed.module {
        _ if installed.size == 0 => Some(format!("{path} is empty")),
        Err(reason) => Some(format!("{path}: {reason}")),
        Ok(module) if !module.has_modinfo => Some(format!("{path} has no .modinfo section")),
        Ok(module) if module.modinfo.depends.is_none() => Some(format!("{path} has no depends=")),
        Ok(_) => None,
    }
}

fn clean(modules: usize, system: &System, conf: &ModulesConf) -> String {
    let files = system.autoload.len().saturating_add(system.boot_autoload.len());
    let conf = match conf.entries.len() {
        0 => String::new(),
        lines => format!(" and {} in /etc/modules.conf", number(lines, "line")),
    };
    format!("{}, {}{conf} are in order", number(modules, "module"), number(files, "autoload file"))
}

pub(super) const LOAD_ORDER: Check = Check {
    id: "load-order",
    severity: Severity::Error,
    claim: "The boot, played through as kmodloader does it, ends with every module loaded that is needed.",
    remedy: "Settle what other checks say of these modules first. Where only the order is wrong, name the provider on an \
             earlier line of /etc/modules.d, or let `ibwrt patch` write the entries.",
    run: load_order,
};

fn load_order(evidence: &Evidence<'_>) -> Outcome {
    with_load(evidence, |_, directory, report| {
        let present = |name: &ModuleName| find(directory, name).is_some();
        let needed: BTreeSet<ModuleName> = needed(evidence, directory).into_iter().filter(present).collect();
        if needed.is_empty() {
            return skip("there is no InfiniBand module to be loaded");
        }
        let boot = Boot { attempts: last_attempts(report), loaded: loaded(report), directory, report };
        let mut reasons: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for name in needed.iter().filter(|name| !boot.loaded.contains(name)) {
            reasons.entry(boot.why_not(name)).or_default().push(name.as_str());
        }
        let problems = reasons.iter().map(|(reason, names)| {
            let are = if names.len() == 1 { "is" } else { "are" };
            format!("{} {are} not loaded: {reason}", listing(names))
        });
        judge(problems.collect(), || {
            let order = report.attempts.iter().map(|attempt| &attempt.name).filter(|name| needed.contains(name));
            let order: Vec<&str> = order.map(ModuleName::as_str).collect();
            format!("loaded in this order: {}", order.join(", "))
        })
    })
}

/// The modules that must be loaded in the end.
fn needed(evidence: &Evidence<'_>, directory: &ModuleDirectory) -> BTreeSet<ModuleName> {
    let expectations = &evidence.expectations;
    let wished = expectations.autoload.iter().map(|wish| wish.module.clone());
    match expectations.modules.as_slice() {
        [] => must_be_named(directory).into_iter().chain(wished).collect(),
        expected => expected.iter().cloned().chain(wished).collect(),
    }
}

fn loaded(report: &LoadReport) -> BTreeSet<&ModuleName> {
    let is_loaded = |attempt: &&Attempt| matches!(&attempt.outcome, Answer::Asked(result) if result.is_loaded());
    report.attempts.iter().filter(is_loaded).map(|attempt| &attempt.name).collect()
}

/// How the boot ended.
struct Boot<'a> {
    attempts: BTreeMap<&'a ModuleName, &'a Attempt>,
    loaded: BTreeSet<&'a ModuleName>,
    directory: &'a ModuleDirectory,
    report: &'a LoadReport,
}

impl Boot<'_> {
    /// Why `name` is not loaded, a clause.
    fn why_not(&self, name: &ModuleName) -> String {
        match self.attempts.get(name).map(|attempt| &attempt.outcome) {
            None => self.why_never_selected(),
            Some(Answer::Asked(result)) => {
                let first = result.refusals().first().map_or("symbols-resolve", |refusal| check_of(&refusal.reason));
                let late = result.refusals().iter().find_map(|refusal| late(&refusal.reason));
                late.unwrap_or_else(|| format!("the kernel refuses it (see {first})"))
            }
            Some(Answer::WaitsFor(names)) => self.waits_for(names),
        }
    }

    fn why_never_selected(&self) -> String {
        let crash = self.report.traps.iter().find_map(|trap| match trap {
            Trap::NoDepends { name, .. } => Some(format!("kmodloader crashes at {name} before (see kmodloader-traps)")),
            _ => None,
        });
        crash.unwrap_or_else(|| "no autoload entry that kmodloader acts upon and no dependency asks for it".to_owned())
    }

    /// What a module that depends on `names` waits for in the end.
    fn waits_for(&self, names: &[ModuleName]) -> String {
        let mut seen = BTreeSet::new();
        let mut waiting: Vec<&ModuleName> = names.iter().rev().collect();
        while let Some(name) = waiting.pop() {
            if !seen.insert(name) {
                continue;
            }
            if find(self.directory, name).is_none() {
                return format!("waiting for {name}, which has no file in /lib/modules/{}", self.directory.release);
            }
            match self.attempts.get(name).map(|attempt| &attempt.outcome) {
                Some(Answer::WaitsFor(further)) => waiting.extend(further.iter().rev()),
                Some(Answer::Asked(result)) if !result.is_loaded() => {
                    return format!("waiting for {name}, which the kernel refuses");
                }
                _ => {}
            }
        }
        format!(
            "waiting for {}, which wait for one another",
            listing(&seen.into_iter().map(ModuleName::as_str).collect::<Vec<_>>())
        )
    }
}

/// A refusal that another module is the cause of.
fn late(reason: &Reason) -> Option<String> {
    match reason {
        Reason::UnknownSymbol { symbol, provider: Provider::NotYetLoaded(provider) } => Some(format!(
            "the kernel is asked for it before {provider}, which has its {symbol}, and depends= does not name {provider}"
        )),
        Reason::UnknownSymbol { provider: Provider::Refused(provider), .. } => {
            Some(format!("it needs {provider}, which the kernel refuses"))
        }
        _ => None,
    }
}

pub(super) const MODULES_UNUSED: Check = Check {
    id: "modules-unused",
    severity: Severity::Warning,
    claim: "Every InfiniBand module in the image is loaded at boot; one that nothing asks for is never loaded later either.",
    remedy: "Name them in a file of /etc/modules.d, or add the overlay that they belong to (`ibwrt overlays`).",
    run: modules_unused,
};

fn modules_unused(evidence: &Evidence<'_>) -> Outcome {
    with_load(evidence, |_, directory, report| {
        let needed = needed(evidence, directory);
        let own = infiniband(directory);
        if own.is_empty() {
            return skip("there is no InfiniBand module");
        }
        let unused = report.never_loaded.iter().filter(|name| own.contains(name) && !needed.contains(name));
        let unused: Vec<&str> = unused.map(ModuleName::as_str).collect();
        let problem = (!unused.is_empty()).then(|| format!("nothing asks for {}", listing(&unused)));
        judge(problem.into_iter().collect(), || format!("{} asked for", number(own.len(), "InfiniBand module")))
    })
}

#[cfg(test)]
#[path = "loading_tests.rs"]
mod tests;
