//! What tests of outputs look at.

use std::fs;
use std::path::Path;

/// Names in a folder, sorted: those that appeared, and what stayed behind.
pub(super) fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}
