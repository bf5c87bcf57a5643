//! Several documents made one: what an upper one says wins over what is below it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use toml::{Table, Value};

use crate::overlay::{Overlay, is_folder};

use super::document::{Document, child_path};
use super::places::Places;

/// The recipe's own lists: an upper document adds to them. All other lists are replaced.
const ADDED_TO: [&str; 6] = ["overlays", "modules", "packages", "package_dirs", "ssh_keys", "file"];
/// Those of them that name local files, one text each.
const LISTS_OF_PATHS: [&str; 3] = ["modules", "packages", "package_dirs"];
/// Keys of a `[[file]]` that name local files.
const FILE_SOURCES: [&str; 2] = ["source", "template"];

impl Document {
    /// Lays `upper` over this document. Tables are merged key by key; the recipe's own lists are added to, where an
    /// overlay that is named twice counts once and a file takes the place of one with the same path; everything else is
    /// replaced.
    pub(crate) fn lay(&mut self, upper: &Self) {
        for (key, value) in &upper.table {
            match (self.table.get_mut(key), value) {
                (Some(Value::Table(lower)), Value::Table(table)) => {
                    merge(lower, &mut self.places, table, &upper.places, key);
                }
                (Some(Value::Array(_)), Value::Array(items)) if ADDED_TO.contains(&key.as_str()) => {
                    self.add_to(key, items, &upper.places);
                }
                // Not even a list: it stays, to be refused.
                (Some(_), Value::Array(_)) if ADDED_TO.contains(&key.as_str()) => {}
                _ => {
                    self.table.insert(key.clone(), value.clone());
                    self.places.adopt(&upper.places, key, key);
                }
            }
        }
    }

    fn add_to(&mut self, key: &str, items: &[Value], places: &Places) {
        let Some(Value::Array(old)) = self.table.remove(key) else { return };
        let known = self.places.take(key);
        self.places.note_as_in(&known, key);
        let stays = |value: &&Value| key != "file" || !items.iter().any(|item| is_same_file(item, value));
        let mut list = Vec::with_capacity(old.len() + items.len());
        let lower =
            old.iter().enumerate().filter(|(_, value)| stays(value)).map(|(index, value)| (index, value, &known));
        let upper = items.iter().enumerate().filter(|(_, value)| key != "overlays" || !old.contains(value));
        for (index, value, places) in lower.chain(upper.map(|(index, value)| (index, value, places))) {
            self.places.adopt(places, &format!("{key}[{index}]"), &format!("{key}[{}]", list.len()));
            list.push(value.clone());
        }
        self.table.insert(key.to_owned(), Value::Array(list));
    }

    /// The same with relative paths of local files counted from `base`: its own, and those that settings of overlays name,
    /// be they of its own `overlays` or of those that are put in force `elsewhere`.
    pub(crate) fn rooted(mut self, base: &Path, elsewhere: &[String]) -> Self {
        if base.as_os_str().is_empty() {
            return self;
        }
        let join = |text: &mut String| *text = base.join(&*text).display().to_string();
        for key in LISTS_OF_PATHS {
            texts(&mut self.table, key).for_each(join);
        }
        texts(&mut self.table, "overlays").for_each(|text| *text = overlay_reference(text, base));
        texts(&mut self.table, "ssh_keys").filter(|text| !is_ssh_key(text)).for_each(join);
        if let Some(Value::String(kernel)) = self.table.get_mut("kernel") {
            join(kernel);
        }
        let files = self.table.get_mut("file").and_then(Value::as_array_mut).into_iter().flatten();
        for file in files.filter_map(Value::as_table_mut) {
            for key in FILE_SOURCES {
                if let Some(Value::String(path)) = file.get_mut(key) {
                    join(path);
                }
            }
        }
        let mut references = self.overlays();
        references.extend(self.table.keys().filter(|key| Overlay::builtin_names().contains(&key.as_str())).cloned());
        references.extend(elsewhere.iter().cloned());
        self.root_settings(base, &overlays_by_name(&references));
        self
    }

    /// Roots the local files that settings of `overlays` name, by the overlays' names.
    pub(crate) fn root_settings(&mut self, base: &Path, overlays: &BTreeMap<String, Overlay>) {
        for (name, overlay) in overlays {
            let Some(Value::Table(table)) = self.table.get_mut(name) else { continue };
            for setting in overlay.file_settings() {
                if let Some(Value::String(path)) = table.get_mut(setting).filter(|path| path.as_str() != Some("")) {
                    *path = base.join(&*path).display().to_string();
                }
            }
        }
    }

    /// The overlays that it names.
    pub(crate) fn overlays(&self) -> Vec<String> {
        let items = self.table.get("overlays").and_then(Value::as_array).into_iter().flatten();
        items.filter_map(Value::as_str).map(str::to_owned).collect()
    }
}

/// The overlays behind `references`, by name. What is wrong with one is said when it is put in force.
pub(crate) fn overlays_by_name(references: &[String]) -> BTreeMap<String, Overlay> {
    let references: BTreeSet<&String> = references.iter().collect();
    let overlays = references.into_iter().filter_map(|reference| Overlay::load(reference).ok());
    overlays.map(|overlay| (overlay.name().to_owned(), overlay)).collect()
}

fn merge(lower: &mut Table, lower_places: &mut Places, upper: &Table, upper_places: &Places, path: &str) {
    for (key, value) in upper {
        let path = child_path(path, key);
        match (lower.get_mut(key), value) {
            (Some(Value::Table(lower)), Value::Table(table)) => merge(lower, lower_places, table, upper_places, &path),
            _ => {
                lower.insert(key.clone(), value.clone());
                lower_places.adopt(upper_places, &path, &path);
            }
        }
    }
}

/// Whether two items of `file` have one path.
fn is_same_file(one: &Value, other: &Value) -> bool {
    let path = |value: &Value| value.get("path").and_then(Value::as_str).map(str::to_owned);
    path(one).is_some_and(|one| Some(one) == path(other))
}

/// The texts in the list `key`.
fn texts<'a>(table: &'a mut Table, key: &str) -> impl Iterator<Item = &'a mut String> {
    let items = table.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten();
    items.filter_map(|item| match item {
        Value::String(text) => Some(text),
        _ => None,
    })
}

/// Whether `text` is a public key rather than the name of a file with some.
pub(super) fn is_ssh_key(text: &str) -> bool {
    text.contains(char::is_whitespace) || text.starts_with("ssh-") || text.starts_with("ecdsa-")
}

/// An overlay's reference, a folder's counted from `base`.
fn overlay_reference(reference: &str, base: &Path) -> String {
    let there = base.join(reference).display().to_string();
    if !is_folder(&there) || Overlay::builtin_names().contains(&reference) {
        return reference.to_owned();
    }
    let plain = !reference.contains(['/', std::path::MAIN_SEPARATOR]);
    if plain && !Path::new(&there).join("overlay.toml").is_file() { reference.to_owned() } else { there }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laid(lower: &str, upper: &str) -> Document {
        let mut document = Document::parse(lower, "lower.toml").unwrap();
        document.lay(&Document::parse(upper, "upper.toml").unwrap());
        document
    }

    #[test]
    fn tables_merge_key_by_key_and_values_are_replaced_with_their_places() {
        let document = laid("hostname = 'a'\n[ipoib]\nmtu = 1\naddress = ['x', 'y']", "[ipoib]\n\naddress = ['z']");
        assert_eq!(document.table, "hostname = 'a'\n[ipoib]\nmtu = 1\naddress = ['z']".parse().unwrap());
        assert_eq!(document.places.of("ipoib.address[0]").as_deref(), Some("upper.toml, line 3, column 12"));
        assert_eq!(document.places.of("ipoib.address[1]").as_deref(), Some("upper.toml, line 3, column 1"));
        assert_eq!(document.places.of("ipoib.mtu").as_deref(), Some("lower.toml, line 3, column 1"));
    }

    #[test]
    fn the_recipes_own_lists_are_added_to_and_keep_their_places() {
        let document = laid("overlays = ['a', 'b']\nmodules = ['m']", "overlays = ['b', 'c']\nmodules = ['m']");
        assert_eq!(document.table, "overlays = ['a', 'b', 'c']\nmodules = ['m', 'm']".parse().unwrap());
        assert_eq!(document.places.of("overlays[1]").as_deref(), Some("lower.toml, line 1, column 18"));
        assert_eq!(document.places.of("overlays[2]").as_deref(), Some("upper.toml, line 1, column 18"));
    }

    #[test]
    fn a_file_takes_the_place_of_one_with_the_same_path() {
        let file = |path: &str, content: &str| format!("[[file]]\npath = '{path}'\ncontent = '{content}'\n");
        let lower = file("/a", "1") + &file("/b", "1");
        let document = laid(&lower, &(file("/a", "2") + &file("/c", "2")));
        let expected = file("/b", "1") + &file("/a", "2") + &file("/c", "2");
        assert_eq!(document.table, expected.parse().unwrap());
        assert_eq!(document.places.of("file[0].path").as_deref(), Some("lower.toml, line 5, column 1"));
        assert_eq!(document.places.of("file[1].content").as_deref(), Some("upper.toml, line 3, column 1"));
        assert_eq!(document.places.of("file[3]"), document.places.of("file"));
    }

    #[test]
    fn what_should_be_a_list_and_is_none_stays_to_be_refused() {
        assert_eq!(laid("modules = 'm'", "modules = ['n']").table["modules"].as_str(), Some("m"));
        assert_eq!(laid("modules = ['m']", "modules = 'n'").table["modules"].as_str(), Some("n"));
    }
}
