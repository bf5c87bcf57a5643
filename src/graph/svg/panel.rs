//! What stands above and below the graph: the legend, and what the kernel says to the modules that it refuses.

use std::fmt::Write as _;

use super::super::model::{Graph, Standing};
use super::super::words;
use super::text::{escape, fitting, width, wrapped};
use crate::counted::number;

/// Lines of one module, and of all.
const MOST_LINES: (usize, usize) = (8, 60);

/// What advice begins with.
const ADVICE: &str = "→ ";

/// Elements of a known height.
#[derive(Debug, Default)]
pub(super) struct Panel {
    pub(super) text: String,
    /// Pixels.
    pub(super) height: f64,
}

impl Panel {
    /// Remarks, and the messages for all modules that fail; empty when all is well.
    pub(super) fn new(graph: &Graph, room: f64) -> Self {
        let mut panel = Self::default();
        panel.section("What keeps modules from loading as a whole", &graph.remarks, room);
        panel.section("What the log says", &refusals(graph), room);
        panel.section("Modules that the kernel is never asked to load", &waiting(graph), room);
        panel
    }

    fn section(&mut self, heading: &str, paragraphs: &[String], room: f64) {
        if paragraphs.is_empty() {
            return;
        }
        self.height += 26.0;
        let _ = writeln!(self.text, "<text class=\"ink heading\" y=\"{:.1}\">{heading}</text>", self.height);
        let most = fitting(room, 12.0, false);
        for paragraph in paragraphs {
            let class = if paragraph.starts_with(ADVICE) { "ink say advice" } else { "soft say" };
            for line in wrapped(paragraph, most) {
                self.height += 18.0;
                let _ =
                    writeln!(self.text, "<text class=\"{class}\" y=\"{:.1}\">{}</text>", self.height, escape(&line));
            }
        }
        self.height += 8.0;
    }
}

/// The lines that the kernel logs, module by module.
fn refusals(graph: &Graph) -> Vec<String> {
    let mut lines = Vec::new();
    let standings = [Standing::Refused, Standing::Unreadable, Standing::Missing];
    let failing = graph.modules.iter().filter(|module| standings.contains(&module.standing));
    for module in failing {
        let (most, _) = MOST_LINES;
        lines.extend(module.messages.iter().take(most).cloned());
        if module.messages.len() > most {
            lines.push(format!("… and {} more", module.messages.len().saturating_sub(most)));
        }
        lines.extend(module.advice.iter().map(|advice| format!("{ADVICE}{advice}")));
    }
    let (_, most) = MOST_LINES;
    let beyond = lines.len().saturating_sub(most);
    lines.truncate(most);
    if beyond > 0 {
        lines.push(format!("… and {}, in the boxes' tooltips", number(beyond, "more line")));
    }
    lines
}

fn waiting(graph: &Graph) -> Vec<String> {
    let names: Vec<&str> = graph
        .modules
        .iter()
        .filter(|module| module.standing == Standing::Waits)
        .map(|module| module.name.as_str())
        .collect();
    match names.is_empty() {
        true => Vec::new(),
        false => vec![format!(
            "kmodloader inserts a module once everything in its depends= is loaded. These wait in vain: {}",
            names.join(", ")
        )],
    }
}

/// One row: the kinds of boxes and lines that there are, and what they mean.
pub(super) fn legend(graph: &Graph) -> String {
    let mut out = String::new();
    let mut x = 0.0;
    for (kind, name) in words::KINDS {
        if !graph.modules.iter().any(|module| words::kind(module) == kind) {
            continue;
        }
        let _ = writeln!(
            out,
            "<g class=\"{kind}\"><rect class=\"box\" x=\"{:.1}\" y=\"1\" width=\"22\" height=\"13\" rx=\"4\"/></g>\
             <text class=\"soft\" x=\"{:.1}\" y=\"12\">{name}</text>",
            x + 1.0,
            x + 30.0
        );
        x += 30.0 + width(name, 11.0, false) + 16.0;
    }
    let has = |test: fn(bool, bool) -> bool| graph.needs.iter().any(|need| test(need.depends, need.symbols.is_empty()));
    for (class, present, name) in [
        ("", has(|depends, unused| depends && !unused), "needs (number: symbols it uses)"),
        (" undeclared", has(|depends, _| !depends), "not named in depends="),
        (" unused", has(|depends, unused| depends && unused), "named in depends= only"),
    ] {
        if !present {
            continue;
        }
        let _ = writeln!(
            out,
            "<g class=\"need{class}\"><path class=\"line\" d=\"M{:.1} 8 L{x:.1} 8\" marker-end=\"url(#head)\"/></g>\
             <text class=\"soft\" x=\"{:.1}\" y=\"12\">{name}</text>",
            x + 34.0,
            x + 42.0
        );
        x += 42.0 + width(name, 11.0, false) + 16.0;
    }
    out
}
