//! What is to be said about the image as it stands: stale directories, traps in kmodloader's files.

use std::collections::BTreeSet;

use super::loading::{Dependencies, slots};
use super::{Finding, Severity, Wishes};
use crate::kernel::{KernelRelease, ModuleName};
use crate::openwrt::{MODULES_DIRECTORY, System, Tree};

fn finding(id: &str, severity: Severity, message: String, remedy: &str) -> Finding {
    Finding { id: id.to_owned(), severity, message, remedy: Some(remedy.to_owned()) }
}

/// Remarks on the architecture and on what is under `/lib/modules`.
pub(super) fn system(system: &System, release: &KernelRelease, wishes: &Wishes) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Err(error) = system.check_target() {
        let remedy = error.remedy_text().unwrap_or_default().to_owned();
        findings.push(finding("target", Severity::Error, error.message().to_owned(), &remedy));
    }
    let directories = system.module_directories.iter().map(|directory| &directory.release);
    let names: Vec<&str> =
        directories.filter(|name| !wishes.obsolete.contains(name)).map(KernelRelease::as_str).collect();
    let is_made = !wishes.obsolete.is_empty() && !wishes.modules.is_empty();
    if system.module_directory(release).is_none() && !is_made {
        let held = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
        findings.push(finding(
            "kernel-release",
            Severity::Error,
            format!(
                "the kernel is {release}, but {MODULES_DIRECTORY} holds {held}: no module already there can be loaded"
            ),
            "use an image whose kernel and root filesystem come from one build",
        ));
    } else if names.len() > 1 {
        findings.push(finding(
            "module-directories",
            Severity::Warning,
            format!(
                "{MODULES_DIRECTORY} holds {} directories ({}); the kernel reads only {release}, which is the one that is extended",
                names.len(),
                names.join(", ")
            ),
            "remove the others; they only take room",
        ));
    }
    findings
}

/// Remarks on the autoload files as they will be, and on `/etc/modules.conf`.
pub(super) fn loading(
    tree: &Tree,
    system: &System,
    release: &KernelRelease,
    wishes: &Wishes,
    dependencies: &Dependencies,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut seen = BTreeSet::new();
    for slot in slots(tree).iter().filter(|slot| seen.insert(slot.path.clone())) {
        for line in &slot.lines {
            let Some(trap) = &line.trap else { continue };
            findings.push(finding(
                "autoload-line",
                Severity::Warning,
                format!("{} line {} ({:?}): {trap}", slot.path, line.number, line.text),
                "write the module's name at the start of the line, then one blank before parameters, and end lines with LF",
            ));
        }
    }
    findings.extend(modules_conf(system, release, wishes, dependencies));
    findings
}

fn modules_conf(
    system: &System,
    release: &KernelRelease,
    wishes: &Wishes,
    dependencies: &Dependencies,
) -> Vec<Finding> {
    let conf = system.modules_conf_entries();
    let mut findings = Vec::new();
    for (number, trap) in &conf.traps {
        let severity = if trap.contains("crashes") { Severity::Error } else { Severity::Warning };
        let message = format!("/etc/modules.conf line {number}: {trap}");
        findings.push(finding("modules-conf", severity, message, "complete the line or remove it"));
    }
    let wished: BTreeSet<&ModuleName> = wishes.autoload.iter().map(|wish| &wish.module).collect();
    for module in wished {
        let stem = stem(system, release, wishes, module);
        if let Some(number) = conf.blacklisted(&stem) {
            let user = dependencies
                .users(module)
                .into_iter()
                .find(|user| wishes.autoload.iter().any(|wish| wish.module == *user));
            let (severity, but) = match user {
                Some(user) => (Severity::Warning, format!("; it is loaded all the same, because {user} needs it")),
                None => (Severity::Error, ": kmodloader will not load it".to_owned()),
            };
            let message = format!("/etc/modules.conf line {number} blacklists {module}{but}");
            findings.push(finding("blacklisted-module", severity, message, "remove that line"));
        }
        for (number, key) in conf.misspelled(&stem) {
            let message = format!(
                "/etc/modules.conf line {number} names {key}, but the file is {stem}.ko: the line has no effect"
            );
            findings.push(finding("modules-conf", Severity::Warning, message, "spell the key as the file is spelled"));
        }
    }
    findings
}

/// File name without `.ko` of the module as it will be in the image, which is what modules.conf is compared with.
fn stem(system: &System, release: &KernelRelease, wishes: &Wishes, module: &ModuleName) -> String {
    let installed = system.module_directory(release).and_then(|directory| directory.module(module));
    let wished = || wishes.modules.iter().find(|wish| wish.name == *module).map(|wish| wish.file_name.as_str());
    let file_name = installed.map(|module| module.file_name()).or_else(wished).unwrap_or(module.as_str());
    file_name.split(".ko").next().unwrap_or_default().to_owned()
}
