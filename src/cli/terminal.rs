//! Where output goes, and what a failure looks like.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::ValueEnum;
use serde::Serialize;

use super::args::{Color, Format, Global};
use super::page::{Page, Tone};
use super::stream::Stream;
use super::watch::Watch;
use crate::error::{Error, ErrorKind, Result};
use crate::task::{ErrorFacts, Event};

/// Exit code of clap's own usage errors: that of [`ErrorKind::Usage`].
const USAGE: u8 = ErrorKind::Usage.exit_code();

/// The choices that matter before the command line is understood.
pub(super) struct Choices {
    pub(super) format: Format,
    pub(super) color: Color,
}

impl Choices {
    /// Takes `--format` and `--color` out of the words, wherever they stand; anything odd is left for clap to refuse.
    pub(super) fn from_words(words: &[OsString]) -> Self {
        Self { format: last_value(words, "--format"), color: last_value(words, "--color") }
    }
}

fn last_value<T: ValueEnum + Default>(words: &[OsString], option: &str) -> T {
    let words: Vec<&str> = words.iter().map(|word| word.to_str().unwrap_or_default()).collect();
    let pairs = words.iter().zip(words.iter().skip(1).chain([&""]));
    let values = pairs.filter_map(|(word, next)| match word.strip_prefix(option) {
        Some("") => Some(*next),
        Some(rest) => rest.strip_prefix('='),
        None => None,
    });
    values.filter_map(|value| T::from_str(value, false).ok()).last().unwrap_or_default()
}

/// The program's output.
pub(super) struct Terminal {
    format: Format,
    quiet: bool,
    verbose: bool,
    watch: Watch,
}

impl Terminal {
    /// As the global options say.
    pub(super) fn new(global: &Global) -> Self {
        let stream = (global.format == Format::Jsonl).then(Stream::stdout);
        // On one terminal bars would be drawn through the events.
        let is_mixed = stream.is_some() && io::stdout().is_terminal();
        let watch = Watch::new(!global.quiet && !is_mixed && io::stderr().is_terminal(), stream);
        Self { format: global.format, quiet: global.quiet, verbose: global.verbose, watch }
    }

    /// Where long steps tell how far they are, and jobs what happens.
    pub(super) fn progress(&self) -> &Watch {
        &self.watch
    }

    /// How reports are written.
    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// Whether more is to be said.
    pub(super) fn verbose(&self) -> bool {
        self.verbose
    }

    /// Prints a report: the page that `fill` fills, or the JSON of `report`.
    ///
    /// # Errors
    /// stdout refuses; a reader that went away is no error.
    pub(super) fn report(&self, report: &impl Serialize, fill: impl FnOnce(&mut Page)) -> Result<()> {
        match self.watch.stream() {
            Some(stream) => {
                stream.event(&Event::Report { report: serde_json::to_value(report).map_err(not_json)? });
                stream.finish()
            }
            None => self.report_unless_told(report, fill),
        }
    }

    /// The same for a report that the events have told already.
    ///
    /// # Errors
    /// As [`Terminal::report`].
    pub(super) fn report_unless_told(&self, report: &impl Serialize, fill: impl FnOnce(&mut Page)) -> Result<()> {
        match (self.watch.stream(), self.format, self.quiet) {
            (Some(stream), ..) => stream.finish(),
            (None, Format::Human, true) => Ok(()),
            (None, Format::Human, false) => print(Page::of(fill).text()),
            (None, Format::Json | Format::Jsonl, _) => self.data(&json(report)?),
        }
    }

    /// Prints what was asked for as data, even with `--quiet`.
    ///
    /// # Errors
    /// As [`Terminal::report`].
    pub(super) fn data(&self, text: &str) -> Result<()> {
        print(text)
    }

    /// Says why a report that was printed is not what was asked for, if so; the answer is the exit code. Programs have it in
    /// the report.
    pub(super) fn ended(&self, refusal: Option<&Error>) -> ExitCode {
        let Some(error) = refusal else { return ExitCode::SUCCESS };
        complain(error_page(error).text());
        ExitCode::from(error.kind().exit_code())
    }

    /// Prints `error`; the answer is its exit code.
    pub(super) fn error(&self, error: &Error) -> ExitCode {
        let code = error.kind().exit_code();
        self.watch.clear();
        print_error(error.into(), self.format, self.watch.stream());
        complain(error_page(error).text());
        ExitCode::from(code)
    }
}

/// The error for people: `error: places: message`, and the remedy below it.
fn error_page(error: &Error) -> Page {
    let mut page = Page::new();
    page.labelled("error:", Tone::Bad, &error.to_string());
    if let Some(remedy) = error.remedy_text() {
        page.labelled("  help:", Tone::Accent, remedy);
    }
    page
}

/// Prints an error for programs, where these are who reads.
fn print_error(error: ErrorFacts, format: Format, stream: Option<&Stream>) {
    #[derive(Serialize)]
    struct Document {
        error: ErrorFacts,
    }
    if let Some(stream) = stream {
        stream.event(&Event::Error { error });
    } else if let (Format::Json, Ok(text)) = (format, json(&Document { error })) {
        // The error itself follows on stderr; there is nobody left to tell that stdout refused.
        let _ = print(&text);
    }
}

/// Prints what clap has to say: help and version on stdout, usage errors on stderr.
pub(super) fn clap_answer(error: &clap::Error, format: Format) -> ExitCode {
    if error.use_stderr() && format != Format::Human {
        let text = error.render().to_string();
        let mut parts = text.splitn(2, "\n\n");
        let message = parts.next().unwrap_or_default().trim_start_matches("error: ").trim().to_owned();
        let remedy = parts.next().map(|rest| rest.trim().to_owned());
        let facts = ErrorFacts { kind: ErrorKind::Usage, message, places: Vec::new(), remedy, exit_code: USAGE };
        let stream = (format == Format::Jsonl).then(Stream::stdout);
        if let Some(stream) = &stream {
            stream.event(&Event::begun());
        }
        print_error(facts, format, stream.as_ref());
    }
    // A reader that went away (`ibwrt --help | head -1`) is no error.
    let _ = error.print();
    if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
}

/// `value` as indented JSON with a newline at the end.
///
/// # Errors
/// A value that JSON cannot hold (a path that is not UTF-8).
pub(super) fn json(value: &impl Serialize) -> Result<String> {
    let mut text = serde_json::to_string_pretty(value).map_err(not_json)?;
    text.push('\n');
    Ok(text)
}

/// The error of a value that JSON cannot hold.
pub(super) fn not_json(error: serde_json::Error) -> Error {
    Error::unsupported(format!("the report cannot be written as JSON: {error}"))
}

fn print(text: &str) -> Result<()> {
    let mut stdout = anstream::stdout();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::io("write to", Path::new("stdout"), error))
        }
        _ => Ok(()),
    }
}

fn complain(text: &str) {
    // Nobody is left to be told when stderr refuses.
    let _ = anstream::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_places_message_and_remedy() {
        let error = Error::corrupt("the header CRC is 0x1").at("LBA 1").at("router.img").remedy("Take a fresh image.");
        assert_eq!(
            error_page(&error).plain(),
            "error: router.img: LBA 1: the header CRC is 0x1\n  help: Take a fresh image.\n"
        );
    }

    #[test]
    fn format_and_color_are_known_before_the_rest_is_understood() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        let choices = Choices::from_words(&words("ibwrt nonsense --format=json --color never"));
        assert_eq!((choices.format, choices.color), (Format::Json, Color::Never));
        let choices = Choices::from_words(&words("ibwrt --format yaml --color"));
        assert_eq!((choices.format, choices.color), (Format::Human, Color::Auto));
    }
}
