//! `.ipk` files (scripts/ipkg-build): a gzip-compressed tar of `debian-binary`, `data.tar.gz` and `control.tar.gz`. The
//! older form, the same three in an `ar` archive as in Debian, is read as well.

use std::io::{self, Read};
use std::sync::Arc;

use super::contents::{Contents, LARGEST_CONTENT};
use super::dependency::is_name;
use super::model::{Details, Format, Script, name_without_abi};
use super::stanza::{Stanza, stanzas};
use super::{Alternative, AnyOf, Dependency, Entry, EntryKind, Owner, Package, Provision};
use crate::error::{At as _, Error, Result};
use crate::source::decoder;

/// First bytes of an `ar` archive (ar(5)).
const AR: &[u8] = b"!<arch>\n";
/// The largest `control.tar.gz`, unpacked.
const LARGEST_CONTROL: u64 = 16 << 20;
/// Most files beside `control`.
const MOST_SCRIPTS: usize = 64;

/// Whether `bytes` begin as an .ipk does.
pub(super) fn is_ipk(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x1f\x8b") || bytes.starts_with(AR)
}

/// Reads an .ipk; `source` is what messages call it.
///
/// # Errors
/// As [`read`](super::read).
pub(super) fn read(bytes: &[u8], source: &str) -> Result<Package> {
    let members = if bytes.starts_with(AR) { ar_members(bytes)? } else { tar_members(bytes)? };
    let find = |stem: &str| {
        members
            .iter()
            .find(|(name, _)| name.strip_prefix(stem).is_some_and(|rest| rest.starts_with(".tar")))
            .ok_or_else(|| {
                Error::corrupt(format!("it holds no {stem}.tar.gz")).remedy("give an .ipk that opkg would install")
            })
    };
    let (control_name, control) = find("control")?;
    let (data_name, data) = find("data")?;
    let (text, scripts, conffiles) = read_control(control).at(|| control_name.clone())?;
    let entries = read_data(data).at(|| data_name.clone())?;
    let parsed = stanzas(&text);
    let stanza = parsed.first().ok_or_else(|| Error::corrupt("its control file is empty"))?;
    let mut package = describe(stanza, source).at(|| "control".to_owned())?;
    (package.scripts, package.conffiles, package.entries) = (scripts, conffiles, entries);
    package.details = Details::Ipk { control: text };
    Ok(package)
}

fn damaged(error: io::Error) -> Error {
    Error::corrupt(format!("the archive is damaged or cut short: {error}")).remedy("fetch or build the package anew")
}

/// Unpacks at most `limit` bytes of a possibly compressed stream.
fn unpacked(bytes: &[u8], limit: u64) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    let mut reader = decoder(bytes).map_err(damaged)?.take(limit.saturating_add(1));
    reader.read_to_end(&mut content).map_err(damaged)?;
    if reader.limit() == 0 {
        return Err(Error::unsupported(format!("it unpacks to more than {} MiB", limit >> 20))
            .remedy("give a package that fits into an image"));
    }
    Ok(content)
}

/// Name without leading `./`, and content, of the members of a tar archive.
fn tar_members(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>> {
    let archive = unpacked(bytes, LARGEST_CONTENT)?;
    let mut members = Vec::new();
    for entry in tar::Archive::new(archive.as_slice()).entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = text(&entry.path_bytes())?;
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(damaged)?;
        members.push((name.strip_prefix("./").unwrap_or(&name).to_owned(), content));
    }
    Ok(members)
}

/// The members of an `ar` archive: headers of 60 bytes, the name in the first 16, the length in decimal at 48..58.
fn ar_members(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>> {
    let cut = || Error::corrupt("the ar archive is damaged or cut short").remedy("fetch or build the package anew");
    let mut rest = bytes.get(AR.len()..).unwrap_or_default();
    let mut members = Vec::new();
    while !rest.is_empty() {
        let header = rest.get(..60).filter(|header| header.ends_with(b"`\n")).ok_or_else(cut)?;
        let field = |range: std::ops::Range<usize>| header.get(range).map(String::from_utf8_lossy).unwrap_or_default();
        let size: usize = field(48..58).trim().parse().map_err(|_| cut())?;
        let content = rest.get(60..).and_then(|body| body.get(..size)).ok_or_else(cut)?;
        members.push((field(0..16).trim().trim_end_matches('/').to_owned(), content.to_vec()));
        // Members begin at even offsets.
        let next = size.checked_next_multiple_of(2).and_then(|size| size.checked_add(60)).ok_or_else(cut)?;
        rest = rest.get(next..).unwrap_or_default();
    }
    Ok(members)
}

fn text(bytes: &[u8]) -> Result<String> {
    String::from_utf8(bytes.to_vec()).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Error::corrupt(format!("{:?} is not UTF-8 from byte {at}", String::from_utf8_lossy(bytes)))
    })
}

/// The control file, what else the manager keeps, and the names of the conffiles.
fn read_control(bytes: &[u8]) -> Result<(String, Vec<Script>, Vec<String>)> {
    let archive = unpacked(bytes, LARGEST_CONTROL)?;
    let (mut control, mut conffiles, mut scripts) = (None, Vec::new(), Vec::new());
    for entry in tar::Archive::new(archive.as_slice()).entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            continue;
        }
        let stored = text(&entry.path_bytes())?;
        let name = stored.strip_prefix("./").unwrap_or(&stored).to_owned();
        if !kind.is_file() || name.contains('/') || name.starts_with('.') || name.chars().any(char::is_control) {
            return Err(Error::corrupt(format!("{stored:?} has no business among the control files"))
                .remedy("do not install this package; fetch or build it anew"));
        }
        let mode = mode_of(&entry)?;
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(damaged)?;
        match name.as_str() {
            "control" => control = Some(text(&content)?),
            "conffiles" => {
                conffiles =
                    text(&content)?.lines().map(str::trim).filter(|line| !line.is_empty()).map(absolute).collect();
                scripts.push(Script { name, content: content.into(), mode });
            }
            _ => scripts.push(Script { name, content: content.into(), mode }),
        }
        if scripts.len() > MOST_SCRIPTS {
            return Err(Error::corrupt(format!("it holds more than {MOST_SCRIPTS} files")));
        }
    }
    let control = control.ok_or_else(|| Error::corrupt("it holds no file control"))?;
    Ok((control, scripts, conffiles))
}

fn absolute(path: &str) -> String {
    format!("/{}", path.trim_start_matches("./").trim_start_matches('/'))
}

/// The files, in the archive's order.
fn read_data(bytes: &[u8]) -> Result<Vec<Entry>> {
    let archive = unpacked(bytes, LARGEST_CONTENT)?;
    let mut contents = Contents::default();
    for entry in tar::Archive::new(archive.as_slice()).entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let path = text(&entry.path_bytes())?;
        let link = entry.link_name_bytes().map(|link| text(&link)).transpose()?.unwrap_or_default();
        let kind = entry.header().entry_type();
        let mut linked_to = None;
        let kind = if kind.is_dir() {
            EntryKind::Directory
        } else if kind.is_symlink() {
            EntryKind::Symlink(link)
        } else if kind.is_hard_link() {
            let (bytes, target) = contents.linked(&path, &link)?;
            linked_to = Some(target);
            EntryKind::File(bytes)
        } else if kind.is_file() || kind.is_contiguous() {
            let mut content = Vec::new();
            entry.read_to_end(&mut content).map_err(damaged)?;
            EntryKind::File(Arc::from(content))
        } else {
            return Err(Error::unsupported(format!(
                "{path} is a device node, FIFO or another special file, which no package of OpenWrt holds"
            ))
            .remedy("do not install this package; /dev is filled by procd at boot"));
        };
        let [user, group] = [entry.header().uid(), entry.header().gid()].map(|id| owner(id.map_err(damaged)?));
        let entry = Entry { path: String::new(), kind, mode: mode_of(&entry)?, user: user?, group: group?, linked_to };
        contents.add(&path, entry)?;
    }
    Ok(contents.finish())
}

fn owner(id: u64) -> Result<Owner> {
    let id = u32::try_from(id).map_err(|_| Error::corrupt(format!("{id} cannot be an owner")))?;
    Ok(Owner::Id(id))
}

fn mode_of(entry: &tar::Entry<'_, &[u8]>) -> Result<u16> {
    let mode = entry.header().mode().map_err(damaged)?;
    // Old archivers store the type along with the permissions.
    u16::try_from(mode & 0o7777).map_err(|_| Error::corrupt(format!("{mode:o} cannot be permissions")))
}

/// What the control file says.
pub(super) fn describe(stanza: &Stanza<'_>, source: &str) -> Result<Package> {
    let required = |name: &str| {
        let value = stanza.field(name).filter(|value| !value.is_empty());
        value.map(str::to_owned).ok_or_else(|| Error::corrupt(format!("it has no field {name}")))
    };
    let name = required("Package")?;
    let version = required("Version")?;
    if !is_name(&name) || !version.chars().all(|character| character.is_ascii_graphic() && character != '/') {
        return Err(Error::corrupt(format!("{name:?} {version:?} cannot be a package's name and version")));
    }
    let any_of = |text: &str| -> Result<AnyOf> { Ok(AnyOf(text.split('|').map(dependency).collect::<Result<_>>()?)) };
    let mut depends = Vec::new();
    for field in ["Pre-Depends", "Depends"] {
        depends.extend(stanza.list(field).map(any_of).collect::<Result<Vec<_>>>()?);
    }
    let provides = |text: &str| -> Result<Provision> {
        let Dependency { name, constraint } = dependency(text.trim_start_matches('@'))?;
        Ok(Provision { name, version: constraint.map(|constraint| constraint.version) })
    };
    let mut provides = stanza.list("Provides").map(provides).collect::<Result<Vec<_>>>()?;
    provides.extend(name_without_abi(&name, stanza.field("ABIVersion")));
    let alternatives = stanza.list("Alternatives").map(|text| {
        let malformed =
            || Error::corrupt(format!("{text:?} is no alternative, which is written priority:/link:target"));
        Alternative::parse(text).ok_or_else(malformed)
    });
    Ok(Package {
        source: source.to_owned(),
        format: Format::Ipk,
        architecture: required("Architecture")?,
        depends,
        provides,
        conflicts: stanza.list("Conflicts").map(dependency).collect::<Result<_>>()?,
        replaces: stanza.list("Replaces").map(dependency).collect::<Result<_>>()?,
        alternatives: alternatives.collect::<Result<_>>()?,
        users: stanza.field("Require-User").filter(|users| !users.is_empty()).map(str::to_owned),
        conffiles: Vec::new(),
        scripts: Vec::new(),
        entries: Vec::new(),
        is_signed: false,
        sha256: String::new(),
        details: Details::Ipk { control: String::new() },
        name,
        version,
    })
}

fn dependency(text: &str) -> Result<Dependency> {
    let malformed = || Error::corrupt(format!("{:?} is no dependency", text.trim()));
    Dependency::parse_opkg(text).ok_or_else(malformed)
}
