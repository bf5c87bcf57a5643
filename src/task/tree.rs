//! Patching a tree of files in a folder: what only such a root asks for.

use crate::counted::some;
use crate::error::{At, Result};
use crate::filesystem::{Attributes, Directory, Extent, Stored};
use crate::openwrt::System;
use crate::plan::{Change, Edit, Finding, Plan, Severity};
use crate::progress::Progress;
use crate::seal::Folder;

use super::TreeFacts;
use super::steps::note;

/// Most paths that a finding names.
const NAMED: usize = 5;

/// Leaves out the edits that do nothing but give a path to another owner, where this process cannot, and says so.
pub(super) fn without_owners(plan: &mut Plan, system: &System) {
    if Directory::can_give_away() {
        return;
    }
    let is_owner_only = |edit: &mut Edit| {
        let mode = system.tree.node(&edit.path).map(|node| node.metadata.attributes.mode);
        edit.change == Change::Attributes && mode == Some(edit.attributes.mode)
    };
    let left_out = plan.edits.extract_if(.., is_owner_only);
    let left_out =
        left_out.map(|Edit { path, attributes: Attributes { uid, gid, .. }, .. }| format!("{path} ({uid}:{gid})"));
    let left_out: Vec<String> = left_out.collect();
    plan.findings.extend(owners(&left_out));
}

/// What is to be said of paths that a plan `put` and that need no edit, but for an owner whom this process cannot give them.
pub(super) fn unowned(put: &[Edit], edits: &[Edit]) -> Option<Finding> {
    if Directory::can_give_away() {
        return None;
    }
    let is_there = |path: &str| edits.iter().all(|edit| edit.path != path);
    let is_others =
        |edit: &&Edit| edit.change != Change::Remove && (edit.attributes.uid, edit.attributes.gid) != (0, 0);
    let paths = put.iter().filter(is_others).filter(|edit| is_there(&edit.path));
    let paths = paths.map(|Edit { path, attributes: Attributes { uid, gid, .. }, .. }| format!("{path} ({uid}:{gid})"));
    owners(&paths.collect::<Vec<_>>())
}

/// A folder that holds a tree, but has no name yet. It vanishes when this is dropped.
pub(super) struct FilledTree {
    folder: Folder,
    extent: Extent,
    stored: Stored,
}

impl FilledTree {
    /// Writes `directory`, or what edits changed of it, into `folder`; what they made is dated `epoch`, in seconds since 1970.
    ///
    /// # Errors
    /// Those of [`Directory::store`].
    pub(super) fn fill(
        folder: Folder,
        directory: &Directory,
        extent: Extent,
        epoch: u64,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let name = folder.path().file_name().unwrap_or_default().display().to_string();
        progress.begin(&format!("Writing {name}"), Some(directory.stored_length(extent)));
        let stored = directory.store(folder.place(), extent, epoch, progress);
        progress.end();
        let stored = stored.at(|| folder.path().display().to_string())?;
        Ok(Self { folder, extent, stored })
    }

    /// Gives the folder its name. What could not be written as it should be is added to `findings`, and which of `edits` a
    /// folder of changes cannot hold.
    ///
    /// # Errors
    /// Those of [`Folder::finish`].
    pub(super) fn publish(self, edits: &[Edit], findings: &mut Vec<Finding>) -> Result<TreeFacts> {
        let Self { folder, extent, stored } = self;
        let path = folder.path().to_owned();
        folder.finish()?;
        findings.extend(losses(&stored));
        let only_changes = extent == Extent::Changes;
        if only_changes {
            findings.extend(removals(edits));
        }
        let Stored { files, directories, bytes, .. } = stored;
        Ok(TreeFacts { path, only_changes, files, directories, bytes })
    }
}

/// What is to be said of what could not be written as it should be.
fn losses(stored: &Stored) -> Vec<Finding> {
    let Stored { specials, owners: unowned, modes, extended, .. } = stored;
    let mut findings = Vec::new();
    findings.extend(warning("device-node", specials, "device nodes or the like that only root may make are missing"));
    findings.extend(owners(unowned));
    findings.extend(warning("mode", modes, "paths could not be given their permissions"));
    findings.extend(warning("extended-attribute", extended, "extended attributes could not be copied"));
    if !Directory::can_give_away() {
        let message = "the output belongs to your user, who stands for root in it: what packs it must make root the owner \
                       (ImageBuilder does; mksquashfs -all-root, tar --owner=0 --group=0)";
        findings.push(note("owned-by-user", message.to_owned()));
    }
    findings
}

fn owners(paths: &[String]) -> Option<Finding> {
    warning("owner", paths, "paths should belong to other owners, which only root may arrange")
}

/// A warning of what `paths` are, where there are any.
fn warning(id: &str, paths: &[String], what: &str) -> Option<Finding> {
    (!paths.is_empty()).then(|| Finding {
        id: id.to_owned(),
        severity: Severity::Warning,
        message: format!("{what}: {}", listed(paths)),
        remedy: Some("run ibwrt as root, or see to it where the tree is packed".to_owned()),
    })
}

/// What is to be said of removals, which a folder of changes cannot hold.
fn removals(edits: &[Edit]) -> Option<Finding> {
    let removed = edits.iter().filter(|edit| edit.change == Change::Remove);
    let removed: Vec<String> = removed.map(|edit| edit.path.clone()).collect();
    let warning = warning("removal", &removed, "paths should go, which a folder of changes cannot say")?;
    let remedy = "remove them where the tree is packed, or leave --only-changes out";
    Some(Finding { remedy: Some(remedy.to_owned()), ..warning })
}

/// The first of `paths`, and how many more there are.
pub(super) fn listed(paths: &[String]) -> String {
    some(paths, NAMED)
}
