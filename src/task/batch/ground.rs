//! The ground that hosts stand on: the image with the edits that their plans begin with, carried out, checked and compressed once.
//!
//! Wherever a plan is cut, carrying out its beginning for all and the rest for one ends at the very bytes of carrying out the
//! whole ([`Trunk`]): so how far a ground reaches is a matter of time alone, and [`Choice`] may decide it by what it happens to
//! have seen.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use sha2::{Digest, Sha256};

use crate::apply::apply;
use crate::error::{At, Error, Result};
use crate::filesystem::{Trunk, open};
use crate::image::{Disk, Form, Image};
use crate::plan::Edit;
use crate::seal::{Model, Output, Rehearsal};
use crate::verify::Report;

use super::super::medium::Medium;
use super::super::steps::{Checking, Opened, Planned, Wished, carried_out, expected};
use super::choice::{Chain, Choice};
use super::inputs;
use super::proof::{Asked, Proof};

/// What an edit costs besides its content, in bytes of content.
const EDIT: u64 = 4096;

/// The grounds, laid as they are asked for.
#[derive(Default)]
pub(super) struct Grounds(Choice<Ground>);

/// An image with edits in common.
pub(super) struct Ground {
    image: Image,
    trunk: Box<dyn Trunk>,
    rehearsal: Arc<Rehearsal>,
    /// What it was proved to be, with nothing in it but the edits in common.
    proof: Option<Proof>,
    /// What plain images on it begin as clones of.
    model: OnceLock<Option<Arc<Model>>>,
}

/// A plan for the host with the number `host`.
pub(super) struct Task<'a> {
    pub(super) host: usize,
    pub(super) opened: &'a Opened,
    pub(super) wished: &'a Wished,
    pub(super) planned: &'a Planned,
    /// Timestamp of what is added, in seconds since 1970.
    pub(super) epoch: u64,
}

impl Grounds {
    /// Remembers what is planned, for the grounds of others.
    ///
    /// # Errors
    /// As [`Task::chain`].
    pub(super) fn meet(&self, task: &Task<'_>) -> Result<()> {
        self.0.meet(task.host, &task.chain()?);
        Ok(())
    }

    /// The medium with the plan carried out, as [`carried_out`] makes it, and the ground that it stands on, if any.
    ///
    /// # Errors
    /// Those of the filesystems.
    pub(super) fn carried_out(&self, task: &Task<'_>) -> Result<(Medium, Option<Arc<Ground>>)> {
        let Task { opened, planned, epoch, .. } = task;
        let edits = &planned.plan.edits;
        // What keeps a ground from being laid is told of each host by itself, as a patch would tell it.
        let lay = |count| lay(opened, planned, edits.get(..count)?, *epoch).ok();
        let Some((ground, count)) = self.0.ground(task.host, &task.chain()?, lay) else {
            return Ok((carried_out(opened, planned, *epoch)?, None));
        };
        let place = || opened.scene.editable_root().map_or_else(|_| opened.place(), |root| root.place());
        let mut filesystem = ground.trunk.branch()?;
        apply(edits.get(count..).unwrap_or_default(), filesystem.as_mut()).at(place)?;
        let disk = filesystem.finish().at(place)?.into_disk();
        let medium = planned.rekeyed(Medium::Image(Image { disk, ..ground.image.clone() }))?;
        Ok((medium, Some(ground)))
    }
}

impl Task<'_> {
    /// The plan by its beginnings. The first one tells all that the root's edits start from: of one image, it follows from the
    /// wishes for its size, from what lies behind its root, and from the edits of the boot partition.
    ///
    /// # Errors
    /// No image, or none with a root.
    fn chain(&self) -> Result<Chain> {
        let Self { opened, wished, planned, epoch, .. } = self;
        let image = opened.scene.medium.image().ok_or_else(|| Error::usage("a tree of files is no image"))?;
        let root = opened.scene.medium.length(opened.scene.editable_root()?)?;
        let overlay = planned.discarded_overlay.is_some();
        let start = (image.disk.length(), root, overlay, wished.rootfs_size, wished.backup_gpt, epoch);
        let mut digest = Sha256::new_with_prefix(format!("{start:?}"));
        let boot = planned.boot.iter().flat_map(|boot| &boot.edits);
        boot.for_each(|edit| digest.update(self.described(edit)));
        let mut cost: u64 = 0;
        let mut beginnings = vec![(digest.clone().finalize().into(), cost)];
        for edit in &planned.plan.edits {
            digest.update(self.described(edit));
            cost = cost.saturating_add(edit.length()).saturating_add(EDIT);
            beginnings.push((digest.clone().finalize().into(), cost));
        }
        Ok(Chain::new(beginnings))
    }

    /// All of `edit` that carrying it out depends on, in a line that no other edit has.
    fn described(&self, edit: &Edit) -> String {
        let Edit { path, change, content, linked_to, attributes, is_own: _, size_before: _, reason: _ } = edit;
        let content = inputs::content(&self.opened.shelf, content.as_ref());
        format!("{:?}\n", (path, change, content, linked_to, attributes))
    }
}

impl Ground {
    /// `output` of `disk`, which stands on it, with the help of what was compressed already. A plain one begins as a clone of
    /// another on this ground, where that can be: `input` is the file of the image, `place` whose temporary files are, and where.
    pub(super) fn helped(&self, output: Output, disk: &Disk, input: &Path, place: (&str, &Path)) -> Output {
        let output = output.rehearsed(Arc::clone(&self.rehearsal));
        if output.form() != Form::Raw {
            return output;
        }
        let (whose, folder) = place;
        match self.model.get_or_init(|| Model::of(disk, input, whose, folder).map(Arc::new)) {
            Some(model) => output.modelled(Arc::clone(model)),
            None => output,
        }
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

/// Carries out `common`, checks and compresses.
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
    let rehearsal =
        Rehearsal::of(&disk).map_err(|error| Error::io("compress", Path::new("the image in memory"), error))?;
    Ok(Ground { image, trunk, rehearsal: Arc::new(rehearsal), proof, model: OnceLock::new() })
}
