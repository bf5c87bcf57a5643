//! The graph in Graphviz' language (graphviz.org/doc/info/lang.html).

use std::fmt::Write as _;

use super::model::{Graph, ModuleNode, Need};
use super::words;

/// Colours of outline and ground by the kinds of [`words::KINDS`].
const COLOURS: [(&str, &str, &str); 5] = [
    ("boot", "#2563eb", "#e3edfd"),
    ("main", "#15803d", "#e2f4e8"),
    ("dependency", "#7c3aed", "#efe9fd"),
    ("never", "#9ca3af", "#f6f7f8"),
    ("fails", "#dc2626", "#fde4e4"),
];

/// `graph` as a DOT file; `title` is shown above it.
pub(crate) fn dot(graph: &Graph, title: &str) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_graph(&mut text, graph, title);
    text
}

fn write_graph(text: &mut String, graph: &Graph, title: &str) -> std::fmt::Result {
    let kernel = quoted(&format!("kernel {}", graph.kernel.release));
    writeln!(text, "digraph modules {{")?;
    writeln!(text, "  label={};", quoted(&format!("{title}\n{}", words::summary(graph))))?;
    writeln!(text, "  labelloc=t; rankdir=RL; ranksep=0.9; nodesep=0.25; fontname=\"Helvetica\";")?;
    writeln!(text, "  node [shape=box, style=\"rounded,filled\", fontname=\"Helvetica\", fontsize=11];")?;
    writeln!(text, "  edge [color=\"#6b7280\", fontname=\"Helvetica\", fontsize=9, arrowsize=0.7];")?;
    let label = format!("Linux {}\n{} exported symbols", graph.kernel.release, graph.kernel.exports);
    writeln!(text, "  {kernel} [label={}, shape=box3d, fillcolor=\"#e5e7eb\"];", quoted(&label))?;
    for module in &graph.modules {
        write_module(text, module)?;
        if !module.kernel_symbols.is_empty() {
            write_kernel_need(text, module, &kernel)?;
        }
    }
    for need in &graph.needs {
        write_need(text, graph, need)?;
    }
    writeln!(text, "}}")
}

fn write_module(text: &mut String, module: &ModuleNode) -> std::fmt::Result {
    let kind = words::kind(module);
    let colours = COLOURS.iter().find(|(name, _, _)| *name == kind);
    let (line, ground) = colours.map_or(("black", "white"), |(_, line, ground)| (line, ground));
    let mut label = format!("{}\n{}", module.name, words::stage(module));
    if module.path.is_some() {
        let _ = write!(label, "\n{}", words::size(module.size));
    }
    let style = if module.path.is_none() { ", style=\"rounded,filled,dashed\"" } else { "" };
    let pale = if kind == "never" { ", fontcolor=\"#6b7280\"" } else { "" };
    writeln!(
        text,
        "  {} [label={}, tooltip={}, color=\"{line}\", fillcolor=\"{ground}\"{style}{pale}];",
        quoted(module.name.as_str()),
        quoted(&label),
        quoted(&words::about(module))
    )
}

fn write_kernel_need(text: &mut String, module: &ModuleNode, kernel: &str) -> std::fmt::Result {
    let count = module.kernel_symbols.len();
    let tooltip = words::about_kernel_need(module);
    writeln!(
        text,
        "  {} -> {kernel} [label=\"{count}\", tooltip={}, color=\"#d1d5db\", fontcolor=\"#9ca3af\"];",
        quoted(module.name.as_str()),
        quoted(&tooltip)
    )
}

fn write_need(text: &mut String, graph: &Graph, need: &Need) -> std::fmt::Result {
    let style = match (need.depends, need.symbols.is_empty()) {
        (true, false) => "",
        (true, true) => ", style=dotted",
        (false, _) => ", style=dashed",
    };
    let colour = if graph.fails(&need.to) { ", color=\"#dc2626\"" } else { "" };
    writeln!(
        text,
        "  {} -> {} [label=\"{}\", tooltip={}{style}{colour}];",
        quoted(need.from.as_str()),
        quoted(need.to.as_str()),
        need.symbols.len(),
        quoted(&words::about_need(need))
    )
}

/// A quoted string: Graphviz takes backslash sequences and HTML entities in it for its own.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '&' => out.push_str("&amp;"),
            '\n' => out.push_str("\\n"),
            control if control.is_control() => out.push(char::REPLACEMENT_CHARACTER),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}
