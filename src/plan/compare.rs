//! The plan: the pure function from facts and wishes to edits.

use serde::Serialize;

use crate::error::Result;
use crate::filesystem::Space;
use crate::kernel::KernelRelease;
use crate::openwrt::{MODULES_DIRECTORY, System};

use super::autoload::autoload;
use super::draft::Draft;
use super::install::{OWN_PACKAGE, Registry, own_modules};
use super::loading::Dependencies;
use super::packages::kernel_version;
use super::{Edit, Finding, Need, Wishes, files, install, remarks};

/// Room before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct SpaceForecast {
    /// Bytes per block.
    pub(crate) block_size: u32,
    /// Free blocks now.
    pub(crate) free_blocks_before: u64,
    /// Free blocks afterwards, estimated from above use (never fewer than predicted minus metadata slack).
    pub(crate) free_blocks_after: u64,
    /// Free inodes now.
    pub(crate) free_inodes_before: u64,
    /// Free inodes afterwards.
    pub(crate) free_inodes_after: u64,
}

impl SpaceForecast {
    /// Whether there is an end to the room.
    pub(crate) fn is_bounded(&self) -> bool {
        self.free_blocks_before != u64::MAX
    }
}

/// What will be done.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Changes, in the order in which they are carried out.
    pub(crate) edits: Vec<Edit>,
    /// Remarks.
    pub(crate) findings: Vec<Finding>,
    /// The room that they take.
    pub(crate) need: Need,
    /// Room before and after, where there is enough.
    pub(crate) space: SpaceForecast,
}

impl Plan {
    /// What only consists of edits, on a filesystem that has `space` now.
    pub(crate) fn of(edits: Vec<Edit>, findings: Vec<Finding>, space: &Space) -> Self {
        let need = Need::of(&edits, space.block_size);
        Self { need, space: need.forecast(space), edits, findings }
    }

    /// The same plan carried out by other edits, on a filesystem that has `space` now.
    pub(crate) fn by(self, edits: Vec<Edit>, space: &Space) -> Self {
        Self::of(edits, self.findings, space)
    }
}

/// Compares `system` with `wishes`; `release` is what the image's kernel says of itself, and so names the module
/// directory that is extended. Whether there is room is [another question](Need::check).
///
/// # Errors
/// A wish that contradicts what is there (a directory where a file is wished) or
/// another wish, or one that cannot be written in the syntax of its file.
pub(crate) fn plan(system: &System, release: &KernelRelease, wishes: &Wishes) -> Result<Plan> {
    let mut findings = wishes.findings.clone();
    findings.extend(remarks::system(system, release, wishes));
    let dependencies = Dependencies::collect(system, release, wishes);
    let mut draft = Draft::new(system);
    for release in &wishes.obsolete {
        draft.remove_directory(&format!("{MODULES_DIRECTORY}/{release}"), "kernel swap");
    }
    let mut registry = Registry::new(system, &[OWN_PACKAGE]);
    install::packages(&mut draft, system, &mut registry, &wishes.packages, &mut findings)?;
    let modules = files::modules(&mut draft, system, release, &wishes.modules, &mut findings)?;
    files::files(&mut draft, &wishes.files, &mut findings)?;
    files::lines(&mut draft, &wishes.lines)?;
    files::login(&mut draft, wishes)?;
    kernel_version(&mut draft, system, wishes.kernel_version.as_deref())?;
    autoload(&mut draft, &dependencies, &wishes.autoload, &mut findings)?;
    findings.extend(own_modules(&draft, system, release, &mut registry, wishes, &modules));
    registry.write(&mut draft)?;
    findings.extend(remarks::loading(draft.tree(), system, release, wishes, &dependencies));
    let edits = draft.into_edits();
    Ok(Plan::of(edits, findings, &system.space))
}
