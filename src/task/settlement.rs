//! A plan for the root as it was, held against the root as it is: what an earlier patch put there and the plan does not goes
//! back, and what is done is recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use crate::error::{At, Error, Result};
use crate::filesystem::{Attributes, FileType, Filesystem};
use crate::history::{
    FOLDER, InputFile, InputKind, MANIFEST, Manifest, ORIGINALS, Past, Record, SECRET, State, Tool, pack, packed_path,
    to_json,
};
use crate::openwrt::System;
use crate::plan::{BootPartition, Change, Content, Edit, Finding, Severity, Standing, Wishes, outcome, settle};

use super::history::EarlierFacts;
use super::recipe_digest::recipe_digest;
use super::scene::Located;
use super::shelf::Before;
use super::steps::{Opened, Wished, note};
use super::tree::listed;

/// Why what belongs to the manifest is there.
const REASON: &str = "history";
/// A kept content of so many bytes is large: it goes in first, with the modules. What is small goes in before what hosts have
/// each for themselves.
const LARGE: usize = 64 << 10;
/// Digits of a digest that tell it from others in a sentence.
const SHOWN: usize = 12;

/// The kernel's part of a plan.
pub(super) struct KernelChange<'a> {
    /// The boot partition as it was before any patch.
    pub(super) before: &'a BootPartition,
    /// What is put there, which is something else.
    pub(super) kernel: &'a Arc<[u8]>,
}

/// What becomes of a plan for a root as it was before an earlier patch.
pub(super) struct Settlement {
    /// The edits of the root as it is.
    pub(super) edits: Vec<Edit>,
    /// What is to be said.
    pub(super) findings: Vec<Finding>,
}

/// A plan being held against the root.
pub(super) struct Settler<'a> {
    pub(super) opened: &'a Opened,
    pub(super) root: &'a Located,
    pub(super) system: &'a System,
    /// The root as it was before an earlier patch, once it was asked for.
    before: Option<Box<dyn Filesystem>>,
    /// The root as it is, likewise.
    present: Option<Box<dyn Filesystem>>,
    /// Paths that the plan changes.
    planned: BTreeSet<String>,
}

impl<'a> Settler<'a> {
    pub(super) fn new(opened: &'a Opened, root: &'a Located, system: &'a System) -> Self {
        Self { opened, root, system, before: None, present: None, planned: BTreeSet::new() }
    }

    fn past(&self) -> Option<&'a Past> {
        self.opened.earlier.as_ref().map(|earlier| &earlier.past)
    }

    fn owned(&self) -> bool {
        self.opened.scene.medium.keeps_owners()
    }

    fn before(&mut self) -> Result<&mut dyn Filesystem> {
        if self.before.is_none() {
            self.before = Some(self.opened.root_before(self.root)?);
        }
        opened(&mut self.before)
    }

    fn present(&mut self) -> Result<&mut dyn Filesystem> {
        if self.present.is_none() {
            self.present = Some(self.opened.scene.medium.filesystem(self.root)?);
        }
        opened(&mut self.present)
    }

    /// Turns `edits`, planned for the root as it was, into edits of the root as it is, with a record of them where
    /// `recorded` says how.
    ///
    /// # Errors
    /// Those of the filesystems; usage when something stands in the record's way.
    pub(super) fn settle(mut self, edits: &[Edit], recorded: Option<Recorded<'_>>) -> Result<Settlement> {
        self.planned = edits.iter().map(|edit| edit.path.clone()).collect();
        let edits = &self.parted(edits)?;
        let mut all = edits.clone();
        if let Some(recorded) = recorded {
            let own = self.record(edits, &recorded)?;
            // What is the plan's own comes last; where it makes the manifest's folder, that is not there yet.
            let makes_folder = ["/etc", FOLDER].iter().any(|path| self.planned.contains(*path));
            let at = all.iter().position(|edit| edit.is_own && !makes_folder).unwrap_or(all.len());
            all.splice(at..at, own.small);
            // What goes makes room for it.
            let at = all.iter().take_while(|edit| edit.change == Change::Remove).count();
            all.splice(at..at, own.large);
            all.extend(own.manifest);
        }
        let Some(past) = self.past() else { return Ok(Settlement { edits: all, findings: Vec::new() }) };
        let edits = settle(&all, &past.root, self.owned(), &mut self)?;
        let findings = self.findings(past, &edits);
        Ok(Settlement { edits, findings })
    }

    /// The edits that record `edits`.
    fn record(&mut self, edits: &[Edit], recorded: &Recorded<'_>) -> Result<RecordEdits> {
        if self.planned.contains(MANIFEST) {
            return Err(Error::usage(format!("{MANIFEST} is written by ibwrt itself")).remedy("choose another path"));
        }
        let mut manifest = Manifest {
            tool: Tool::own(),
            recipe: recipe_digest(recorded.wished, recorded.keep_debug, &self.opened.shelf),
            inputs: self.inputs(recorded),
            boot: self.boot_record(recorded)?,
            root: self.records(edits)?,
        };
        if manifest.boot.is_empty() && manifest.root.is_empty() {
            return Ok(RecordEdits::default());
        }
        let mut own = Vec::new();
        let mut folders = vec!["/etc", FOLDER];
        folders.extend((!manifest.kept().is_empty()).then_some(ORIGINALS));
        for path in folders {
            own.extend(self.folder(path)?);
        }
        for edit in &own {
            let (path, by, put) = (edit.path.clone(), edit.reason.clone(), State::Directory(edit.attributes));
            manifest.root.push(Record { path, by, put, was: State::Absent, links: Vec::new() });
        }
        manifest.root.sort_by(|one, other| one.path.cmp(&other.path));
        manifest.root.dedup_by(|later, first| later.path == first.path);
        // A folder that the plan makes is not there yet when what is large goes in.
        let largest = if self.planned.contains(FOLDER) { usize::MAX } else { LARGE };
        let (mut large, mut small) = (Vec::new(), Vec::new());
        for sha256 in manifest.kept() {
            let packed = self.packed(sha256, &manifest, recorded)?;
            let list = if packed.len() >= largest { &mut large } else { &mut small };
            list.push(own_file(&packed_path(sha256), packed));
        }
        let manifest = Edit { is_own: true, ..own_file(MANIFEST, to_json(&manifest)?.into()) };
        let first = if large.is_empty() { &mut small } else { &mut large };
        first.splice(0..0, own);
        Ok(RecordEdits { large, small, manifest: Some(manifest) })
    }

    /// The edit that makes the directory `path` of the manifest's own, unless it was there before.
    fn folder(&mut self, path: &str) -> Result<Option<Edit>> {
        if self.planned.contains(path) {
            return Ok(None);
        }
        match self.system.tree.node(path).map(|node| &node.metadata) {
            Some(metadata) if metadata.file_type == FileType::Directory => Ok(None),
            Some(_) => Err(Error::usage(format!("{path} is no directory, so {MANIFEST} cannot be written"))
                .remedy("leave the manifest out: --no-manifest (recipe: manifest = false)")),
            None => Ok(Some(Edit {
                path: path.to_owned(),
                change: Change::Add,
                content: Some(Content::Directory),
                attributes: Attributes::root(if path == ORIGINALS { 0o700 } else { 0o755 }),
                linked_to: None,
                is_own: false,
                size_before: None,
                reason: REASON.to_owned(),
            })),
        }
    }

    /// What was taken.
    fn inputs(&self, recorded: &Recorded<'_>) -> Vec<InputFile> {
        let Recorded { wished, wishes, .. } = recorded;
        let file =
            |kind, name: &str, sha256: &str| InputFile { kind, name: name.to_owned(), sha256: sha256.to_owned() };
        let base = match self.past() {
            Some(past) => past.manifest.base().cloned(),
            None => self
                .opened
                .scene
                .medium
                .container()
                .map(|container| file(InputKind::Image, &file_name(&self.opened.path), &container.sha256)),
        };
        let kernel = wished.swap.as_ref().map(|swap| &swap.kernel);
        let kernel = kernel.map(|kernel| file(InputKind::Kernel, &file_name(&kernel.file), &kernel.sha256));
        let modules = wishes.modules.iter().map(|wish| file(InputKind::Module, &wish.file_name, &wish.source_sha256));
        let packages = wishes.packages.chosen.iter().map(|chosen| &chosen.package);
        let packages = packages.map(|package| {
            // What an overlay brings is called by the overlay's name and its own.
            let name = package.source.rsplit(" » ").next().unwrap_or_default();
            file(InputKind::Package, &file_name(Path::new(name)), &package.sha256)
        });
        let mut inputs: Vec<InputFile> = base.into_iter().chain(kernel).chain(modules).chain(packages).collect();
        inputs.sort();
        inputs.dedup();
        inputs
    }

    /// What the kernel swap did.
    fn boot_record(&self, recorded: &Recorded<'_>) -> Result<Vec<Record>> {
        let Some(KernelChange { before, kernel }) = &recorded.kernel else { return Ok(Vec::new()) };
        let shelf = &self.opened.shelf;
        let state = |attributes: Attributes, bytes: &Arc<[u8]>| State::File {
            sha256: shelf.digest(bytes),
            size: bytes.len() as u64,
            attributes,
        };
        let was = before.present.as_ref().map_or(State::Absent, |(attributes, bytes)| state(*attributes, bytes));
        let put = state(was.attributes().unwrap_or(Attributes::root(0o644)), kernel);
        Ok(vec![Record { path: before.kernel.clone(), by: "kernel swap".to_owned(), put, was, links: Vec::new() }])
    }

    /// What `edits` do to each path, in byte order of the paths.
    fn records(&mut self, edits: &[Edit]) -> Result<Vec<Record>> {
        let mut last: BTreeMap<&str, &Edit> = BTreeMap::new();
        for edit in edits {
            last.insert(&edit.path, edit);
        }
        let mut records = Vec::new();
        for (path, edit) in last {
            let put = outcome(edit, self);
            let (was, links) = self.was(path)?;
            if !put.is_as(&was, true) {
                records.push(Record { path: path.to_owned(), by: edit.reason.clone(), put, was, links });
            }
        }
        if let Some(past) = self.past().filter(|past| past.is_settled) {
            // What cannot be taken out is still what the earlier patch put in.
            let known: BTreeSet<&str> = edits.iter().map(|edit| edit.path.as_str()).collect();
            let is_own = |path: &str| path == FOLDER || path == ORIGINALS;
            let earlier = past.manifest.root.iter().filter(|record| past.record(&record.path).is_some());
            let earlier = earlier.filter(|record| !known.contains(record.path.as_str()) && !is_own(&record.path));
            records.extend(earlier.cloned());
            records.sort_by(|one, other| one.path.cmp(&other.path));
        }
        Ok(records)
    }

    /// What stood at `path` before any patch, and the other names of the file.
    fn was(&mut self, path: &str) -> Result<(State, Vec<String>)> {
        if let Some(record) = self.past().and_then(|past| past.record(path)) {
            return Ok((record.was.clone(), record.links.clone()));
        }
        if self.system.tree.node(path).is_none() {
            return Ok((State::Absent, Vec::new()));
        }
        let shelf = self.opened.shelf.clone();
        let before = shelf.before(path, || {
            let state = State::of(self.before()?, path).at(|| path.to_owned())?;
            let links = match state {
                State::File { .. } => self.other_names(path)?,
                _ => Vec::new(),
            };
            Ok(Before { state, links })
        })?;
        Ok((before.state.clone(), before.links.clone()))
    }

    /// The other names that the file at `path` had before any patch.
    fn other_names(&mut self, path: &str) -> Result<Vec<String>> {
        let mut names: BTreeSet<String> = self.present()?.other_names(path)?.into_iter().collect();
        let past = self.past().map_or(&[][..], |past| &past.manifest.root);
        // An earlier patch made files of their own of some.
        for record in past.iter().filter(|record| record.links.iter().any(|link| link == path)) {
            names.extend(record.links.iter().cloned().chain([record.path.clone()]));
        }
        names.remove(path);
        Ok(names.into_iter().collect())
    }

    /// `edits`, but that a file of several names whose permissions are to change becomes one of its own: those of the other
    /// names are to stay.
    fn parted(&mut self, edits: &[Edit]) -> Result<Vec<Edit>> {
        let mut parted = Vec::with_capacity(edits.len());
        for edit in edits {
            let mut edit = edit.clone();
            if edit.change == Change::Attributes
                && let Some(Content::File(bytes)) = &edit.content
                && !self.was(&edit.path)?.1.is_empty()
            {
                (edit.change, edit.size_before) = (Change::Replace, Some(bytes.len() as u64));
            }
            parted.push(edit);
        }
        Ok(parted)
    }

    /// The content with the digest `sha256`, as it is kept.
    fn packed(&mut self, sha256: &str, manifest: &Manifest, recorded: &Recorded<'_>) -> Result<Arc<[u8]>> {
        let shelf = self.opened.shelf.clone();
        let is_kept = self.past().is_some_and(|past| past.manifest.kept().contains(&sha256));
        let record = manifest.root.iter().find(|record| record.kept() == Some(sha256));
        shelf.packed(sha256, || {
            let path = packed_path(sha256);
            if is_kept && self.present()?.metadata(&path)?.is_some() {
                return Ok(self.present()?.read(&path)?.into());
            }
            let kernel = recorded.kernel.as_ref().and_then(|kernel| kernel.before.present.as_ref());
            let packed = match (record, kernel) {
                (Some(record), _) => pack(&self.before()?.read(&record.path)?)?,
                (None, Some((_, bytes))) => pack(bytes)?,
                (None, None) => return Err(Error::corrupt(format!("the content {sha256} is nowhere"))),
            };
            Ok(packed.into())
        })
    }

    /// What is to be said of an earlier patch.
    fn findings(&self, past: &Past, edits: &[Edit]) -> Vec<Finding> {
        let mut findings = Vec::new();
        let facts = EarlierFacts::of(&past.manifest);
        let recipe: String = facts.recipe.chars().take(SHOWN).collect();
        let back: Vec<String> =
            edits.iter().map(|edit| &edit.path).filter(|path| self.goes_back(past, path)).cloned().collect();
        if !back.is_empty() {
            let message = format!(
                "what {} put in before (recipe {recipe}…) and this recipe does not want goes, or becomes as it was: {}",
                facts.tool,
                listed(&back)
            );
            findings.push(note("history", message));
        }
        for changed in past.changed.iter().filter(|changed| !changed.on_boot) {
            let path = &changed.path;
            let what = match self.planned.contains(path) {
                true => "what is there now counts as what was there before",
                false => "it stays as it is",
            };
            let message = format!("{path} is {} since {} put it in: {what}", changed.how, facts.tool);
            findings.push(Finding { severity: Severity::Warning, ..note("history", message) });
        }
        if past.is_settled {
            let message = format!(
                "the package database was changed since {} put packages in: nothing of what it put in is taken out again, and \
                 this patch comes on top",
                facts.tool
            );
            let remedy = "patch the original image, or take the packages out first (opkg remove, apk del)".to_owned();
            findings.push(Finding { severity: Severity::Warning, remedy: Some(remedy), ..note("history", message) });
        }
        findings
    }

    /// Whether the patch before changed `path`, and this one leaves it alone.
    fn goes_back(&self, past: &Past, path: &str) -> bool {
        let is_own = path == FOLDER || path.starts_with(ORIGINALS);
        !is_own && !self.planned.contains(path) && past.manifest.record(path).is_some()
    }
}

impl Standing for Settler<'_> {
    fn digest(&mut self, content: &Arc<[u8]>) -> String {
        self.opened.shelf.digest(content)
    }

    fn restored(&mut self, path: &str, state: &State) -> Result<Content> {
        let sha256 = match state {
            State::Directory(_) => return Ok(Content::Directory),
            State::Symlink { target, .. } => return Ok(Content::Symlink(target.clone())),
            State::Absent | State::Special => return Err(Error::corrupt("there is nothing to put back").at(path)),
            State::File { sha256, .. } => sha256,
        };
        if let Some(other) = self.other_name(path, state)? {
            return Ok(Content::Link(other));
        }
        let is_kept = self.past().is_some_and(|past| past.manifest.kept().contains(&sha256.as_str()));
        if !is_kept {
            // Only permissions were changed.
            return Ok(Content::File(self.present()?.read(path)?.into()));
        }
        let shelf = self.opened.shelf.clone();
        let content = shelf.kept(sha256, || Ok(Past::content(self.present()?, sha256)?.into()));
        content.map(Content::File).at(|| path.to_owned())
    }

    fn is_directory(&mut self, path: &str) -> Result<bool> {
        Ok(self.present()?.metadata(path)?.is_some_and(|metadata| metadata.file_type == FileType::Directory))
    }
}

impl Settler<'_> {
    /// Another name of the file that stood at `path`, which is there or is put back before.
    fn other_name(&mut self, path: &str, state: &State) -> Result<Option<String>> {
        let Some(past) = self.past() else { return Ok(None) };
        let links = past.manifest.record(path).map(|record| record.links.clone()).unwrap_or_default();
        let owned = self.owned();
        let stays = |links: &Vec<String>, planned: &BTreeSet<String>| -> Vec<String> {
            links.iter().filter(|other| !planned.contains(*other)).cloned().collect()
        };
        for other in stays(&links, &self.planned) {
            let is_same = match past.root.before.get(&other) {
                // The first of several that are put back is so by its content.
                Some(before) => *other < *path && before.is_as(state, owned),
                None => State::of(self.present()?, &other)?.is_as(state, owned),
            };
            if is_same {
                return Ok(Some(other));
            }
        }
        Ok(None)
    }
}

/// The edits that record others: what is kept of what stood there, with the folders for it, and the record.
#[derive(Default)]
struct RecordEdits {
    large: Vec<Edit>,
    small: Vec<Edit>,
    manifest: Option<Edit>,
}

/// How a plan is recorded.
pub(super) struct Recorded<'a> {
    pub(super) wished: &'a Wished,
    pub(super) wishes: &'a Wishes,
    pub(super) keep_debug: bool,
    pub(super) kernel: Option<KernelChange<'a>>,
}

fn own_file(path: &str, content: Arc<[u8]>) -> Edit {
    Edit {
        path: path.to_owned(),
        change: Change::Add,
        content: Some(Content::File(content)),
        attributes: SECRET,
        linked_to: None,
        is_own: false,
        size_before: None,
        reason: REASON.to_owned(),
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn opened(slot: &mut Option<Box<dyn Filesystem>>) -> Result<&mut dyn Filesystem> {
    match slot {
        Some(filesystem) => Ok(filesystem.as_mut()),
        None => Err(Error::corrupt("the root filesystem is not open")),
    }
}
