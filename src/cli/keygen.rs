//! `ibwrt keygen`.

use std::process::ExitCode;

use super::patch::quoted;
use super::sign_args::KeygenArguments;
use super::terminal::Terminal;
use crate::error::Result;
use crate::task;

pub(super) fn run(arguments: &KeygenArguments, terminal: &Terminal) -> Result<ExitCode> {
    let report = task::keygen(&arguments.name)?;
    terminal.report(&report, |page| {
        page.heading(&format!("Key {}", report.fingerprint));
        page.fact("secret", &format!("{} (keep it to yourself; it has no passphrase)", report.secret.display()));
        page.fact("public", &report.public.display().to_string());
        page.heading("Next");
        page.paragraph(2, "Sign what you patch:");
        page.command(&format!("ibwrt patch IMAGE … --sign {} -o OUT", quoted(&report.secret)));
        page.paragraph(2, "Let others check it:");
        page.command(&format!("ibwrt verify OUT --key {}", quoted(&report.public)));
        page.paragraph(2, "Have routers trust it, by this name in the image:");
        page.command(&format!("/etc/opkg/keys/{}", report.fingerprint));
    })?;
    Ok(ExitCode::SUCCESS)
}
