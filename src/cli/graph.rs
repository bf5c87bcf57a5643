//! `ibwrt graph`.

use std::path::Path;
use std::process::ExitCode;

use super::args::{Format, GraphArguments, GraphForm};
use super::page::{Page, Tone};
use super::patch::quoted;
use super::terminal::Terminal;
use crate::counted::number;
use crate::error::{Error, Result};
use crate::graph::{Scope, Standing, dot, svg};
use crate::seal::Document;
use crate::task::{self, GraphReport};

pub(super) fn run(arguments: &GraphArguments, terminal: &Terminal) -> Result<ExitCode> {
    let input = arguments.input.to_input();
    let path = arguments.output.as_deref().filter(|path| *path != Path::new("-"));
    let form = form(arguments.form, path)?;
    let output = path.map(|path| Document::prepare(path, input.path(), arguments.force)).transpose()?;
    let scope = if arguments.all { Scope::All } else { Scope::Infiniband };
    let report = task::graph(&input, arguments.booted_by.kernel.as_deref(), scope, terminal.progress())?;
    let draw = || picture(&report, form);
    match (output, path) {
        (Some(output), Some(path)) => {
            output.write(&draw())?;
            terminal.report(&report, |page| show(page, &report, path))?;
        }
        _ if terminal.format() != Format::Human => terminal.report(&report, |_| {})?,
        _ => terminal.data(&draw())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What is asked for, else what the file's ending tells, else DOT.
fn form(asked: Option<GraphForm>, path: Option<&Path>) -> Result<GraphForm> {
    let Some(path) = path.filter(|_| asked.is_none()) else {
        return Ok(asked.unwrap_or(GraphForm::Dot));
    };
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    match ending.as_deref() {
        Some("svg") => Ok(GraphForm::Svg),
        Some("dot" | "gv") => Ok(GraphForm::Dot),
        _ => Err(Error::usage(format!("the ending of {} tells no kind of picture", path.display()))
            .remedy("end the output's name in .svg or .dot, or say which it is: --type svg")),
    }
}

fn picture(report: &GraphReport, form: GraphForm) -> String {
    let name = report.image.file_name().unwrap_or_default().to_string_lossy();
    let title = format!("Kernel modules of {name}");
    match form {
        GraphForm::Svg => svg(&report.graph, &title),
        GraphForm::Dot => dot(&report.graph, &title),
    }
}

fn show(page: &mut Page, report: &GraphReport, path: &Path) {
    let graph = &report.graph;
    page.line(&format!(
        "Wrote {}: {} and {} between them.",
        quoted(path),
        number(graph.count(|standing| standing != Standing::Missing), "module"),
        number(graph.needs.len(), "arrow")
    ));
    let fails = graph.count(Standing::fails);
    if fails > 0 {
        page.labelled("note:", Tone::Warn, &format!("{} not load: red in the picture", does(fails)));
    }
    if graph.modules.is_empty() {
        page.labelled("note:", Tone::Warn, "the image has no InfiniBand module; --all shows every module");
    }
}

fn does(count: usize) -> String {
    if count == 1 { "1 module does".to_owned() } else { format!("{count} modules do") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_the_one_asked_for_else_that_of_the_ending_else_dot() {
        let at = |name: &'static str| Some(Path::new(name));
        assert_eq!(form(None, at("a.SVG")).unwrap(), GraphForm::Svg);
        assert_eq!(form(None, at("a.gv")).unwrap(), GraphForm::Dot);
        assert_eq!(form(None, None).unwrap(), GraphForm::Dot);
        assert_eq!(form(Some(GraphForm::Svg), None).unwrap(), GraphForm::Svg);
        assert_eq!(form(Some(GraphForm::Dot), at("a.svg")).unwrap(), GraphForm::Dot);
        let error = form(None, at("a.png")).unwrap_err();
        assert_eq!(error.message(), "the ending of a.png tells no kind of picture");
    }
}
