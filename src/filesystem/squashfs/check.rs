//! The structure of a squashfs, checked.

use std::collections::BTreeSet;

use rayon::prelude::*;

use super::Squashfs;
use super::fields::Fields;
use super::inode::{Content, NO_FRAGMENT};
use super::metadata::Reader;
use super::superblock::{NO_TABLE, Superblock};
use super::tables::PLAIN;
use super::tree::{Body, Id};
use crate::error::{ErrorKind, Result};
use crate::filesystem::path::components;
use crate::image::Volume;

/// One sentence per problem. Damage that keeps the tree from being read is the last one.
///
/// # Errors
/// A volume shorter than a superblock; or what is not supported.
pub(in crate::filesystem) fn problems(volume: &Volume) -> Result<Vec<String>> {
    let problems = Superblock::read(volume)?.problems(volume.length());
    if !problems.is_empty() {
        return Ok(problems);
    }
    let opened = match Squashfs::open(volume.clone(), 0) {
        Ok(opened) => opened,
        Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(vec![error.to_string()]),
        Err(error) => return Err(error),
    };
    let is_edited = opened.volume.is_changed(0, opened.superblock.used);
    found(&opened, |_, content| !is_edited || is_new(&opened, content))
}

/// The same of what was `opened`, where only the contents of the files with these `paths` are to be looked at.
///
/// # Errors
/// As [`problems`].
pub(super) fn problems_at(opened: &Squashfs, paths: &BTreeSet<String>) -> Result<Vec<String>> {
    let mut ids = BTreeSet::new();
    for path in paths {
        ids.extend(opened.tree.find(&components(path)?)?);
    }
    found(opened, |id, _| ids.contains(&id))
}

fn found(opened: &Squashfs, asked: impl Fn(Id, &Content) -> bool) -> Result<Vec<String>> {
    let mut problems = opened.tree.wrong_links.clone();
    match export_problems(opened) {
        Ok(more) => problems.extend(more),
        Err(error) => problems.push(error.to_string()),
    }
    problems.extend(unreadable(opened, asked)?);
    Ok(problems)
}

/// Files among those that are `asked` for whose content cannot be read. Of a filesystem that was edited here, only what was
/// written is unpacked: all other blocks are bit for bit those of the image.
fn unreadable(opened: &Squashfs, asked: impl Fn(Id, &Content) -> bool) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for id in opened.tree.references()?.into_keys() {
        let node = opened.tree.node(id)?;
        if let Body::Stored(content) = &node.body
            && asked(id, content)
        {
            files.push((content.fragment, node.number, content));
        }
    }
    // Files of one fragment together, so that it is unpacked once.
    files.sort_unstable_by_key(|(fragment, number, _)| (*fragment, *number));
    let groups: Vec<&[(u32, u32, &Content)]> =
        files.chunk_by(|(one, ..), (other, ..)| one == other && *one != NO_FRAGMENT).collect();
    let contents = opened.contents();
    let problem = |(_, number, content): &(u32, u32, &Content)| {
        contents.check(content).err().map(|error| format!("inode {number}: {error}"))
    };
    Ok(groups.par_iter().flat_map_iter(|group| group.iter().filter_map(problem)).collect())
}

/// Whether a block or the fragment of a file was written since the image was read.
fn is_new(opened: &Squashfs, content: &Content) -> bool {
    let stored = |stored: u32| u64::from(stored & !PLAIN);
    let blocks = content.blocks.iter().map(|block| stored(*block)).sum();
    let fragment = usize::try_from(content.fragment).ok().and_then(|number| opened.tables.fragments.get(number));
    opened.volume.is_changed(content.start, blocks)
        || fragment.is_some_and(|fragment| opened.volume.is_changed(fragment.start, stored(fragment.stored)))
}

/// The export table must lead to the same place for each inode number as the directories do.
fn export_problems(opened: &Squashfs) -> Result<Vec<String>> {
    let superblock = &opened.superblock;
    if superblock.export_table == NO_TABLE {
        return Ok(Vec::new());
    }
    let mut reader = Reader::new(&opened.volume, &opened.compressor, superblock.used);
    let length = usize::try_from(superblock.inodes).unwrap_or(usize::MAX).saturating_mul(8);
    let (bytes, _) = reader.indexed(superblock.export_table, length)?;
    let mut fields = Fields::new("the export table", &bytes);
    let mut problems = Vec::new();
    for number in 1..=superblock.inodes {
        let (found, wanted) = (fields.u64()?, opened.tree.place_of(number));
        if let Some(wanted) = wanted
            && wanted != found
        {
            problems.push(format!("squashfs: the export table leads inode {number} to {found:#x}, not {wanted:#x}"));
        }
    }
    Ok(problems)
}
