//! Programs and libraries of an image, linked as musl would.

use std::collections::BTreeMap;

use crate::filesystem::Filesystem;
use crate::openwrt::System;
use crate::userland::{Binary, Library, PATH_FILE, Searched, link};
use crate::verify::{Expectations, Program};

/// Where a program that is known by its name only is looked for.
const PROGRAM_FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
/// The largest program or library that is read.
const LARGEST: u64 = 256 << 20;

/// Links every program that `expectations` name and that is in the image.
pub(super) fn linked(root: &mut dyn Filesystem, system: &System, expectations: &Expectations) -> Vec<Program> {
    let mut image = Image { root, system, known: BTreeMap::new() };
    let mut programs = Vec::new();
    for path in &expectations.programs {
        programs.push(Program { path: path.clone(), problems: link(&mut image, path) });
    }
    for (name, is_optional) in &expectations.tools {
        let mut places = PROGRAM_FOLDERS.iter().map(|folder| format!("{folder}/{name}"));
        let problems = match places.find(|path| system.tree.resolve(path).is_some()) {
            Some(path) if expectations.programs.contains(&path) => continue,
            Some(path) => Program { problems: link(&mut image, &path), path },
            None if *is_optional => continue,
            None => Program {
                path: name.clone(),
                problems: vec![format!("{name} is in none of {}", PROGRAM_FOLDERS.join(", "))],
            },
        };
        programs.push(problems);
    }
    programs
}

struct Image<'a> {
    root: &'a mut dyn Filesystem,
    system: &'a System,
    /// Files that were read, by the path that they really have.
    known: BTreeMap<String, Library>,
}

impl Searched for Image<'_> {
    fn file(&mut self, path: &str) -> Option<Library> {
        let path = self.system.tree.resolve(path)?;
        if let Some(known) = self.known.get(&path) {
            return Some(known.clone());
        }
        let size = self.system.tree.node(&path)?.metadata.size;
        let binary = match self.root.read(&path) {
            _ if size > LARGEST => Err(format!("is {size} bytes long, too long for a program")),
            Ok(bytes) => Binary::parse(&bytes),
            Err(error) => Err(format!("cannot be read: {error}")),
        };
        let library = Library { path: path.clone(), binary };
        self.known.insert(path, library.clone());
        Some(library)
    }

    fn system_paths(&self) -> Option<String> {
        self.system.tree.text(PATH_FILE)
    }
}
