//! The bar of a batch: how many hosts are done, how fast, how long it will still take, and who is in work.

use std::fmt::Write as _;
use std::time::Duration;

use indicatif::{HumanDuration, ProgressBar, ProgressState, ProgressStyle};

use crate::task::Event;

const REDRAW: Duration = Duration::from_millis(100);
const TEMPLATE: &str = "{spinner} {bar:16} {pos}/{len} hosts {rate} {left} {wide_msg}";
/// Columns of [`TEMPLATE`] beside position, length and names: spinner, bar, blanks, the word, rate and time left.
const FIXED: usize = 1 + 1 + 16 + 1 + 1 + 6 + 1 + RATE + 1 + LEFT + 1;
/// Columns of `1234.5/s`.
const RATE: usize = 8;
/// Columns of `12m left`.
const LEFT: usize = 8;
/// Columns where the terminal does not tell.
const USUAL_WIDTH: usize = 80;

/// A drawn bar; it is cleared when dropped.
pub(super) struct HostBar {
    bar: ProgressBar,
    hosts: usize,
    /// Names, in the order in which they were begun.
    in_work: Vec<String>,
}

impl HostBar {
    /// A bar for `hosts` hosts, `kept` of which are done already.
    pub(super) fn new(hosts: usize, kept: usize) -> Self {
        let bar = ProgressBar::new(hosts as u64).with_position(kept as u64);
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            let style = style.with_key("rate", |state: &ProgressState, text: &mut dyn std::fmt::Write| {
                let _ = write!(text, "{:>RATE$}", format!("{:.1}/s", state.per_sec()));
            });
            let style = style.with_key("left", |state: &ProgressState, text: &mut dyn std::fmt::Write| {
                let _ = write!(text, "{:>LEFT$}", left(state));
            });
            bar.set_style(style.progress_chars("=> "));
        }
        // What was kept says nothing about how fast hosts are made.
        bar.reset_eta();
        bar.enable_steady_tick(REDRAW);
        Self { bar, hosts, in_work: Vec::new() }
    }

    /// Shows what happened.
    pub(super) fn event(&mut self, event: &Event) {
        match event {
            Event::HostBegun { host, .. } => self.in_work.push(host.clone()),
            Event::HostDone { host, kept, .. } => self.end(host, !kept),
            Event::HostFailed { host, .. } => self.end(host, true),
            _ => return,
        }
        let width = terminal_size::terminal_size_of(std::io::stderr()).map_or(USUAL_WIDTH, |(width, _)| width.0.into());
        let counts = 2 * self.hosts.to_string().len();
        self.bar.set_message(fitted(&self.in_work, width.saturating_sub(FIXED + counts)));
    }

    fn end(&mut self, host: &str, is_work: bool) {
        self.in_work.retain(|name| name != host);
        if is_work {
            self.bar.inc(1);
        }
    }
}

impl Drop for HostBar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// How long it will still take; nothing as long as nothing is known.
fn left(state: &ProgressState) -> String {
    match state.eta() {
        Duration::ZERO => String::new(),
        eta => format!("{:#} left", HumanDuration(eta)),
    }
}

/// As many of `names` as fit into `room` columns, and how many more there are.
fn fitted(names: &[String], room: usize) -> String {
    let mut text = String::new();
    for (number, name) in names.iter().enumerate() {
        let rest = names.len() - number - 1;
        let more = if rest > 0 { format!(" +{rest}") } else { String::new() };
        let next = if text.is_empty() { name.clone() } else { format!("{text} {name}") };
        if next.chars().count() + more.len() > room {
            let _ = match text.is_empty() {
                true => write!(text, "{} in work", names.len()),
                false => write!(text, " +{}", names.len() - number),
            };
            return text.chars().take(room).collect();
        }
        text = next;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_work_fit_the_line_and_those_that_do_not_are_counted() {
        let names: Vec<String> = ["gateway", "h1", "h2", "h3"].map(str::to_owned).to_vec();
        assert_eq!(fitted(&names, 80), "gateway h1 h2 h3");
        assert_eq!(fitted(&names, 16), "gateway h1 h2 h3");
        assert_eq!(fitted(&names, 15), "gateway h1 +2");
        assert_eq!(fitted(&names, 10), "gateway +3");
        assert_eq!(fitted(&names, 9), "4 in work");
        assert_eq!(fitted(&names, 0), "");
        assert_eq!(fitted(&[], 80), "");
        for room in 0..20 {
            assert!(fitted(&names, room).chars().count() <= room, "{room}");
        }
    }

    #[test]
    fn hosts_are_in_work_from_their_begin_to_their_end() {
        let mut bar = HostBar::new(5, 2);
        assert_eq!((bar.bar.position(), bar.bar.length()), (2, Some(5)));
        let begun = |host: &str| Event::HostBegun { host: host.to_owned(), output: String::new() };
        bar.event(&begun("h3"));
        bar.event(&begun("h4"));
        assert_eq!(bar.bar.message(), "h3 h4");
        let error = (&crate::error::Error::usage("x")).into();
        bar.event(&Event::HostFailed { host: "h3".into(), output: String::new(), error, seconds: 0.0 });
        assert_eq!((bar.bar.message().as_str(), bar.bar.position()), ("h4", 3));
    }
}
