//! Verify: the road up to the facts, then the check table.

use crate::error::{At, Result};
use crate::image::Keep;
use crate::overlay;
use crate::progress::Progress;
use crate::recipe::Recipe;
use crate::signing::Keyring;
use crate::verify::{self, Evidence};

use super::given_kernel::GivenKernel;
use super::scene::Scene;
use super::trust::keyring;
use super::unpacked::UnpackedKernels;
use super::wishes::expectations;
use super::{TrustRequest, VerifyReport, VerifyRequest};
use super::{authenticity, evidence};

/// Runs the checks on an image.
///
/// # Errors
/// Only what prevents looking at all: a file that cannot be read, a recipe with a mistake, a disk without partitions,
/// a root filesystem of a kind that is not handled. Failed checks are rows of the report.
pub(crate) fn verify(request: &VerifyRequest, progress: &dyn Progress) -> Result<VerifyReport> {
    let place = || request.image.display().to_string();
    let recipe = Recipe::assemble(&request.wishes)?;
    let resolved = overlay::resolve(&recipe)?;
    let TrustRequest { keys, now } = &request.trust;
    let ring = if keys.is_empty() { None } else { Some(keyring(keys)?) };
    let (image, unpacked) = UnpackedKernels::opening(Keep::Disk, &request.image, progress)?;
    // A recipe's kernel is the one that `patch` puts into an image which boots by itself; there it is found inside.
    let named = if image.table.is_none() { &recipe.kernel } else { &request.wishes.kernel };
    let kernel = named.as_deref().map(GivenKernel::read).transpose()?;
    let scene = Scene::survey(image, kernel.as_ref());
    scene.check_given(kernel.as_ref()).at(place)?;
    scene.editable_root().at(place)?;
    let expectations = expectations(&resolved);
    let overlays = expectations.overlays.clone();
    let judge = |ring: Keyring| authenticity::judge(&request.image, &scene.image, &ring, *now);
    let authenticity = ring.map(judge).transpose()?;
    let evidence = Evidence { authenticity, ..evidence::gather(&scene, &unpacked, expectations) };
    let checks = verify::run(&evidence, &request.skip);
    let kernel_unknown = scene.is_bare() && scene.kernels.is_empty();
    Ok(VerifyReport { image: request.image.clone(), overlays, kernel_unknown, checks })
}
