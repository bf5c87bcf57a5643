//! Demo: the main job on an image that is embedded in the binary.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::recipe::CommandLineWishes;

use super::{DemoReport, Input, PatchOutcome, PatchRequest, VerifyRequest, patch, verify};

/// Which image is shown: both are small, in OpenWrt's exact layout; their kernel holds only export tables and does not
/// boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DemoRoot {
    /// One with an ext4 root.
    Ext4,
    /// One with a squashfs root.
    Squashfs,
}

impl DemoRoot {
    /// Its name and its bytes.
    fn image(self) -> (&'static str, &'static [u8]) {
        match self {
            Self::Ext4 => (
                "openwrt-mini-ext4-combined-efi.img.gz",
                include_bytes!("../../fixtures/openwrt-mini-ib-ext4-combined-efi.img.gz"),
            ),
            Self::Squashfs => (
                "openwrt-mini-squashfs-combined-efi.img.gz",
                include_bytes!("../../fixtures/openwrt-mini-ib-squashfs-combined-efi.img.gz"),
            ),
        }
    }
}

/// The InfiniBand modules that belong to its kernel, code and data zeroed.
const MODULES: &[u8] = include_bytes!("../../fixtures/ib-modules-6.12.117.tar.xz");

const MODULES_NAME: &str = "ib-modules-6.12.117.tar.xz";
const OUTPUT_NAME: &str = "router.img.gz";
const SETTING: &str = "ipoib.address=10.10.0.5/24";

/// Writes the embedded image and modules to `folder` (made where it is missing; files of an earlier demo are replaced),
/// patches the image there, and verifies it before (asking for nothing) and after (asking for what was patched in).
///
/// # Errors
/// Those of patch and verify; a folder that cannot be written to.
pub(crate) fn demo(folder: &Path, root: DemoRoot, progress: &dyn Progress) -> Result<DemoReport> {
    fs::create_dir_all(folder).map_err(|error| Error::io("create the folder", folder, error))?;
    let (name, image) = root.image();
    let input = write(folder, name, image)?;
    let modules = write(folder, MODULES_NAME, MODULES)?;
    let output = folder.join(OUTPUT_NAME);
    let wishes = CommandLineWishes {
        overlays: vec!["connectx3".to_owned(), "ipoib".to_owned()],
        modules: vec![modules.clone()],
        settings: vec![SETTING.to_owned()],
        ..CommandLineWishes::default()
    };
    let asked = CommandLineWishes { modules: Vec::new(), ..wishes.clone() };
    let look = |image: &PathBuf, wishes| VerifyRequest {
        input: Input::Image(image.clone()),
        wishes,
        ..VerifyRequest::default()
    };
    let verify_before = verify(&look(&input, CommandLineWishes::default()), progress)?;
    let request = PatchRequest {
        input: Input::Image(input.clone()),
        output: Some(output.clone()),
        wishes: wishes.clone(),
        force: true,
        ..PatchRequest::default()
    };
    let patch = patch(&request, progress)?;
    if patch.outcome == PatchOutcome::Refused {
        return Err(Error::check("a check on the patched demo image failed").remedy("please report this"));
    }
    let verify = verify(&look(&output, asked), progress)?;
    let settings = wishes.settings;
    Ok(DemoReport { folder: folder.to_owned(), input, modules, settings, output, verify_before, patch, verify })
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf> {
    let path = folder.join(name);
    fs::write(&path, bytes).map_err(|error| Error::io("write", &path, error))?;
    Ok(path)
}
