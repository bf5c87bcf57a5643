//! What is to be said about packages.

use super::registry::Registry;
use crate::package::{Format, Package, Script};
use crate::plan::{Finding, PackageWishes, Severity};

fn finding(id: &str, severity: Severity, message: String, remedy: Option<&str>) -> Finding {
    Finding { id: id.to_owned(), severity, message, remedy: remedy.map(str::to_owned) }
}

/// Remarks on the choice as a whole.
pub(super) fn selection(wishes: &PackageWishes, registry: &Registry) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !wishes.present.is_empty() {
        let message = format!("the image has these packages already, and they stay: {}", wishes.present.join(", "));
        findings.push(finding("package-present", Severity::Note, message, None));
    }
    if !wishes.chosen.is_empty() && !registry.is_known() {
        let message = "the image has no package database (CLEAN_IPKG, or a stripped build), so the packages are put in \
                       without being registered, and whether it has what they need is not known";
        findings.push(finding("no-package-database", Severity::Warning, message.to_owned(), None));
    }
    if !wishes.unknown.is_empty() {
        let message = format!("not known to be in the image: {}", wishes.unknown.join(", "));
        let remedy = Some("make sure that the image has them, or give them with --package");
        findings.push(finding("dependency-unknown", Severity::Warning, message, remedy));
    }
    let is_loose = |package: &&Package| package.format == Format::Apk && !package.is_signed;
    let loose: Vec<String> =
        wishes.chosen.iter().map(|chosen| &chosen.package).filter(is_loose).map(Package::title).collect();
    if !loose.is_empty() {
        let message = format!("not signed by anybody: {}", loose.join(", "));
        findings.push(finding("package-unsigned", Severity::Note, message, None));
    }
    findings
}

/// Which of the package's scripts would have done something on a running system.
pub(super) fn scripts(package: &Package) -> Option<Finding> {
    let names: Vec<&str> =
        package.scripts.iter().filter(|script| acts(script)).map(|script| script.name.as_str()).collect();
    let verb = if names.len() == 1 { "was" } else { "were" };
    (!names.is_empty()).then(|| {
        let message = format!(
            "{} of {} {verb} not run, because that needs the running router; {} keeps them",
            names.join(", "),
            package.title(),
            package.format.manager()
        );
        let remedy = Some("read what it does, and run it on the router, or put what it would change into the recipe");
        finding("package-script", Severity::Warning, message, remedy)
    })
}

/// Whether a script that runs at installation does more than what was done without it: OpenWrt's own stubs call
/// default_postinst, which enables services and adds users.
fn acts(script: &Script) -> bool {
    /// Lines of the stubs that include/package-pack.mk and package.mk write.
    const STUB: [&str; 9] = [
        "IPKG_NO_SCRIPT",
        "/lib/functions.sh",
        "default_postinst",
        "default_prerm",
        "add_group_and_user",
        "export root=",
        "export pkgname=",
        "exit 0",
        "#",
    ];
    let at_installation = ["preinst", "postinst", "postinst-pkg", "pre-install", "post-install", "trigger"]
        .contains(&script.name.as_str());
    let text = String::from_utf8_lossy(&script.content);
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    at_installation
        && lines.any(|line| !STUB.iter().any(|part| line.contains(part) && (*part != "#" || line.starts_with('#'))))
}
