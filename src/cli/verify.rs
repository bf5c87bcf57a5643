//! `ibwrt verify`.

use std::process::ExitCode;

use serde::Serialize;

use super::input_args::input;
use super::page::{Page, Tone};
use super::patch::epoch;
use super::render_checks;
use super::terminal::Terminal;
use super::verify_args::VerifyArguments;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::Severity;
use crate::task::{self, VerifyReport, VerifyRequest};
use crate::verify::{AUTHENTICITY, CHECKS, Report};

pub(super) fn run(arguments: &VerifyArguments, terminal: &Terminal) -> Result<ExitCode> {
    if arguments.list_checks {
        return list(terminal);
    }
    let Some(input) = input(arguments.image.as_ref(), arguments.rootdir.as_ref()) else {
        return Err(Error::usage("no image was given").remedy("ibwrt verify IMAGE"));
    };
    let trust = arguments.trust.to_request(epoch()?);
    let request = VerifyRequest { input, wishes: arguments.to_wishes(), skip: arguments.skip.clone(), trust };
    let report = task::verify(&request, terminal.progress())?;
    terminal.report(&report, |page| {
        render(page, &report);
    })?;
    Ok(exit_code(&report.checks))
}

/// Whether all checks passed.
pub(super) fn exit_code(checks: &Report) -> ExitCode {
    match checks.failed() {
        true => ExitCode::from(ErrorKind::Check.exit_code()),
        false => ExitCode::SUCCESS,
    }
}

/// The report for people.
pub(super) fn render(page: &mut Page, report: &VerifyReport) {
    page.heading(&title(report));
    page.gap();
    render_checks::table(page, &report.checks);
    page.gap();
    conclusion(page, report);
}

fn title(report: &VerifyReport) -> String {
    let what = if report.is_tree { "Tree" } else { "Image" };
    let image = report.image.display();
    match report.overlays.as_slice() {
        [] => format!("{what} {image}"),
        overlays => format!("{what} {image}, held against {}", overlays.join(", ")),
    }
}

/// The verdict, with what it does not cover.
pub(super) fn conclusion(page: &mut Page, report: &VerifyReport) {
    let counts = render_checks::counts(report.checks.count());
    match report.checks.failed() {
        true if report.checks.failures().all(|row| AUTHENTICITY.contains(&row.id)) => page.labelled(
            &format!("{counts}:"),
            Tone::Bad,
            "no trusted key vouches for this image as it is; do not use it before you know why.",
        ),
        true => page.labelled(&format!("{counts}:"), Tone::Bad, "InfiniBand will not come up as it is."),
        false if report.kernel_unknown => page.labelled(
            &format!("{counts}:"),
            Tone::Warn,
            "nothing stands in the way as far as can be seen. Name the kernel that will boot it (--kernel BZIMAGE) to prove \
             that it takes the modules.",
        ),
        false if report.overlays.is_empty() => page.labelled(
            &format!("{counts}:"),
            Tone::Good,
            "nothing stands in the way. Name the overlays it was patched with (--overlay) to check that all they ask for \
             is there.",
        ),
        false => page.labelled(&format!("{counts}:"), Tone::Good, "all that was asked for is there and will be loaded."),
    }
}

/// A line of `--list-checks` for programs.
#[derive(Serialize)]
struct ListedCheck {
    id: &'static str,
    severity: Severity,
    claim: &'static str,
    remedy: &'static str,
}

fn list(terminal: &Terminal) -> Result<ExitCode> {
    let list: Vec<ListedCheck> = CHECKS
        .iter()
        .map(|check| ListedCheck { id: check.id, severity: check.severity, claim: check.claim, remedy: check.remedy })
        .collect();
    terminal.report(&list, |page| {
        render_checks::list(page);
    })?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::specimen::Specimen;

    fn report(specimen: &Specimen) -> VerifyReport {
        let overlays = specimen.expectations.overlays.clone();
        VerifyReport {
            image: "router.img.gz".into(),
            overlays,
            is_tree: false,
            kernel_unknown: false,
            checks: specimen.report(),
        }
    }

    #[test]
    fn a_failed_check_is_exit_code_1_and_a_warning_is_not() {
        assert_eq!(exit_code(&Specimen::stock().report()), ExitCode::from(1));
        let mut specimen = Specimen::patched();
        specimen.image.container.unknown_tail = 5;
        assert_eq!(exit_code(&specimen.report()), ExitCode::SUCCESS);
    }

    #[test]
    fn the_report_says_first_what_and_last_how_it_ended() {
        let mut page = Page::new();
        render(&mut page, &report(&Specimen::patched()));
        let text = page.plain();
        assert!(text.starts_with("Image router.img.gz, held against connectx3, ipoib\n\n  pass  container"), "{text}");
        let counts = format!("32 passed, {} skipped", CHECKS.len() - 32);
        let conclusion = format!("{counts}: all that was asked for is there and will be loaded.\n");
        assert!(text.ends_with(&conclusion), "{text}");
    }

    #[test]
    fn a_stock_image_ends_in_a_plain_verdict() {
        let mut page = Page::new();
        render(&mut page, &report(&Specimen::stock()));
        let counts = format!("18 passed, 1 failed, {} skipped", CHECKS.len() - 19);
        assert!(page.plain().ends_with(&format!("{counts}: InfiniBand will not come up as it is.\n")));
    }
}
