//! A layered layout from left to right: each box in the column after the last of those it needs, long edges led
//! through columns of their own slots (Sugiyama, Tagawa, Toda 1981). The same boxes and edges always give the same
//! places.

mod coordinates;
mod grid;
mod layers;
mod order;

use grid::Grid;

/// Width and height of a box, pixels.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Size {
    pub(super) width: f64,
    pub(super) height: f64,
}

/// A box with its place: left edge, top edge, size.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Rect {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// The way of an edge.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Route {
    /// From the box on the left to the one on the right: where it leaves, then where it enters and leaves each column
    /// between, then where it arrives. A bend lies between the first two, a straight piece between the next two, and so on.
    pub(super) points: Vec<(f64, f64)>,
    /// Whether the needed box is the right one, as happens in circles.
    pub(super) backward: bool,
}

/// Where everything is.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Placement {
    /// By box.
    pub(super) boxes: Vec<Rect>,
    /// The column of each box.
    pub(super) layers: Vec<usize>,
    /// By edge.
    pub(super) routes: Vec<Route>,
    /// Of the whole.
    pub(super) size: Size,
}

/// Places boxes of `sizes`; an edge `(user, needed)` leads from one box to another.
pub(super) fn layout(sizes: &[Size], edges: &[(usize, usize)]) -> Placement {
    let layers = layers::assign(sizes.len(), edges);
    let mut grid = Grid::new(sizes, &layers, edges);
    order::reduce_crossings(&mut grid);
    let tops = coordinates::tops(&grid);
    let columns = columns(sizes, &layers, &grid);
    let boxes: Vec<Rect> = sizes
        .iter()
        .enumerate()
        .map(|(index, size)| {
            let column = at(&columns, at(&layers, index));
            Rect { x: column.x, y: at(&tops, index), width: column.width, height: size.height }
        })
        .collect();
    let routes = routes(&grid, edges, &columns, &boxes, &tops);
    let width = columns.last().map_or(0.0, |column| column.x + column.width);
    let height = boxes.iter().map(|place| place.y + place.height).chain(tops.iter().copied()).fold(0.0, f64::max);
    Placement { boxes, layers, routes, size: Size { width, height } }
}

/// Left edge and width of a column.
#[derive(Debug, Clone, Copy, Default)]
struct Column {
    x: f64,
    width: f64,
}

/// Columns as wide as their widest box; the more edges pass between two, the wider the gap.
fn columns(sizes: &[Size], layers: &[usize], grid: &Grid) -> Vec<Column> {
    let mut columns = vec![Column::default(); grid.columns.len()];
    for (size, layer) in sizes.iter().zip(layers) {
        if let Some(column) = columns.get_mut(*layer) {
            column.width = column.width.max(size.width);
        }
    }
    let mut x = 0.0;
    for (column, segments) in columns.iter_mut().zip(grid.segments_by_gap()) {
        column.x = x;
        let crowd = u16::try_from(segments).unwrap_or(u16::MAX);
        x += column.width + (76.0 + 1.6 * f64::from(crowd)).min(160.0);
    }
    columns
}

fn routes(grid: &Grid, edges: &[(usize, usize)], columns: &[Column], boxes: &[Rect], tops: &[f64]) -> Vec<Route> {
    let ports = ports(grid, boxes, tops);
    let mut routes = Vec::with_capacity(edges.len());
    for ((chain, (_, needed)), (left_port, right_port)) in grid.chains.iter().zip(edges).zip(ports) {
        let (left, right) = (chain.first().copied().unwrap_or(0), chain.last().copied().unwrap_or(0));
        let (from, to) = (at(boxes, left), at(boxes, right));
        let mut points = vec![(from.x + from.width, left_port)];
        for slot in chain.iter().skip(1).take(chain.len().saturating_sub(2)) {
            let column = at(columns, grid.layer(*slot));
            points.extend([(column.x, at(tops, *slot)), (column.x + column.width, at(tops, *slot))]);
        }
        let is_same_column = grid.layer(left) == grid.layer(right);
        points.push((if is_same_column { to.x + to.width } else { to.x }, right_port));
        routes.push(Route { points, backward: *needed == right });
    }
    routes
}

/// For each edge the heights at which it leaves the left box and arrives at the right one: spread over the boxes' sides
/// in the order in which the edges come in.
fn ports(grid: &Grid, boxes: &[Rect], tops: &[f64]) -> Vec<(f64, f64)> {
    let centre = |vertex: usize| at(tops, vertex) + boxes.get(vertex).map_or(0.0, |place| place.height / 2.0);
    let mut ports = vec![(0.0, 0.0); grid.chains.len()];
    let mut sides: Vec<[Vec<(f64, usize)>; 2]> = vec![Default::default(); boxes.len()];
    for (edge, chain) in grid.chains.iter().enumerate() {
        let ends = [(chain.first(), chain.get(1)), (chain.last(), chain.iter().rev().nth(1))];
        for (side, (end, next)) in ends.into_iter().enumerate() {
            let (Some(&end), Some(&next)) = (end, next) else { continue };
            // In a circle within one column both ends are on the right.
            let side = if grid.layer(end) == grid.layer(next) { 0 } else { side };
            if let Some(list) = sides.get_mut(end).and_then(|sides| sides.get_mut(side)) {
                list.push((centre(next), edge));
            }
        }
    }
    for (index, (sides, place)) in sides.iter_mut().zip(boxes).enumerate() {
        for list in sides.iter_mut() {
            list.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let step = place.height / (as_f64(list.len()) + 1.0);
            for (rank, (_, edge)) in list.iter().enumerate() {
                let y = place.y + step * (as_f64(rank) + 1.0);
                let is_left_end = grid.chains.get(*edge).and_then(|chain| chain.first()) == Some(&index);
                if let Some(port) = ports.get_mut(*edge) {
                    if is_left_end { port.0 = y } else { port.1 = y }
                }
            }
        }
    }
    ports
}

/// The value at `index`, which is always there; nothing is worth a panic in a picture.
fn at<T: Copy + Default>(values: &[T], index: usize) -> T {
    values.get(index).copied().unwrap_or_default()
}

fn as_f64(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests;
