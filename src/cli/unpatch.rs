//! `ibwrt unpatch`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::input_args::{Delivery, InputArguments};
use super::patch;
use super::sign_args::Signing;
use super::terminal::Terminal;
use crate::error::{Error, Result};
use crate::task::{self, PatchOutcome, PatchReport, UnpatchRequest};

/// Make an image as it was before it was patched.
///
/// Takes out what `ibwrt patch` put into the image, and puts back what stood there before, as /etc/ibwrt/manifest.json in the
/// image tells it: contents, permissions, owners, links, and a kernel that was replaced. The input is never touched.
///
/// What others changed since in files that were put in is not lost unawares: such an image is refused, and the files are
/// named. What a system wrote to other files stays. The size of the root, a backup GPT, partition identifiers and grub.cfg
/// stay as they are.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct UnpatchArguments {
    #[command(flatten)]
    input: InputArguments,
    /// Where the result goes; the ending is the form, as for `ibwrt patch`. For a tree a new folder
    #[arg(short, long, value_name = "OUT", required_unless_present = "dry_run")]
    output: Option<PathBuf>,
    #[command(flatten)]
    signing: Signing,
    /// Undo the patch all the same where files that it put in were changed since, and lose the changes
    #[arg(long, help_heading = "Running")]
    discard_changes: bool,
    /// Edit a squashfs image that has run, and lose what it has written since (its overlay)
    #[arg(long, help_heading = "Running")]
    discard_overlay: bool,
    /// Print the plan and write nothing
    #[arg(short = 'n', long, help_heading = "Running")]
    dry_run: bool,
    #[command(flatten)]
    delivery: Delivery,
}

const EXAMPLES: &str = "\
Examples:
  The image as it came from the build:
    ibwrt unpatch router.img.gz -o original.img.gz

  What would become of it:
    ibwrt unpatch router.img.gz --dry-run

  An image that has run since, whatever was changed in what was put in:
    ibwrt unpatch router.img --discard-changes -o original.img

  A tree:
    ibwrt unpatch --rootdir root-ib -o root-x86";

pub(super) fn run(arguments: &UnpatchArguments, terminal: &Terminal) -> Result<ExitCode> {
    let request = UnpatchRequest {
        input: arguments.input.to_input(),
        output: arguments.output.clone(),
        dry_run: arguments.dry_run,
        discard_changes: arguments.discard_changes,
        discard_overlay: arguments.discard_overlay,
        sums: arguments.delivery.sums,
        signing: arguments.signing.to_request(),
        force: arguments.delivery.force,
        epoch: patch::epoch()?,
    };
    let report = task::unpatch(&request, terminal.progress())?;
    terminal.report(&report, |page| {
        patch::render(page, &report, terminal.verbose());
    })?;
    Ok(terminal.ended(refusal(&report).as_ref()))
}

/// What is said where the result is damaged.
fn refusal(report: &PatchReport) -> Option<Error> {
    let checks = report.checks.as_ref().filter(|_| report.outcome == PatchOutcome::Refused)?;
    let problems = checks.problems().join("\n");
    Some(Error::check(format!("the result would be damaged, so nothing was written\n{problems}")))
}
