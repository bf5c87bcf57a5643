//! `ibwrt patch`.

use std::path::Path;
use std::process::ExitCode;

use super::page::{Page, Tone, size};
use super::patch_args::PatchArguments;
use super::sbom_args::Sbom;
use super::terminal::Terminal;
use super::{render_checks, render_edits, render_growth, render_identity};
use crate::counted::number;
use crate::error::{Error, Result};
use crate::image::{Container, Form, PartitionTable, Scheme};
use crate::task::{
    self, IdentityChange, ModuleRow, OutputFacts, PackageRow, PatchOutcome, PatchReport, PatchRequest, RootGrowth,
    TreeFacts,
};

/// Environment variable for the timestamp of what is written (reproducible-builds.org).
const EPOCH: &str = "SOURCE_DATE_EPOCH";

pub(super) fn run(arguments: &PatchArguments, terminal: &Terminal) -> Result<ExitCode> {
    let request = PatchRequest {
        input: arguments.input.to_input(),
        output: arguments.output.clone(),
        only_changes: arguments.only_changes,
        wishes: arguments.to_wishes(),
        dry_run: arguments.dry_run,
        keep_debug: arguments.keep_debug,
        sums: arguments.delivery.sums,
        signing: arguments.signing.to_request(),
        sbom: arguments.sbom.map(Sbom::form),
        force: arguments.delivery.force,
        allow: arguments.allow.clone(),
        skip: arguments.skip.clone(),
        epoch: epoch()?,
    };
    let report = task::patch(&request, terminal.progress())?;
    terminal.report(&report, |page| {
        render(page, &report, terminal.verbose());
        next(page, &report, &held_against(arguments));
    })?;
    Ok(terminal.ended(refusal(&report).as_ref()))
}

/// What is said where a check kept the output from being written.
fn refusal(report: &PatchReport) -> Option<Error> {
    if report.outcome != PatchOutcome::Refused {
        return None;
    }
    let checks = report.checks.as_ref()?;
    let failed: Vec<&str> = checks.failures().map(|row| row.id).collect();
    let count = number(checks.rows.len(), "check");
    let is_idle = is_idle(report);
    let mut message = match is_idle {
        true => format!(
            "nothing is to be changed, and {} of {count} on the image as it is failed, so nothing was written",
            failed.len()
        ),
        false => format!("{} of {count} on the result failed, so nothing was written", failed.len()),
    };
    for problem in checks.problems() {
        message.push_str(&format!("\n{problem}"));
    }
    let overrule = failed.iter().map(|id| format!("--allow {id}")).collect::<Vec<_>>().join(" ");
    let remedy = match is_idle {
        true => {
            "Say what is to go in: --overlay connectx3 --modules DIR, or --recipe FILE (`ibwrt overlays` lists what there is)."
        }
        false => checks.failures().find_map(|row| row.remedy).unwrap_or_default(),
    };
    Some(Error::check(message).remedy(format!("{remedy} To write the image all the same: {overrule}")))
}

/// Whether nothing was asked for that changes anything in an image.
fn is_idle(report: &PatchReport) -> bool {
    let is_wished = !report.overlays.is_empty() || !report.packages.is_empty() || report.kernel_swap.is_some();
    let is_reshaped = report.growth.is_some() || report.identity.is_some() || report.discarded_overlay.is_some();
    !is_wished && !is_reshaped && report.edits.is_empty()
}

/// The time that SOURCE_DATE_EPOCH tells, in seconds since 1970.
///
/// # Errors
/// Usage when it is set to something else.
pub(super) fn epoch() -> Result<Option<u64>> {
    seconds(std::env::var_os(EPOCH).and_then(|value| value.into_string().ok()).as_deref())
}

/// Seconds since 1970; an empty value counts as none.
fn seconds(value: Option<&str>) -> Result<Option<u64>> {
    let Some(text) = value.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|_| {
        Error::usage(format!("{EPOCH} is `{text}`, expected seconds since 1970"))
            .remedy(format!("Unset {EPOCH} to take the image's own build date."))
    })
}

/// What was opened, what changes, and what came of it.
pub(super) fn render(page: &mut Page, report: &PatchReport, verbose: bool) {
    opened(page, report);
    packages(page, &report.packages);
    if verbose {
        modules(page, &report.modules);
    }
    if let Some(growth) = &report.growth {
        render_growth::growth(page, growth);
    }
    if let Some(identity) = &report.identity {
        render_identity::identity(page, identity, report.outcome != PatchOutcome::Written);
    }
    // Giving an overlay up, another size, other identifiers change the image too.
    let grew = report.growth.as_ref().is_some_and(RootGrowth::is_change);
    let is_rekeyed = report.identity.as_ref().is_some_and(IdentityChange::is_change);
    if !report.edits.is_empty() || (report.discarded_overlay.is_none() && !grew && !is_rekeyed) {
        let planned = report.outcome != PatchOutcome::Written;
        render_edits::edits(page, &report.edits, planned, report.container.is_none());
    }
    if let Some(space) = &report.boot_space {
        render_edits::space(page, "Room on the boot partition", space);
    }
    if let Some(space) = &report.space {
        render_edits::space(page, "Room in the root filesystem", space);
    }
    render_edits::findings(page, &report.findings);
    // Failed checks of a refused result are an error, said on stderr; here they would stand twice.
    let checks = report.checks.as_ref().filter(|_| report.outcome == PatchOutcome::Written);
    if let Some(checks) = checks {
        page.heading("Checks on the result");
        if verbose {
            render_checks::table(page, checks);
            page.paragraph(2, &render_checks::counts(checks.count()));
        } else {
            render_checks::summary(page, checks);
        }
    }
    if let Some(output) = &report.output {
        written(page, output);
    }
    if let Some(tree) = &report.tree {
        written_tree(page, tree);
    }
    if let Some(path) = &report.sbom {
        page.fact("contents", &path.display().to_string());
    }
    if report.outcome == PatchOutcome::Planned {
        page.gap();
        page.line(&Tone::Strong.paint("Dry run: nothing was written."));
    }
}

fn opened(page: &mut Page, report: &PatchReport) {
    match &report.container {
        Some(container) => {
            page.heading(&format!("Image {}", report.image.display()));
            file(page, container);
        }
        None => page.heading(&format!("Tree {}", report.image.display())),
    }
    let release = &report.release;
    let system = match (release.description.as_str(), release.target.as_str()) {
        ("", _) => "OpenWrt".to_owned(),
        (description, "") => description.to_owned(),
        (description, target) => format!("{description}, {target}"),
    };
    match &report.table {
        Some(table) => page.fact("partitions", &partitions(table)),
        None if report.container.is_some() => page.fact("partitions", "none: a root filesystem alone"),
        None => {}
    }
    let kernel = report.kernel_swap.as_ref().and_then(|swap| swap.release_before.as_ref());
    page.fact("system", &format!("{system}, kernel {}", kernel.unwrap_or(&report.kernel_release)));
    if let Some(swap) = &report.kernel_swap {
        page.fact("new kernel", &format!("{} ({})", swap.release, swap.file.display()));
    }
    if let Some(file) = &report.kernel_file {
        page.fact("kernel", &format!("{} (given; not written into it)", file.display()));
    }
    if !report.overlays.is_empty() {
        page.fact("overlays", &report.overlays.join(", "));
    }
}

/// Every module that is needed, and where it comes from.
fn modules(page: &mut Page, modules: &[ModuleRow]) {
    if modules.is_empty() {
        return;
    }
    page.heading(&format!("Needed: {}", number(modules.len(), "module")));
    for module in modules {
        let origin = module.origin.as_deref().unwrap_or("in the image already");
        page.fact(&module.name, &format!("{origin} ({})", module.reason));
    }
}

/// The packages that go in, and where each comes from.
fn packages(page: &mut Page, packages: &[PackageRow]) {
    if packages.is_empty() {
        return;
    }
    page.heading(&format!("To be installed: {}", number(packages.len(), "package")));
    for package in packages {
        let reason = package.needed_by.as_ref().map(|user| format!(" ({user} needs it)")).unwrap_or_default();
        page.paragraph(2, &format!("{} {} from {}{reason}", package.name, package.version, package.origin));
    }
}

/// `GPT, 3 partitions`.
fn partitions(table: &PartitionTable) -> String {
    let scheme = match table.scheme {
        Scheme::Gpt => "GPT",
        Scheme::Mbr => "MBR",
    };
    format!("{scheme}, {}", number(table.partitions.len(), "partition"))
}

/// The wrapping of an image.
pub(super) fn file(page: &mut Page, container: &Container) {
    page.fact("file", &format!("{}, {}", container.form.name(), size(container.file_length)));
}

pub(super) fn written(page: &mut Page, output: &OutputFacts) {
    page.heading("Written");
    page.fact("output", &format!("{} ({})", output.path.display(), size(output.length)));
    page.fact("sha256", &output.sha256);
    if let Some(fingerprint) = &output.signed_by {
        page.fact("signed", &format!("by key {fingerprint}"));
    }
    for path in &output.updated {
        page.fact("updated", &path.display().to_string());
    }
}

fn written_tree(page: &mut Page, tree: &TreeFacts) {
    page.heading("Written");
    let what = if tree.only_changes { "what changes" } else { "the whole tree" };
    page.fact("output", &format!("{} ({what})", tree.path.display()));
    let files = number(tree.files, "file");
    page.fact("", &format!("{files}, {} in all, in {}", size(tree.bytes), number(tree.directories, "directory")));
}

/// The options by which `verify` holds the result against all that `arguments` wish. Secrets are not repeated.
fn held_against(arguments: &PatchArguments) -> String {
    let (wishes, findable) = (&arguments.wishes.wishes, &arguments.wishes.additions.findable);
    let is_open = |assignment: &&String| {
        let key = assignment.split('=').next().unwrap_or_default().trim().trim_matches(['"', '\'']);
        key != "root_password_hash"
    };
    let mut words: Vec<(&str, &str)> = Vec::new();
    words.extend(wishes.recipe.iter().filter_map(|path| Some(("--recipe", path.to_str()?))));
    words.extend(wishes.overlay.iter().map(|overlay| ("--overlay", overlay.as_str())));
    words.extend(wishes.set.iter().filter(is_open).map(|assignment| ("--set", assignment.as_str())));
    words.extend(findable.package.iter().filter_map(|path| Some(("--package", path.to_str()?))));
    words.extend(findable.hostname.iter().map(|name| ("--hostname", name.as_str())));
    words.extend(findable.file.iter().map(|file| ("--file", file.as_str())));
    words.extend(arguments.skip.iter().map(|id| ("--skip", id.as_str())));
    words.into_iter().map(|(option, value)| format!(" {option} {}", quoted(Path::new(value)))).collect()
}

/// What to type next; `wishes` are the options of `verify` that tell what was wished.
fn next(page: &mut Page, report: &PatchReport, wishes: &str) {
    if report.outcome == PatchOutcome::Refused {
        return;
    }
    page.heading("Next");
    if let Some(tree) = &report.tree {
        return next_to_tree(page, report, tree, wishes);
    }
    let Some(output) = &report.output else {
        page.paragraph(2, "Run it again without --dry-run and with -o OUT.");
        return;
    };
    if output.form == Form::Delta {
        page.paragraph(2, "Make the image of it, wherever the same input is:");
        page.command(&expand_command(&report.image, &output.path));
        return;
    }
    page.paragraph(2, "Check it again at any time:");
    let verify = check_command(&output.path, output.form, wishes);
    if report.table.is_none() {
        page.command(&format!("{verify}{}", kernel_option(report)));
        page.paragraph(2, "Write it to the root partition, /dev/sdX2 here (all that is on that partition is lost):");
        page.command(&write_command(&output.path, output.form, "/dev/sdX2"));
        return;
    }
    page.command(&verify);
    if let Some((what, command)) = attach_command(&output.path, output.form) {
        page.paragraph(2, what);
        page.command(&command);
        return;
    }
    page.paragraph(2, "Write it to the router's disk, /dev/sdX here (all that is on that disk is lost):");
    page.command(&write_command(&output.path, output.form, "/dev/sdX"));
    if output.form == Form::Zstd {
        // sysupgrade reads plain and gzip-compressed images.
        return;
    }
    page.paragraph(2, "Or upgrade a running OpenWrt with it:");
    page.command(&format!("sysupgrade {}", quoted(&output.path)));
}

/// The command that verifies `image`, an output in the form `form`, against the options `wishes`.
fn check_command(image: &Path, form: Form, wishes: &str) -> String {
    if form.is_read() {
        return format!("ibwrt verify {}{wishes}", quoted(image));
    }
    let plain = image.with_extension("check.img");
    let (from, to) = (quoted(image), quoted(&plain));
    format!("qemu-img convert -O raw {from} {to} && ibwrt verify {to}{wishes}")
}

/// How `image` is given to a virtual machine, in a sentence and a command; `None` for a form that is for real disks.
fn attach_command(image: &Path, form: Form) -> Option<(&'static str, String)> {
    let file = quoted(image);
    Some(match form {
        Form::Raw | Form::Gzip | Form::Zstd | Form::Delta => return None,
        Form::Qcow2 => (
            "Start a virtual machine with it and the adapter at 01:00.0:",
            format!(
                "qemu-system-x86_64 -accel kvm -m 512M -nographic -drive file={},format=qcow2 \
                 -device vfio-pci,host=01:00.0",
                file.replace(',', ",,")
            ),
        ),
        Form::Vmdk => (
            "Make it the disk of a virtual machine, in its .vmx file:",
            format!("ide0:0.fileName = \"{}\"", image.display()),
        ),
        Form::Vdi => (
            "Attach it to a virtual machine:",
            format!("VBoxManage storageattach router --storagectl IDE --port 0 --device 0 --type hdd --medium {file}"),
        ),
        Form::Vhdx => (
            "Attach it to a virtual machine of generation 1:",
            format!("Add-VMHardDiskDrive -VMName router -Path {file}"),
        ),
    })
}

fn next_to_tree(page: &mut Page, report: &PatchReport, tree: &TreeFacts, wishes: &str) {
    let folder = quoted(&tree.path);
    if tree.only_changes {
        page.paragraph(2, "Let ImageBuilder lay it over the system that it builds:");
        page.command(&format!("make image PROFILE=generic FILES={folder}"));
        return;
    }
    page.paragraph(2, "Check it again at any time:");
    page.command(&format!("ibwrt verify --rootdir {folder}{wishes}{}", kernel_option(report)));
}

/// The option that names the kernel of a root without one.
fn kernel_option(report: &PatchReport) -> String {
    let kernel = report.kernel_file.as_ref().map_or_else(|| "BZIMAGE".to_owned(), |file| quoted(file));
    format!(" --kernel {kernel}")
}

/// The command that makes the image that `delta` stands for.
fn expand_command(base: &Path, delta: &Path) -> String {
    // The ending within names the image's own form; without one it is the usual one.
    let within = delta.with_extension("");
    let is_named = within.extension().is_some_and(|ending| ["gz", "img", "raw"].iter().any(|known| ending == *known));
    let name = if is_named { within } else { delta.with_extension("img.gz") };
    format!("ibwrt expand {} {} -o {}", quoted(base), quoted(delta), quoted(&name))
}

/// The command that verifies `image`.
pub(super) fn verify_command(image: &Path, overlays: &[String]) -> String {
    format!("ibwrt verify {}{}", quoted(image), overlay_options(overlays))
}

fn overlay_options(overlays: &[String]) -> String {
    overlays.iter().map(|name| format!(" --overlay {}", quoted(Path::new(name)))).collect()
}

/// The command that writes `image` to a disk or partition.
fn write_command(image: &Path, form: Form, device: &str) -> String {
    match form {
        Form::Gzip => format!("gzip -dc {} | sudo dd of={device} bs=4M conv=fsync", quoted(image)),
        Form::Delta => format!("sudo ibwrt expand BASE {} -o {device} --yes-erase {device}", quoted(image)),
        Form::Zstd => format!("zstd -dc {} | sudo dd of={device} bs=4M conv=fsync", quoted(image)),
        Form::Raw => format!("sudo dd if={} of={device} bs=4M conv=fsync", quoted(image)),
        Form::Qcow2 | Form::Vmdk | Form::Vdi | Form::Vhdx => {
            format!("sudo qemu-img convert -O raw {} {device}", quoted(image))
        }
    }
}

/// `path` as a shell takes it.
pub(super) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@,~".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_blanks_is_quoted_for_the_shell() {
        assert_eq!(quoted(Path::new("out/router.img.gz")), "out/router.img.gz");
        assert_eq!(quoted(Path::new("my router's.img")), r"'my router'\''s.img'");
        let command = write_command(Path::new("a b.img"), Form::Raw, "/dev/sdX");
        assert_eq!(command, "sudo dd if='a b.img' of=/dev/sdX bs=4M conv=fsync");
    }

    #[test]
    fn what_comes_next_fits_the_form_of_the_output() {
        let at = |name: &'static str| Path::new(name);
        assert_eq!(attach_command(at("a.img"), Form::Raw), None);
        let (_, command) = attach_command(at("a,b.qcow2"), Form::Qcow2).unwrap();
        assert!(command.contains("-drive file=a,,b.qcow2,format=qcow2 "), "{command}");
        let (_, command) = attach_command(at("my router.vmdk"), Form::Vmdk).unwrap();
        assert_eq!(command, r#"ide0:0.fileName = "my router.vmdk""#);
        let check = |name, form| check_command(at(name), form, " --overlay ipoib");
        assert_eq!(check("a.vmdk", Form::Vmdk), "ibwrt verify a.vmdk --overlay ipoib");
        let expected = "qemu-img convert -O raw a.vdi a.check.img && ibwrt verify a.check.img --overlay ipoib";
        assert_eq!(check("a.vdi", Form::Vdi), expected);
        let disk = "sudo qemu-img convert -O raw a.vhdx /dev/sdX2";
        assert_eq!(write_command(at("a.vhdx"), Form::Vhdx, "/dev/sdX2"), disk);
    }

    #[test]
    fn an_epoch_that_is_no_number_is_a_usage_error() {
        assert_eq!(seconds(Some("1735000000")).unwrap(), Some(1_735_000_000));
        assert_eq!(seconds(Some("")).unwrap(), None);
        let error = seconds(Some("yesterday")).unwrap_err();
        assert_eq!(error.message(), "SOURCE_DATE_EPOCH is `yesterday`, expected seconds since 1970");
        assert_eq!(error.kind().exit_code(), 2);
    }
}
