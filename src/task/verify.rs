//! Verify: the road up to the facts, then the check table.

use crate::error::{At, Result};
use crate::image::Image;
use crate::overlay;
use crate::progress::Progress;
use crate::recipe::Recipe;
use crate::verify;

use super::evidence;
use super::scene::Scene;
use super::wishes::expectations;
use super::{VerifyReport, VerifyRequest};

/// Runs the checks on an image.
///
/// # Errors
/// Only what prevents looking at all: a file that cannot be read, a recipe with a mistake, a disk without partitions,
/// a root filesystem of a kind that is not handled. Failed checks are rows of the report.
pub(crate) fn verify(request: &VerifyRequest, progress: &dyn Progress) -> Result<VerifyReport> {
    let place = || request.image.display().to_string();
    let resolved = overlay::resolve(&Recipe::assemble(&request.wishes)?)?;
    let scene = Scene::survey(Image::open(&request.image, progress)?);
    scene.editable_root().at(place)?;
    let expectations = expectations(&resolved);
    let overlays = expectations.overlays.clone();
    let checks = verify::run(&evidence::gather(&scene, expectations), &request.skip);
    Ok(VerifyReport { image: request.image.clone(), overlays, checks })
}
