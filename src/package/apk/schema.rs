//! What the values of a package mean (apk_adb.h: field numbers; apk_adb.c: their types).

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest as _, Sha256, Sha512};

use super::adb::{Adb, Slots, Value};
use super::container::{Container, Data};
use crate::error::{At as _, Error, Result};
use crate::package::contents::Contents;
use crate::package::dependency::{Constraint, is_name};
use crate::package::model::{ABI_TAG, ApkDetails, Details, Format, Script, name_without_abi};
use crate::package::{Alternative, AnyOf, Dependency, Entry, EntryKind, Owner, Package, Provision};

/// Last known fields of each object.
const PACKAGE_FIELDS: u32 = 5;
const INFO_FIELDS: u32 = 21;
const DEPENDENCY_FIELDS: u32 = 3;
const PATH_FIELDS: u32 = 3;
const FILE_FIELDS: u32 = 6;
const ACL_FIELDS: u32 = 4;
/// Names of the scripts, by field from 1, as `scripts.tar` spells them.
const SCRIPTS: [&str; 7] =
    ["trigger", "pre-install", "post-install", "pre-deinstall", "post-deinstall", "pre-upgrade", "post-upgrade"];
/// File types, as in the mode of an inode.
const TYPE_LINK: u16 = 0xA000;
const TYPE_REGULAR: u16 = 0x8000;
/// Bits of a dependency's match.
const EQUAL: u64 = 1;
const LESS: u64 = 2;
const GREATER: u64 = 4;
const FUZZY: u64 = 8;
const CONFLICT: u64 = 16;
/// Where OpenWrt's packages keep what apk does not know (include/package-pack.mk).
const OWN_FOLDER: &str = "/lib/apk/packages";

/// Reads the package in `container`.
///
/// # Errors
/// Corrupt: values that do not fit, files without content, content of another digest than its file says; unsupported:
/// fields that are not known, device nodes.
pub(super) fn read(container: &Container<'_>, source: &str) -> Result<Package> {
    let adb = Adb(container.adb);
    let root = adb.root()?;
    root.check_known(PACKAGE_FIELDS, "the package")?;
    let mut package = info(adb, adb.object(root.get(1))?, source).at(|| "info".to_owned())?;
    let mut contents = Contents::default();
    files(adb, root.get(2), &container.data, &mut contents)?;
    package.scripts = scripts(adb, adb.object(root.get(3))?)?;
    let triggers = adb.array(root.get(4))?.iter().map(|value| adb.text(value)).collect::<Result<_>>()?;
    if let Details::Apk(details) = &mut package.details {
        details.triggers = triggers;
        details.replaces_priority = adb.int(root.get(5))?;
    }
    package.is_signed = container.signatures > 0;
    own_files(&mut package, &contents);
    package.entries = contents.finish();
    Ok(package)
}

fn info(adb: Adb<'_>, info: Slots<'_>, source: &str) -> Result<Package> {
    info.check_known(INFO_FIELDS, "info")?;
    let text = |field: u32| adb.text(info.get(field));
    let (name, version) = (text(1)?, text(2)?);
    if !is_name(&name) || version.is_empty() || !version.chars().all(|c| c.is_ascii_graphic() && c != '/') {
        return Err(Error::corrupt(format!("{name:?} {version:?} cannot be a package's name and version")));
    }
    let all = |field: u32| -> Result<Vec<(Dependency, bool)>> {
        adb.array(info.get(field))?.iter().map(|value| dependency(adb, adb.object(value)?)).collect()
    };
    let (mut depends, mut conflicts, mut depends_text) = (Vec::new(), Vec::new(), Vec::new());
    for (dependency, is_conflict) in all(15)? {
        depends_text.push(format!("{}{}", if is_conflict { "!" } else { "" }, spelled(&dependency)));
        if is_conflict {
            conflicts.push(dependency);
        } else {
            depends.push(AnyOf(vec![dependency]));
        }
    }
    let plain = |field: u32| -> Result<Vec<Dependency>> { Ok(all(field)?.into_iter().map(|(one, _)| one).collect()) };
    let (provided, replaces) = (plain(16)?, plain(17)?);
    let tags = adb.array(info.get(21))?.iter().map(|value| adb.text(value)).collect::<Result<Vec<_>>>()?;
    let abi = tags.iter().find_map(|tag| tag.strip_prefix(ABI_TAG));
    let version_of = |one: &Dependency| one.constraint.as_ref().map(|constraint| constraint.version.clone());
    let provides = provided.iter().map(|one| Provision { name: one.name.clone(), version: version_of(one) });
    let provides = provides.chain(name_without_abi(&name, abi)).collect();
    let commit: String = adb.blob(info.get(10))?.iter().map(|byte| format!("{byte:02x}")).collect();
    let details = ApkDetails {
        id: identity(adb, info.get(3))?,
        file_size: 0,
        installed_size: adb.int(info.get(12))?,
        description: text(4)?,
        url: text(9)?,
        license: text(6)?,
        origin: text(7)?,
        maintainer: text(8)?,
        build_time: adb.int(info.get(11))?,
        commit,
        provider_priority: adb.int(info.get(14))?,
        replaces_priority: 0,
        install_if: plain(18)?.iter().map(spelled).collect(),
        depends: depends_text,
        provides: provided.iter().map(spelled).collect(),
        replaces: replaces.iter().map(spelled).collect(),
        tags,
        triggers: Vec::new(),
    };
    Ok(Package {
        source: source.to_owned(),
        format: Format::Apk,
        architecture: text(5)?,
        depends,
        provides,
        conflicts,
        replaces,
        alternatives: Vec::new(),
        users: None,
        conffiles: Vec::new(),
        scripts: Vec::new(),
        entries: Vec::new(),
        is_signed: false,
        sha256: String::new(),
        details: Details::Apk(Box::new(details)),
        name,
        version,
    })
}

/// A dependency as apk writes it in text: `name>=1.0`.
fn spelled(dependency: &Dependency) -> String {
    match &dependency.constraint {
        None => dependency.name.clone(),
        Some(constraint) => format!("{}{}{}", dependency.name, constraint.operator, constraint.version),
    }
}

/// A dependency, and whether it is a conflict.
fn dependency(adb: Adb<'_>, object: Slots<'_>) -> Result<(Dependency, bool)> {
    object.check_known(DEPENDENCY_FIELDS, "a dependency")?;
    let (name, version) = (adb.text(object.get(1))?, adb.text(object.get(2))?);
    if !is_name(&name) {
        return Err(Error::corrupt(format!("{name:?} cannot be the name of a package")));
    }
    let bits = match object.get(3) {
        value if value.is_null() => EQUAL,
        value => adb.int(value)?,
    };
    let mut operator = String::new();
    for (bit, sign) in [(LESS, '<'), (GREATER, '>')] {
        operator.extend((bits & bit != 0).then_some(sign));
    }
    // What is fuzzy is equal as well; apk writes only `~` then.
    operator.extend((bits & FUZZY != 0).then_some('~').or((bits & EQUAL != 0).then_some('=')));
    let constraint = (!version.is_empty()).then_some(Constraint { operator, version });
    Ok((Dependency { name, constraint }, bits & CONFLICT != 0))
}

/// The identity that the package says it has, held against its description: SHA-256 over the ADB block with the identity's
/// own bytes zeroed, the first 20 bytes of it.
fn identity(adb: Adb<'_>, value: Value) -> Result<[u8; 20]> {
    let mut digest = Sha256::new();
    let said = adb.blob_at(value)?;
    match said {
        None => digest.update(adb.0),
        Some((start, bytes)) => {
            let start = usize::try_from(start).unwrap_or(usize::MAX);
            let end = start.saturating_add(bytes.len());
            digest.update(adb.0.get(..start).unwrap_or_default());
            digest.update(vec![0; bytes.len()]);
            digest.update(adb.0.get(end..).unwrap_or_default());
        }
    }
    let mut id = [0; 20];
    id.iter_mut().zip(digest.finalize()).for_each(|(byte, found)| *byte = found);
    match said {
        Some((_, bytes)) if bytes != id => {
            Err(Error::corrupt("the description was changed: its digest is another than it says")
                .remedy("do not install this package; fetch or build it anew"))
        }
        _ => Ok(id),
    }
}

fn scripts(adb: Adb<'_>, object: Slots<'_>) -> Result<Vec<Script>> {
    object.check_known(u32::try_from(SCRIPTS.len()).unwrap_or(0), "the list of scripts")?;
    let mut scripts = Vec::new();
    for (name, field) in SCRIPTS.iter().zip(1u32..) {
        if let Some((_, bytes)) = adb.blob_at(object.get(field))? {
            scripts.push(Script { name: (*name).to_owned(), content: bytes.into(), mode: 0o755 });
        }
    }
    // In the database triggers come last.
    let triggers = usize::from(scripts.first().is_some_and(|script| script.name == "trigger"));
    scripts.rotate_left(triggers);
    Ok(scripts)
}

/// Takes every path and file, and gives each file the content that its block holds.
fn files(adb: Adb<'_>, paths: Value, data: &[Data<'_>], contents: &mut Contents) -> Result<()> {
    let mut waiting = BTreeMap::new();
    for block in data {
        if waiting.insert((block.path, block.file), block.bytes).is_some() {
            return Err(Error::corrupt(format!("two blocks for file {} of path {}", block.file, block.path)));
        }
    }
    for (path, path_index) in adb.array(paths)?.iter().zip(1u32..) {
        let path = adb.object(path)?;
        path.check_known(PATH_FIELDS, "a directory")?;
        let folder = adb.text(path.get(1))?;
        let place = || if folder.is_empty() { "/".to_owned() } else { folder.clone() };
        let (mode, user, group) = acl(adb, path.get(2)).at(place)?;
        let entry = Entry { path: String::new(), kind: EntryKind::Directory, mode, user, group, linked_to: None };
        contents.add(&folder, entry).at(place)?;
        for (file, file_index) in adb.array(path.get(3))?.iter().zip(1u32..) {
            let file = adb.object(file)?;
            let bytes = waiting.remove(&(path_index, file_index));
            take_file(adb, file, &folder, bytes, contents).at(place)?;
        }
    }
    match waiting.into_iter().next() {
        None => Ok(()),
        Some(((path, file), _)) => {
            Err(Error::corrupt(format!("a block for file {file} of path {path}, which the package does not have")))
        }
    }
}

fn take_file(adb: Adb<'_>, file: Slots<'_>, folder: &str, bytes: Option<&[u8]>, contents: &mut Contents) -> Result<()> {
    file.check_known(FILE_FIELDS, "a file")?;
    let name = adb.text(file.get(1))?;
    if name.is_empty() || name.contains('/') || matches!(name.as_str(), "." | "..") {
        return Err(Error::corrupt(format!("{name:?} cannot be the name of a file"))
            .remedy("do not install this package; fetch or build it anew"));
    }
    let path = format!("{folder}/{name}");
    let (mode, user, group) = acl(adb, file.get(2)).at(|| name.clone())?;
    let mut linked_to = None;
    let kind = match (adb.blob_at(file.get(6))?, bytes) {
        (Some(_), Some(_)) => return Err(Error::corrupt("it is a link, and yet a block holds its content").at(name)),
        (Some((_, target)), None) => match target_of(target).at(|| name.clone())? {
            (TYPE_LINK, target) => EntryKind::Symlink(target),
            (TYPE_REGULAR, target) => {
                let (bytes, target) = contents.linked(&path, &target)?;
                linked_to = Some(target);
                EntryKind::File(bytes)
            }
            (other, _) => {
                return Err(Error::unsupported(format!(
                    "it is a device node, FIFO or another special file (type 0x{other:04x}), which no package of OpenWrt holds"
                ))
                .at(name)
                .remedy("do not install this package; /dev is filled by procd at boot"));
            }
        },
        (None, bytes) => EntryKind::File(checked(adb, file, bytes.unwrap_or_default()).at(|| name.clone())?),
    };
    contents.add(&path, Entry { path: String::new(), kind, mode, user, group, linked_to })
}

/// The content of a regular file, held against the length and the digest that its description says.
fn checked(adb: Adb<'_>, file: Slots<'_>, bytes: &[u8]) -> Result<Arc<[u8]>> {
    const ANEW: &str = "do not install this package; fetch or build it anew";
    let size = adb.int(file.get(3))?;
    if size != bytes.len() as u64 {
        return Err(
            Error::corrupt(format!("its block holds {} bytes, its description says {size}", bytes.len())).remedy(ANEW)
        );
    }
    let said = adb.blob(file.get(5))?;
    let found = match said.len() {
        32 => Sha256::digest(bytes).to_vec(),
        64 => Sha512::digest(bytes).to_vec(),
        length => {
            return Err(Error::unsupported(format!(
                "its digest is {length} bytes long; SHA-256 (32) and SHA-512 (64) are known"
            ))
            .remedy("build the package with apk-tools 3.0"));
        }
    };
    if found != said {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        return Err(Error::corrupt(format!(
            "its content was changed: SHA is {}, its description says {}",
            hex(&found),
            hex(said)
        ))
        .remedy(ANEW));
    }
    Ok(bytes.into())
}

/// A target: a file type as u16, then the text of a link.
fn target_of(bytes: &[u8]) -> Result<(u16, String)> {
    let cut = || Error::corrupt("the target of a link is no text");
    let (kind, text) = bytes.split_first_chunk::<2>().ok_or_else(cut)?;
    let kind = u16::from_le_bytes(*kind);
    // Behind other types stands a device number.
    let text =
        if matches!(kind, TYPE_LINK | TYPE_REGULAR) { std::str::from_utf8(text).map_err(|_| cut())? } else { "" };
    Ok((kind, text.to_owned()))
}

/// Permissions, owner and group. Extended attributes are left out: OpenWrt's packages have none.
fn acl(adb: Adb<'_>, value: Value) -> Result<(u16, Owner, Owner)> {
    let acl = adb.object(value)?;
    acl.check_known(ACL_FIELDS, "the permissions of a file")?;
    if !acl.get(4).is_null() {
        return Err(Error::unsupported("it has extended attributes, which are not put into images")
            .remedy("build the package without them (SELinux labels, capabilities)"));
    }
    let mode = adb.int(acl.get(1))?;
    let mode = u16::try_from(mode).ok().filter(|mode| *mode <= 0o7777);
    let mode = mode.ok_or_else(|| Error::corrupt("its permissions are no permissions"))?;
    let [user, group] = [2, 3].map(|field| adb.text(acl.get(field)));
    let owner = |name: String| match name.as_str() {
        "" | "root" => Owner::Id(0),
        _ => Owner::Name(name),
    };
    Ok((mode, owner(user?), owner(group?)))
}

/// What OpenWrt's packages say beside apk's description, in files of their own.
fn own_files(package: &mut Package, contents: &Contents) {
    let read = |ending: &str| {
        let bytes = contents.file(&format!("{OWN_FOLDER}/{}.{ending}", package.name))?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    };
    let words = |text: Option<String>| -> Vec<String> {
        text.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
    };
    let alternatives = words(read("alternatives")).iter().filter_map(|text| Alternative::parse(text)).collect();
    let conffiles = words(read("conffiles"));
    let users = read("rusers").map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    (package.alternatives, package.conffiles, package.users) = (alternatives, conffiles, users);
}
