//! The package manager's database as it will be: who owns which file, and the files in which that is written down.

use std::collections::{BTreeMap, BTreeSet};

use super::accounts::attributes;
use crate::digest::sha256_hex;
use crate::error::{At as _, Result};
use crate::filesystem::Attributes;
use crate::openwrt::{APK_DATABASE, APK_INSTALLED, Accounts, OPKG_INFO, OPKG_STATUS, System};
use crate::package::{
    ApkRecord, Chosen, Database, Details, EntryKind, Format, Installed, OpkgRecord, Package, Script, apk_digest,
    apk_stanza, opkg_stanza, with_apk_stanza, with_opkg_stanza, with_scripts, with_trigger, with_world,
};
use crate::plan::draft::{Draft, Stage};
use crate::plan::files::existing;

const WORLD: &str = "/etc/apk/world";
const REASON: &str = "package database";
/// Endings of the files that opkg may keep beside the status file.
const OPKG_ENDINGS: [&str; 10] = [
    "control",
    "list",
    "conffiles",
    "preinst",
    "postinst",
    "prerm",
    "postrm",
    "postinst-pkg",
    "prerm-pkg",
    "files-sha256sum",
];

/// One package's entry, to be written.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) name: String,
    /// The stanza; with opkg in `status`, with apk in `installed`.
    pub(super) stanza: String,
    /// opkg: files of `info`, by ending.
    pub(super) beside: BTreeMap<String, (Vec<u8>, u16)>,
    /// apk: its line in `world`, where it was asked for.
    pub(super) world: Option<String>,
    /// apk: its identity and that of the version before it, and what its scripts are called.
    pub(super) identity: String,
    pub(super) old: Option<Installed>,
    pub(super) scripts: Vec<Script>,
    pub(super) triggers: Vec<String>,
    pub(super) time: u64,
}

/// The database, as it will be.
#[derive(Debug, Clone)]
pub(crate) struct Registry {
    database: Option<Database>,
    entries: Vec<Entry>,
    /// Paths that another package has taken over from a package, by the name of the latter.
    given_up: BTreeMap<String, BTreeSet<String>>,
    /// Packages that give their files to any package that brings them.
    yielding: BTreeSet<String>,
}

impl Registry {
    /// The database of `system`; nothing is known where it has none.
    pub(crate) fn new(system: &System, yielding: &[&str]) -> Self {
        Self {
            database: system.database(),
            entries: Vec::new(),
            given_up: BTreeMap::new(),
            yielding: yielding.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    /// Whether there is a database.
    pub(crate) fn is_known(&self) -> bool {
        self.database.is_some()
    }

    /// Whose database it is.
    pub(crate) fn format(&self) -> Option<Format> {
        self.database.as_ref().map(|database| database.format)
    }

    /// The installed package of that name.
    pub(crate) fn installed(&self, name: &str) -> Option<&Installed> {
        self.database.as_ref()?.find(name)
    }

    /// All installed packages.
    pub(crate) fn packages(&self) -> impl Iterator<Item = &Installed> {
        self.database.iter().flat_map(|database| &database.packages)
    }

    /// Name of the package that the file at `path` belongs to.
    pub(crate) fn owner(&self, path: &str) -> Option<&str> {
        Some(self.database.as_ref()?.owner(path)?.name.as_str())
    }

    /// Whether the files of `owner` may be replaced by those of `package`.
    pub(crate) fn gives_way(&self, owner: &str, package: &Package) -> bool {
        owner == package.name
            || self.yielding.contains(owner)
            || package.replaces.iter().any(|replaced| replaced.name == owner)
    }

    /// Registers a package whose files are where they belong.
    pub(super) fn add(&mut self, chosen: &Chosen, accounts: &Accounts, time: Option<u64>) {
        let package = &chosen.package;
        let files = package.entries.iter().filter(|entry| entry.kind != EntryKind::Directory);
        let installed = Installed {
            name: package.name.clone(),
            version: package.version.clone(),
            depends: package.depends.clone(),
            provides: package.provides.clone(),
            conflicts: package.conflicts.clone(),
            alternatives: package.alternatives.clone(),
            conffiles: BTreeMap::new(),
            files: files.map(|entry| (entry.path.clone(), None)).collect(),
            identity: package.identity().unwrap_or_default(),
        };
        let old = self.installed(&package.name).cloned();
        let mut entry = match &package.details {
            Details::Ipk { control } => opkg_entry(chosen, control, time),
            Details::Apk(details) => {
                let mut entry = Entry { stanza: apk_stanza(&apk_record(package, accounts)), ..blank(&package.name) };
                entry.world = chosen.needed_by.is_none().then(|| format!("{}><{}", package.name, installed.identity));
                entry.time = details.build_time;
                entry.triggers.clone_from(&details.triggers);
                entry.scripts.clone_from(&package.scripts);
                entry.identity = format!("{}-{}.X1{}", package.name, package.version, hex(&details.id));
                entry
            }
        };
        entry.old = old;
        self.register(installed, entry);
    }

    /// Puts a package into the database, and takes its files from whoever had them.
    pub(super) fn register(&mut self, installed: Installed, entry: Entry) {
        let Some(database) = &mut self.database else { return };
        database.packages.retain(|known| known.name != installed.name);
        for known in &mut database.packages {
            for path in installed.files.keys() {
                if known.files.remove(path).is_some() {
                    self.given_up.entry(known.name.clone()).or_default().insert(path.clone());
                }
            }
        }
        self.entries.retain(|known| known.name != entry.name);
        self.entries.push(entry);
        database.packages.push(installed);
    }

    /// Wants the database's files as they are to be.
    ///
    /// # Errors
    /// Usage: a file of the database that cannot be edited; corrupt scripts.
    pub(crate) fn write(&self, draft: &mut Draft<'_>) -> Result<()> {
        match self.format() {
            _ if self.entries.is_empty() => Ok(()),
            Some(Format::Ipk) => self.write_opkg(draft),
            Some(Format::Apk) => self.write_apk(draft),
            None => Ok(()),
        }
    }

    fn write_opkg(&self, draft: &mut Draft<'_>) -> Result<()> {
        let (place, mut status) = existing(draft, OPKG_STATUS)?;
        for entry in &self.entries {
            status = with_opkg_stanza(&status, &entry.name, Some(&entry.stanza));
            for ending in OPKG_ENDINGS {
                let path = format!("{OPKG_INFO}/{}.{ending}", entry.name);
                if !entry.beside.contains_key(ending) && draft.tree().node(&path).is_some() {
                    draft.remove_file(&path, REASON);
                }
            }
            for (ending, (content, mode)) in &entry.beside {
                let path = format!("{OPKG_INFO}/{}.{ending}", entry.name);
                put(draft, &path, content.clone(), *mode)?;
            }
        }
        for (name, paths) in &self.given_up {
            let path = format!("{OPKG_INFO}/{name}.list");
            let (place, list) = existing(draft, &path)?;
            let text = String::from_utf8_lossy(&list);
            let left: String =
                text.lines().filter(|line| !paths.contains(*line)).map(|line| format!("{line}\n")).collect();
            update(draft, &place, left.into_bytes(), &list)?;
        }
        let (_, old) = existing(draft, OPKG_STATUS)?;
        update(draft, &place, status, &old)
    }

    fn write_apk(&self, draft: &mut Draft<'_>) -> Result<()> {
        let (place, old) = existing(draft, APK_INSTALLED)?;
        let mut installed = old.clone();
        for (name, paths) in &self.given_up {
            installed = without_files(&installed, name, paths);
        }
        let (world_place, old_world) = existing(draft, WORLD)?;
        let (trigger_place, old_triggers) = existing(draft, &format!("{APK_DATABASE}/triggers"))?;
        let (mut world, mut triggers) = (old_world.clone(), old_triggers.clone());
        for entry in &self.entries {
            installed = with_apk_stanza(&installed, &entry.name, Some(&entry.stanza));
            if let Some(line) = &entry.world {
                world = with_world(&world, &entry.name, line);
            }
            let old = entry.old.as_ref().map(|old| old.identity.as_str());
            let identity = entry.stanza.lines().find_map(|line| line.strip_prefix("C:")).unwrap_or_default();
            triggers = with_trigger(&triggers, old, identity, &entry.triggers);
        }
        update(draft, &place, installed, &old)?;
        update(draft, &world_place, world, &old_world)?;
        update(draft, &trigger_place, triggers, &old_triggers)?;
        self.write_scripts(draft)
    }

    /// Scripts stand in `scripts.tar`, which newer versions of apk compress; the one that is there tells.
    fn write_scripts(&self, draft: &mut Draft<'_>) -> Result<()> {
        let plain = format!("{APK_DATABASE}/scripts.tar");
        let packed = format!("{plain}.gz");
        let is_packed = draft.tree().node(&packed).is_some();
        let path = if is_packed { packed } else { plain };
        let (place, old) = existing(draft, &path)?;
        let mut archive = old.clone();
        for entry in &self.entries {
            let gone: Vec<String> = entry.old.iter().map(|old| format!("{}-{}", old.name, old.version)).collect();
            if !entry.scripts.is_empty() || (!gone.is_empty() && !archive.is_empty()) {
                archive = with_scripts(&archive, is_packed, &gone, &entry.identity, &entry.scripts, entry.time)
                    .at(|| path.clone())?;
            }
        }
        update(draft, &place, archive, &old)
    }
}

/// An entry of which only the name is known.
pub(super) fn blank(name: &str) -> Entry {
    Entry {
        name: name.to_owned(),
        stanza: String::new(),
        beside: BTreeMap::new(),
        world: None,
        identity: String::new(),
        old: None,
        scripts: Vec::new(),
        triggers: Vec::new(),
        time: 0,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Wants a file of the database; there is none of it yet, or it is replaced.
fn put(draft: &mut Draft<'_>, path: &str, content: Vec<u8>, mode: u16) -> Result<()> {
    let (place, _) = existing(draft, path)?;
    draft.update(&place, content, Attributes::root(mode), REASON, Stage::File)
}

fn update(draft: &mut Draft<'_>, place: &str, content: Vec<u8>, old: &[u8]) -> Result<()> {
    if content == old {
        return Ok(());
    }
    draft.update(place, content, Attributes::root(0o644), REASON, Stage::File)
}

/// What opkg writes down.
fn opkg_entry(chosen: &Chosen, control: &str, time: Option<u64>) -> Entry {
    let package = &chosen.package;
    let digest = |path: &String| {
        let entry = package.entries.iter().find(|entry| entry.path == *path)?;
        match &entry.kind {
            EntryKind::File(bytes) => Some((path.clone(), sha256_hex(bytes))),
            EntryKind::Directory | EntryKind::Symlink(_) => None,
        }
    };
    let conffiles: Vec<(String, String)> = package.conffiles.iter().filter_map(digest).collect();
    let record = OpkgRecord { conffiles: &conffiles, time, is_automatic: chosen.needed_by.is_some() };
    let files = package.entries.iter().filter(|entry| entry.kind != EntryKind::Directory);
    let list: String = files.map(|entry| format!("{}\n", entry.path)).collect();
    let mut beside = BTreeMap::from([
        ("control".to_owned(), (control.as_bytes().to_vec(), 0o644)),
        ("list".to_owned(), (list.into_bytes(), 0o644)),
    ]);
    for script in &package.scripts {
        beside.insert(script.name.clone(), (script.content.to_vec(), script.mode));
    }
    Entry { stanza: opkg_stanza(control, &record), beside, ..blank(&package.name) }
}

/// What apk writes down.
fn apk_record(package: &Package, accounts: &Accounts) -> ApkRecord {
    let Details::Apk(details) = &package.details else { return ApkRecord::default() };
    let number = |value: u64| if value == 0 { String::new() } else { value.to_string() };
    let header = vec![
        ('C', package.identity().unwrap_or_default()),
        ('P', package.name.clone()),
        ('V', package.version.clone()),
        ('A', package.architecture.clone()),
        ('S', details.file_size.to_string()),
        ('I', details.installed_size.to_string()),
        ('T', details.description.clone()),
        ('U', details.url.clone()),
        ('L', details.license.clone()),
        ('o', details.origin.clone()),
        ('m', details.maintainer.clone()),
        ('t', number(details.build_time)),
        ('c', details.commit.clone()),
        ('k', number(details.provider_priority)),
        ('D', details.depends.join(" ")),
        ('p', details.provides.join(" ")),
        ('i', details.install_if.join(" ")),
        ('g', details.tags.join(" ")),
        ('r', details.replaces.join(" ")),
        ('q', number(details.replaces_priority)),
        ('f', "S".to_owned()),
    ];
    let mut record = ApkRecord { header, ..ApkRecord::default() };
    record.directories.insert(String::new(), String::new());
    for entry in &package.entries {
        let attributes = attributes(entry, accounts);
        let permissions = format!("{}:{}:{:o}", attributes.uid, attributes.gid, attributes.mode);
        let path = entry.path.trim_start_matches('/');
        let digest = match &entry.kind {
            EntryKind::Directory => {
                let permissions = if permissions == "0:0:755" { String::new() } else { permissions };
                record.directories.insert(path.to_owned(), permissions);
                continue;
            }
            EntryKind::File(bytes) => apk_digest(bytes),
            EntryKind::Symlink(target) => apk_digest(target.as_bytes()),
        };
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        record.files.insert((folder.to_owned(), name.to_owned()), (permissions, digest));
    }
    record
}

/// apk's `installed` with the files `paths` taken from the package `name`.
fn without_files(installed: &[u8], name: &str, paths: &BTreeSet<String>) -> Vec<u8> {
    let text = String::from_utf8_lossy(installed);
    let (mut result, mut is_own, mut folder, mut is_gone) = (String::new(), false, String::new(), false);
    for line in text.split_inclusive('\n') {
        let (letter, value) = line.trim_end().split_once(':').unwrap_or_default();
        match letter {
            "P" => is_own = value == name,
            "F" => {
                value.clone_into(&mut folder);
                is_gone = false;
            }
            "R" => {
                let path = if folder.is_empty() { format!("/{value}") } else { format!("/{folder}/{value}") };
                is_gone = is_own && paths.contains(&path);
            }
            "a" | "Z" => {}
            _ => is_gone = false,
        }
        if !is_gone {
            result.push_str(line);
        }
    }
    result.into_bytes()
}
