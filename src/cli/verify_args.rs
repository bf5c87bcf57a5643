//! The clap types of `verify`.

use std::path::PathBuf;

use clap::Args;

use super::args::check_id;
use super::sign_args::Trust;
use super::wish_args::{BootedBy, Findable, Wishes};
use crate::recipe::CommandLineWishes;

/// Check whether InfiniBand will come up in an image.
///
/// Looks at the container, the partitions, both filesystems, the kernel, the modules, who loads them, and the network
/// configuration, one check per fact. With the overlays (and settings) that it was patched with, it also checks that
/// everything these ask for is there. Nothing is changed.
#[derive(Debug, Args)]
#[command(after_long_help = VERIFY_EXAMPLES)]
pub(super) struct VerifyArguments {
    /// The image (.img, .img.gz, .img.zst, .qcow2 or .vmdk); never touched
    #[arg(required_unless_present_any = ["list_checks", "rootdir"], conflicts_with = "rootdir")]
    pub(super) image: Option<PathBuf>,
    /// A root filesystem unpacked into a folder, in the place of IMAGE, as ImageBuilder and containers have it; never
    /// touched
    #[arg(long, value_name = "DIR")]
    pub(super) rootdir: Option<PathBuf>,
    #[command(flatten)]
    pub(super) wishes: Wishes,
    #[command(flatten)]
    pub(super) findable: Findable,
    #[command(flatten)]
    pub(super) booted_by: BootedBy,
    #[command(flatten)]
    pub(super) trust: Trust,
    /// Leave this check out (repeatable)
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = check_id(), hide_possible_values = true)]
    #[arg(help_heading = "Checks")]
    pub(super) skip: Vec<String>,
    /// List the checks, and do nothing else
    #[arg(long, help_heading = "Checks")]
    pub(super) list_checks: bool,
}

impl VerifyArguments {
    /// As the recipe takes them.
    pub(super) fn to_wishes(&self) -> CommandLineWishes {
        CommandLineWishes { kernel: self.booted_by.kernel.clone(), ..self.wishes.to_wishes(&self.findable) }
    }
}

const VERIFY_EXAMPLES: &str = "\
Exit codes:
  0  all checks pass (warnings do not count)
  1  a check failed
  2 to 5  the image could not be looked at; `ibwrt --help` tells

Examples:
  What does this image have?
    ibwrt verify openwrt-24.10.0-x86-64-generic-ext4-combined-efi.img.gz

  Does it do what it was patched for?
    ibwrt verify router.img.gz --overlay connectx3 --overlay ipoib \\
        --set ipoib.address=10.10.0.5/24

  A root filesystem alone, with the kernel that will boot it:
    ibwrt verify rootfs.img.gz --kernel bzImage --overlay connectx3

  Is it the one that was published, with sha256sums and sha256sums.sig beside it?
    ibwrt verify openwrt-24.10.0-x86-64-generic-ext4-combined-efi.img.gz \\
        --key d310c6f2833e97f7

  In a CI job:
    ibwrt verify router.img.gz --recipe site.toml --format json > report.json";
