//! `ibwrt overlays`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;

use super::args::{OverlaysAction, OverlaysArguments};
use super::page::{Page, number};
use super::patch::quoted;
use super::terminal::Terminal;
use crate::error::{Error, Result};

/// An overlay as the list shows it.
#[derive(Serialize)]
struct Listed {
    name: String,
    summary: String,
}

/// An overlay as `show` shows it.
#[derive(Serialize)]
struct Shown {
    name: String,
    summary: String,
    description: String,
    modules: Vec<String>,
    settings: Vec<Setting>,
}

/// One setting of an overlay.
#[derive(Serialize)]
struct Setting {
    key: String,
    text: String,
}

/// What was exported.
#[derive(Serialize)]
struct Exported {
    name: String,
    folder: PathBuf,
    files: Vec<PathBuf>,
}

pub(super) fn run(arguments: &OverlaysArguments, terminal: &Terminal) -> Result<ExitCode> {
    match &arguments.action {
        None => list(terminal),
        Some(OverlaysAction::Show { name }) => show(name, terminal),
        Some(OverlaysAction::Export { name, folder }) => export(name, folder, terminal),
    }?;
    Ok(ExitCode::SUCCESS)
}

fn list(terminal: &Terminal) -> Result<()> {
    let overlays = builtin()?;
    terminal.report(&overlays, || {
        let mut page = Page::new();
        for overlay in &overlays {
            page.fact(&overlay.name, &overlay.summary);
        }
        page.gap();
        page.paragraph(0, "`ibwrt overlays show NAME` tells more; `--overlay NAME` puts it into an image.");
        page
    })
}

fn show(name: &str, terminal: &Terminal) -> Result<()> {
    let overlay = load(name)?;
    terminal.report(&overlay, || {
        let mut page = Page::new();
        page.heading(&format!("{}: {}", overlay.name, overlay.summary));
        for paragraph in overlay.description.split("\n\n").filter(|text| !text.trim().is_empty()) {
            page.paragraph(2, paragraph);
        }
        page.heading("Modules");
        match overlay.modules.as_slice() {
            [] => page.paragraph(2, "none of its own"),
            modules => page.paragraph(2, &modules.join(", ")),
        }
        if !overlay.settings.is_empty() {
            page.heading("Settings");
            for setting in &overlay.settings {
                page.paragraph(2, &format!("--set {}.{}=…", overlay.name, setting.key));
                page.paragraph(6, &setting.text);
            }
        }
        page
    })
}

fn export(name: &str, folder: &Path, terminal: &Terminal) -> Result<()> {
    let exported = Exported { name: name.to_owned(), folder: folder.to_owned(), files: write(name, folder)? };
    terminal.report(&exported, || {
        let mut page = Page::new();
        page.line(&format!("Wrote {} into {}.", number(exported.files.len(), "file"), quoted(folder)));
        page.line("Change them, then:");
        page.command(&format!("ibwrt patch IMAGE --overlay {} -o OUT", quoted(&folder.join(""))));
        page
    })
}

/// To be joined with the built-in overlays.
fn builtin() -> Result<Vec<Listed>> {
    Err(Error::unsupported("overlays are not built yet"))
}

/// To be joined with `overlay::load`.
fn load(name: &str) -> Result<Shown> {
    Err(Error::unsupported(format!("overlay {name} is not built yet")))
}

/// To be joined with `Overlay::export`.
fn write(name: &str, folder: &Path) -> Result<Vec<PathBuf>> {
    Err(Error::unsupported(format!("overlay {name} is not built yet")).at(folder.display().to_string()))
}
