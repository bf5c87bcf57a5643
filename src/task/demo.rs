//! Demo: the main job on an image that is embedded in the binary.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::recipe::CommandLineWishes;

use super::{DemoReport, PatchOutcome, PatchRequest, VerifyRequest, patch, verify};

/// A small image in OpenWrt's exact layout; its kernel holds only export tables and does not boot.
const IMAGE: &[u8] = include_bytes!("../../fixtures/openwrt-mini-ib-ext4-combined-efi.img.gz");
/// The InfiniBand modules that belong to its kernel, code and data zeroed.
const MODULES: &[u8] = include_bytes!("../../fixtures/ib-modules-6.12.117.tar.xz");

const IMAGE_NAME: &str = "openwrt-mini-ext4-combined-efi.img.gz";
const MODULES_NAME: &str = "ib-modules-6.12.117.tar.xz";
const OUTPUT_NAME: &str = "router.img.gz";

/// Writes the embedded image and modules to `folder` (made where it is missing; files of an earlier demo are replaced),
/// patches the image there, and verifies it before and after.
///
/// # Errors
/// Those of patch and verify; a folder that cannot be written to.
pub(crate) fn demo(folder: &Path, progress: &dyn Progress) -> Result<DemoReport> {
    fs::create_dir_all(folder).map_err(|error| Error::io("create the folder", folder, error))?;
    let input = write(folder, IMAGE_NAME, IMAGE)?;
    let modules = write(folder, MODULES_NAME, MODULES)?;
    let output = folder.join(OUTPUT_NAME);
    let wishes = CommandLineWishes {
        overlays: vec!["connectx3".to_owned(), "ipoib".to_owned()],
        modules: vec![modules.clone()],
        settings: vec!["ipoib.address=10.10.0.5/24".to_owned()],
        hostname: Some("fabric-gw".to_owned()),
        ..CommandLineWishes::default()
    };
    let look = |image: &PathBuf| VerifyRequest { image: image.clone(), wishes: wishes.clone(), skip: Vec::new() };
    let verify_before = verify(&look(&input), progress)?;
    let request = PatchRequest {
        image: input.clone(),
        output: Some(output.clone()),
        wishes: wishes.clone(),
        force: true,
        ..PatchRequest::default()
    };
    let patch = patch(&request, progress)?;
    if patch.outcome == PatchOutcome::Refused {
        return Err(Error::check("a check on the patched demo image failed").remedy("please report this"));
    }
    let verify = verify(&look(&output), progress)?;
    Ok(DemoReport { folder: folder.to_owned(), input, modules, output, verify_before, patch, verify })
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf> {
    let path = folder.join(name);
    fs::write(&path, bytes).map_err(|error| Error::io("write", &path, error))?;
    Ok(path)
}
