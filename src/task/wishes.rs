//! From what the overlays resolve to, and the modules on offer, to wishes for one image.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{At, Result};
use crate::kernel::{KernelRelease, Module, ModuleName, strip};
use crate::openwrt::System;
use crate::overlay::Resolved;
use crate::plan::{Finding, ModuleWish, PackageWishes, Severity, Wishes};
use crate::source::{self, ModuleSources, Required, Selected, Selection};
use crate::verify::Expectations;

use super::module_set::ModuleSet;

/// What the checks are to expect when `resolved` is in force.
pub(super) fn expectations(resolved: &Resolved) -> Expectations {
    let required = resolved.required.iter().filter(|(_, _, optional)| !optional);
    Expectations {
        overlays: resolved.overlays.clone(),
        modules: required.map(|(name, _, _)| name.clone()).collect(),
        autoload: resolved.autoload.clone(),
        files: resolved.files.clone(),
        interfaces: resolved.interfaces.clone(),
    }
}

/// Chooses the modules for the image and joins them with the other wishes.
///
/// `set` tells which of the image's modules are replaced because its kernel is; the modules of `packages` count as there.
///
/// # Errors
/// A module that is neither in the image nor on offer, or that was built for another kernel.
pub(super) fn wishes(
    resolved: &Resolved,
    system: &System,
    release: &KernelRelease,
    keep_debug: bool,
    set: &ModuleSet,
    packages: PackageWishes,
) -> Result<Wishes> {
    let sources = ModuleSources::open(&resolved.module_sources)?;
    set.check_sources(&sources, release)?;
    let required: Vec<_> = resolved
        .required
        .iter()
        .map(|(name, reason, optional)| Required { name: name.clone(), reason: reason.clone(), optional: *optional })
        .chain(set.required())
        .collect();
    let mut installed = if set.replaces_all { BTreeMap::new() } else { installed(system, release) };
    for (name, bytes) in packages.modules(release) {
        let depends = Module::parse(bytes).at(|| format!("{name}.ko of a package"))?.modinfo.depends;
        installed.insert(name, depends.unwrap_or_default());
    }
    let selection = source::select(&sources, release, &required, &resolved.same_build, &installed)?;
    let mut wishes = Wishes {
        autoload: loadable(resolved, &selection),
        files: resolved.files.clone(),
        root_password_hash: resolved.root_password_hash.clone(),
        ssh_keys: resolved.ssh_keys.clone(),
        obsolete: set.obsolete.clone(),
        packages,
        kept: selection.kept,
        findings: resolved.findings.iter().chain(&set.findings).cloned().collect(),
        ..Wishes::default()
    };
    for name in &selection.missing_optional {
        wishes.findings.push(left_out(name));
    }
    for selected in selection.modules {
        let mut wish = module_wish(selected, keep_debug)?;
        // The image's spelling is the one that its modules.conf knows.
        if let Some(file_name) = set.replaced.get(&wish.name) {
            wish.file_name.clone_from(file_name);
        }
        wishes.modules.push(wish);
    }
    Ok(wishes)
}

/// Names of the modules that the image holds for `release`, with what each depends on.
fn installed(system: &System, release: &KernelRelease) -> BTreeMap<ModuleName, Vec<ModuleName>> {
    let modules = system.module_directory(release).map_or(&[][..], |directory| &directory.modules);
    let readable = modules.iter().filter_map(|installed| Some((installed, installed.module.as_ref().ok()?)));
    readable
        .map(|(installed, module)| (installed.name.clone(), module.modinfo.depends.clone().unwrap_or_default()))
        .collect()
}

/// The autoload wishes without those for optional modules that are nowhere to be had.
fn loadable(resolved: &Resolved, selection: &Selection) -> Vec<crate::plan::AutoloadWish> {
    let missing = |module: &ModuleName| selection.missing_optional.contains(module);
    resolved.autoload.iter().filter(|wish| !missing(&wish.module)).cloned().collect()
}

fn left_out(name: &ModuleName) -> Finding {
    Finding {
        id: "optional-module-missing".to_owned(),
        severity: Severity::Note,
        message: format!("the optional module {name} is neither in the image nor among the module sources; left out"),
        remedy: None,
    }
}

fn module_wish(selected: Selected, keep_debug: bool) -> Result<ModuleWish> {
    let Selected { sourced, reason } = selected;
    let file_name = sourced.file_name();
    let bytes = match keep_debug {
        true => sourced.bytes,
        false => strip(&sourced.bytes).at(|| sourced.origin.clone())?,
    };
    Ok(ModuleWish { file_name, name: sourced.name, bytes: Arc::from(bytes), origin: sourced.origin, reason })
}
