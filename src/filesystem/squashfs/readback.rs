//! Opens what was written like any squashfs and compares all of it with what was meant.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::Squashfs;
use super::inode::Content;
use super::tree::{Body, Id, Node};
use super::writer::content_of;
use crate::error::{Error, Result};
use crate::image::Volume;

/// Checks that `volume` holds the tree of `edited`, whose new files lie at `new`, and gives it back.
///
/// # Errors
/// Corrupt: the first difference.
pub(super) fn check(edited: &Squashfs, new: &BTreeMap<Id, Content>, volume: Volume) -> Result<Volume> {
    let written = Squashfs::open(volume, edited.epoch.into())?;
    let same_tables = match (&edited.tables.xattrs, &written.tables.xattrs) {
        (None, None) => true,
        (Some(ours), Some(theirs)) => ours.same(theirs),
        _ => false,
    };
    if !same_tables || edited.tables.ids != written.tables.ids || edited.tables.fragments != written.tables.fragments {
        return Err(Error::corrupt("squashfs: the tables do not read back"));
    }
    let mut files = Vec::new();
    let mut pairs: BTreeMap<Id, Id> = BTreeMap::new();
    let mut waiting = vec![(edited.tree.root, written.tree.root, String::new())];
    while let Some((ours, theirs, path)) = waiting.pop() {
        if let Some(known) = pairs.insert(ours, theirs) {
            if known != theirs {
                return Err(differs(&path, "it is no longer the same file under both names"));
            }
            continue;
        }
        compare(edited.tree.node(ours)?, written.tree.node(theirs)?, &path)?;
        if content_of(&edited.tree, new, ours)? != content_of(&written.tree, new, theirs)? {
            return Err(differs(&path, "its blocks lie elsewhere"));
        }
        match (&edited.tree.node(ours)?.body, &written.tree.node(theirs)?.body) {
            (Body::Pending(bytes), Body::Stored(content)) => files.push((path, bytes, content)),
            (Body::Directory(ours), Body::Directory(theirs)) => {
                if !ours.keys().eq(theirs.keys()) {
                    return Err(differs(&path, "it has other names"));
                }
                for ((name, ours), theirs) in ours.iter().zip(theirs.values()) {
                    waiting.push((*ours, *theirs, format!("{path}/{}", String::from_utf8_lossy(name))));
                }
            }
            _ => {}
        }
    }
    let contents = written.contents();
    files.par_iter().try_for_each(|(path, bytes, content)| {
        if contents.read(content)? == **bytes { Ok(()) } else { Err(differs(path, "its content differs")) }
    })?;
    Ok(written.volume)
}

fn differs(path: &str, what: &str) -> Error {
    Error::corrupt(format!("{path} does not read back: {what}"))
}

fn compare(ours: &Node, theirs: &Node, path: &str) -> Result<()> {
    let fields = |node: &Node| (node.number, node.mode, node.uid, node.gid, node.time, node.xattr);
    if fields(ours) != fields(theirs) {
        let (ours, theirs) = (fields(ours), fields(theirs));
        let what = format!("number, mode, owner, group, time and xattrs are {theirs:?}, not {ours:?}");
        return Err(differs(path, &what));
    }
    let same = match (&ours.body, &theirs.body) {
        (Body::Directory(_), Body::Directory(_)) | (Body::Pending(_), Body::Stored(_)) => true,
        (ours, theirs) => ours == theirs,
    };
    if same { Ok(()) } else { Err(differs(path, "it is something else")) }
}
