//! `ibwrt completions` and `ibwrt man`, made from the clap types.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use super::args::{Arguments, ManArguments};
use super::patch::quoted;
use super::terminal::Terminal;
use crate::counted::number;
use crate::error::{Error, Result};

/// Prints the completion script of `shell`.
pub(super) fn completions(shell: Shell, terminal: &Terminal) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "ibwrt", &mut script);
    terminal.data(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the page of ibwrt, or writes all pages.
pub(super) fn run(arguments: &ManArguments, terminal: &Terminal) -> Result<ExitCode> {
    let mut command = Arguments::command();
    command.build();
    if arguments.folder == Path::new("-") {
        terminal.data(&page(&command)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let folder = &arguments.folder;
    fs::create_dir_all(folder).map_err(|error| Error::io("create", folder, error))?;
    let mut paths = Vec::new();
    for (name, text) in pages(&command)? {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|error| Error::io("write", &path, error))?;
        paths.push(path);
    }
    terminal.report(&paths, |page| {
        page.line(&format!("Wrote {} into {}.", number(paths.len(), "page"), quoted(folder)));
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The page of `command` and of every command below it, with their file names.
fn pages(command: &Command) -> Result<Vec<(String, String)>> {
    let mut pages = vec![(Man::new(command.clone()).get_filename(), page(command)?)];
    for below in command.get_subcommands() {
        pages.extend(pages_below(below)?);
    }
    Ok(pages)
}

/// As [`pages`]; the commands are two levels deep.
fn pages_below(command: &Command) -> Result<Vec<(String, String)>> {
    let mut pages = vec![(Man::new(command.clone()).get_filename(), page(command)?)];
    for below in command.get_subcommands() {
        pages.push((Man::new(below.clone()).get_filename(), page(below)?));
    }
    Ok(pages)
}

fn page(command: &Command) -> Result<String> {
    let man = Man::new(command.clone()).manual("ibwrt manual").source(concat!("ibwrt ", env!("CARGO_PKG_VERSION")));
    let mut page = Vec::new();
    let done = man
        .render_title(&mut page)
        .and_then(|()| man.render_name_section(&mut page))
        .and_then(|()| man.render_synopsis_section(&mut page))
        .and_then(|()| man.render_description_section(&mut page))
        .and_then(|()| man.render_options_section(&mut page))
        .and_then(|()| match command.has_subcommands() {
            true => man.render_subcommands_section(&mut page),
            false => Ok(()),
        });
    done.map_err(|error| Error::io("write", Path::new("the manual page"), error))?;
    let mut page = String::from_utf8_lossy(&page).into_owned();
    if let Some(more) = command.get_after_long_help() {
        page.push_str(&sections(&more.to_string()));
    }
    Ok(page)
}

/// The text behind the options as sections: a line `Examples:` begins one; its lines stay as they are.
fn sections(text: &str) -> String {
    let mut roff = String::new();
    let mut open = false;
    for line in text.lines() {
        match line.strip_suffix(':') {
            Some(title) if !line.starts_with(' ') => {
                if open {
                    roff.push_str(".fi\n");
                }
                roff.push_str(&format!(".SH \"{}\"\n.nf\n", escaped(&title.to_uppercase())));
                open = true;
            }
            _ => {
                roff.push_str(&escaped(line.strip_prefix("  ").unwrap_or(line)));
                roff.push('\n');
            }
        }
    }
    if open {
        roff.push_str(".fi\n");
    }
    roff
}

/// `line` as roff prints it letter by letter.
fn escaped(line: &str) -> String {
    let line = line.replace('\\', r"\e").replace('-', r"\-");
    match line.starts_with(['.', '\'']) {
        true => format!(r"\&{line}"),
        false => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> Command {
        let mut command = Arguments::command();
        command.build();
        command
    }

    #[test]
    fn every_command_has_a_page_with_examples() {
        let pages = pages(&command()).unwrap();
        let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        assert!(names.contains(&"ibwrt.1") && names.contains(&"ibwrt-overlays-export.1"), "{names:?}");
        for (name, text) in &pages {
            assert!(text.contains(".SH \"EXAMPLES\""), "{name} has no examples");
        }
    }

    #[test]
    fn a_backslash_at_the_end_of_an_example_stays_one() {
        let expected = ".SH \"EXAMPLES\"\n.nf\nibwrt patch a \\e\n  \\-o b\n.fi\n";
        assert_eq!(sections("Examples:\n  ibwrt patch a \\\n    -o b"), expected);
    }
}
