//! `/lib/modules/<release>`: flat, uncompressed `.ko` files.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::tree::{MAX_LOADED, Node, Tree};
use crate::digest::sha256_hex;
use crate::error::{At as _, Result};
use crate::filesystem::{FileType, Filesystem};
use crate::kernel::{KernelRelease, Module, ModuleName};

/// Where the module directories are.
pub(crate) const MODULES_DIRECTORY: &str = "/lib/modules";

/// One `.ko` file of the image.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct InstalledModule {
    /// Name by which kmodloader knows it.
    pub(crate) name: ModuleName,
    /// Absolute path.
    pub(crate) path: String,
    /// Length in bytes.
    pub(crate) size: u64,
    /// SHA-256 of the content, lower-case hex; empty when it could not be read.
    pub(crate) sha256: String,
    /// What it says, or why it cannot be read.
    pub(crate) module: Result<Module, String>,
}

/// Modules that were read before, by the paths of their files, symlinks resolved.
#[derive(Debug, Default)]
pub(crate) struct Known<'a>(BTreeMap<String, &'a InstalledModule>);

impl<'a> Known<'a> {
    /// Those of `directories` in `tree` whose files, symlinks resolved, are not among `changed`.
    pub(crate) fn new(directories: &'a [ModuleDirectory], tree: &Tree, changed: &BTreeSet<String>) -> Self {
        let modules = directories.iter().flat_map(|directory| &directory.modules);
        let files = modules.filter_map(|module| Some((tree.resolve(&module.path)?, module)));
        Self(files.filter(|(file, _)| !changed.contains(file)).collect())
    }
}

/// One directory under `/lib/modules`.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ModuleDirectory {
    /// Its name: the kernel release it is for.
    pub(crate) release: KernelRelease,
    /// Its `*.ko` files, in byte order of their file names.
    pub(crate) modules: Vec<InstalledModule>,
    /// Paths below it that look like modules but that kmodloader does not see: subdirectories' and compressed ones.
    pub(crate) unseen: Vec<String>,
    /// Names of `modules.builtin`, where that file exists.
    pub(crate) builtin: Vec<ModuleName>,
}

impl InstalledModule {
    /// Last component of the path.
    pub(crate) fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// What it says it depends on; nothing where it cannot be read.
    pub(crate) fn depends(&self) -> &[ModuleName] {
        let modinfo = self.module.as_ref().ok().map(|module| &module.modinfo);
        modinfo.and_then(|modinfo| modinfo.depends.as_deref()).unwrap_or_default()
    }
}

impl ModuleDirectory {
    /// The module that kmodloader takes for `name`: the first in byte order of the file names.
    pub(crate) fn module(&self, name: &ModuleName) -> Option<&InstalledModule> {
        self.modules.iter().find(|module| module.name == *name)
    }

    /// Reads every directory under `/lib/modules`, in byte order.
    ///
    /// # Errors
    /// Corrupt filesystem structures.
    pub(crate) fn read_all(root: &mut dyn Filesystem, tree: &Tree, known: &Known<'_>) -> Result<Vec<Self>> {
        let Some(top) = tree.resolve(MODULES_DIRECTORY) else { return Ok(Vec::new()) };
        let mut directories = Vec::new();
        for (name, _) in tree.children(&top) {
            let Some(path) = tree.resolve(&format!("{top}/{name}")) else { continue };
            if tree.node(&path).is_some_and(|node| node.metadata.file_type == FileType::Directory) {
                directories.push(Self::read(root, tree, known, name, &path)?);
            }
        }
        Ok(directories)
    }

    fn read(root: &mut dyn Filesystem, tree: &Tree, known: &Known<'_>, name: &str, path: &str) -> Result<Self> {
        let mut modules = Vec::new();
        for (name, _) in tree.children(path) {
            // kmodloader.c scan_module_folder: glob("*.ko") leaves dot files out and follows links.
            if name.ends_with(".ko") && !name.starts_with('.') {
                modules.push(read_module(root, tree, known, format!("{path}/{name}"), name)?);
            }
        }
        let prefix = format!("{path}/");
        let unseen = tree
            .descendants(path)
            .into_iter()
            .filter(|(path, node)| is_unseen(path.strip_prefix(&prefix).unwrap_or(path), node))
            .map(|(path, _)| path)
            .collect();
        let builtin =
            tree.text(&format!("{path}/modules.builtin")).map(|text| builtin_names(&text)).unwrap_or_default();
        Ok(Self { release: KernelRelease::new(name), modules, unseen, builtin })
    }
}

fn read_module(
    root: &mut dyn Filesystem,
    tree: &Tree,
    known: &Known<'_>,
    path: String,
    name: &str,
) -> Result<InstalledModule> {
    let unreadable = |path: String, size: u64, reason: String| InstalledModule {
        name: ModuleName::new(name),
        path,
        size,
        sha256: String::new(),
        module: Err(reason),
    };
    let Some(target) = tree.resolve(&path) else {
        return Ok(unreadable(path, 0, "it is a symlink that leads nowhere".to_owned()));
    };
    let Some(metadata) = tree.metadata(&target) else { return Ok(unreadable(path, 0, "it is not there".to_owned())) };
    let size = metadata.size;
    if metadata.file_type != FileType::Regular {
        return Ok(unreadable(path, size, "it is not a regular file".to_owned()));
    }
    if size > MAX_LOADED {
        let reason = format!("it is {size} bytes long, more than the {MAX_LOADED} that a module may have here");
        return Ok(unreadable(path, size, reason));
    }
    if let Some(known) = known.0.get(&target).filter(|known| known.size == size) {
        return Ok(InstalledModule { name: ModuleName::new(name), path, ..(*known).clone() });
    }
    let bytes = root.read(&target).at(|| path.clone())?;
    let module = Module::parse(&bytes).map_err(|error| error.to_string());
    Ok(InstalledModule { name: ModuleName::new(name), path, size, sha256: sha256_hex(&bytes), module })
}

/// Whether the path (relative to the module directory) looks like a module that kmodloader does not see.
fn is_unseen(relative: &str, node: &Node) -> bool {
    let compressed = [".ko.gz", ".ko.xz", ".ko.zst"].iter().any(|ending| relative.ends_with(ending));
    let nested = relative.contains('/') && relative.ends_with(".ko");
    node.metadata.file_type != FileType::Directory && (compressed || nested)
}

/// Names of `modules.builtin`: one `foo.ko` per line, in some builds with its path.
fn builtin_names(text: &str) -> Vec<ModuleName> {
    let names = text.lines().map(str::trim).filter(|line| !line.is_empty());
    names.map(|line| ModuleName::new(line.rsplit('/').next().unwrap_or(line))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::MemoryFilesystem;
    use super::*;

    #[test]
    fn only_flat_uncompressed_modules_are_seen() {
        let mut root = MemoryFilesystem::new();
        root.add_file("/lib/modules/6.6.1/igb.ko", "x");
        root.add_file("/lib/modules/6.6.1/empty.ko", "");
        root.add_file("/lib/modules/6.6.1/ib_core.ko.xz", "x");
        root.add_file("/lib/modules/6.6.1/kernel/ptp.ko", "x");
        root.add_file("/lib/modules/6.6.1/modules.builtin", "kernel/fs/ext4/ext4.ko\nirq-poll.ko\n");
        root.add_link("/lib/modules/6.6.1/gone.ko", "nowhere.ko");
        root.add_directory("/lib/modules/6.6.2");
        let mut tree = Tree::walk(&mut root).unwrap();
        tree.load(&mut root, "/lib/modules/6.6.1/modules.builtin", 100).unwrap();
        let directories = ModuleDirectory::read_all(&mut root, &tree, &Known::default()).unwrap();
        assert_eq!(directories.len(), 2);
        let first = &directories[0];
        assert_eq!(first.release, KernelRelease::new("6.6.1"));
        let names: Vec<&str> = first.modules.iter().map(InstalledModule::file_name).collect();
        assert_eq!(names, ["empty.ko", "gone.ko", "igb.ko"]);
        assert!(first.modules[0].module.is_err(), "an empty file is no module");
        assert_eq!(first.modules[1].module.as_ref().unwrap_err(), "it is a symlink that leads nowhere");
        assert_eq!(first.unseen, ["/lib/modules/6.6.1/ib_core.ko.xz", "/lib/modules/6.6.1/kernel/ptp.ko"]);
        assert_eq!(first.builtin, [ModuleName::new("ext4"), ModuleName::new("irq_poll")]);
    }
}
