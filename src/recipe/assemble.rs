//! The recipe file and the command line made one.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::{Table, Value};

use crate::error::{At, Error, Result};
use crate::overlay::{Overlay, check_ssh_key};
use crate::suggest::instead;

use super::check::check_table;
use super::document::{Document, kind_of};
use super::layers::is_ssh_key;
use super::rekey::{Rekey, RekeyInput};
use super::schema::{RecipeInput, recipe_keys, recipe_schema};
use super::{CommandLineWishes, ExtraFile, Recipe};

impl Recipe {
    /// Merges the recipe file and the command line. Lists of the command line (overlays, modules, SSH keys, files) are
    /// added to the file's; single values replace it.
    ///
    /// # Errors
    /// A file that cannot be read or parsed (with line and column), an unknown key (with a suggestion), a value of the
    /// wrong type.
    pub(crate) fn assemble(wishes: &CommandLineWishes) -> Result<Self> {
        Self::from_document(recipe_file(wishes)?, wishes)
    }

    /// Merges `document`, whose paths are rooted, and the command line, whose recipe file is not read again.
    ///
    /// # Errors
    /// As [`Recipe::assemble`].
    pub(crate) fn from_document(mut document: Document, wishes: &CommandLineWishes) -> Result<Self> {
        for assignment in &wishes.settings {
            document.set(assignment)?;
        }
        let (own, settings) = split(&document)?;
        check_table(recipe_schema(), &own, "", &document.places)?;
        let input = RecipeInput::deserialize(own).map_err(|error| Error::usage(error.message().to_owned()))?;
        let paths = |texts: Vec<String>| texts.into_iter().map(PathBuf::from).collect();
        let mut recipe = Self {
            overlays: input.overlays,
            modules: paths(input.modules),
            packages: paths(input.packages),
            package_folders: paths(input.package_dirs),
            leaves_unregistered: input.register == Some(false),
            leaves_unrecorded: input.manifest == Some(false),
            kernel: input.kernel.map(PathBuf::from),
            kernel_version: input.kernel_version,
            replace_modules: input.replace_modules,
            discard_overlay: input.discard_overlay,
            backup_gpt: input.backup_gpt,
            rekey: input.rekey.and_then(RekeyInput::wish),
            hostname: input.hostname,
            root_password_hash: input.root_password_hash,
            settings,
            ..Self::default()
        };
        for (index, key) in input.ssh_keys.iter().enumerate() {
            let path = format!("ssh_keys[{index}]");
            recipe.ssh_keys.extend(ssh_keys(key).map_err(|error| document.places.locate(error, &path))?);
        }
        for (index, file) in input.file.iter().enumerate() {
            let path = format!("file[{index}]");
            recipe.files.push(ExtraFile::load(file).map_err(|error| document.places.locate(error, &path))?);
        }
        recipe.places = document.places;
        recipe.size_root(input.rootfs_size.as_deref(), wishes.rootfs_size.as_deref())?;
        recipe.add(wishes)?;
        recipe.check_kernel()?;
        Ok(recipe)
    }

    /// Takes the size of the root from the command line, or else from the file.
    fn size_root(&mut self, written: Option<&str>, asked: Option<&str>) -> Result<()> {
        if asked.is_some() {
            self.places.note("rootfs_size", "--rootfs-size");
        }
        let size = asked.or(written).map(str::parse).transpose();
        self.rootfs_size = size.map_err(|error| self.places.locate(error, "rootfs_size"))?;
        Ok(())
    }

    /// Adds what has options of its own.
    fn add(&mut self, wishes: &CommandLineWishes) -> Result<()> {
        for overlay in &wishes.overlays {
            if !self.overlays.contains(overlay) {
                self.overlays.push(overlay.clone());
            }
        }
        self.modules.extend(wishes.modules.iter().cloned());
        self.packages.extend(wishes.packages.iter().cloned());
        self.leaves_unregistered |= wishes.no_register;
        self.leaves_unrecorded |= wishes.no_manifest;
        self.package_folders.extend(wishes.package_folders.iter().cloned());
        if let Some(kernel) = &wishes.kernel {
            self.kernel = Some(kernel.clone());
            self.places.note("kernel", "--kernel");
        }
        if let Some(version) = &wishes.kernel_version {
            self.kernel_version = Some(version.clone());
            self.places.note("kernel_version", "--kernel-version");
        }
        if wishes.replace_modules {
            self.replace_modules = true;
            self.places.note("replace_modules", "--replace-modules");
        }
        self.discard_overlay |= wishes.discard_overlay;
        if wishes.backup_gpt {
            self.backup_gpt = true;
            self.places.note("backup_gpt", "--backup-gpt");
        }
        match (&wishes.rekey, &self.rekey) {
            (None, _) | (Some(Rekey::ByName), Some(_)) => {}
            (Some(rekey), _) => {
                self.rekey = Some(rekey.clone());
                self.places.note("rekey", "--rekey");
            }
        }
        if let Some(hostname) = &wishes.hostname {
            self.hostname = Some(hostname.clone());
            self.places.note("hostname", "--hostname");
        }
        if let Some(hash) = &wishes.root_password_hash {
            self.root_password_hash = Some(hash.clone());
            self.places.note("root_password_hash", "--root-password-hash");
        }
        for key in &wishes.ssh_keys {
            self.ssh_keys.extend(ssh_keys(key).map_err(|error| error.at("--ssh-key"))?);
        }
        for text in &wishes.files {
            let file = ExtraFile::from_argument(text)?;
            self.files.retain(|other| other.path != file.path);
            self.files.push(file);
        }
        Ok(())
    }

    /// Refuses a version that no package can have, and what is said about a kernel that is not given.
    fn check_kernel(&self) -> Result<()> {
        let bad =
            |text: &String| text.is_empty() || text.len() > 255 || !text.bytes().all(|byte| byte.is_ascii_graphic());
        if let Some(version) = self.kernel_version.as_ref().filter(|version| bad(version)) {
            let error = Error::usage(format!("{version:?} cannot be the version of a package"))
                .remedy("write it as `opkg info kernel` or `apk list kernel` does, such as 6.6.106~0123abcd-r1");
            return Err(self.places.locate(error, "kernel_version"));
        }
        let alone = [("kernel_version", self.kernel_version.is_some()), ("replace_modules", self.replace_modules)];
        let Some((key, _)) = alone.iter().find(|(_, given)| *given && self.kernel.is_none()) else { return Ok(()) };
        let error = Error::usage("this is for a new kernel, but none is given")
            .remedy("name the bzImage: --kernel, or `kernel` in the recipe");
        Err(self.places.locate(error, key))
    }
}

/// The recipe file that `wishes` name, its paths counted from its own folder; nothing when they name none.
///
/// # Errors
/// A file that cannot be read or parsed.
pub(crate) fn recipe_file(wishes: &CommandLineWishes) -> Result<Document> {
    match &wishes.recipe {
        Some(path) => Ok(read(path)?.rooted(path.parent().unwrap_or_else(|| Path::new("")), &wishes.overlays)),
        None => Ok(Document::default()),
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
            _ => return Err(unknown(key, value, keys, document)),
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

/// The keys that `text` is, or that the file it names holds.
fn ssh_keys(text: &str) -> Result<Vec<String>> {
    if is_ssh_key(text) {
        return Ok(vec![check_ssh_key(text)?]);
    }
    let path = Path::new(text);
    let text = std::fs::read_to_string(path).map_err(|error| Error::io("read the SSH key", path, error))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys = lines.map(check_ssh_key).collect::<Result<Vec<_>>>().at(|| path.display().to_string())?;
    if keys.is_empty() {
        return Err(Error::usage("there is no SSH key in it").at(path.display().to_string()));
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::recipe::{ExtraContent, RootfsSize};

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f admin@example";

    fn assembled(text: &str, wishes: CommandLineWishes) -> (tempfile::TempDir, Result<Recipe>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.toml");
        std::fs::write(&path, text).unwrap();
        std::fs::write(folder.path().join("banner"), "hello\n").unwrap();
        std::fs::write(folder.path().join("key.pub"), format!("# mine\n{KEY}\n")).unwrap();
        let recipe = Recipe::assemble(&CommandLineWishes { recipe: Some(path), ..wishes });
        (folder, recipe)
    }

    #[test]
    fn relative_paths_count_from_the_recipes_folder() {
        let text =
            "modules = ['a', '/abs/b']\nssh_keys = ['key.pub']\n[[file]]\npath = '/etc/banner'\nsource = 'banner'\n";
        let (folder, recipe) = assembled(text, CommandLineWishes { modules: vec!["c".into()], ..Default::default() });
        let recipe = recipe.unwrap();
        assert_eq!(recipe.modules, [folder.path().join("a"), "/abs/b".into(), "c".into()]);
        assert_eq!(recipe.ssh_keys, [KEY]);
        assert_eq!(recipe.files[0].content, ExtraContent::Bytes(b"hello\n".to_vec()));
    }

    #[test]
    fn a_bad_ssh_key_is_named_with_the_place_it_came_from() {
        let text = format!("ssh_keys = ['{KEY}', 'ssh-rsa AAAA x']");
        let error = assembled(&text, CommandLineWishes::default()).1.unwrap_err();
        let column = format!("r.toml, line 1, column {}", "ssh_keys = ['', ".len() + KEY.len() + 1);
        assert!(error.places()[0].ends_with(&column), "{error}");
        let wishes = CommandLineWishes { ssh_keys: vec!["ssh-rsa AAAA x".into()], ..Default::default() };
        let error = assembled(&format!("ssh_keys = ['{KEY}']"), wishes).1.unwrap_err();
        assert_eq!(
            error.to_string(),
            "--ssh-key: the SSH key `ssh-rsa AAAA x…` does not hold the base64 of a ssh-rsa key: is it cut off?"
        );
        let (folder, _) = assembled("", CommandLineWishes::default());
        let path = folder.path().join("id");
        std::fs::write(&path, "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n").unwrap();
        let wishes = CommandLineWishes { ssh_keys: vec![path.display().to_string()], ..Default::default() };
        let error = Recipe::assemble(&wishes).unwrap_err();
        assert_eq!(error.message(), "this is a private SSH key, which does not belong into an image");
        assert_eq!(error.places(), [path.display().to_string(), "--ssh-key".to_owned()]);
    }

    #[test]
    fn an_overlay_folder_counts_from_the_recipes_folder_too() {
        let (folder, recipe) = assembled("overlays = ['./mine', 'ipoib']", CommandLineWishes::default());
        assert_eq!(recipe.unwrap().overlays, [folder.path().join("./mine").display().to_string(), "ipoib".to_owned()]);
    }

    #[test]
    fn the_command_line_wins_over_the_file() {
        let wishes = CommandLineWishes {
            overlays: vec!["ipoib".into(), "connectx4".into()],
            settings: vec!["ipoib.address=10.10.0.5/24".into(), "hostname=by-set".into()],
            hostname: Some("by-option".into()),
            ..Default::default()
        };
        let text = "hostname = 'file'\noverlays = ['ipoib']\n[ipoib]\naddress = '10.1.1.1/24'\nmtu = 2044";
        let recipe = assembled(text, wishes).1.unwrap();
        assert_eq!(recipe.hostname.as_deref(), Some("by-option"));
        assert_eq!(recipe.overlays, ["ipoib", "connectx4"]);
        assert_eq!(recipe.settings["ipoib"]["address"].as_str(), Some("10.10.0.5/24"));
        assert_eq!(recipe.settings["ipoib"]["mtu"].as_integer(), Some(2044));
        let wishes = CommandLineWishes { settings: vec!["hostname=by-set".into()], ..Default::default() };
        assert_eq!(assembled(text, wishes).1.unwrap().hostname.as_deref(), Some("by-set"));
    }

    #[test]
    fn packages_count_from_the_recipes_folder_and_the_command_line_adds_to_them() {
        let text = "packages = ['a.ipk', '/x/rdma.ipk']\npackage_dirs = ['feed']\n";
        let wishes = CommandLineWishes {
            packages: vec!["b.ipk".into()],
            package_folders: vec!["other".into()],
            ..Default::default()
        };
        let (folder, recipe) = assembled(text, wishes);
        let recipe = recipe.unwrap();
        assert_eq!(recipe.packages, [folder.path().join("a.ipk"), "/x/rdma.ipk".into(), "b.ipk".into()]);
        assert_eq!(recipe.package_folders, [folder.path().join("feed"), "other".into()]);
    }

    #[test]
    fn files_of_ones_own_are_checked() {
        for (file, message) in [
            ("path = '/etc/x'", "the file /etc/x has no content"),
            ("path = '/etc/x'\ncontent = 'a'\nsource = 'banner'", "the file /etc/x has more than one content"),
            ("path = '/tmp/x'\ncontent = 'a'", "the path `/tmp/x` is below /tmp, which does not come from the image"),
            ("path = '/etc/x'\ncontent = 'a'\nmode = '0999'", "the mode `0999` is not octal permissions"),
            ("path = '/etc/x'\ncontent = 'a'\nmode = 755", "`file[0].mode` is an integer, where a string belongs"),
            ("path = '/etc/x'\ncontent = 'a'\nowner = 'bob'", "the owner `bob` is not `root` or numbers"),
            ("content = 'a'", "the key `file[0].path` is missing"),
            ("path = '/etc/x'\nsorce = 'banner'", "unknown key `file[0].sorce`"),
        ] {
            let error = assembled(&format!("[[file]]\n{file}"), CommandLineWishes::default()).1.unwrap_err();
            assert_eq!(error.message(), message);
            assert!(error.places().iter().any(|place| place.contains("r.toml, line ")), "{error}");
        }
        let error = assembled("[[file]]\npath = '/a'\nsource = 'no'", CommandLineWishes::default()).1.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
    }

    #[test]
    fn file_options_of_the_command_line_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let local = folder.path().join("a,b=c");
        std::fs::write(&local, "x").unwrap();
        let text = format!("/etc/x={},mode=0600,owner=1:2", local.display());
        let file = ExtraFile::from_argument(&text).unwrap();
        assert_eq!((file.attributes.mode, file.attributes.uid, file.attributes.gid), (0o600, 1, 2));
        assert_eq!(file.content, ExtraContent::Bytes(b"x".to_vec()));
        for (text, message) in [
            ("/etc/x", "--file /etc/x: there is no `=` in it"),
            ("/etc/x=", "--file /etc/x=: the local file is missing"),
            ("x=y", "--file x=y: the path `x` in the image is not absolute"),
        ] {
            assert_eq!(ExtraFile::from_argument(text).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn a_kernel_counts_from_the_recipes_folder_and_what_goes_with_one_is_refused_alone() {
        let text = "kernel = 'bzImage'\nkernel_version = '6.6.1~a-r1'\nreplace_modules = true\n";
        let (folder, recipe) = assembled(text, CommandLineWishes::default());
        let recipe = recipe.unwrap();
        assert_eq!(recipe.kernel, Some(folder.path().join("bzImage")));
        assert_eq!((recipe.kernel_version.as_deref(), recipe.replace_modules), (Some("6.6.1~a-r1"), true));
        let wishes = CommandLineWishes { kernel: Some("here".into()), ..Default::default() };
        assert_eq!(assembled(text, wishes).1.unwrap().kernel, Some("here".into()));

        let wishes = CommandLineWishes { replace_modules: true, ..Default::default() };
        let error = Recipe::assemble(&wishes).unwrap_err();
        assert_eq!(error.to_string(), "--replace-modules: this is for a new kernel, but none is given");
        let error = assembled("kernel = 'x'\nkernel_version = '1 2'\n", CommandLineWishes::default()).1.unwrap_err();
        assert_eq!(error.message(), "\"1 2\" cannot be the version of a package");
        assert!(error.places()[0].ends_with("r.toml, line 2, column 1"));
    }

    #[test]
    fn a_recipe_that_is_not_there_or_not_text_is_named() {
        let wishes = CommandLineWishes { recipe: Some("/nonexistent/r.toml".into()), ..Default::default() };
        assert_eq!(Recipe::assemble(&wishes).unwrap_err().kind(), ErrorKind::Io);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.toml");
        std::fs::write(&path, b"a = '\xff'").unwrap();
        let error = Recipe::assemble(&CommandLineWishes { recipe: Some(path), ..Default::default() }).unwrap_err();
        assert_eq!(error.message(), "not UTF-8 from byte 5");
    }

    #[test]
    fn identifiers_are_made_of_the_command_lines_text_or_the_files_or_the_name() {
        let by = |rekey: Option<Rekey>| CommandLineWishes { rekey, ..Default::default() };
        let seed = |text: &str, rekey: Option<Rekey>| assembled(text, by(rekey)).1.unwrap().identity_seed();
        let text = |seed: &str| Some(Rekey::BySeed(seed.to_owned()));
        for (written, rekey, expected) in [
            ("", None, None),
            ("rekey = false", None, None),
            ("rekey = 'false'", None, None),
            ("rekey = ' a b '", None, Some("a b")),
            ("rekey = 'a'", text("b"), Some("b")),
            ("rekey = 'a'", Some(Rekey::ByName), Some("a")),
            ("rekey = true\nhostname = 'h1'", None, Some("h1")),
            ("rekey = false\nhostname = 'h1'", Some(Rekey::ByName), Some("h1")),
        ] {
            assert_eq!(seed(written, rekey.clone()).unwrap().as_deref(), expected, "{written} {rekey:?}");
        }
        let error = seed("rekey = true", None).unwrap_err().to_string();
        assert!(error.ends_with("line 1, column 1: identifiers are to be made of the host's name, but it has none"));
        let error = seed("rekey = ''", None).unwrap_err().to_string();
        assert!(error.ends_with("line 1, column 1: identifiers cannot be made of an empty text"));
        let (_folder, recipe) = assembled("rekey = 1", by(None));
        assert!(recipe.unwrap_err().to_string().contains("`rekey` is an integer, where"));
    }

    #[test]
    fn the_size_of_the_root_is_the_command_lines_before_the_files() {
        let asked =
            |size: Option<&str>| CommandLineWishes { rootfs_size: size.map(str::to_owned), ..Default::default() };
        let (_folder, recipe) = assembled("rootfs_size = '512M'\nbackup_gpt = true\n", asked(None));
        let recipe = recipe.unwrap();
        assert_eq!((recipe.rootfs_size, recipe.backup_gpt), (Some(RootfsSize::Exactly(512 << 20)), true));
        let (_folder, recipe) = assembled("rootfs_size = '512M'\n", asked(Some("min")));
        let recipe = recipe.unwrap();
        assert_eq!((recipe.rootfs_size, recipe.backup_gpt), (Some(RootfsSize::Minimum), false));
        let (folder, recipe) = assembled("rootfs_size = '512MB'\n", asked(None));
        let place = format!("{}, line 1, column 1", folder.path().join("r.toml").display());
        assert_eq!(recipe.unwrap_err().to_string(), format!("{place}: `512MB` is no size: `MB` is no unit"));
        let (_folder, recipe) = assembled("", asked(Some("-1M")));
        assert_eq!(recipe.unwrap_err().to_string(), "--rootfs-size: `-1M` is no size: a number was expected");
    }
}
