//! Folders searched in depth for module files.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Whether a file of this name is taken for a module.
pub(super) fn is_module_name(file_name: &str) -> bool {
    [".ko", ".ko.gz", ".ko.xz", ".ko.zst"].iter().any(|ending| file_name.ends_with(ending))
}

/// Every module file in `root` and below, in byte order of the paths. Symbolic links are followed; a folder that
/// several links lead to is searched once, under its own path where that lies below `root`.
///
/// # Errors
/// Io, naming the folder, when one cannot be listed.
pub(super) fn search(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    let mut folders = VecDeque::from([root.to_owned()]);
    // Links wait until all real folders are known, so that what they lead to keeps its own path.
    let mut links = VecDeque::new();
    while let Some(folder) = folders.pop_front().or_else(|| links.pop_front()) {
        let real = fs::canonicalize(&folder).map_err(|e| Error::io("open the folder", &folder, e))?;
        if !seen.insert(real) {
            continue;
        }
        let mut below = BTreeSet::new();
        for entry in fs::read_dir(&folder).map_err(|e| Error::io("list", &folder, e))? {
            let entry = entry.map_err(|e| Error::io("list", &folder, e))?;
            let kind = entry.file_type().map_err(|e| Error::io("examine", &entry.path(), e))?;
            below.insert((entry.path(), kind.is_dir(), kind.is_symlink(), kind.is_file()));
        }
        for (path, is_folder, is_link, is_file) in below {
            let is_module = path.file_name().is_some_and(|name| is_module_name(&name.to_string_lossy()));
            if is_folder {
                folders.push_back(path);
            } else if !is_link {
                // Reading a pipe or device of such a name could wait for ever.
                found.extend((is_module && is_file).then_some(path));
            } else if fs::metadata(&path).is_ok_and(|target| target.is_dir()) {
                links.push_back(path);
            } else if is_module {
                // A dangling one too: asking for that module then names it.
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
