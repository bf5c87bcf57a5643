//! The clap types of what a command takes and gives: an image, or a tree of files in a folder.

use std::path::PathBuf;

use clap::Args;

use crate::task::Input;

/// An image or a tree.
#[derive(Debug, Clone, Args)]
pub(super) struct InputArguments {
    /// The image (.img, .img.gz, .img.zst, .qcow2 or .vmdk); never touched
    #[arg(required_unless_present = "rootdir", conflicts_with = "rootdir")]
    image: Option<PathBuf>,
    /// A root filesystem unpacked into a folder, in the place of IMAGE, as ImageBuilder and containers have it; never
    /// touched
    #[arg(long, value_name = "DIR")]
    rootdir: Option<PathBuf>,
}

impl InputArguments {
    /// As the jobs take it.
    pub(super) fn to_input(&self) -> Input {
        input(self.image.as_ref(), self.rootdir.as_ref()).unwrap_or_default()
    }
}

/// The one of the two that is given.
pub(super) fn input(image: Option<&PathBuf>, rootdir: Option<&PathBuf>) -> Option<Input> {
    match rootdir {
        Some(folder) => Some(Input::Tree(folder.clone())),
        None => image.cloned().map(Input::Image),
    }
}

/// What becomes of an output that is made.
#[derive(Debug, Clone, Args)]
pub(super) struct Delivery {
    /// Write sha256sums beside the output even where there is none
    #[arg(long, help_heading = "Running", conflicts_with = "rootdir")]
    pub(super) sums: bool,
    /// Replace the output if it exists; of folders only those that hold a root filesystem's tree
    #[arg(short, long, help_heading = "Running")]
    pub(super) force: bool,
}
