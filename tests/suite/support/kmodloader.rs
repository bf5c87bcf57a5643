//! The order in which OpenWrt's kmodloader inserts modules, told by a second pair of eyes: from a copy of the root made
//! by debugfs and `depends=` as kmod reads it (behaviour: ubox, kmodloader.c, `main_loader` and `load_modprobe`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::oracle::modinfo;

/// One insertion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Insertion {
    /// Name with `_`.
    pub(crate) name: String,
    /// Path inside the root.
    pub(crate) path: String,
    /// Parameters.
    pub(crate) parameters: String,
}

struct Loader<'a> {
    root: &'a Path,
    folder: String,
    files: BTreeMap<String, String>,
    selected: BTreeMap<String, String>,
    done: BTreeSet<String>,
    order: Vec<Insertion>,
}

/// Every insertion of both boot stages, in order.
pub(crate) fn load_order(root: &Path, release: &str) -> Vec<Insertion> {
    let folder = format!("lib/modules/{release}");
    let names = sorted_names(&root.join(&folder));
    let files = names.into_iter().filter_map(|file| Some((file.strip_suffix(".ko")?.replace('-', "_"), file.clone())));
    let files = files.collect();
    let mut loader =
        Loader { root, folder, files, selected: BTreeMap::new(), done: BTreeSet::new(), order: Vec::new() };
    for stage in ["etc/modules-boot.d", "etc/modules.d"] {
        loader.stage(stage);
    }
    loader.order
}

fn sorted_names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    names
}

impl Loader<'_> {
    fn stage(&mut self, folder: &str) {
        for file in sorted_names(&self.root.join(folder)) {
            // Links of modules-boot.d point to ../modules.d and resolve inside the copy.
            let Ok(text) = std::fs::read_to_string(self.root.join(folder).join(&file)) else { continue };
            for line in text.lines() {
                let (name, parameters) = line.split_once(' ').unwrap_or((line, ""));
                let name = name.replace('-', "_");
                if self.files.contains_key(&name) {
                    self.selected.entry(name).or_insert_with(|| parameters.to_string());
                }
                if file.as_bytes()[0] <= b'9' {
                    self.load_selected();
                }
            }
        }
        self.load_selected();
    }

    fn load_selected(&mut self) {
        for name in self.selected.keys().cloned().collect::<Vec<_>>() {
            self.load(&name);
        }
    }

    fn load(&mut self, name: &str) {
        let Some(file) = self.files.get(name).cloned() else { return };
        if !self.done.insert(name.to_string()) {
            return;
        }
        let path = format!("{}/{file}", self.folder);
        for line in modinfo(&self.root.join(&path), "depends") {
            for dependency in line.split(',').filter(|name| !name.is_empty()) {
                self.load(&dependency.replace('-', "_"));
            }
        }
        let parameters = self.selected.get(name).cloned().unwrap_or_default();
        self.order.push(Insertion { name: name.to_string(), path, parameters });
    }
}
