//! Reading the hosts file: TOML, JSON or CSV by its ending, or a folder of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::error::{Error, Result};
use crate::recipe::{Document, kind_of};
use crate::suggest::instead;

use super::csv;
use super::entry::{Group, Host, take_vars};

/// In a folder: the files that are read as a hosts file; every other `.toml` is one host.
const WHOLE_FILES: [&str; 3] = ["hosts.toml", "hosts.json", "hosts.csv"];
/// Longest file that is read, in bytes.
const LONGEST: u64 = 256 << 20;

/// What the hosts file says.
#[derive(Debug, Default)]
pub(crate) struct Hosts {
    /// Relative paths in it count from here.
    pub(super) folder: PathBuf,
    /// What holds for every host.
    pub(super) defaults: Document,
    /// Free variables of every host.
    pub(super) vars: Table,
    /// The groups, by name.
    pub(super) groups: BTreeMap<String, Group>,
    /// The hosts, in the order in which they are written.
    pub(crate) hosts: Vec<Host>,
}

impl Hosts {
    /// Reads the file or folder at `path`.
    ///
    /// # Errors
    /// Usage: what cannot be read as hosts, with file, line and column; no host at all; two hosts of one name; a group that
    /// is not there. I/O.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let metadata = fs::metadata(path).map_err(|error| Error::io("read", path, error))?;
        let mut hosts = Self::default();
        if metadata.is_dir() {
            hosts.folder = path.to_owned();
            hosts.read_folder(path)?;
        } else {
            hosts.folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
            hosts.read_file(path)?;
        }
        if hosts.hosts.is_empty() {
            return Err(Error::usage("there is no host in it")
                .at(path.display().to_string())
                .remedy("write [[host]] and name = \"h1\" for each host"));
        }
        hosts.finish()
    }

    fn read_folder(&mut self, folder: &Path) -> Result<()> {
        for name in WHOLE_FILES {
            let path = folder.join(name);
            if path.is_file() {
                self.read_file(&path)?;
            }
        }
        let entries = fs::read_dir(folder)
            .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>());
        let mut files = entries.map_err(|error| Error::io("list", folder, error))?;
        files.sort();
        for path in files.iter().filter(|path| path.is_file() && has_ending(path, "toml")) {
            if path.file_name().is_some_and(|name| WHOLE_FILES.iter().any(|whole| name == *whole)) {
                continue;
            }
            let name = path.display().to_string();
            let document = Document::parse(&read(path)?, &name)?;
            let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
            self.hosts.push(Host::from_document(document, &name, stem.as_deref())?);
        }
        Ok(())
    }

    fn read_file(&mut self, path: &Path) -> Result<()> {
        let name = path.display().to_string();
        if has_ending(path, "toml") {
            self.add(Document::parse(&read(path)?, &name)?, &name)
        } else if has_ending(path, "json") {
            self.add(Document::parse_json(&read(path)?, &name)?, &name)
        } else if has_ending(path, "csv") {
            for document in csv::parse(&read(path)?, &name)? {
                self.hosts.push(Host::from_document(document, &name, None)?);
            }
            Ok(())
        } else {
            Err(Error::usage("the ending of the hosts file tells no format")
                .at(name)
                .remedy("end its name in .toml, .json or .csv, or name a folder of such files"))
        }
    }

    /// Adds what a whole hosts file says.
    fn add(&mut self, mut document: Document, name: &str) -> Result<()> {
        let wrong = |document: &Document, key: &str, value: &Value, remedy: &str| {
            let error = Error::usage(format!("`{key}` is {}, which is not how it is written", kind_of(value)));
            document.places.locate(error, key).remedy(remedy)
        };
        match document.table.remove("group") {
            None => {}
            Some(Value::Table(groups)) => {
                for (group, value) in groups {
                    let key = format!("group.{group}");
                    let Value::Table(table) = value else {
                        return Err(wrong(&document, &key, &value, "write a table for each group: [group.storage]"));
                    };
                    self.add_group(&group, &key, Document { places: document.places.below(&key), table }, &document)?;
                }
            }
            Some(other) => {
                return Err(wrong(&document, "group", &other, "write a table for each group: [group.storage]"));
            }
        }
        match document.table.remove("host") {
            None => {}
            Some(Value::Array(hosts)) => {
                for (index, value) in hosts.into_iter().enumerate() {
                    let key = format!("host[{index}]");
                    let Value::Table(table) = value else {
                        return Err(wrong(&document, &key, &value, "write a table for each host: [[host]]"));
                    };
                    let place = document.places.of(&key).unwrap_or_else(|| name.to_owned());
                    let host = Document { places: document.places.below(&key), table };
                    self.hosts.push(Host::from_document(host, &place, None)?);
                }
            }
            Some(other) => return Err(wrong(&document, "host", &other, "write a table for each host: [[host]]")),
        }
        self.vars.extend(take_vars(&mut document)?);
        for key in ["host", "group", "vars"] {
            document.places.forget(key);
        }
        self.defaults.lay(&document);
        Ok(())
    }

    fn add_group(&mut self, group: &str, key: &str, document: Document, file: &Document) -> Result<()> {
        let place = file.places.of(key).unwrap_or_default();
        if let Some(other) = self.groups.get(group) {
            return Err(Error::usage(format!("the group `{group}` is there already, at {}", other.place)).at(place));
        }
        self.groups.insert(group.to_owned(), Group::from_document(document, &place, group)?);
        Ok(())
    }

    /// Numbers the hosts and checks what holds among them.
    fn finish(mut self) -> Result<Self> {
        let known: Vec<&str> = self.groups.keys().map(String::as_str).collect();
        let mut names = BTreeMap::new();
        for (index, host) in self.hosts.iter_mut().enumerate() {
            host.index = index;
            // Host names do not tell upper from lower case.
            if let Some(other) = names.insert(host.name.to_lowercase(), host.place.clone()) {
                let error = Error::usage(format!("there is a host `{}` already, at {other}", host.name));
                return Err(error.at(host.place.clone()).remedy("give each host a name of its own"));
            }
            if let Some(group) = host.groups.iter().find(|group| !self.groups.contains_key(*group)) {
                let error = Error::usage(format!("host `{}` is in the group `{group}`, which is not there", host.name));
                let place = host.document.places.of_value("group").unwrap_or_else(|| host.place.clone());
                return Err(error.at(place).remedy(instead(group, &known, "groups")));
            }
        }
        Ok(self)
    }
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(ending))
}

fn read(path: &Path) -> Result<String> {
    let length = fs::metadata(path).map_err(|error| Error::io("read", path, error))?.len();
    if length > LONGEST {
        return Err(Error::usage(format!("it is {length} bytes long, and at most {LONGEST} are read"))
            .at(path.display().to_string())
            .remedy("split the hosts over several files and runs"));
    }
    let bytes = fs::read(path).map_err(|error| Error::io("read", path, error))?;
    String::from_utf8(bytes).map_err(|error| {
        Error::usage(format!("not UTF-8 from byte {}", error.utf8_error().valid_up_to())).at(path.display().to_string())
    })
}
