//! What a patch added, for a bill of materials.

use std::path::{Path, PathBuf};

use crate::digest::sha256_hex;
use crate::kernel::Module;
use crate::plan::{Content, Edit};
use crate::sbom::{Component, ComponentKind, Inventory, SbomForm};

use super::steps::Planned;

/// Where the bill of materials of the image `output` goes: beside it.
pub(super) fn path_beside(output: &Path, form: SbomForm) -> PathBuf {
    let mut name = output.file_name().unwrap_or_default().to_owned();
    name.push(form.ending());
    output.with_file_name(name)
}

/// What `planned` puts into the image or tree that became `output`, a file with the digest `sha256` or a folder; dated
/// `time` (seconds since 1970).
pub(super) fn inventory(planned: &Planned, output: Option<&Path>, sha256: Option<String>, time: u64) -> Inventory {
    let boot = planned.boot.iter().flat_map(|boot| &boot.edits).filter_map(|edit| file(edit, ComponentKind::Kernel));
    let packages = planned.packages.iter().map(|package| Component {
        kind: ComponentKind::Package,
        name: package.name.clone(),
        version: Some(package.version.clone()),
        path: None,
        sha256: None,
        licence: Some(package.licence.clone()).filter(|licence| !licence.is_empty()),
        reason: package.needed_by.as_ref().map_or_else(|| "asked for".to_owned(), |user| format!("needed by {user}")),
    });
    let files = planned.put.iter().filter_map(|edit| file(edit, ComponentKind::File));
    Inventory {
        image: output.and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned(),
        sha256,
        system: planned.system.release.description.clone(),
        time,
        components: packages.chain(boot).chain(files).collect(),
    }
}

/// The file that `edit` writes, where it writes one; a module by its own words.
fn file(edit: &Edit, kind: ComponentKind) -> Option<Component> {
    let Some(Content::File(bytes)) = &edit.content else { return None };
    let mut component = Component {
        kind,
        name: edit.path.clone(),
        version: None,
        path: Some(edit.path.clone()),
        sha256: Some(sha256_hex(bytes)),
        licence: None,
        reason: edit.reason.clone(),
    };
    let in_modules = edit.path.strip_prefix("/lib/modules/").and_then(|rest| rest.split_once('/'));
    if let Some((release, name)) = in_modules
        && let Some(name) = name.strip_suffix(".ko")
        && let Ok(module) = Module::parse(bytes)
    {
        component.kind = ComponentKind::Module;
        component.name = name.to_owned();
        component.version = Some(release.to_owned());
        component.licence = module.modinfo.license;
    }
    Some(component)
}
