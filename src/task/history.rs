//! What an earlier patch left in the image about itself: the root as it was, and what is reported of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::error::Result;
use crate::filesystem::Filesystem;
use crate::history::{Changes, Manifest, Past, Record, State, View};
use crate::openwrt::{APK_INSTALLED, OPKG_STATUS};
use crate::plan::{BACK, BootPlan, Change, Role, plan_boot};
use crate::verify::History;

use super::kernel_swap::boot_partition;
use super::medium::Medium;
use super::scene::{KernelBefore, Located, Scene};
use super::shelf::Shelf;
use super::steps::Opened;

/// Scripts that a system runs at its first boot, and removes.
const RUN_ONCE: &str = "/etc/uci-defaults/";

/// An earlier patch of the root that is looked at.
#[derive(Debug)]
pub(super) struct Earlier {
    /// What it did.
    pub(super) past: Past,
    /// What is laid over the root to see it as it was.
    over: Arc<BTreeMap<String, State>>,
    /// What stood where it put a kernel.
    kernel: Option<KernelBefore>,
}

/// What is reported of an earlier patch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct EarlierFacts {
    /// Name and version of what patched.
    pub(crate) tool: String,
    /// SHA-256 of its recipe.
    pub(crate) recipe: String,
    /// Name of the image that it patched; `None` where that was a tree.
    pub(crate) base: Option<String>,
    /// SHA-256 of that image.
    pub(crate) base_sha256: Option<String>,
    /// Number of paths that it changed.
    pub(crate) paths: usize,
}

impl EarlierFacts {
    pub(super) fn of(manifest: &Manifest) -> Self {
        let base = manifest.base();
        Self {
            tool: format!("{} {}", manifest.tool.name, manifest.tool.version),
            recipe: manifest.recipe.clone(),
            base: base.map(|base| base.name.clone()),
            base_sha256: base.map(|base| base.sha256.clone()),
            paths: manifest.boot.len() + manifest.root.len(),
        }
    }
}

/// One path that a patch changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct RecordRow {
    /// Which partition it is on.
    pub(crate) partition: Role,
    /// The path.
    pub(crate) path: String,
    /// `add`, `replace`, `attributes` or `remove`.
    pub(crate) change: &'static str,
    /// Who wanted it, such as `overlay connectx3`.
    pub(crate) by: String,
    /// How it differs from what was put there, where it does: such as `changed` or `removed`.
    pub(crate) since: Option<&'static str>,
}

/// What is reported of the patch that is recorded in a root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct HistoryFacts {
    /// Who patched what.
    #[serde(flatten)]
    pub(crate) patch: EarlierFacts,
    /// What became of each path, those of the boot partition first.
    pub(crate) files: Vec<RecordRow>,
}

impl HistoryFacts {
    /// As a check looks at it.
    pub(super) fn history(&self) -> History {
        let EarlierFacts { tool, recipe, base, base_sha256, paths } = &self.patch;
        let base = match (base, base_sha256) {
            (Some(name), Some(sha256)) => format!("{name}, SHA-256 {sha256}"),
            _ => "a tree of files".to_owned(),
        };
        let changed = self.files.iter().filter_map(|row| Some((row, row.since?)));
        let changed = changed.map(|(row, how)| format!("{} is {how} since {tool} put it there ({})", row.path, row.by));
        History {
            described: format!("{tool} changed {paths} paths of {base}, by recipe {recipe}"),
            changed: changed.collect(),
        }
    }
}

/// The patch that is recorded in the root of `scene`.
///
/// # Errors
/// Why the record cannot be read.
pub(super) fn recorded(scene: &Scene) -> Result<Option<HistoryFacts>, String> {
    let earlier = Earlier::find(scene, Changes::Keep, &Shelf::default()).map_err(|error| error.to_string())?;
    Ok(earlier.map(|earlier| facts(&earlier.past)))
}

fn facts(past: &Past) -> HistoryFacts {
    let row = |partition: Role, record: &Record| {
        let on_boot = partition == Role::Boot;
        let side = if on_boot { past.boot.as_ref() } else { Some(&past.root) };
        let is_gone = side.and_then(|side| side.present.get(&record.path)) == Some(&State::Absent);
        let changed = past.changed.iter().find(|changed| changed.on_boot == on_boot && changed.path == record.path);
        let since = match changed {
            Some(changed) => Some(changed.how),
            // Whatever runs once, at first boot, is gone by itself.
            None if is_gone && record.put != State::Absent && !record.path.starts_with(RUN_ONCE) => Some("removed"),
            None => None,
        };
        RecordRow { partition, path: record.path.clone(), change: record.change(), by: record.by.clone(), since }
    };
    let boot = past.manifest.boot.iter().map(|record| row(Role::Boot, record));
    let root = past.manifest.root.iter().map(|record| row(Role::Root, record));
    HistoryFacts { patch: EarlierFacts::of(&past.manifest), files: boot.chain(root).collect() }
}

impl Earlier {
    /// What an earlier patch left in the root of `scene`, if that can be read and one did. What was changed since becomes
    /// of it as `changes` says.
    ///
    /// # Errors
    /// As [`Past::read`]; those of reading what was kept.
    pub(super) fn find(scene: &Scene, changes: Changes, shelf: &Shelf) -> Result<Option<Self>> {
        let Ok(root) = &scene.root else { return Ok(None) };
        // Why it cannot be opened is told by whoever needs it.
        let Ok(mut filesystem) = scene.medium.filesystem(root) else { return Ok(None) };
        let mut boot = match &scene.boot {
            Ok(boot) => Some(scene.medium.filesystem(&boot.located)?),
            Err(_) => None,
        };
        let boot = boot.as_deref_mut().map(|boot| boot as &mut dyn Filesystem);
        let owned = scene.medium.keeps_owners();
        let past = Past::read(filesystem.as_mut(), boot, owned, changes, &[OPKG_STATUS, APK_INSTALLED])?;
        let Some(past) = past else { return Ok(None) };
        let kernel = kernel_before(&past, filesystem.as_mut(), shelf)?;
        Ok(Some(Self { over: past.over(), kernel, past }))
    }
}

/// The kernel that stood there before, where another was put in its place.
fn kernel_before(past: &Past, root: &mut dyn Filesystem, shelf: &Shelf) -> Result<Option<KernelBefore>> {
    let Some(side) = &past.boot else { return Ok(None) };
    let differs = |(path, state): &(&String, &State)| side.present.get(*path) != Some(state);
    let Some((path, state)) = side.before.iter().find(differs) else { return Ok(None) };
    let file = match state {
        State::File { sha256, attributes, .. } => {
            Some((*attributes, shelf.kept(sha256, || Ok(Past::content(root, sha256)?.into()))?))
        }
        _ => None,
    };
    Ok(Some(KernelBefore { path: path.clone(), file }))
}

impl Opened {
    /// The same, for a plan that lets an earlier patch be.
    pub(super) fn as_it_is(&self) -> Self {
        Self { earlier: None, ..self.clone() }
    }

    /// The same, for a plan of the image as it was before an earlier patch.
    pub(super) fn as_it_was(&self) -> Self {
        let mut opened = self.clone();
        if let Some(kernel) = self.earlier.as_ref().and_then(|earlier| earlier.kernel.clone()) {
            opened.scene = opened.scene.with_kernel(kernel);
        }
        opened
    }

    /// The root as it was before an earlier patch.
    ///
    /// # Errors
    /// Those of the filesystem.
    pub(super) fn root_before(&self, root: &Located) -> Result<Box<dyn Filesystem>> {
        let filesystem = self.scene.medium.filesystem(root)?;
        Ok(match &self.earlier {
            Some(earlier) => Box::new(View::new(filesystem, Arc::clone(&earlier.over))),
            None => filesystem,
        })
    }
}

impl Medium {
    /// Whether owners say something: who unpacked a tree as an ordinary user owns all of it.
    pub(super) fn keeps_owners(&self) -> bool {
        match self {
            Self::Image(_) => true,
            Self::Tree(directory) => directory.keeps_owners(),
        }
    }
}

/// What to do where the kernel that an earlier patch replaced has no room any more.
const ROOM_FOR_KERNEL: &str = "remove from the boot partition what came to it since, or take the image that was patched; a \
                               patch keeps the kernel that is there now when it is named: --kernel BZIMAGE";

/// The plan that puts the kernel back which an earlier patch replaced; `None` where it replaced none.
///
/// # Errors
/// Usage when it does not fit; those of the filesystem.
pub(super) fn kernel_back(opened: &Opened) -> Result<Option<BootPlan>> {
    let Ok(boot) = &opened.scene.boot else { return Ok(None) };
    let Some(before) = boot.before.as_ref().filter(|_| opened.earlier.is_some()) else { return Ok(None) };
    let now = boot_partition(&opened.scene, boot, &before.path)?;
    let plan = match &before.file {
        Some((_, kernel)) => plan_boot(&now, kernel),
        None => plan_boot(&now, &Arc::from([])),
    };
    let mut plan = plan.map_err(|error| error.remedy(ROOM_FOR_KERNEL).at(before.path.clone()).at(BACK))?;
    for edit in &mut plan.edits {
        match &before.file {
            Some((attributes, _)) => edit.attributes = *attributes,
            None => (edit.change, edit.content) = (Change::Remove, None),
        }
        edit.reason = BACK.to_owned();
    }
    Ok(Some(plan))
}
