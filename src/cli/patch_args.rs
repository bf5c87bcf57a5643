//! The clap types of `patch`.

use std::path::PathBuf;

use clap::Args;

use super::args::check_id;
use super::input_args::{Delivery, InputArguments};
use super::sbom_args::Sbom;
use super::sign_args::Signing;
use super::wish_args::{ImageWishes, Size};
use crate::recipe::{CommandLineWishes, Rekey};

/// Put InfiniBand support into an image.
///
/// Takes an OpenWrt x86_64 combined image, a root filesystem alone (…-rootfs.img.gz) or one unpacked into a folder
/// (--rootdir), plans what has to change, carries it out on a copy, checks the result, and only then gives the output its
/// name. The input is never touched. Patching twice changes nothing; with another recipe, what the first one put in is replaced.
///
/// An unpacked tree needs no privileges: whoever owns its folder stands for root in it. Owner and permissions of everything
/// that is written are in the report; files get their permissions, and their owner where the process may give files away.
#[derive(Debug, Args)]
#[command(after_long_help = PATCH_EXAMPLES)]
pub(super) struct PatchArguments {
    #[command(flatten)]
    pub(super) input: InputArguments,
    /// Where the result goes; the ending is the form: .img.gz, .img.zst, .img, .qcow2, .vmdk, .vdi, .vhdx, or
    /// .ibdelta for what changes (`ibwrt expand` makes the image of it). For a tree a new folder
    #[arg(short, long, value_name = "OUT", required_unless_present = "dry_run")]
    pub(super) output: Option<PathBuf>,
    #[command(flatten)]
    pub(super) wishes: ImageWishes,
    #[command(flatten)]
    pub(super) size: Size,
    /// Give disk and partitions identifiers made of SEED, such as the host's name (disk GUID or signature, PARTUUIDs), and
    /// grub.cfg the same: two disks with one PARTUUID in a machine collide. The same SEED gives the same ones
    #[arg(long, value_name = "SEED", help_heading = "Identifiers")]
    pub(super) rekey: Option<String>,
    #[command(flatten)]
    pub(super) signing: Signing,
    /// Of a tree, write only the files, directories and links that are added or replaced: what ImageBuilder's FILES= takes.
    /// Modules are then not registered, since ImageBuilder writes the package database itself, and nothing is recorded
    #[arg(long, help_heading = "Running", requires = "rootdir", conflicts_with = "image")]
    pub(super) only_changes: bool,
    /// Write a bill of materials of what was added beside the output: OUT.cdx.json (CycloneDX 1.6) or OUT.spdx.json (2.3)
    #[arg(long, value_name = "FORM", value_enum, help_heading = "Running")]
    pub(super) sbom: Option<Sbom>,
    /// Print the plan and write nothing
    #[arg(short = 'n', long, help_heading = "Running")]
    pub(super) dry_run: bool,
    /// Edit a squashfs image that has run, and lose what it has written since (its overlay)
    #[arg(long, help_heading = "Running")]
    pub(super) discard_overlay: bool,
    /// Keep the modules' debug sections; they are stripped otherwise
    #[arg(long, help_heading = "Running")]
    pub(super) keep_debug: bool,
    #[command(flatten)]
    pub(super) delivery: Delivery,
    /// Write the output although this check fails (repeatable)
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = check_id(), hide_possible_values = true)]
    #[arg(help_heading = "Checks on the result")]
    pub(super) allow: Vec<String>,
    /// Leave this check out (repeatable); `ibwrt verify --list-checks` lists them
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = check_id(), hide_possible_values = true)]
    #[arg(help_heading = "Checks on the result")]
    pub(super) skip: Vec<String>,
}

const PATCH_EXAMPLES: &str = "\
Examples:
  A ConnectX-3 card, one IPoIB interface, modules from an OpenWrt build tree:
    ibwrt patch openwrt-24.10.0-x86-64-generic-ext4-combined-efi.img.gz \\
        --modules ~/openwrt/build_dir/target-x86_64_musl/linux-x86_64/linux-6.6.106 \\
        --overlay connectx3 --overlay ipoib \\
        --set ipoib.address=10.10.0.5/24 -o router.img.gz

  See what would change, and write nothing:
    ibwrt patch image.img.gz --recipe site.toml --dry-run

  An official image, whose kernel lacks what InfiniBand needs: with a kernel of the
  same release, built with CONFIG_INFINIBAND=m:
    ibwrt patch openwrt-24.10.0-x86-64-generic-ext4-combined-efi.img.gz \\
        --kernel bzImage --modules linux-6.6.106 --overlay connectx3 -o router.img.gz

  A root filesystem alone; the kernel that will boot it only proves that it does:
    ibwrt patch openwrt-24.10.0-x86-64-generic-ext4-rootfs.img.gz \\
        --kernel openwrt-24.10.0-x86-64-generic-kernel.bin \\
        --modules linux-6.6.106 --overlay connectx3 -o rootfs.img.gz

  The tree that ImageBuilder or a container has; then only what FILES= is to add:
    ibwrt patch --rootdir root-x86 --modules linux-6.6.106 --overlay connectx3 -o root-ib
    ibwrt patch --rootdir root-x86 --modules linux-6.6.106 --overlay connectx3 \\
        --only-changes -o files && make image PROFILE=generic FILES=files

  Everything in one file, with a host name and a key of one's own:
    ibwrt patch image.img.gz --recipe site.toml --hostname fabric-gw \\
        --ssh-key ~/.ssh/id_ed25519.pub -o fabric-gw.img.gz

  Signed, so that others can check it with `ibwrt verify --key site.pub`:
    ibwrt patch image.img.gz --recipe site.toml --sign site.sec -o router.img.gz

  The disk of a virtual machine: QEMU's here; .vmdk, .vdi and .vhdx are VMware's,
  VirtualBox's and Hyper-V's:
    ibwrt patch image.img.gz --recipe site.toml -o router.qcow2
  More room in the root filesystem, 1 GiB in all:
    ibwrt patch image.img.gz --recipe site.toml --rootfs-size 1G -o large.img.gz

  Its own disk GUID and PARTUUIDs, so that it can stand beside others of its release:
    ibwrt patch image.img.gz --recipe site.toml --rekey h1 -o h1.img.gz

  Write the result to a disk (all that is on it is lost):
    gzip -dc router.img.gz | sudo dd of=/dev/sdX bs=4M conv=fsync";

impl PatchArguments {
    /// As the recipe takes them.
    pub(super) fn to_wishes(&self) -> CommandLineWishes {
        CommandLineWishes {
            discard_overlay: self.discard_overlay,
            rootfs_size: self.size.rootfs_size.clone(),
            backup_gpt: self.size.backup_gpt,
            rekey: self.rekey.clone().map(Rekey::BySeed),
            // ImageBuilder keeps a database of its own, over which FILES= would lay the tree's.
            no_register: self.wishes.additions.no_register || self.only_changes,
            ..self.wishes.to_wishes()
        }
    }
}
