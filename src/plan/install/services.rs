//! What a package's post-install script would do that needs no running system: enable init scripts, choose alternatives.

use super::files::reason;
use super::registry::Registry;
use crate::error::Result;
use crate::filesystem::{Attributes, FileType};
use crate::openwrt::{INIT_SCRIPTS, RUN_LINKS, enabling_links};
use crate::package::{Alternative, EntryKind, Package};
use crate::plan::draft::{Draft, Stage};
use crate::plan::{Content, Finding, Severity};

/// Enables the init scripts that the package ships, as its post-install script would.
///
/// # Errors
/// Usage: something else stands where a link should.
pub(super) fn enable(draft: &mut Draft<'_>, package: &Package) -> Result<()> {
    for entry in &package.entries {
        let name = entry.path.strip_prefix(INIT_SCRIPTS).and_then(|rest| rest.strip_prefix('/'));
        let (Some(name), EntryKind::File(content)) = (name.filter(|name| !name.contains('/')), &entry.kind) else {
            continue;
        };
        for link in enabling_links(name, content) {
            let target = Content::Symlink(format!("../init.d/{name}"));
            let path = format!("{RUN_LINKS}/{link}");
            draft.put(&path, target, Attributes::root(0o777), &reason(package), Stage::File)?;
        }
    }
    Ok(())
}

/// Points the links of which the package offers a form to the offer of the highest priority among all that is installed
/// (opkg: pkg_alternatives.c; apk: update_alternatives in base-files' lib/functions.sh).
///
/// # Errors
/// As [`enable`].
pub(super) fn alternatives(
    draft: &mut Draft<'_>,
    registry: &Registry,
    package: &Package,
    findings: &mut Vec<Finding>,
) -> Result<()> {
    for own in &package.alternatives {
        let offers = registry.packages().flat_map(|installed| &installed.alternatives);
        let mut best: Option<&Alternative> = None;
        for offer in offers.filter(|offer| offer.link == own.link) {
            if best.is_none_or(|best| best.priority < offer.priority) {
                best = Some(offer);
            }
        }
        let target = best.map_or(&own.target, |best| &best.target).clone();
        let place = draft.tree().place(&own.link).unwrap_or_else(|| own.link.clone());
        let there = draft.tree().node(&place).map(|node| node.metadata.file_type);
        if there.is_some_and(|there| there != FileType::Symlink) {
            findings.push(Finding {
                id: "alternative".to_owned(),
                severity: Severity::Warning,
                message: format!(
                    "{} is no symlink, so it does not come to point to {target} ({})",
                    own.link,
                    package.title()
                ),
                remedy: Some(format!("call {target} by its own name")),
            });
            continue;
        }
        draft.put(&own.link, Content::Symlink(target), Attributes::root(0o777), &reason(package), Stage::File)?;
    }
    Ok(())
}
