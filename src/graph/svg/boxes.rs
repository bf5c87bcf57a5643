//! Boxes: the kernel, the modules, and the table of those without edges.

use std::fmt::{Result, Write as _};

use super::super::layout::{Rect, Size};
use super::super::model::{KernelNode, ModuleNode};
use super::super::words;
use super::text::{cut, escape, width};
use crate::counted::number;

/// Pixels between a box's side and its text.
const PADDING: f64 = 10.0;
/// Height of a box's three lines.
const LINES: f64 = 56.0;
/// Pixels that an edge needs on the left side, where its count stands, and on the right one.
const PITCHES: [f64; 2] = [11.5, 6.0];
/// Longest line in characters; what is longer is in the tooltip.
const LONGEST: usize = 34;

/// The lines of a module: name, when it is loaded or why not, what it weighs.
fn lines(module: &ModuleNode) -> [String; 3] {
    let weight = match (&module.path, module.kernel_symbols.len()) {
        (None, _) => "named in depends=".to_owned(),
        (Some(_), 0) => words::size(module.size),
        (Some(_), count) => {
            format!("{} · {}", words::size(module.size), number(count, "kernel symbol"))
        }
    };
    [module.name.to_string(), words::stage(module), weight].map(|line| cut(&line, LONGEST))
}

/// How large the box of `module` must be for its text and for the edges of so many needs and users.
pub(super) fn size(module: &ModuleNode, (needs, users): (usize, usize)) -> Size {
    let [name, stage, weight] = lines(module);
    let text = width(&name, 13.0, true).max(width(&stage, 11.0, true)).max(width(&weight, 11.0, false));
    let side = |count: usize, pitch: f64| f64::from(u16::try_from(count).unwrap_or(u16::MAX)) * pitch + 12.0;
    let [left, right] = PITCHES;
    Size { width: text + 2.0 * PADDING, height: LINES.max(side(needs, left)).max(side(users, right)) }
}

/// Draws a module.
pub(super) fn module(out: &mut String, module: &ModuleNode, place: &Rect) -> Result {
    let missing = if module.path.is_none() { " missing" } else { "" };
    writeln!(
        out,
        "<g class=\"module {}{missing}\"><title>{}</title>",
        words::kind(module),
        escape(&words::about(module))
    )?;
    rect(out, place)?;
    let x = place.x + PADDING;
    let middle = place.y + place.height / 2.0;
    for (line, (class, rise)) in lines(module).iter().zip([("ink name", -10.0), ("soft why", 5.5), ("soft", 20.0)]) {
        writeln!(out, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>", middle + rise, escape(line))?;
    }
    writeln!(out, "</g>")
}

fn rect(out: &mut String, place: &Rect) -> Result {
    let Rect { x, y, width, height } = place;
    writeln!(
        out,
        "<rect class=\"box\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"7\"/>"
    )
}

/// The kernel's lines.
fn kernel_lines(kernel: &KernelNode) -> [String; 4] {
    ["Linux".to_owned(), kernel.release.to_string(), kernel.exports.to_string(), "exported symbols".to_owned()]
        .map(|line| cut(&line, LONGEST))
}

/// How wide the kernel's box must be.
pub(super) fn kernel_width(kernel: &KernelNode) -> f64 {
    let [_, release, _, exports] = kernel_lines(kernel);
    width(&release, 16.0, true).max(width(&exports, 11.0, false)) + 2.0 * PADDING
}

/// Draws the kernel.
pub(super) fn kernel(out: &mut String, kernel: &KernelNode, size: Size) -> Result {
    let title = format!("Linux {}, {} exported symbols", kernel.release, kernel.exports);
    writeln!(out, "<g class=\"kernel\"><title>{}</title>", escape(&title))?;
    rect(out, &Rect { x: 0.0, y: 0.0, width: size.width, height: size.height })?;
    let middle = size.height / 2.0;
    let classes = [("soft", -24.0), ("ink release", -5.0), ("ink name", 18.0), ("soft", 34.0)];
    for (line, (class, rise)) in kernel_lines(kernel).iter().zip(classes) {
        writeln!(
            out,
            "<text class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            size.width / 2.0,
            middle + rise,
            escape(line)
        )?;
    }
    writeln!(out, "</g>")
}

/// Modules without edges, side by side.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// The elements.
    pub(super) text: String,
    /// Pixels.
    pub(super) height: f64,
}

impl Table {
    /// In as many columns as fit into `room` pixels; empty for no modules.
    pub(super) fn new(modules: &[&ModuleNode], room: f64) -> Self {
        const GAP: f64 = 14.0;
        let mut table = Self::default();
        if modules.is_empty() {
            return table;
        }
        let heading = "Modules that need only the kernel, and that no other module needs";
        let _ = writeln!(table.text, "<text class=\"ink heading\" y=\"14\">{heading}</text>");
        let widest = modules.iter().map(|module| size(module, (0, 0)).width).fold(0.0, f64::max);
        let mut place = Rect { x: 0.0, y: 28.0, width: widest, height: LINES };
        for one in modules {
            if place.x > 0.0 && place.x + widest > room {
                place = Rect { x: 0.0, y: place.y + LINES + GAP, ..place };
            }
            let _ = module(&mut table.text, one, &place);
            place.x += widest + GAP;
        }
        table.height = place.y + LINES + 28.0;
        table
    }
}
