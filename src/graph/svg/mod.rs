//! The graph as a picture: one SVG file without scripts, fonts or links, for light and dark pages.

mod boxes;
mod edges;
mod panel;
mod style;
mod text;

use std::collections::BTreeMap;
use std::fmt::{Result, Write as _};

use super::layout::{Placement, Rect, Size, layout};
use super::model::{Graph, ModuleNode};
use super::words;
use crate::kernel::ModuleName;
use panel::Panel;
use text::escape;

/// Pixels around everything.
const MARGIN: f64 = 24.0;
/// Least width of the picture: that of the legend.
const LEAST_WIDTH: f64 = 920.0;
/// Pixels between the kernel and the first column.
const KERNEL_GAP: f64 = 64.0;
/// So many modules that neither need another nor are needed get a table of their own below.
const LONERS: usize = 7;

/// `graph` as an SVG file; `title` is shown above it.
pub(crate) fn svg(graph: &Graph, title: &str) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = Picture::new(graph).write(&mut out, title);
    out
}

/// Everything with its place; heights and widths in pixels, places relative to the part they are in.
struct Picture<'a> {
    graph: &'a Graph,
    /// Modules with edges, in the order of their boxes.
    joined: Vec<&'a ModuleNode>,
    /// Modules that need the kernel only and that none needs.
    loners: Vec<&'a ModuleNode>,
    placement: Placement,
    kernel: Size,
    width: f64,
}

impl<'a> Picture<'a> {
    fn new(graph: &'a Graph) -> Self {
        // Of how many needs each module is the user, and of how many the one needed.
        let mut degrees: BTreeMap<&ModuleName, (usize, usize)> = BTreeMap::new();
        for need in &graph.needs {
            degrees.entry(&need.from).or_default().0 += 1;
            degrees.entry(&need.to).or_default().1 += 1;
        }
        let (mut loners, mut joined): (Vec<_>, Vec<_>) =
            graph.modules.iter().partition(|module| !degrees.contains_key(&module.name));
        if loners.len() < LONERS {
            loners.clear();
            joined = graph.modules.iter().collect();
        }
        let index: BTreeMap<_, _> = joined.iter().enumerate().map(|(index, module)| (&module.name, index)).collect();
        let edge = |need: &super::Need| Some((*index.get(&need.from)?, *index.get(&need.to)?));
        let edges: Vec<(usize, usize)> = graph.needs.iter().filter_map(edge).collect();
        let sizes: Vec<Size> = joined
            .iter()
            .map(|module| boxes::size(module, degrees.get(&module.name).copied().unwrap_or_default()))
            .collect();
        let placement = layout(&sizes, &edges);
        let kernel = Size { width: boxes::kernel_width(&graph.kernel), height: placement.size.height.max(96.0) };
        let drawn = kernel.width + KERNEL_GAP + placement.size.width;
        Self { graph, joined, loners, placement, kernel, width: drawn.max(LEAST_WIDTH) }
    }

    fn write(&self, out: &mut String, title: &str) -> Result {
        let header = self.header(title);
        let table = boxes::Table::new(&self.loners, self.width);
        let panel = Panel::new(self.graph, self.width);
        let graph_y = MARGIN + header.height;
        let table_y = graph_y + self.kernel.height + 28.0;
        let panel_y = table_y + table.height;
        let (width, height) = (self.width + 2.0 * MARGIN, panel_y + panel.height + MARGIN);
        writeln!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
             height=\"{height:.0}\" role=\"img\" aria-labelledby=\"title description\">"
        )?;
        writeln!(out, "<title id=\"title\">{}</title>", escape(title))?;
        writeln!(out, "<desc id=\"description\">{}</desc>", escape(&words::description(self.graph)))?;
        writeln!(out, "<style>{}</style>\n{}", style::STYLE, style::MARKERS)?;
        writeln!(out, "<rect class=\"ground\" width=\"100%\" height=\"100%\"/>")?;
        out.push_str(&shifted(MARGIN, MARGIN, &header.text));
        out.push_str(&shifted(MARGIN, graph_y, &self.diagram()?));
        out.push_str(&shifted(MARGIN, table_y, &table.text));
        out.push_str(&shifted(MARGIN, panel_y, &panel.text));
        writeln!(out, "</svg>")
    }

    /// Title, summary and legend.
    fn header(&self, title: &str) -> Panel {
        let mut text = String::new();
        let most = text::fitting(self.width, 20.0, true);
        let _ = writeln!(text, "<text class=\"ink title\" y=\"18\">{}</text>", escape(&text::cut(title, most)));
        let summary = words::summary(self.graph);
        let _ = writeln!(text, "<text class=\"soft summary\" y=\"42\">{}</text>", escape(&summary));
        text.push_str(&shifted(0.0, 62.0, &panel::legend(self.graph)));
        Panel { text, height: 104.0 }
    }

    /// Kernel, edges, boxes.
    fn diagram(&self) -> std::result::Result<String, std::fmt::Error> {
        let mut out = String::new();
        let shift = self.kernel.width + KERNEL_GAP;
        let place = |place: &Rect| Rect { x: place.x + shift, ..*place };
        let boxes: Vec<Rect> = self.placement.boxes.iter().map(place).collect();
        for ((module, place), layer) in self.joined.iter().zip(&boxes).zip(&self.placement.layers) {
            if *layer == 0 && !module.kernel_symbols.is_empty() {
                edges::to_kernel(&mut out, module, place, self.kernel.width)?;
            }
        }
        // Those that lead to a module that fails are drawn last, over the others.
        let mut needs: Vec<_> = self.graph.needs.iter().zip(&self.placement.routes).collect();
        needs.sort_by_key(|(need, _)| self.graph.fails(&need.to));
        for (need, route) in needs {
            edges::need(&mut out, self.graph, need, route, shift)?;
        }
        boxes::kernel(&mut out, &self.graph.kernel, self.kernel)?;
        for (module, place) in self.joined.iter().zip(&boxes) {
            boxes::module(&mut out, module, place)?;
        }
        Ok(out)
    }
}

/// A group moved to a place; nothing for nothing.
fn shifted(x: f64, y: f64, content: &str) -> String {
    if content.is_empty() {
        return String::new();
    }
    format!("<g transform=\"translate({x:.1} {y:.1})\">\n{content}</g>\n")
}

#[cfg(test)]
mod tests;
