//! The files of a package.

use std::collections::{BTreeMap, BTreeSet};

use super::accounts::attributes;
use super::conffiles::{Standing, beside};
use super::registry::Registry;
use crate::error::{Error, Result};
use crate::filesystem::{Attributes, FileType};
use crate::openwrt::{AUTOLOAD_DIRECTORY, Accounts, BOOT_DIRECTORY, MODULES_DIRECTORY, Node, System};
use crate::package::{Chosen, Entry, EntryKind, Format, Package};
use crate::plan::draft::{Draft, Stage};
use crate::plan::{Content, Finding, Severity};

/// Why something of a package changes.
pub(super) fn reason(package: &Package) -> String {
    format!("package {}", package.name)
}

/// Wants nothing where the version that the image has keeps files that the new one does not bring, but for the
/// administrator's changed ones.
pub(super) fn remove_obsolete(
    draft: &mut Draft<'_>,
    system: &System,
    registry: &Registry,
    package: &Package,
    chosen: &[Chosen],
) {
    let Some(old) = registry.installed(&package.name) else { return };
    let brought: BTreeSet<&str> =
        chosen.iter().flat_map(|other| &other.package.entries).map(|entry| entry.path.as_str()).collect();
    for path in old.files.keys().filter(|path| !brought.contains(path.as_str())) {
        let content = system.tree.node(path).and_then(|node| node.content.as_deref());
        let standing = Standing { path, content, old: Some(old) };
        let is_conffile = old.conffiles.contains_key(path);
        if is_conffile
            && beside(&Package { conffiles: vec![path.clone()], ..package.clone() }, &standing, &[]).is_some()
        {
            continue;
        }
        draft.remove_file(path, &reason(package));
    }
}

/// Wants every file.
pub(super) fn unpack(
    draft: &mut Draft<'_>,
    registry: &Registry,
    package: &Package,
    accounts: &Accounts,
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let mut overwritten = Vec::new();
    // Where the package's files really stand, by the path that it gives them; what is put beside has no other names.
    let mut places: BTreeMap<&str, (String, Attributes)> = BTreeMap::new();
    for entry in &package.entries {
        let first = entry.linked_to.as_deref().and_then(|path| places.get(path)).cloned();
        let attributes = first.as_ref().map_or_else(|| attributes(entry, accounts), |(_, attributes)| *attributes);
        let reason = reason(package);
        let content = match &entry.kind {
            EntryKind::Directory => {
                if draft.tree().metadata(&entry.path).is_none() {
                    draft.put(&entry.path, Content::Directory, attributes, &reason, Stage::File)?;
                }
                continue;
            }
            EntryKind::File(bytes) => Content::File(bytes.clone()),
            EntryKind::Symlink(target) => Content::Symlink(target.clone()),
        };
        let place = draft.tree().place(&entry.path).unwrap_or_else(|| entry.path.clone());
        let mut path = entry.path.clone();
        let mut is_aside = false;
        if let Some(node) = draft.tree().node(&place).filter(|node| node.metadata.file_type != FileType::Directory) {
            let is_same = holds(node, &content);
            let standing = Standing {
                path: &entry.path,
                content: node.content.as_deref(),
                old: registry.installed(&package.name),
            };
            let aside = match &entry.kind {
                EntryKind::File(bytes) => beside(package, &standing, bytes),
                _ => None,
            };
            if let Some(aside) = aside {
                findings.push(kept_as_it_is(package, &entry.path, &aside));
                path = aside;
                is_aside = true;
            } else if check_owner(registry, package, entry, is_same)? {
                overwritten.push(entry.path.clone());
            }
        }
        let place = draft.put(&path, content, attributes, &reason, stage(&path))?;
        if is_aside {
            continue;
        }
        if let Some((existing, _)) = first {
            draft.link(&place, &existing);
        }
        places.insert(&entry.path, (place, attributes));
    }
    findings.extend(replaced(package, &overwritten));
    Ok(())
}

/// Modules first, autoload entries last.
fn stage(path: &str) -> Stage {
    let is_below = |folder: &str| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
    if is_below(MODULES_DIRECTORY) {
        Stage::Module
    } else if is_below(AUTOLOAD_DIRECTORY) || is_below(BOOT_DIRECTORY) {
        Stage::Autoload
    } else {
        Stage::File
    }
}

fn holds(node: &Node, content: &Content) -> bool {
    match content {
        Content::File(bytes) => node.content.as_ref() == Some(bytes),
        Content::Symlink(target) => node.metadata.link_target.as_ref() == Some(target),
        Content::Directory | Content::Link(_) => false,
    }
}

/// Whether something that belongs to no package is overwritten.
///
/// # Errors
/// Usage when the file belongs to another package, or, with opkg, to none.
fn check_owner(registry: &Registry, package: &Package, entry: &Entry, is_same: bool) -> Result<bool> {
    let clash = |who: String, remedy: String| {
        Err(Error::usage(format!("{} brings {}, which {who}", package.title(), entry.path)).remedy(remedy))
    };
    match registry.owner(&entry.path) {
        Some(owner) if registry.gives_way(owner, package) => Ok(false),
        Some(owner) => clash(
            format!("is a file of {owner} already"),
            format!("leave {} out, or give a version of {owner} without that file", package.name),
        ),
        None if is_same => Ok(false),
        None if package.format == Format::Ipk && registry.is_known() => clash(
            "is in the image already and belongs to no package".to_owned(),
            "give an image without that file; opkg overwrites nothing that it does not know".to_owned(),
        ),
        None => Ok(true),
    }
}

fn note(id: &str, severity: Severity, message: String, remedy: Option<&str>) -> Finding {
    Finding { id: id.to_owned(), severity, message, remedy: remedy.map(str::to_owned) }
}

fn kept_as_it_is(package: &Package, path: &str, aside: &str) -> Finding {
    note(
        "conffile-kept",
        Severity::Note,
        format!("{path} was changed and stays as it is; what {} brings is put beside it as {aside}", package.title()),
        Some("compare the two, and keep what you need"),
    )
}

fn replaced(package: &Package, paths: &[String]) -> Option<Finding> {
    (!paths.is_empty()).then(|| {
        let message = format!(
            "{} replaces files that belonged to no package: {}",
            package.title(),
            paths.iter().take(8).cloned().collect::<Vec<_>>().join(", ")
        );
        note("package-overwrites", Severity::Warning, message, None)
    })
}
