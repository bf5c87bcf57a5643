//! Verify: the road up to the facts, then the check table.

use crate::disk_identity::DiskIdentity;
use crate::error::{At, Result};
use crate::image::{Image, Keep};
use crate::overlay;
use crate::progress::Progress;
use crate::recipe::Recipe;
use crate::signing::Keyring;
use crate::verify::{self, Evidence};

use super::given_kernel::GivenKernel;
use super::history;
use super::medium::Medium;
use super::scene::Scene;
use super::trust::keyring;
use super::wishes::expectations;
use super::{Input, TrustRequest, VerifyReport, VerifyRequest};
use super::{authenticity, evidence, packages};

/// Runs the checks on an image.
///
/// # Errors
/// Only what prevents looking at all: a file that cannot be read, a recipe with a mistake, a disk without partitions,
/// a root filesystem of a kind that is not handled. Failed checks are rows of the report.
pub(crate) fn verify(request: &VerifyRequest, progress: &dyn Progress) -> Result<VerifyReport> {
    let place = || request.input.path().display().to_string();
    let recipe = Recipe::assemble(&request.wishes)?;
    let resolved = overlay::resolve(&recipe)?;
    let TrustRequest { keys, now } = &request.trust;
    let ring = if keys.is_empty() { None } else { Some(keyring(keys)?) };
    let (medium, unpacked) = Medium::opening(Keep::Disk, &request.input, progress)?;
    // A recipe's kernel is the one that `patch` puts into an image which boots by itself; there it is found inside.
    let named = if medium.table().is_none() { &recipe.kernel } else { &request.wishes.kernel };
    let kernel = named.as_deref().map(GivenKernel::read).transpose()?;
    let scene = Scene::survey(medium, kernel.as_ref());
    scene.check_given(kernel.as_ref()).at(place)?;
    let root = scene.found_root().at(place)?;
    let mut expectations = expectations(&resolved);
    expectations.identity = recipe.identity_seed()?.map(|seed| DiskIdentity::derived(&seed));
    // Packages that are no longer here are not needed to look at the image; a check says what it could not look at.
    packages::expect(&resolved, &mut expectations);
    let overlays = expectations.overlays.clone();
    let judge = |(ring, image): (Keyring, &Image)| authenticity::judge(request.input.path(), image, &ring, *now);
    let authenticity = ring.zip(scene.medium.image()).map(judge).transpose()?;
    let evidence = Evidence {
        authenticity,
        history: Some(history::recorded(&scene).map(|facts| facts.map(|facts| facts.history()))),
        ..evidence::gather(&scene, &unpacked, expectations)
    };
    if evidence.system.is_err() {
        // A filesystem that cannot even be opened is no matter for a check: it says why in its own words.
        scene.medium.filesystem(root).at(place)?;
    }
    let checks = verify::run(&evidence, &request.skip);
    let kernel_unknown = scene.is_bare() && scene.kernels.is_empty();
    Ok(VerifyReport {
        image: request.input.path().to_owned(),
        is_tree: matches!(request.input, Input::Tree(_)),
        overlays,
        kernel_unknown,
        checks,
    })
}
