//! Boxes and the slots of long edges, column by column.

use super::{Size, at};

/// Most slots altogether; edges beyond that are drawn straight across. A whole OpenWrt takes some hundred.
const MOST_SLOTS: usize = 20_000;

/// Vertices are the boxes, by their index, then the slots.
#[derive(Debug, Clone, Default)]
pub(super) struct Grid {
    /// The vertices of each column, from the top.
    pub(super) columns: Vec<Vec<usize>>,
    /// By edge: its vertices from left to right.
    pub(super) chains: Vec<Vec<usize>>,
    /// By vertex: neighbours in the column before.
    pub(super) left: Vec<Vec<usize>>,
    /// By vertex: neighbours in the column after.
    pub(super) right: Vec<Vec<usize>>,
    /// By vertex: its height.
    heights: Vec<f64>,
    layers: Vec<usize>,
    boxes: usize,
}

impl Grid {
    /// With a slot in every column that an edge passes.
    pub(super) fn new(sizes: &[Size], layers: &[usize], edges: &[(usize, usize)]) -> Self {
        let mut grid = Self {
            heights: sizes.iter().map(|size| size.height).collect(),
            layers: layers.to_vec(),
            boxes: sizes.len(),
            ..Self::default()
        };
        for &(from, to) in edges {
            let (left, right) = if grid.layer(from) < grid.layer(to) { (from, to) } else { (to, from) };
            let mut chain = vec![left];
            let between = grid.layer(left).saturating_add(1)..grid.layer(right);
            let used = grid.layers.len().saturating_sub(grid.boxes);
            if used.saturating_add(between.len()) <= MOST_SLOTS {
                for layer in between {
                    chain.push(grid.layers.len());
                    grid.layers.push(layer);
                    grid.heights.push(0.0);
                }
            }
            chain.push(right);
            grid.chains.push(chain);
        }
        grid.connect();
        grid
    }

    fn connect(&mut self) {
        let depth = self.layers.iter().max().map_or(0, |deepest| deepest.saturating_add(1));
        self.columns = vec![Vec::new(); depth];
        for (vertex, layer) in self.layers.iter().enumerate() {
            if let Some(column) = self.columns.get_mut(*layer) {
                column.push(vertex);
            }
        }
        self.left = vec![Vec::new(); self.layers.len()];
        self.right = vec![Vec::new(); self.layers.len()];
        for (&a, &b) in self.chains.iter().flat_map(|chain| chain.iter().zip(chain.iter().skip(1))) {
            // Neither circles within a column nor edges drawn straight across have a say in the order.
            if self.layers.get(a).map(|layer| layer.saturating_add(1)) != self.layers.get(b).copied() {
                continue;
            }
            if let (Some(right), Some(left)) = (self.right.get_mut(a), self.left.get_mut(b)) {
                right.push(b);
                left.push(a);
            }
        }
    }

    /// The column of a vertex.
    pub(super) fn layer(&self, vertex: usize) -> usize {
        at(&self.layers, vertex)
    }

    /// The height of a vertex; slots have none.
    pub(super) fn height(&self, vertex: usize) -> f64 {
        at(&self.heights, vertex)
    }

    /// Whether it is a slot of a long edge.
    pub(super) fn is_slot(&self, vertex: usize) -> bool {
        vertex >= self.boxes
    }

    /// How many vertices there are.
    pub(super) fn len(&self) -> usize {
        self.layers.len()
    }

    /// How many edges pass between each column and the next.
    pub(super) fn segments_by_gap(&self) -> Vec<usize> {
        let passing = |vertex: &usize| self.right.get(*vertex).map_or(0, Vec::len);
        self.columns.iter().map(|column| column.iter().map(passing).sum()).collect()
    }
}
