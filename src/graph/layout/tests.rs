use super::order::crossings;
use super::*;

const SIZE: Size = Size { width: 100.0, height: 40.0 };

/// Numbers from a linear congruential generator.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

fn overlap(a: &Rect, b: &Rect) -> bool {
    a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height
}

#[test]
fn a_box_stands_right_of_everything_it_needs() {
    // 2 needs 1 and 0, 1 needs 0; 3 needs nothing.
    let placement = layout(&[SIZE; 4], &[(2, 1), (1, 0), (2, 0)]);
    assert_eq!(placement.layers, [0, 1, 2, 0]);
    let x: Vec<f64> = placement.boxes.iter().map(|place| place.x).collect();
    assert!(x[0] < x[1] && x[1] < x[2] && x[3] == x[0], "{x:?}");
}

#[test]
fn edges_begin_and_end_at_the_sides_of_their_boxes() {
    let placement = layout(&[SIZE; 3], &[(2, 1), (1, 0), (2, 0)]);
    for (route, (from, to)) in placement.routes.iter().zip([(2, 1), (1, 0), (2, 0)]) {
        let (from, to): (Rect, Rect) = (placement.boxes[from], placement.boxes[to]);
        let (first, last) = (route.points[0], route.points[route.points.len() - 1]);
        assert!(!route.backward);
        assert_eq!((first.0, last.0), (to.x + to.width, from.x));
        assert!(first.1 > to.y && first.1 < to.y + to.height && last.1 > from.y && last.1 < from.y + from.height);
    }
    assert_eq!(placement.routes[2].points.len(), 4, "the long edge has a slot in the column between");
}

#[test]
fn crossed_edges_are_uncrossed() {
    // 3 needs 2, 4 needs 1, 5 needs 0: in the order of the indices all cross.
    let edges = [(3, 2), (4, 1), (5, 0)];
    let mut grid = Grid::new(&[SIZE; 6], &[0, 0, 0, 1, 1, 1], &edges);
    assert_eq!(crossings(&grid), 3);
    order::reduce_crossings(&mut grid);
    assert_eq!(crossings(&grid), 0);
}

#[test]
fn circles_and_self_needs_end() {
    let placement = layout(&[SIZE; 3], &[(0, 1), (1, 2), (2, 0), (1, 1)]);
    assert_eq!(placement.layers, [0, 2, 1]);
    assert!(placement.routes[0].backward, "0 is left of 1, which it needs");
    let both = layout(&[SIZE; 2], &[(0, 1), (1, 0)]);
    assert_eq!(both.layers, [0, 1]);
    assert_eq!(layout(&[], &[]).size, Size::default());
}

#[test]
fn no_two_boxes_overlap_and_no_edge_passes_through_a_box() {
    for seed in 0..60 {
        let mut dice = Dice(seed);
        let count = 1 + dice.below(40);
        let sizes: Vec<Size> = (0..count)
            .map(|_| Size { width: 60.0 + dice.below(90) as f64, height: 30.0 + dice.below(60) as f64 })
            .collect();
        let mut edges: Vec<(usize, usize)> =
            (0..dice.below(3 * count)).map(|_| (dice.below(count), dice.below(count))).collect();
        edges.retain(|(from, to)| from != to);
        edges.sort_unstable();
        edges.dedup();
        let placement = layout(&sizes, &edges);
        assert_eq!(placement, layout(&sizes, &edges), "seed {seed}: the same every time");
        for (i, a) in placement.boxes.iter().enumerate() {
            assert!(a.x >= 0.0 && a.y >= 0.0, "seed {seed}");
            assert!(a.x + a.width <= placement.size.width && a.y + a.height <= placement.size.height + 1e-6);
            for b in &placement.boxes[i + 1..] {
                assert!(!overlap(a, b), "seed {seed}: {a:?} {b:?}");
            }
            let straight = placement.routes.iter().flat_map(|route| route.points.get(1..route.points.len() - 1));
            for piece in straight.flat_map(|points| points.chunks_exact(2)) {
                let ((from, y), (to, _)) = (piece[0], piece[1]);
                let line = Rect { x: from, y, width: to - from, height: 0.0 };
                assert!(!overlap(a, &line), "seed {seed}: {a:?} {line:?}");
            }
        }
    }
}
