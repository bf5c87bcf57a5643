//! From what the overlays resolve to, and the modules on offer, to wishes for one image.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{At, Result};
use crate::kernel::{KernelRelease, ModuleName, strip};
use crate::openwrt::System;
use crate::overlay::Resolved;
use crate::plan::{Finding, ModuleWish, Severity, Wishes};
use crate::source::{self, ModuleSources, Required, Selected, Selection};
use crate::verify::Expectations;

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
/// # Errors
/// A module that is neither in the image nor on offer, or that was built for another kernel.
pub(super) fn wishes(
    resolved: &Resolved,
    system: &System,
    release: &KernelRelease,
    keep_debug: bool,
) -> Result<Wishes> {
    let sources = ModuleSources::open(&resolved.module_sources)?;
    let required: Vec<_> = resolved
        .required
        .iter()
        .map(|(name, reason, optional)| Required { name: name.clone(), reason: reason.clone(), optional: *optional })
        .collect();
    let selection = source::select(&sources, release, &required, &resolved.same_build, &installed(system, release))?;
    let mut wishes = Wishes {
        autoload: loadable(resolved, &selection),
        files: resolved.files.clone(),
        root_password_hash: resolved.root_password_hash.clone(),
        ssh_keys: resolved.ssh_keys.clone(),
        findings: resolved.findings.clone(),
        ..Wishes::default()
    };
    for name in &selection.missing_optional {
        wishes.findings.push(left_out(name));
    }
    for selected in selection.modules {
        wishes.modules.push(module_wish(selected, keep_debug)?);
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
