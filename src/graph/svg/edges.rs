//! Arrows, from who needs to what is needed.

use std::fmt::{Result, Write as _};

use super::super::layout::{Rect, Route};
use super::super::model::{Graph, ModuleNode, Need};
use super::super::words;
use super::text::escape;

/// Pixels that an arrow runs straight before it bends: there its count stands.
const STUB: f64 = 25.0;

/// Draws one need; `shift` is where the columns begin.
pub(super) fn need(out: &mut String, graph: &Graph, need: &Need, route: &Route, shift: f64) -> Result {
    let fails = graph.fails(&need.to);
    let mut class = String::from("need");
    if fails {
        class.push_str(" bad");
    }
    match (need.depends, need.symbols.is_empty()) {
        (true, true) => class.push_str(" unused"),
        (false, _) => class.push_str(" undeclared"),
        (true, false) => {}
    }
    let head = if fails { "bad-head" } else { "head" };
    // The path begins at the user: on the right, but in circles.
    let mut points: Vec<(f64, f64)> = route.points.iter().map(|(x, y)| (x + shift, *y)).collect();
    if !route.backward {
        points.reverse();
    }
    let start = points.first().copied().unwrap_or_default();
    if let Some(first) = points.first_mut().filter(|_| !route.backward) {
        first.0 -= STUB;
    }
    let d = format!("M{:.1} {:.1}{}", start.0, start.1, path(&points));
    writeln!(out, "<g class=\"{class}\"><title>{}</title>", escape(&words::about_need(need)))?;
    writeln!(out, "<path class=\"line\" d=\"{d}\" marker-end=\"url(#{head})\"/><path class=\"hit\" d=\"{d}\"/>")?;
    if !need.symbols.is_empty() && !route.backward {
        let (x, y) = start;
        writeln!(out, "<text class=\"count\" x=\"{:.1}\" y=\"{:.1}\">{}</text>", x - 3.0, y + 3.5, need.symbols.len())?;
    }
    writeln!(out, "</g>")
}

/// Bends and straight pieces in turn.
fn path(points: &[(f64, f64)]) -> String {
    let mut d = String::new();
    let pairs = points.iter().zip(points.iter().skip(1));
    for (index, (&(ax, ay), &(bx, by))) in pairs.enumerate() {
        if index == 0 {
            let _ = write!(d, " L{ax:.1} {ay:.1}");
        }
        if index % 2 == 1 {
            let _ = write!(d, " L{bx:.1} {by:.1}");
            continue;
        }
        // Within one column (a circle) the bend swings out to the right.
        let (a, b) = match bx - ax {
            reach if reach.abs() < 1.0 => (ax + 40.0, bx + 40.0),
            reach => (ax + reach * 0.5, bx - reach * 0.5),
        };
        let _ = write!(d, " C{a:.1} {ay:.1} {b:.1} {by:.1} {bx:.1} {by:.1}");
    }
    d
}

/// Draws the need of the kernel of a module in the first column; the kernel's box ends at `kernel` pixels.
pub(super) fn to_kernel(out: &mut String, module: &ModuleNode, place: &Rect, kernel: f64) -> Result {
    let y = place.y + place.height / 2.0;
    writeln!(out, "<g class=\"need platform\"><title>{}</title>", escape(&words::about_kernel_need(module)))?;
    let d = format!("M{:.1} {y:.1} L{kernel:.1} {y:.1}", place.x);
    writeln!(
        out,
        "<path class=\"line\" d=\"{d}\" marker-end=\"url(#platform-head)\"/><path class=\"hit\" d=\"{d}\"/>"
    )?;
    writeln!(out, "</g>")
}
