//! The structure of a squashfs, checked.

use rayon::prelude::*;

use super::Squashfs;
use super::fields::Fields;
use super::inode::Content;
use super::metadata::Reader;
use super::superblock::{NO_TABLE, Superblock};
use super::tree::Body;
use crate::error::{ErrorKind, Result};
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
    let mut problems = opened.tree.wrong_links.clone();
    match export_problems(&opened) {
        Ok(more) => problems.extend(more),
        Err(error) => problems.push(error.to_string()),
    }
    problems.extend(unreadable(&opened)?);
    Ok(problems)
}

/// Files whose content cannot be read.
fn unreadable(opened: &Squashfs) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for id in opened.tree.references()?.into_keys() {
        let node = opened.tree.node(id)?;
        if let Body::Stored(content) = &node.body {
            files.push((node.number, content));
        }
    }
    let contents = opened.contents();
    let problem = |(number, content): &(u32, &Content)| {
        contents.check(content).err().map(|error| format!("inode {number}: {error}"))
    };
    Ok(files.par_iter().filter_map(problem).collect())
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
