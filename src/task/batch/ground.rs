//! The ground that hosts with one module set stand on: image, kernel and modules, put in and compressed once.

use std::sync::Arc;

use crate::apply::apply;
use crate::error::{At, Error, Result};
use crate::filesystem::{Trunk, open};
use crate::history::{FOLDER, ORIGINALS};
use crate::image::Image;
use crate::openwrt::MODULES_DIRECTORY;
use crate::plan::{Content, Edit};
use crate::seal::Rehearsal;
use crate::verify::Report;

use super::super::medium::Medium;
use super::super::memo::Memo;
use super::super::steps::{Checking, Opened, Planned, expected};
use super::proof::{Asked, Proof};

/// What tells a ground: lengths of disk and root, whether an overlay goes, and the edits in common, each with the place in
/// memory of its content, which plans for one module set share.
type Key = (u64, u64, bool, Vec<(String, usize, usize)>);

/// The grounds, made as they are asked for.
#[derive(Default)]
pub(super) struct Grounds(Memo<Key, Ground>);

/// An image with edits in common.
pub(super) struct Ground {
    image: Image,
    trunk: Box<dyn Trunk>,
    rehearsal: Arc<Rehearsal>,
    /// What it was proved to be, with nothing in it but the edits in common.
    proof: Option<Proof>,
    /// Keeps the contents where the key says they are.
    _edits: Vec<Edit>,
}

impl Grounds {
    /// The medium with the plan carried out, as [`carried_out`](super::super::steps::carried_out) makes it, and the ground that
    /// it stands on.
    ///
    /// # Errors
    /// Those of the filesystems.
    pub(super) fn carried_out(&self, opened: &Opened, planned: &Planned, epoch: u64) -> Result<(Medium, Arc<Ground>)> {
        let edits = &planned.plan.edits;
        let (common, own) = edits.split_at(edits.iter().take_while(|edit| is_common(edit)).count());
        let root = opened.scene.editable_root()?;
        let image = opened.scene.medium.image().ok_or_else(|| Error::usage("a tree of files is no image"))?;
        let boot = planned.boot.iter().flat_map(|boot| &boot.edits);
        let keys = boot.chain(common).map(|edit| {
            let (place, length) = match &edit.content {
                Some(Content::File(bytes)) => (bytes.as_ptr().addr(), bytes.len()),
                _ => (0, 0),
            };
            (edit.path.clone(), place, length)
        });
        let length = opened.scene.medium.length(root)?;
        let key = (image.disk.length(), length, planned.discarded_overlay.is_some(), keys.collect());
        let ground = self.0.get(key, || lay(opened, planned, common, epoch))?;
        let mut filesystem = ground.trunk.branch()?;
        apply(own, filesystem.as_mut()).at(|| root.place())?;
        let disk = filesystem.finish().at(|| root.place())?.into_disk();
        let medium = planned.rekeyed(Medium::Image(Image { disk, ..ground.image.clone() }))?;
        Ok((medium, ground))
    }
}

impl Ground {
    /// What was compressed of it already.
    pub(super) fn rehearsal(&self) -> Arc<Rehearsal> {
        Arc::clone(&self.rehearsal)
    }

    /// The checks on `result`, which stands on it: as [`Checking::of`] does them.
    pub(super) fn checked(&self, result: &Medium, checking: &Checking<'_>) -> Report {
        let Checking { unpacked, wished, skip, allow } = *checking;
        let given = wished.swap.as_ref().map(|swap| &swap.kernel);
        let asked = Asked { unpacked, given, expectations: expected(wished), skip };
        match self.proof.as_ref().and_then(|proof| proof.checked(result, asked)) {
            Some(mut report) => {
                report.tolerate(allow);
                report
            }
            None => checking.of(result.clone()),
        }
    }
}

/// Whether an edit is about modules, or about what they take the place of: what plans have in common.
fn is_common(edit: &Edit) -> bool {
    edit.path.starts_with(MODULES_DIRECTORY) || edit.path == FOLDER || edit.path.starts_with(ORIGINALS)
}

fn lay(opened: &Opened, planned: &Planned, common: &[Edit], epoch: u64) -> Result<Ground> {
    let scene = &opened.scene;
    let root = scene.editable_root()?;
    let mut medium = match planned.discarded_overlay {
        Some(_) => scene.medium.without_overlay(root)?,
        None => scene.medium.clone(),
    };
    if let (Some(plan), Ok(boot)) = (&planned.boot, &scene.boot) {
        medium = medium.edited(&boot.located, &plan.edits, epoch)?;
    }
    let image = medium.image().ok_or_else(|| Error::usage("a tree of files is no image"))?.clone();
    let mut filesystem = open(medium.volume(root)?, epoch).at(|| root.place())?;
    apply(common, filesystem.as_mut()).at(|| root.place())?;
    let trunk = filesystem.into_trunk().at(|| root.place())?;
    let disk = trunk.branch()?.finish()?.into_disk();
    let proof = Proof::of(Medium::Image(Image { disk: disk.clone(), ..image.clone() }));
    let rehearsal = Rehearsal::of(&disk)
        .map_err(|error| Error::io("compress", std::path::Path::new("the image in memory"), error))?;
    let boot = planned.boot.iter().flat_map(|boot| boot.edits.clone());
    let edits = boot.chain(common.iter().cloned()).collect();
    Ok(Ground { image, trunk, rehearsal: Arc::new(rehearsal), proof, _edits: edits })
}
