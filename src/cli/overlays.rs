//! `ibwrt overlays`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;

use super::args::{OverlaysAction, OverlaysArguments};
use super::page::Page;
use super::patch::quoted;
use super::terminal::Terminal;
use crate::counted::number;
use crate::error::Result;
use crate::overlay::{Overlay, Setting};

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
    requires: Vec<String>,
    modules: Vec<ShownModule>,
    files: Vec<String>,
    settings: Vec<Setting>,
}

/// A module that an overlay wants.
#[derive(Serialize)]
struct ShownModule {
    name: String,
    optional: bool,
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
    terminal.report(&overlays, |page| {
        let rows: Vec<_> = overlays.iter().map(|overlay| (overlay.name.as_str(), overlay.summary.as_str())).collect();
        page.facts(&rows);
        page.gap();
        page.paragraph(0, "`ibwrt overlays show NAME` tells more; `--overlay NAME` puts it into an image.");
    })
}

fn show(name: &str, terminal: &Terminal) -> Result<()> {
    let overlay = shown(&Overlay::load(name)?);
    terminal.report(&overlay, |page| {
        page.heading(&format!("{}: {}", overlay.name, overlay.summary));
        for paragraph in overlay.description.split("\n\n").filter(|text| !text.trim().is_empty()) {
            page.paragraph(2, &paragraph.replace('\n', " "));
        }
        if !overlay.requires.is_empty() {
            page.fact("stands on", &overlay.requires.join(", "));
        }
        let modules = |optional: bool| {
            let names = overlay.modules.iter().filter(|module| module.optional == optional);
            names.map(|module| module.name.as_str()).collect::<Vec<_>>().join(", ")
        };
        for (label, names) in [("modules", modules(false)), ("not always", modules(true))] {
            if !names.is_empty() {
                page.fact(label, &names);
            }
        }
        for path in &overlay.files {
            page.fact("writes", path);
        }
        if !overlay.settings.is_empty() {
            page.heading("Settings");
            overlay.settings.iter().for_each(|setting| setting_lines(page, &overlay.name, setting));
        }
    })
}

fn shown(overlay: &Overlay) -> Shown {
    let module = |(name, optional): (&str, bool)| ShownModule { name: name.to_owned(), optional };
    Shown {
        name: overlay.name().to_owned(),
        summary: overlay.summary().to_owned(),
        description: overlay.description().to_owned(),
        requires: overlay.requires().to_vec(),
        modules: overlay.modules().into_iter().map(module).collect(),
        files: overlay.targets(),
        settings: overlay.settings(),
    }
}

fn setting_lines(page: &mut Page, overlay: &str, setting: &Setting) {
    let example = setting.example.as_ref().or(setting.default.as_ref()).map(toml::Value::to_string);
    let example = example.filter(|text| !text.is_empty()).unwrap_or_else(|| "…".to_owned());
    page.command(&format!("--set {}", quoted(Path::new(&format!("{overlay}.{}={example}", setting.name)))));
    let mut text = setting.summary.clone();
    if !setting.choices.is_empty() {
        text.push_str(&format!(" (one of {})", setting.choices.join(", ")));
    }
    if let Some(default) = &setting.default {
        text.push_str(&format!(" (default {default})"));
    }
    page.paragraph(6, &text);
}

fn export(name: &str, folder: &Path, terminal: &Terminal) -> Result<()> {
    let exported =
        Exported { name: name.to_owned(), folder: folder.to_owned(), files: Overlay::load(name)?.export(folder)? };
    terminal.report(&exported, |page| {
        page.line(&format!("Wrote {} into {}.", number(exported.files.len(), "file"), quoted(folder)));
        page.line("Change them, then:");
        page.command(&format!("ibwrt patch IMAGE --overlay {} -o OUT", quoted(&folder.join(""))));
    })
}

/// The built-in overlays.
fn builtin() -> Result<Vec<Listed>> {
    let overlays = Overlay::builtin_names().into_iter().map(|name| {
        let overlay = Overlay::load(name)?;
        Ok(Listed { name: overlay.name().to_owned(), summary: overlay.summary().to_owned() })
    });
    overlays.collect()
}
