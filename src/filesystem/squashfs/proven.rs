//! What an edit left as it was: both trees walked side by side.

use std::collections::BTreeSet;

use super::Squashfs;
use super::check::problems_at;
use super::inode::Content;
use super::superblock::{LENGTH, Superblock};
use super::tables::{Fragment, PLAIN};
use super::tree::{Body, Id, Node};
use crate::error::Result;
use crate::filesystem::Later;
use crate::image::Volume;

/// Unit in which volumes are compared, in bytes.
const UNIT_LENGTH: usize = 512;
const UNIT: u64 = UNIT_LENGTH as u64;
/// At least as long as any compressor's options with their head (xz: 10 bytes, gzip and zstd at most as many).
const OPTIONS: usize = 32;

/// A squashfs in which nothing was found wrong.
pub(in crate::filesystem) struct Proven(Squashfs);

impl Proven {
    /// Reads the tree of `volume`.
    ///
    /// # Errors
    /// As [`Squashfs::open`].
    pub(in crate::filesystem) fn new(volume: &Volume) -> Result<Self> {
        Squashfs::open(volume.clone(), 0).map(Self)
    }
}

impl super::super::Proven for Proven {
    fn later(&self, volume: &Volume) -> Result<Option<Later>> {
        let Some(units) = self.0.volume.differing_units(volume, UNIT_LENGTH)? else { return Ok(None) };
        let now = Squashfs::open(volume.clone(), 0)?;
        let side_by_side = SideBySide { before: &self.0, now: &now, units: units.into_iter().collect() };
        if !side_by_side.has_same_options() {
            return Ok(None);
        }
        let mut changed = BTreeSet::new();
        side_by_side.compare(&mut changed)?;
        // Its structure was checked as its tree was read.
        let problems = problems_at(&now, &changed);
        Ok(Some(Later { changed, root: Box::new(now), problems: Box::new(|_| problems) }))
    }
}

struct SideBySide<'a> {
    before: &'a Squashfs,
    now: &'a Squashfs,
    /// Numbers of the [units](UNIT) that differ.
    units: BTreeSet<u64>,
}

impl SideBySide<'_> {
    /// Whether blocks are unpacked in the same way.
    fn has_same_options(&self) -> bool {
        let fields = |of: &Superblock| (of.block_size, of.block_log, of.compressor, of.flags, of.version);
        let options = |of: &Squashfs| {
            let mut bytes = [0; OPTIONS];
            of.volume.read_at(LENGTH, &mut bytes).map(|()| bytes).ok()
        };
        // Where there are no options data begins here: then the first block is compared once more than needed.
        fields(&self.before.superblock) == fields(&self.now.superblock) && options(self.before) == options(self.now)
    }

    /// Adds the paths at which both differ.
    fn compare(&self, changed: &mut BTreeSet<String>) -> Result<()> {
        let mut waiting = vec![(self.before.tree.root, self.now.tree.root, String::new())];
        while let Some((before, now, path)) = waiting.pop() {
            let (old, new) = (self.before.tree.node(before)?, self.now.tree.node(now)?);
            if !self.is_same(old, new) {
                changed.insert(if path.is_empty() { "/".to_owned() } else { path.clone() });
            }
            let (Body::Directory(names), Body::Directory(new_names)) = (&old.body, &new.body) else {
                add_below(self.before, before, &path, changed)?;
                add_below(self.now, now, &path, changed)?;
                continue;
            };
            let below = |name: &[u8]| format!("{path}/{}", String::from_utf8_lossy(name));
            for (name, id) in names {
                match new_names.get(name) {
                    Some(new) => waiting.push((*id, *new, below(name))),
                    None => add(self.before, *id, below(name), changed)?,
                }
            }
            for (name, id) in new_names.iter().filter(|(name, _)| !names.contains_key(*name)) {
                add(self.now, *id, below(name), changed)?;
            }
        }
        Ok(())
    }

    /// Whether two nodes are read as the same, apart from what is below a directory.
    fn is_same(&self, before: &Node, now: &Node) -> bool {
        let fields = |node: &Node| (node.mode, node.uid, node.gid);
        let same = match (&before.body, &now.body) {
            (Body::Directory(names), Body::Directory(others)) => names.keys().eq(others.keys()),
            (Body::Stored(content), Body::Stored(other)) => self.is_same_content(content, other),
            (body, other) => body == other,
        };
        same && fields(before) == fields(now)
    }

    fn is_same_content(&self, content: &Content, other: &Content) -> bool {
        let fragment = |of: &Squashfs| -> Option<Fragment> {
            usize::try_from(content.fragment).ok().and_then(|number| of.tables.fragments.get(number).copied())
        };
        let (before, now) = (fragment(self.before), fragment(self.now));
        let stored = |stored: u32| u64::from(stored & !PLAIN);
        let blocks = content.blocks.iter().map(|block| stored(*block)).sum();
        content == other
            && before == now
            && self.is_untouched(content.start, blocks)
            && now.is_none_or(|fragment| self.is_untouched(fragment.start, stored(fragment.stored)))
    }

    /// Whether no byte of the `length` from byte `start` on differs.
    fn is_untouched(&self, start: u64, length: u64) -> bool {
        let end = start.saturating_add(length);
        let mut units = self.units.range(start / UNIT..end.div_ceil(UNIT).max(start / UNIT));
        // In the first and the last unit another block may lie as well, which alone differs.
        units.all(|unit| {
            let (from, to) = (start.max(unit * UNIT), end.min((unit + 1) * UNIT));
            let mut both = [[0; UNIT_LENGTH]; 2];
            let read = |of: &Squashfs, bytes: &mut [u8; UNIT_LENGTH]| {
                let wanted = usize::try_from(to - from).ok().and_then(|length| bytes.get_mut(..length));
                wanted.is_some_and(|bytes| of.volume.read_at(from, bytes).is_ok())
            };
            let [before, now] = &mut both;
            read(self.before, before) && read(self.now, now) && before == now
        })
    }
}

/// Adds the node `id` of `of`, which has the path `path`, and all below it.
fn add(of: &Squashfs, id: Id, path: String, changed: &mut BTreeSet<String>) -> Result<()> {
    add_below(of, id, &path, changed)?;
    changed.insert(path);
    Ok(())
}

fn add_below(of: &Squashfs, id: Id, path: &str, changed: &mut BTreeSet<String>) -> Result<()> {
    let mut waiting = vec![(id, path.to_owned())];
    while let Some((id, path)) = waiting.pop() {
        if let Body::Directory(names) = &of.tree.node(id)?.body {
            for (name, id) in names {
                let path = format!("{path}/{}", String::from_utf8_lossy(name));
                changed.insert(path.clone());
                waiting.push((*id, path));
            }
        }
    }
    Ok(())
}
