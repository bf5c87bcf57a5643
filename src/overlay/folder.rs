//! The files of an overlay: embedded in the binary, or a folder of the user's.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use include_dir::{Dir, include_dir};

use crate::error::{Error, Result};

static BUILTIN: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/overlays");

/// Most bytes that an overlay of the user's may hold.
const OVERLAY_BYTES_MAX: u64 = 64 << 20;
/// Deepest folder in an overlay.
const DEPTH_MAX: usize = 32;

/// Every file of an overlay by its path in it, with `/` between parts.
pub(crate) type Folder = BTreeMap<String, Vec<u8>>;

/// Names of the embedded overlays, sorted.
pub(crate) fn builtin_names() -> Vec<&'static str> {
    let mut names = BUILTIN.dirs().filter_map(|dir| dir.path().to_str()).collect::<Vec<_>>();
    names.sort_unstable();
    names
}

/// The files of the embedded overlay `name`.
pub(crate) fn builtin(name: &str) -> Option<Folder> {
    let dir = BUILTIN.dirs().find(|dir| dir.path().to_str() == Some(name))?;
    let mut folder = Folder::new();
    collect(dir, dir.path(), &mut folder);
    Some(folder)
}

fn collect(dir: &Dir<'_>, root: &Path, folder: &mut Folder) {
    for file in dir.files() {
        if let Some(path) = file.path().strip_prefix(root).ok().and_then(slashed) {
            folder.insert(path, file.contents().to_vec());
        }
    }
    for dir in dir.dirs() {
        collect(dir, root, folder);
    }
}

/// Reads the folder `root`.
///
/// # Errors
/// A symlink or another special file in it, too much data, or a failed read.
pub(crate) fn read(root: &Path) -> Result<Folder> {
    let mut folder = Folder::new();
    let mut left = OVERLAY_BYTES_MAX;
    read_below(root, root, DEPTH_MAX, &mut left, &mut folder)?;
    Ok(folder)
}

fn read_below(root: &Path, dir: &Path, depth: usize, left: &mut u64, folder: &mut Folder) -> Result<()> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(
            Error::usage(format!("folders are nested more than {DEPTH_MAX} deep")).at(dir.display().to_string())
        );
    };
    let entries = std::fs::read_dir(dir).map_err(|error| Error::io("list", dir, error))?;
    for entry in entries {
        let path = entry.map_err(|error| Error::io("list", dir, error))?.path();
        let metadata = std::fs::symlink_metadata(&path).map_err(|error| Error::io("look at", &path, error))?;
        let refuse = |message: String| Error::usage(message).at(path.display().to_string());
        if metadata.is_dir() {
            read_below(root, &path, depth, left, folder)?;
            continue;
        }
        if !metadata.is_file() {
            let kind = if metadata.is_symlink() { "a symlink" } else { "a special file" };
            return Err(refuse(format!("{kind} in an overlay")).remedy("put the file itself there"));
        }
        *left = left.checked_sub(metadata.len()).ok_or_else(|| {
            refuse(format!("the overlay holds more than {} MiB", OVERLAY_BYTES_MAX >> 20))
                .remedy("an overlay is a folder with overlay.toml and files/; is this the right folder?")
        })?;
        let name = path.strip_prefix(root).ok().and_then(slashed);
        let name = name.ok_or_else(|| refuse("the name is not valid UTF-8".to_owned()))?;
        let bytes = std::fs::read(&path).map_err(|error| Error::io("read", &path, error))?;
        folder.insert(name, bytes);
    }
    Ok(())
}

/// Writes `folder` below `root`, which is made where it is missing. Nothing is overwritten.
///
/// # Errors
/// A file that exists already (before anything is written), or a failed write.
pub(crate) fn write(folder: &Folder, root: &Path) -> Result<Vec<PathBuf>> {
    let paths = folder.keys().map(|name| root.join(name)).collect::<Vec<_>>();
    if let Some(path) = paths.iter().find(|path| std::fs::symlink_metadata(path).is_ok()) {
        return Err(Error::usage("it exists already, and an export overwrites nothing")
            .at(path.display().to_string())
            .remedy("export to an empty folder"));
    }
    for (path, bytes) in paths.iter().zip(folder.values()) {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|error| Error::io("create", parent, error))?;
        }
        let mut file = std::fs::File::create_new(path).map_err(|error| Error::io("create", path, error))?;
        std::io::Write::write_all(&mut file, bytes).map_err(|error| Error::io("write", path, error))?;
    }
    Ok(paths)
}

/// A relative path with `/` between its parts; `None` where it leaves its folder or is not UTF-8.
fn slashed(path: &Path) -> Option<String> {
    let mut parts = Vec::new();
    for component in path.components() {
        let Component::Normal(part) = component else { return None };
        parts.push(part.to_str()?);
    }
    Some(parts.join("/"))
}
