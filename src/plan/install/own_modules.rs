//! Modules that came without a package: registered as one package of this program's own, so that their files have an owner.

use std::collections::{BTreeMap, BTreeSet};

use super::registry::{self, Registry};
use crate::base64;
use crate::kernel::KernelRelease;
use crate::openwrt::{AUTOLOAD_DIRECTORY, BOOT_DIRECTORY, System};
use crate::package::{
    AnyOf, ApkRecord, Dependency, Format, Installed, OpkgRecord, Q1, apk_digest, apk_stanza, opkg_stanza,
};
use crate::plan::draft::Draft;
use crate::plan::{Finding, Severity, Wishes};

/// The package.
pub(crate) const OWN_PACKAGE: &str = "kmod-ibwrt";
const DESCRIPTION: &str = "Kernel modules that ibwrt has put into the image";

/// Registers the files of `modules` (absolute paths), and the autoload files that came with them. What an earlier patch
/// registered stays with it as long as it is there; what belongs to another package and is replaced changes hands.
pub(crate) fn modules(
    draft: &Draft<'_>,
    system: &System,
    release: &KernelRelease,
    registry: &mut Registry,
    wishes: &Wishes,
    modules: &[String],
) -> Option<Finding> {
    let format = match registry.format() {
        _ if !wishes.is_registered => return None,
        None => return (!modules.is_empty()).then(unregistered),
        Some(format) => format,
    };
    let old = registry.installed(OWN_PACKAGE).cloned();
    let known = old.iter().flat_map(|old| old.files.keys()).filter(|path| draft.tree().node(path).is_some()).cloned();
    let files: BTreeSet<String> = known.chain(brought(draft, registry, modules)).collect();
    let kernel = wishes.kernel_version.as_deref();
    let kernel =
        kernel.or_else(|| registry.installed("kernel").map(|kernel| kernel.version.as_str())).map(str::to_owned);
    let version = kernel.clone().unwrap_or_else(|| format!("{release}-r1"));
    let is_touched = files.iter().any(|path| draft.changes(path));
    let is_current = old.as_ref().is_some_and(|old| old.version == version && old.files.keys().eq(files.iter()));
    if files.is_empty() || (is_current && !is_touched) {
        return None;
    }
    let own = Own { draft, system, files: &files, version: &version, kernel: kernel.as_deref() };
    let depends = own.kernel.and_then(|version| Dependency::parse_apk(&format!("kernel={version}")));
    let mut installed = Installed {
        name: OWN_PACKAGE.to_owned(),
        version: version.clone(),
        depends: depends.map(|kernel| AnyOf(vec![kernel])).into_iter().collect(),
        files: files.iter().map(|path| (path.clone(), None)).collect(),
        ..Installed::default()
    };
    let mut entry = registry::blank(OWN_PACKAGE);
    match format {
        Format::Ipk => {
            let control = own.control();
            let record = OpkgRecord { conffiles: &[], time: system.build_time(), is_automatic: false };
            entry.stanza = opkg_stanza(&control, &record);
            let list: String = files.iter().map(|path| format!("{path}\n")).collect();
            entry.beside = BTreeMap::from([
                ("control".to_owned(), (control.into_bytes(), 0o644)),
                ("list".to_owned(), (list.into_bytes(), 0o644)),
            ]);
        }
        Format::Apk => {
            let (identity, stanza) = own.apk();
            entry.world = Some(format!("{OWN_PACKAGE}><{identity}"));
            (entry.stanza, installed.identity) = (stanza, identity);
        }
    }
    entry.old = old;
    registry.register(installed, entry);
    None
}

fn unregistered() -> Finding {
    Finding {
        id: "no-package-database".to_owned(),
        severity: Severity::Note,
        message: "the image has no package database, so the modules are put in without being registered".to_owned(),
        remedy: None,
    }
}

/// The files that this patch brings: modules that no package has or that are replaced, and new autoload files.
fn brought(draft: &Draft<'_>, registry: &Registry, modules: &[String]) -> Vec<String> {
    let is_own = |path: &str| registry.owner(path).is_none_or(|owner| owner == OWN_PACKAGE);
    let modules = modules.iter().filter(|path| is_own(path) || draft.changes(path));
    let is_autoload = |path: &str| {
        let folders = [AUTOLOAD_DIRECTORY, BOOT_DIRECTORY];
        folders.iter().any(|folder| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')))
    };
    let added = draft.added().filter(|path| is_autoload(path) && is_own(path));
    modules.cloned().chain(added.map(str::to_owned)).collect()
}

struct Own<'a> {
    draft: &'a Draft<'a>,
    system: &'a System,
    files: &'a BTreeSet<String>,
    version: &'a str,
    kernel: Option<&'a str>,
}

impl Own<'_> {
    fn size(&self) -> u64 {
        self.files.iter().filter_map(|path| self.draft.tree().node(path)).map(|node| node.metadata.size).sum()
    }

    /// The control file that an .ipk of it would have.
    fn control(&self) -> String {
        let depends = self.kernel.map(|version| format!("Depends: kernel (={version})\n")).unwrap_or_default();
        format!(
            "Package: {OWN_PACKAGE}\nVersion: {}\n{depends}Section: kernel\nArchitecture: x86_64\nInstalled-Size: {}\n\
             Description:  {DESCRIPTION}\n",
            self.version,
            self.size()
        )
    }

    /// Its identity and its stanza in apk's database.
    fn apk(&self) -> (String, String) {
        let mut record = ApkRecord::default();
        for path in self.files {
            let path = path.trim_start_matches('/');
            for (index, _) in path.match_indices('/') {
                record.directories.insert(path.get(..index).unwrap_or_default().to_owned(), String::new());
            }
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
            let (permissions, digest) = self.described(&format!("/{path}"));
            record.files.insert((folder.to_owned(), name.to_owned()), (permissions, digest));
        }
        let header = |identity: &str| {
            let depends = self.kernel.map(|version| format!("kernel={version}")).unwrap_or_default();
            vec![
                ('C', identity.to_owned()),
                ('P', OWN_PACKAGE.to_owned()),
                ('V', self.version.to_owned()),
                ('A', "x86_64".to_owned()),
                ('S', self.size().to_string()),
                ('I', self.size().to_string()),
                ('T', DESCRIPTION.to_owned()),
                ('U', String::new()),
                ('L', "GPL-2.0".to_owned()),
                ('D', depends),
                ('f', "S".to_owned()),
            ]
        };
        record.header = header("");
        let identity = apk_digest(apk_stanza(&record).as_bytes());
        record.header = header(&identity);
        (identity.clone(), apk_stanza(&record))
    }

    /// Permissions and digest of the file at `path`, as it will be.
    fn described(&self, path: &str) -> (String, String) {
        let Some(node) = self.draft.tree().node(path) else { return Default::default() };
        let attributes = node.metadata.attributes;
        if let Some(target) = &node.metadata.link_target {
            return ("0:0:777".to_owned(), apk_digest(target.as_bytes()));
        }
        let permissions = format!("{}:{}:{:o}", attributes.uid, attributes.gid, attributes.mode);
        let digest = match &node.content {
            Some(content) => apk_digest(content),
            // Modules are not kept in memory, but their digests are.
            None => {
                let modules = self.system.module_directories.iter().flat_map(|directory| &directory.modules);
                let known = modules.filter(|module| module.path == path).map(|module| of_hex(&module.sha256)).next();
                known.unwrap_or_default()
            }
        };
        (permissions, digest)
    }
}

/// The digest that apk writes for a file whose SHA-256 is known in hex.
fn of_hex(hex: &str) -> String {
    let bytes: Vec<u8> =
        (0..20).filter_map(|index| u8::from_str_radix(hex.get(2 * index..2 * index + 2)?, 16).ok()).collect();
    if bytes.len() == 20 { format!("{Q1}{}", base64::encode(&bytes)) } else { String::new() }
}
