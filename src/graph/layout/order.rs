//! The order within the columns: each vertex goes to the mean place of its neighbours, back and forth; the order with
//! the fewest crossings stays.

use super::grid::Grid;
use super::{as_f64, at};

/// Times that all columns are gone through.
const PASSES: usize = 24;

/// Orders every column.
pub(super) fn reduce_crossings(grid: &mut Grid) {
    let mut best = (crossings(grid), grid.columns.clone());
    let mut ranks = ranks(grid);
    for pass in 0..PASSES {
        if best.0 == 0 {
            break;
        }
        let rightward = pass % 2 == 0;
        let depth = grid.columns.len();
        for step in 0..depth {
            sort(grid, if rightward { step } else { depth - 1 - step }, rightward, &mut ranks);
        }
        let found = crossings(grid);
        if found < best.0 {
            best = (found, grid.columns.clone());
        }
    }
    grid.columns = best.1;
}

/// Sorts one column by its neighbours on the left (`rightward`) or on the right; those without stay where they are.
fn sort(grid: &mut Grid, column: usize, rightward: bool, ranks: &mut [usize]) {
    let neighbours = if rightward { &grid.left } else { &grid.right };
    let Some(vertices) = grid.columns.get(column) else { return };
    let mut keyed: Vec<(f64, usize)> = vertices
        .iter()
        .map(|&vertex| {
            let near = neighbours.get(vertex).map_or(&[][..], Vec::as_slice);
            let sum: f64 = near.iter().map(|&other| as_f64(at(ranks, other))).sum();
            let own = as_f64(at(ranks, vertex));
            (if near.is_empty() { own } else { sum / as_f64(near.len()) }, vertex)
        })
        .collect();
    keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
    if let Some(vertices) = grid.columns.get_mut(column) {
        *vertices = keyed.into_iter().map(|(_, vertex)| vertex).collect();
        note_ranks(vertices, ranks);
    }
}

/// By vertex: its rank within its column.
fn ranks(grid: &Grid) -> Vec<usize> {
    let mut ranks = vec![0; grid.len()];
    for column in &grid.columns {
        note_ranks(column, &mut ranks);
    }
    ranks
}

fn note_ranks(column: &[usize], ranks: &mut [usize]) {
    for (rank, &vertex) in column.iter().enumerate() {
        if let Some(slot) = ranks.get_mut(vertex) {
            *slot = rank;
        }
    }
}

/// How many pairs of edges cross.
pub(super) fn crossings(grid: &Grid) -> usize {
    let ranks = ranks(grid);
    let mut total = 0_usize;
    for column in &grid.columns {
        let mut ends: Vec<usize> = Vec::new();
        for &vertex in column {
            let near = grid.right.get(vertex).into_iter().flatten();
            let mut own: Vec<usize> = near.map(|&other| at(&ranks, other)).collect();
            own.sort_unstable();
            ends.extend(own);
        }
        total = total.saturating_add(inversions(&ends));
    }
    total
}

/// How many pairs stand in the wrong order, counted with a Fenwick tree.
fn inversions(values: &[usize]) -> usize {
    let size = values.iter().max().map_or(0, |greatest| greatest.saturating_add(1));
    let mut tree = vec![0_usize; size.saturating_add(1)];
    let mut total = 0_usize;
    for (seen, &value) in values.iter().enumerate() {
        // Those seen so far that are not greater.
        let mut smaller = 0_usize;
        let mut index = value.saturating_add(1);
        while index > 0 {
            smaller = smaller.saturating_add(at(&tree, index));
            index &= index - 1;
        }
        total = total.saturating_add(seen.saturating_sub(smaller));
        let mut index = value.saturating_add(1);
        while let Some(sum) = tree.get_mut(index) {
            *sum = sum.saturating_add(1);
            index = index.saturating_add(index & index.wrapping_neg());
        }
    }
    total
}
