//! Packages, laid on the draft as their manager would have installed them, without running anything.

mod accounts;
mod conffiles;
mod files;
mod own_modules;
mod registry;
mod remarks;
mod services;

use super::draft::Draft;
use super::{Finding, PackageWishes};
use crate::error::{At as _, Result};
use crate::openwrt::System;

pub(super) use own_modules::{OWN_PACKAGE, modules as own_modules};
pub(super) use registry::Registry;

/// Wants everything that the chosen packages bring: files, users, links that enable services, alternatives, and their
/// entries in the registry. To be called before other wishes, which may build on these.
///
/// # Errors
/// Usage: a file that belongs to another package, or that cannot be where it should.
pub(super) fn packages(
    draft: &mut Draft<'_>,
    system: &System,
    registry: &mut Registry,
    wishes: &PackageWishes,
    findings: &mut Vec<Finding>,
) -> Result<()> {
    findings.extend(remarks::selection(wishes, registry));
    for chosen in &wishes.chosen {
        files::remove_obsolete(draft, system, registry, &chosen.package, &wishes.chosen);
    }
    for chosen in &wishes.chosen {
        let package = &chosen.package;
        let place = || package.source.clone();
        let is_new = registry.installed(&package.name).is_none();
        let accounts = accounts::require(draft, package, findings).at(place)?;
        files::unpack(draft, registry, package, &accounts, findings).at(place)?;
        if is_new {
            services::enable(draft, package).at(place)?;
        }
        registry.add(chosen, &accounts, wishes.time);
        findings.extend(remarks::scripts(package));
    }
    for chosen in &wishes.chosen {
        services::alternatives(draft, registry, &chosen.package, findings).at(|| chosen.package.source.clone())?;
    }
    Ok(())
}
