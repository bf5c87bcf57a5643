//! The heights at which the vertices stand: each column as near to its neighbours' as its order and the gaps allow.

use super::at;
use super::grid::Grid;

/// Pixels between two boxes, between a box and a passing edge, and between two passing edges.
const GAPS: [f64; 3] = [20.0, 13.0, 8.0];
/// Times that all columns are gone through.
const PASSES: usize = 16;

/// By vertex: its top edge; the topmost is 0.
pub(super) fn tops(grid: &Grid) -> Vec<f64> {
    let mut tops = vec![0.0; grid.len()];
    for column in &grid.columns {
        let wishes: Vec<Wish> = column.iter().map(|_| Wish { top: 0.0, weight: 1.0 }).collect();
        place(grid, column, &wishes, &mut tops);
    }
    for pass in 0..PASSES {
        // The last passes look at both sides.
        let sides = if pass + 4 >= PASSES { (true, true) } else { (pass % 2 == 0, pass % 2 == 1) };
        let depth = grid.columns.len();
        for step in 0..depth {
            let index = if pass % 2 == 0 { step } else { depth - 1 - step };
            let Some(column) = grid.columns.get(index) else { continue };
            let wishes: Vec<Wish> = column.iter().map(|&vertex| wish(grid, vertex, sides, &tops)).collect();
            place(grid, column, &wishes, &mut tops);
        }
    }
    let topmost = tops.iter().copied().fold(f64::INFINITY, f64::min);
    tops.iter_mut().for_each(|top| *top -= topmost);
    tops
}

/// Where a vertex would like to stand, and how much.
#[derive(Debug, Clone, Copy)]
struct Wish {
    top: f64,
    weight: f64,
}

/// Its centre at the mean of its neighbours' centres; edges that pass weigh more, so that they run straight.
fn wish(grid: &Grid, vertex: usize, (left, right): (bool, bool), tops: &[f64]) -> Wish {
    let of = |lists: &[Vec<usize>], wanted: bool| -> Vec<usize> {
        lists.get(vertex).filter(|_| wanted).cloned().unwrap_or_default()
    };
    let (mut sum, mut total) = (0.0, 0.0);
    for other in of(&grid.left, left).into_iter().chain(of(&grid.right, right)) {
        let weight = match (grid.is_slot(vertex), grid.is_slot(other)) {
            (true, true) => 6.0,
            (false, false) => 1.0,
            _ => 2.0,
        };
        sum += weight * (at(tops, other) + grid.height(other) / 2.0);
        total += weight;
    }
    if total == 0.0 {
        return Wish { top: at(tops, vertex), weight: 0.2 };
    }
    Wish { top: sum / total - grid.height(vertex) / 2.0, weight: total }
}

/// Grants the wishes of a column with the least squared deviation that keeps order and gaps: shifted by what must lie
/// above each vertex, that is a regression to a rising sequence (pool adjacent violators).
fn place(grid: &Grid, column: &[usize], wishes: &[Wish], tops: &mut [f64]) {
    let offsets = offsets(grid, column);
    // Mean, weight and number of the vertices pooled so far.
    let mut pools: Vec<(f64, f64, usize)> = Vec::new();
    for (wish, offset) in wishes.iter().zip(&offsets) {
        let mut pool = (wish.top - offset, wish.weight, 1_usize);
        while let Some(&(mean, weight, count)) = pools.last().filter(|last| last.0 > pool.0) {
            let both = weight + pool.1;
            pool = ((mean * weight + pool.0 * pool.1) / both, both, count.saturating_add(pool.2));
            pools.pop();
        }
        pools.push(pool);
    }
    let granted = pools.iter().flat_map(|(mean, _, count)| std::iter::repeat_n(*mean, *count));
    for ((vertex, offset), value) in column.iter().zip(&offsets).zip(granted) {
        if let Some(top) = tops.get_mut(*vertex) {
            *top = value + offset;
        }
    }
}

/// How far below the first vertex of the column each must be at least.
fn offsets(grid: &Grid, column: &[usize]) -> Vec<f64> {
    let mut offsets = Vec::with_capacity(column.len());
    let mut below = 0.0;
    let mut last: Option<usize> = None;
    for &vertex in column {
        if let Some(last) = last {
            let gap = match (grid.is_slot(last), grid.is_slot(vertex)) {
                (false, false) => 0,
                (true, true) => 2,
                _ => 1,
            };
            below += grid.height(last) + at(&GAPS, gap);
        }
        offsets.push(below);
        last = Some(vertex);
    }
    offsets
}
