//! The recipe file and the command line made one.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::{Table, Value};

use crate::error::{Error, Result};
use crate::overlay::{Overlay, is_folder};

use super::check::check_table;
use super::document::{Document, kind_of};
use super::schema::{RecipeInput, recipe_keys, schema_of};
use super::{CommandLineWishes, ExtraFile, Recipe, instead};

impl Recipe {
    /// Merges the recipe file and the command line. Lists of the command line (overlays, modules, SSH keys, files) are
    /// added to the file's; single values replace it.
    ///
    /// # Errors
    /// A file that cannot be read or parsed (with line and column), an unknown key (with a suggestion), a value of the
    /// wrong type.
    pub(crate) fn assemble(wishes: &CommandLineWishes) -> Result<Self> {
        let (mut document, base) = match &wishes.recipe {
            Some(path) => (read(path)?, path.parent().map(Path::to_path_buf).unwrap_or_default()),
            None => (Document::default(), PathBuf::new()),
        };
        let written = document.table.clone();
        for assignment in &wishes.settings {
            document.set(assignment)?;
        }
        // Paths of the file count from its folder, those of `--set` from the current one.
        let base_of = |key: &str| match written.get(key) == document.table.get(key) {
            true => base.clone(),
            false => PathBuf::new(),
        };
        let (own, settings) = split(&document)?;
        check_table(&schema_of::<RecipeInput>(), &own, "", &document.places)?;
        let input = RecipeInput::deserialize(own).map_err(|error| Error::usage(error.message().to_owned()))?;
        let mut recipe =
            Self { hostname: input.hostname, root_password_hash: input.root_password_hash, ..Self::default() };
        recipe.settings = settings;
        recipe.overlays = input.overlays.iter().map(|name| rooted(name, &base_of("overlays"))).collect();
        recipe.modules = input.modules.iter().map(|path| base_of("modules").join(path)).collect();
        recipe.packages = input.packages.iter().map(|path| base_of("packages").join(path)).collect();
        for (index, key) in input.ssh_keys.iter().enumerate() {
            let keys = ssh_keys(key, &base_of("ssh_keys"));
            let path = format!("ssh_keys[{index}]");
            recipe.ssh_keys.extend(keys.map_err(|error| document.places.locate(error, &path))?);
        }
        for (index, file) in input.file.iter().enumerate() {
            let loaded = ExtraFile::load(file, &base_of("file"));
            let path = format!("file[{index}]");
            recipe.files.push(loaded.map_err(|error| document.places.locate(error, &path))?);
        }
        recipe.places = document.places;
        recipe.add(wishes)?;
        recipe.refuse_packages()?;
        Ok(recipe)
    }

    /// Adds what has options of its own.
    fn add(&mut self, wishes: &CommandLineWishes) -> Result<()> {
        for overlay in &wishes.overlays {
            if !self.overlays.contains(overlay) {
                self.overlays.push(overlay.clone());
            }
        }
        self.modules.extend(wishes.modules.iter().cloned());
        if let Some(hostname) = &wishes.hostname {
            self.hostname = Some(hostname.clone());
            self.places.note("hostname", "--hostname");
        }
        if let Some(hash) = &wishes.root_password_hash {
            self.root_password_hash = Some(hash.clone());
            self.places.note("root_password_hash", "--root-password-hash");
        }
        for key in &wishes.ssh_keys {
            self.ssh_keys.extend(ssh_keys(key, Path::new("")).map_err(|error| error.at("--ssh-key"))?);
        }
        for text in &wishes.files {
            let file = ExtraFile::from_argument(text)?;
            self.files.retain(|other| other.path != file.path);
            self.files.push(file);
        }
        Ok(())
    }

    fn refuse_packages(&self) -> Result<()> {
        let Some(first) = self.packages.first() else { return Ok(()) };
        let count = self.packages.len();
        let error = Error::unsupported(format!(
            "`packages` lists {count} package file(s), {} first, but packages cannot be put into an image yet",
            first.display()
        ));
        let error = error.remedy("leave `packages` out, and install them on the running router with opkg or apk");
        Err(self.places.locate(error, "packages"))
    }
}

fn read(path: &Path) -> Result<Document> {
    let bytes = std::fs::read(path).map_err(|error| Error::io("read", path, error))?;
    let name = path.display().to_string();
    let text = String::from_utf8(bytes).map_err(|error| {
        Error::usage(format!("not UTF-8 from byte {}", error.utf8_error().valid_up_to())).at(name.clone())
    })?;
    Document::parse(&text, &name)
}

/// The recipe's own keys, and the tables of overlays.
fn split(document: &Document) -> Result<(Table, std::collections::BTreeMap<String, Table>)> {
    let keys = recipe_keys();
    let mut own = Table::new();
    let mut settings = std::collections::BTreeMap::new();
    for (key, value) in &document.table {
        match value {
            _ if keys.contains(key) => {
                own.insert(key.clone(), value.clone());
            }
            Value::Table(table) => {
                settings.insert(key.clone(), table.clone());
            }
            _ => return Err(unknown(key, value, &keys, document)),
        }
    }
    Ok((own, settings))
}

fn unknown(key: &str, value: &Value, keys: &[String], document: &Document) -> Error {
    let overlays = Overlay::builtin_names();
    let error = if overlays.contains(&key) {
        Error::usage(format!("`{key}` is {}, where the table of the overlay's settings belongs", kind_of(value)))
            .remedy(format!("write `[{key}]` with one setting per line; `ibwrt overlays show {key}` lists them"))
    } else {
        let known = keys.iter().map(String::as_str).chain(overlays).collect::<Vec<_>>();
        Error::usage(format!("unknown key `{key}`")).remedy(instead(key, &known, "keys"))
    };
    document.places.locate(error, key)
}

/// An overlay's reference, a folder's counted from `base`.
fn rooted(reference: &str, base: &Path) -> String {
    let there = base.join(reference).display().to_string();
    if base.as_os_str().is_empty() || !is_folder(&there) || Overlay::builtin_names().contains(&reference) {
        return reference.to_owned();
    }
    let plain = !reference.contains(['/', std::path::MAIN_SEPARATOR]);
    if plain && !Path::new(&there).join("overlay.toml").is_file() { reference.to_owned() } else { there }
}

/// The keys that `text` is, or that the file it names holds.
fn ssh_keys(text: &str, base: &Path) -> Result<Vec<String>> {
    let is_key = text.contains(char::is_whitespace) || text.starts_with("ssh-") || text.starts_with("ecdsa-");
    if is_key {
        return Ok(vec![text.trim().to_owned()]);
    }
    let path = base.join(text);
    let text = std::fs::read_to_string(&path).map_err(|error| Error::io("read the SSH key", &path, error))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys = lines.map(str::to_owned).collect::<Vec<_>>();
    if keys.is_empty() {
        return Err(Error::usage("there is no SSH key in it").at(path.display().to_string()));
    }
    Ok(keys)
}
