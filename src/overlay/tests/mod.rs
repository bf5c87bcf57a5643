//! Recipes resolved, and the scripts they render run for real.

mod builtin;
mod feeds;
mod own;
mod refusals;
mod scripts;

use std::path::Path;

use crate::error::Result;
use crate::plan::{Content, FileWish};
use crate::recipe::{CommandLineWishes, Recipe};

use super::{Resolved, resolve};

/// The recipe `text` as `r.toml` in a folder of its own, with `--set` assignments.
fn recipe_with(text: &str, sets: &[&str]) -> Result<Recipe> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.toml");
    std::fs::write(&path, text).unwrap();
    let settings = sets.iter().map(|text| (*text).to_owned()).collect();
    Recipe::assemble(&CommandLineWishes { recipe: Some(path), settings, ..CommandLineWishes::default() })
}

fn resolved(text: &str) -> Result<Resolved> {
    recipe_with(text, &[]).and_then(|recipe| resolve(&recipe))
}

/// The error of a recipe, without the folder it lay in, and its remedy.
fn refusal(text: &str) -> (String, String) {
    let error = resolved(text).unwrap_err();
    let shown = error.to_string();
    let shown = match shown.split_once("/r.toml") {
        Some((before, after)) => {
            let outer = before.rsplit_once(": /").map_or(String::new(), |(outer, _)| format!("{outer}: "));
            format!("{outer}r.toml{after}")
        }
        None => shown,
    };
    (shown, error.remedy_text().unwrap_or_default().to_owned())
}

fn file<'a>(resolved: &'a Resolved, path: &str) -> &'a FileWish {
    resolved.files.iter().find(|file| file.path == path).unwrap_or_else(|| panic!("{path} is not wished"))
}

fn text(resolved: &Resolved, path: &str) -> String {
    match &file(resolved, path).content {
        Content::File(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        other => panic!("{path} is {other:?}"),
    }
}

/// Lays the wished files below `root`, as an image would hold them.
fn install(resolved: &Resolved, root: &Path) {
    for wish in &resolved.files {
        let path = root.join(wish.path.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        match &wish.content {
            Content::File(bytes) => std::fs::write(path, bytes).unwrap(),
            Content::Directory => std::fs::create_dir_all(path).unwrap(),
            Content::Symlink(target) => std::os::unix::fs::symlink(target, path).unwrap(),
            Content::Link(existing) => panic!("an overlay wishes a link to {existing}"),
        }
    }
}
