//! The image as it will be: the tree with the wishes laid over it, from which the edits follow.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Change, Content, Edit};
use crate::digest::sha256_hex;
use crate::error::{Error, Result};
use crate::filesystem::{Attributes, FileType, Metadata};
use crate::openwrt::{Node, System, Tree};

/// When an edit is carried out. Autoload entries come behind modules, so that whoever reads a half written root never finds an
/// entry for a module that is not there yet. What a host has for itself comes last: all before it many hosts have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Module,
    File,
    Autoload,
    Own,
}

#[derive(Debug, Clone)]
struct Wanted {
    content: Content,
    attributes: Attributes,
    reasons: Vec<String>,
    stage: Stage,
    /// A parent directory nobody asked for: permissions of an existing one are left alone.
    implied: bool,
}

impl Wanted {
    /// What is to be ordered by size: only files are large.
    fn size(&self) -> usize {
        match (self.stage, &self.content) {
            (Stage::File | Stage::Own, Content::File(bytes)) => bytes.len(),
            _ => 0,
        }
    }
}

/// Collects what is wanted and checks it against what is there.
pub(super) struct Draft<'a> {
    system: &'a System,
    /// The tree as it will be.
    tree: Tree,
    wanted: BTreeMap<String, Wanted>,
    /// Paths in the order in which they were first wanted.
    order: Vec<String>,
    /// Paths that go, with the reason.
    removed: BTreeMap<String, String>,
    /// Files that are to be other names of files: path and the other path.
    links: BTreeMap<String, String>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(system: &'a System) -> Self {
        Self {
            system,
            tree: system.tree.clone(),
            wanted: BTreeMap::new(),
            order: Vec::new(),
            removed: BTreeMap::new(),
            links: BTreeMap::new(),
        }
    }

    /// The tree as it will be with everything wanted so far.
    pub(super) fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Wants `content` at `path`; symlinks among its parents are followed, missing parents made. Returns the path
    /// where it will really stand.
    ///
    /// # Errors
    /// Usage: something there that cannot be replaced, a parent that is no directory, or a contradicting wish.
    pub(super) fn put(
        &mut self,
        path: &str,
        content: Content,
        attributes: Attributes,
        reason: &str,
        stage: Stage,
    ) -> Result<String> {
        let place = self.locate(path, &content)?;
        self.check_clash(&place, &content, reason)?;
        if let Some(known) = self.wanted.get(&place).filter(|known| !known.implied) {
            let same =
                known.content == content && (known.attributes == attributes || matches!(content, Content::Symlink(_)));
            if !same {
                let others = known.reasons.join(", ");
                return Err(Error::usage(format!(
                    "{place} is wished twice, and not the same: by {others} and by {reason}"
                ))
                .remedy("leave one of the two out"));
            }
        }
        self.make_parents(&place, reason)?;
        self.insert(&place, Wanted { content, attributes, reasons: vec![reason.to_owned()], stage, implied: false });
        Ok(place)
    }

    /// Wants the file that is wanted at `place` to be another name of the one wanted at `existing` before it, for as long as
    /// both are to hold the same.
    pub(super) fn link(&mut self, place: &str, existing: &str) {
        let Some(first) = self.wanted.get(existing).map(|wanted| wanted.stage) else { return };
        if let Some(wanted) = self.wanted.get_mut(place).filter(|_| place != existing) {
            wanted.stage = wanted.stage.max(first);
            self.links.insert(place.to_owned(), existing.to_owned());
        }
    }

    /// Wants the directory `path` with `attributes` for what a host has for itself, unless a wish already says how it is to be.
    ///
    /// # Errors
    /// As [`Draft::put`].
    pub(super) fn put_directory(&mut self, path: &str, attributes: Attributes, reason: &str) -> Result<()> {
        let place = self.locate(path, &Content::Directory)?;
        let settled =
            self.wanted.get(&place).is_some_and(|known| !known.implied && known.content == Content::Directory);
        if !settled {
            self.put(path, Content::Directory, attributes, reason, Stage::Own)?;
        }
        Ok(())
    }

    /// Replaces the content of the file that stands, or will stand, at `place` (a path without symlinks), keeping its
    /// permissions; a new file gets `attributes`.
    ///
    /// # Errors
    /// As [`Draft::put`].
    pub(super) fn update(
        &mut self,
        place: &str,
        content: Vec<u8>,
        attributes: Attributes,
        reason: &str,
        stage: Stage,
    ) -> Result<()> {
        let content = Content::File(content.into());
        self.check_clash(place, &content, reason)?;
        self.make_parents(place, reason)?;
        let there = self.tree.node(place).filter(|node| node.metadata.file_type == FileType::Regular);
        let attributes = there.map_or(attributes, |node| node.metadata.attributes);
        let mut reasons = self.wanted.get(place).map(|known| known.reasons.clone()).unwrap_or_default();
        if !reasons.iter().any(|known| known == reason) {
            reasons.push(reason.to_owned());
        }
        self.insert(place, Wanted { content, attributes, reasons, stage, implied: false });
        Ok(())
    }

    /// Wants nothing at `directory` and below it, wherever the symlinks on it lead. To be called before anything is wanted.
    pub(super) fn remove_directory(&mut self, directory: &str, reason: &str) {
        let real = [self.tree.place(directory), self.tree.resolve(directory)];
        for place in real.into_iter().flatten().filter(|place| place != "/") {
            let below = format!("{place}/");
            for path in self.system.tree.nodes.keys().filter(|path| **path == place || path.starts_with(&below)) {
                self.tree.nodes.remove(path);
                self.removed.insert(path.clone(), reason.to_owned());
            }
        }
    }

    /// Whether what is wanted at `place` is not there yet.
    pub(super) fn changes(&self, place: &str) -> bool {
        self.wanted.get(place).is_some_and(|wanted| self.edit(place, wanted).is_some())
    }

    /// Paths of files and links that are wanted where nothing is now.
    pub(super) fn added(&self) -> impl Iterator<Item = &str> {
        let is_new = |path: &str| self.system.tree.node(path).is_none() || self.removed.contains_key(path);
        let files = self.wanted.iter().filter(|(_, wanted)| wanted.content != Content::Directory);
        files.map(|(path, _)| path.as_str()).filter(move |path| is_new(path))
    }

    /// Wants nothing at `path`, unless something is wanted there later.
    pub(super) fn remove_file(&mut self, path: &str, reason: &str) {
        let Some(place) = self.tree.place(path) else { return };
        let is_there = |node: &Node| node.metadata.file_type != FileType::Directory;
        if self.system.tree.node(&place).is_some_and(is_there) {
            self.tree.nodes.remove(&place);
            self.wanted.remove(&place);
            self.order.retain(|known| *known != place);
            self.removed.insert(place, reason.to_owned());
        }
    }

    /// Sets the permissions of the file wanted at `place`.
    pub(super) fn restrict(&mut self, place: &str, attributes: Attributes) {
        if let Some(wanted) = self.wanted.get_mut(place) {
            wanted.attributes = attributes;
        }
        if let Some(node) = self.tree.nodes.get_mut(place) {
            node.metadata.attributes = attributes;
        }
    }

    /// Where `path` really is; a wished directory that is a symlink to a directory is that directory.
    fn locate(&self, path: &str, content: &Content) -> Result<String> {
        let circle = || Error::usage(format!("{path} runs through symlinks that go round in circles"));
        let place = self.tree.place(path).ok_or_else(circle)?;
        let target = self.tree.resolve(&place).filter(|_| *content == Content::Directory);
        Ok(target.filter(|target| self.is_directory(target)).unwrap_or(place))
    }

    fn is_directory(&self, path: &str) -> bool {
        self.tree.node(path).is_some_and(|node| node.metadata.file_type == FileType::Directory)
    }

    fn check_clash(&self, place: &str, content: &Content, reason: &str) -> Result<()> {
        let Some(node) = self.tree.node(place) else { return Ok(()) };
        let clash = match (node.metadata.file_type, content) {
            (FileType::Special, _) => true,
            (FileType::Directory, content) => *content != Content::Directory,
            (FileType::Regular | FileType::Symlink, content) => *content == Content::Directory,
        };
        if clash {
            let there = describe(node.metadata.file_type);
            let wished = match content {
                Content::File(_) | Content::Link(_) => "a file",
                Content::Directory => "a directory",
                Content::Symlink(_) => "a symlink",
            };
            return Err(Error::usage(format!("{place} is {there}, but {reason} wants {wished} there"))
                .remedy("choose another path"));
        }
        Ok(())
    }

    fn make_parents(&mut self, place: &str, reason: &str) -> Result<()> {
        for (index, _) in place.match_indices('/').skip(1) {
            let Some(parent) = place.get(..index) else { continue };
            match self.tree.node(parent).map(|node| node.metadata.file_type) {
                Some(FileType::Directory) => {}
                Some(other) => {
                    return Err(Error::usage(format!(
                        "{place}, wanted by {reason}, cannot be: {parent} is {}",
                        describe(other)
                    ))
                    .remedy("choose another path"));
                }
                None => {
                    let attributes = Attributes::root(0o755);
                    let reasons = vec![reason.to_owned()];
                    let content = Content::Directory;
                    self.insert(parent, Wanted { content, attributes, reasons, stage: Stage::File, implied: true });
                }
            }
        }
        Ok(())
    }

    fn insert(&mut self, path: &str, wanted: Wanted) {
        let (file_type, size, link_target, content) = match &wanted.content {
            Content::File(bytes) => (FileType::Regular, bytes.len() as u64, None, Some(Arc::clone(bytes))),
            Content::Directory => (FileType::Directory, 0, None, None),
            Content::Symlink(target) => (FileType::Symlink, target.len() as u64, Some(target.clone()), None),
            Content::Link(_) => (FileType::Regular, 0, None, None),
        };
        let metadata = Metadata { file_type, attributes: wanted.attributes, size, link_target };
        self.tree.nodes.insert(path.to_owned(), Node { metadata, content });
        if self.wanted.insert(path.to_owned(), wanted).is_none() {
            self.order.push(path.to_owned());
        }
    }

    /// What has to change, in the order in which it is to be done. What plans for many hosts have in common comes before what
    /// each has for itself, and of either what is large before what is small; a directory comes right before what needs it.
    pub(super) fn into_edits(self) -> Vec<Edit> {
        // Backwards, byte order puts children before their parents. What goes first makes room for the rest.
        let removed = self.removed.iter().rev().filter_map(|(path, reason)| self.removal(path, reason));
        let mut edits: Vec<Edit> = removed.collect();
        let mut order: Vec<(&str, &Wanted)> =
            self.order.iter().filter_map(|path| Some((path.as_str(), self.wanted.get(path)?))).collect();
        order.sort_by_key(|(_, wanted)| (wanted.stage, Reverse(wanted.size())));
        let mut done = BTreeSet::new();
        for (path, _) in order {
            let above = path.match_indices('/').skip(1).filter_map(|(index, _)| path.get(..index));
            for path in above.chain([path]).filter(|path| done.insert(path.to_owned())) {
                edits.extend(self.wanted.get(path).and_then(|wanted| self.edit(path, wanted)));
            }
        }
        edits
    }

    /// The file of which the one wanted at `path` is to be another name.
    fn linked_to(&self, path: &str, wanted: &Wanted) -> Option<String> {
        let existing = self.links.get(path)?;
        let is_same = |other: &Wanted| (&other.content, other.attributes) == (&wanted.content, wanted.attributes);
        self.wanted.get(existing).is_some_and(is_same).then(|| existing.clone())
    }

    fn edit(&self, path: &str, wanted: &Wanted) -> Option<Edit> {
        let before = self.system.tree.node(path).filter(|_| !self.removed.contains_key(path));
        let change = match before {
            None => Change::Add,
            Some(node) => self.change(path, node, wanted)?,
        };
        let attributes = match wanted.content {
            Content::Symlink(_) => Attributes::root(0o777),
            _ => wanted.attributes,
        };
        let regular = before.filter(|node| node.metadata.file_type == FileType::Regular);
        Some(Edit {
            path: path.to_owned(),
            change,
            content: Some(wanted.content.clone()),
            linked_to: self.linked_to(path, wanted),
            attributes,
            is_own: wanted.stage == Stage::Own,
            size_before: regular.map(|node| node.metadata.size),
            reason: wanted.reasons.join(", "),
        })
    }

    fn removal(&self, path: &str, reason: &str) -> Option<Edit> {
        let metadata = &self.system.tree.node(path)?.metadata;
        Some(Edit {
            path: path.to_owned(),
            change: Change::Remove,
            content: None,
            linked_to: None,
            attributes: metadata.attributes,
            is_own: false,
            size_before: (metadata.file_type == FileType::Regular).then_some(metadata.size),
            reason: reason.to_owned(),
        })
    }

    /// How `node` has to change; `None` when it is as wanted.
    fn change(&self, path: &str, node: &Node, wanted: &Wanted) -> Option<Change> {
        let attributes_differ = node.metadata.attributes != wanted.attributes && !wanted.implied;
        match &wanted.content {
            Content::Directory => attributes_differ.then_some(Change::Attributes),
            Content::Symlink(target) => (node.metadata.link_target.as_ref() != Some(target)).then_some(Change::Replace),
            Content::File(bytes) if self.holds(path, node, bytes) => attributes_differ.then_some(Change::Attributes),
            Content::File(_) | Content::Link(_) => Some(Change::Replace),
        }
    }

    /// Whether the file `node` already holds `bytes`. Modules are not kept in memory: their digests are compared.
    fn holds(&self, path: &str, node: &Node, bytes: &[u8]) -> bool {
        if node.metadata.file_type != FileType::Regular || node.metadata.size != bytes.len() as u64 {
            return false;
        }
        match &node.content {
            Some(content) => **content == *bytes,
            None => {
                let directories = self.system.module_directories.iter();
                let module = directories.flat_map(|directory| &directory.modules).find(|module| module.path == path);
                module.is_some_and(|module| module.sha256 == sha256_hex(bytes))
            }
        }
    }
}

fn describe(file_type: FileType) -> &'static str {
    match file_type {
        FileType::Regular => "a file",
        FileType::Directory => "a directory",
        FileType::Symlink => "a symlink",
        FileType::Special => "a device node, FIFO or socket",
    }
}
