//! The column of each box: the length of the longest path of needs.

use std::collections::BTreeSet;

/// By box: 0 where nothing is needed, else one more than the greatest of those needed. Circles are opened at the box
/// that lacks least.
pub(super) fn assign(count: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut users = vec![Vec::new(); count];
    let mut lacking = vec![0_usize; count];
    for &(from, to) in edges {
        if let (true, Some(list), Some(lacks)) = (from != to, users.get_mut(to), lacking.get_mut(from)) {
            list.push(from);
            *lacks = lacks.saturating_add(1);
        }
    }
    let mut layers = vec![0_usize; count];
    // The least lacking first, then the lowest index.
    let mut waiting: BTreeSet<(usize, usize)> =
        lacking.iter().enumerate().map(|(index, lacks)| (*lacks, index)).collect();
    while let Some((_, index)) = waiting.pop_first() {
        let next = layers.get(index).map_or(0, |layer| layer.saturating_add(1));
        for &user in users.get(index).into_iter().flatten() {
            let Some(lacks) = lacking.get_mut(user) else { continue };
            // A user that has its place already is part of a circle.
            if !waiting.remove(&(*lacks, user)) {
                continue;
            }
            *lacks = lacks.saturating_sub(1);
            waiting.insert((*lacks, user));
            if let Some(layer) = layers.get_mut(user) {
                *layer = next.max(*layer);
            }
        }
    }
    layers
}
