//! `ibwrt expand`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::page::{Page, size};
use super::terminal::Terminal;
use super::{patch, render_edits};
use crate::error::Result;
use crate::task::{self, ExpandReport, ExpandRequest};

/// Make the image that a delta stands for, in a file or on a disk.
///
/// A delta (`patch -o NAME.ibdelta`) holds what changed in a base image. With that very image it becomes the bytes that the
/// .img.gz, or for NAME.img.ibdelta the .img, would have had: the digests of the base, the delta and the result are
/// checked. Another ending of OUT gives the same disk in another form. On a block device the disk is written raw, zeroes
/// too, and read back.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct ExpandArguments {
    /// The image that the delta was made against; never touched
    pub(super) base: PathBuf,
    /// The delta; never touched
    pub(super) delta: PathBuf,
    /// Where the image goes: a file, whose ending is the form, or a block device
    #[arg(short, long, value_name = "OUT|DEVICE")]
    pub(super) output: PathBuf,
    /// Lose all that is on this block device, which is the one that -o names
    #[arg(long, value_name = "DEVICE")]
    pub(super) yes_erase: Option<PathBuf>,
    /// Replace the output if it exists
    #[arg(short, long)]
    pub(super) force: bool,
}

const EXAMPLES: &str = "\
Examples:
  Keep what makes a router, then make its image again:
    ibwrt patch base.img.gz --recipe h1.toml -o h1.ibdelta
    ibwrt expand base.img.gz h1.ibdelta -o h1.img.gz

  Straight to a disk (all that is on it is lost):
    sudo ibwrt expand base.img.gz h1.ibdelta -o /dev/sdX --yes-erase /dev/sdX";

pub(super) fn run(arguments: &ExpandArguments, terminal: &Terminal) -> Result<ExitCode> {
    let request = ExpandRequest {
        base: arguments.base.clone(),
        delta: arguments.delta.clone(),
        output: arguments.output.clone(),
        yes_erase: arguments.yes_erase.clone(),
        force: arguments.force,
    };
    let report = task::expand(&request, terminal.progress())?;
    terminal.report(&report, |page| show(page, &report))?;
    Ok(ExitCode::SUCCESS)
}

fn show(page: &mut Page, report: &ExpandReport) {
    page.heading(&format!("Delta {}", report.delta.display()));
    page.fact("base", &format!("{}, as it should be", report.base.display()));
    page.fact("changes", &format!("{} pages of 4096 bytes", report.pages));
    page.fact("stands for", &format!("a {}, SHA-256 {}", report.form.name(), report.sha256));
    render_edits::findings(page, &report.findings);
    if let Some(output) = &report.output {
        patch::written(page, output);
    }
    if let Some(device) = &report.device {
        page.heading("Written");
        page.fact("device", &format!("{} ({}), read back and the same", device.display(), size(report.disk_length)));
    }
}
