//! The structural check of a FAT volume.

use super::Fat;
use super::table::Layout;
use crate::error::Result;
use crate::filesystem::{FileType, Filesystem};
use crate::image::Volume;

/// Directories after this many are not looked at; FAT has no count of its own to compare with.
const MOST_DIRECTORIES: usize = 10_000;

/// One sentence per problem; empty is sound.
///
/// # Errors
/// The volume cannot be read.
pub(in crate::filesystem) fn problems(volume: &Volume) -> Result<Vec<String>> {
    let layout = match Layout::read(volume) {
        Ok(layout) => layout,
        Err(error) => return Ok(vec![error.to_string()]),
    };
    let mut problems = Vec::new();
    let first = layout.table(volume, 0)?;
    for number in 1..layout.tables {
        let other = layout.table(volume, number)?;
        if let Some(at) = first.iter().zip(&other).position(|(a, b)| a != b) {
            problems.push(format!("FAT {number} differs from FAT 0 from byte {at} on"));
        }
    }
    if let Err(error) = layout.check_loops(&first) {
        problems.push(error.to_string());
        return Ok(problems);
    }
    match Fat::open(volume.clone(), 0) {
        Ok(mut fat) => walk(&mut fat, &mut problems),
        Err(error) => problems.push(error.to_string()),
    }
    Ok(problems)
}

fn walk(fat: &mut Fat, problems: &mut Vec<String>) {
    let mut waiting = vec!["/".to_owned()];
    let mut seen = 0;
    while let Some(directory) = waiting.pop() {
        seen += 1;
        if seen > MOST_DIRECTORIES || directory.len() > 4096 {
            problems.push(format!("the directories loop or are more than {MOST_DIRECTORIES}"));
            return;
        }
        match fat.list(&directory) {
            Ok(entries) => waiting.extend(
                entries
                    .iter()
                    .filter(|entry| entry.file_type == FileType::Directory)
                    .map(|entry| format!("{}/{}", directory.trim_end_matches('/'), entry.name)),
            ),
            Err(error) => problems.push(error.to_string()),
        }
    }
}
