//! `ibwrt demo`.

use std::path::Path;
use std::process::ExitCode;

use super::args::{DemoArguments, DemoRootfs};
use super::page::{Page, Tone};
use super::patch::{quoted, render, verify_command};
use super::terminal::Terminal;
use super::{render_checks, verify};
use crate::error::Result;
use crate::task::{self, DemoReport, DemoRoot};

pub(super) fn run(arguments: &DemoArguments, terminal: &Terminal) -> Result<ExitCode> {
    let root = match arguments.rootfs {
        DemoRootfs::Ext4 => DemoRoot::Ext4,
        DemoRootfs::Squashfs => DemoRoot::Squashfs,
    };
    let report = task::demo(&arguments.folder, root, terminal.progress())?;
    terminal.report(&report, |page| show(page, &report, terminal.verbose()))?;
    Ok(verify::exit_code(&report.verify.checks))
}

fn show(page: &mut Page, report: &DemoReport, verbose: bool) {
    step(page, "1. An OpenWrt image as it is built has no InfiniBand support:", &verify_command(&report.input, &[]));
    render_checks::summary(page, &report.verify_before.checks);

    step(page, "2. Put it in:", &patch_command(report));
    render(page, &report.patch, verbose);

    let command = verify_command(&report.output, &report.verify.overlays) + &settings(report);
    step(page, "3. Prove it:", &command);
    if verbose {
        render_checks::table(page, &report.verify.checks);
    } else {
        render_checks::summary(page, &report.verify.checks);
    }
    verify::conclusion(page, &report.verify);

    page.heading("With an image of your own");
    page.paragraph(
        2,
        "You need an image of an OpenWrt that was built with InfiniBand (CONFIG_INFINIBAND=m), and that build's \
         modules; then:",
    );
    page.command("ibwrt patch IMAGE.img.gz --modules ~/openwrt/build_dir \\");
    page.command("    --overlay connectx3 --overlay ipoib \\");
    page.command("    --set ipoib.address=10.10.0.5/24 -o router.img.gz");
    page.command("ibwrt overlays");
    page.paragraph(2, "lists the adapters and features. Everything that this demo wrote is in:");
    page.command(&quoted(&report.folder));
}

fn step(page: &mut Page, title: &str, command: &str) {
    page.heading(title);
    page.line(&format!("  {}", Tone::Accent.paint(&format!("$ {command}"))));
    page.line("");
}

fn patch_command(report: &DemoReport) -> String {
    let overlays: String = report.patch.overlays.iter().map(|name| format!(" --overlay {name}")).collect();
    format!(
        "ibwrt patch {} --modules {}{overlays}{} -o {}",
        quoted(&report.input),
        quoted(&report.modules),
        settings(report),
        quoted(&report.output)
    )
}

/// The settings as options.
fn settings(report: &DemoReport) -> String {
    report.settings.iter().map(|setting| format!(" --set {}", quoted(Path::new(setting)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_that_the_demo_shows_is_the_one_that_it_ran() {
        let folder = tempfile::tempdir().unwrap();
        let report = task::demo(folder.path(), DemoRoot::Ext4, &crate::progress::Silent).unwrap();
        assert!(report.verify_before.overlays.is_empty());
        assert_eq!(report.verify.overlays, ["connectx3", "ipoib"]);
        assert!(
            patch_command(&report)
                .contains(" --overlay connectx3 --overlay ipoib --set ipoib.address=10.10.0.5/24 -o ")
        );
        let text = Page::of(|page| show(page, &report, false)).plain();
        assert_eq!(text.matches("--set ipoib.address=10.10.0.5/24").count(), 3);
    }

    #[test]
    fn the_demo_on_squashfs_ends_as_the_one_on_ext4_does() {
        let folder = tempfile::tempdir().unwrap();
        let report = task::demo(folder.path(), DemoRoot::Squashfs, &crate::progress::Silent).unwrap();
        assert!(!report.verify.checks.failed());
        let text = Page::of(|page| show(page, &report, false)).plain();
        assert!(text.contains("openwrt-mini-squashfs-combined-efi.img.gz --modules"), "{text}");
        assert!(text.contains("With an image of your own"), "{text}");
    }
}
