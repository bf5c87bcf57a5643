//! Which edits are carried out once for many hosts. Plans of one batch begin alike, some of them for longer than others: what is
//! chosen here is how far the ground reaches that a host stands on. A bad choice costs time and nothing else.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Plans that are remembered, to hold the next ones against.
const REMEMBERED: usize = 32;
/// Beginnings of which it is remembered what their lack cost, before all are forgotten.
const REGRETTED: usize = 256;
/// What a ground costs besides its edits, in bytes of edits: all of the image is read once for it.
const COST: u64 = 8 << 20;
/// What a ground takes in memory besides its edits, in bytes.
const SIZE: u64 = 4 << 20;
/// Bytes that grounds take in all, where there are several.
const MOST: u64 = 64 << 20;
/// A ground that so many hosts in turn did not ask for is no longer in use.
const UNUSED: u64 = 24;

/// A digest over the beginning of a plan and the image that it is for.
pub(super) type Beginning = [u8; 32];

/// A plan by its beginnings.
#[derive(Debug, Clone)]
pub(super) struct Chain {
    /// Number `k`: the first `k` edits, and what carrying them out costs, in bytes.
    beginnings: Vec<(Beginning, u64)>,
}

impl Chain {
    /// Of `beginnings`, from that without edits on, each with the bytes of its edits.
    pub(super) fn new(beginnings: Vec<(Beginning, u64)>) -> Self {
        Self { beginnings }
    }

    fn cost(&self, count: usize) -> u64 {
        self.beginnings.get(count).map_or(0, |(_, cost)| *cost)
    }

    /// How many edits both have in common; `None` when they are not even for one image.
    fn common(&self, other: &Self) -> Option<usize> {
        let pairs = self.beginnings.iter().zip(&other.beginnings);
        pairs.take_while(|((one, _), (other, _))| one == other).count().checked_sub(1)
    }
}

/// A ground that is being laid, or lies; `None` inside where it cannot be laid.
type Slot<G> = Arc<OnceLock<Option<Arc<G>>>>;

/// The grounds, laid as they are asked for.
#[derive(Debug)]
pub(super) struct Choice<G>(Mutex<State<G>>);

#[derive(Debug)]
struct State<G> {
    /// The plans met last, each with the number of its host.
    recent: VecDeque<(usize, Chain)>,
    /// Beginning → what it cost so far that there is no ground that reaches as far.
    regrets: BTreeMap<Beginning, u64>,
    lying: BTreeMap<Beginning, Lying<G>>,
    /// How many hosts asked.
    asked: u64,
}

#[derive(Debug)]
struct Lying<G> {
    slot: Slot<G>,
    /// When it was asked for last.
    asked: u64,
    /// What laying it costs.
    cost: u64,
}

impl<G> Lying<G> {
    fn new(cost: u64) -> Self {
        Self { slot: Slot::default(), asked: 0, cost }
    }

    /// Bytes that it takes: in the edits, on the disk and compressed.
    fn size(&self) -> u64 {
        SIZE.saturating_add(self.cost.saturating_mul(2))
    }
}

impl<G> Default for Choice<G> {
    fn default() -> Self {
        let (recent, regrets, lying) = (VecDeque::new(), BTreeMap::new(), BTreeMap::new());
        Self(Mutex::new(State { recent, regrets, lying, asked: 0 }))
    }
}

impl<G> Choice<G> {
    /// Remembers the plan of the host with the number `host`.
    pub(super) fn meet(&self, host: usize, chain: &Chain) {
        self.state().meet(host, chain);
    }

    /// The ground for the host with the number `host`, and how many edits of its plan are in it, laid by `lay` with the number of
    /// edits if need be. `None` where none is worth its cost, or none can be laid: such a host is made by itself.
    pub(super) fn ground(
        &self,
        host: usize,
        chain: &Chain,
        lay: impl FnOnce(usize) -> Option<G>,
    ) -> Option<(Arc<G>, usize)> {
        let (count, slot) = {
            let mut state = self.state();
            let count = state.choose(host, chain);
            state.meet(host, chain);
            let count = count?;
            (count, state.slot(chain, count)?)
        };
        // Whoever asks for what another is laying waits for it.
        let ground = slot.get_or_init(|| lay(count).map(Arc::new));
        ground.as_ref().map(|ground| (Arc::clone(ground), count))
    }

    fn state(&self) -> MutexGuard<'_, State<G>> {
        // Nothing is left half done in it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<G> State<G> {
    fn meet(&mut self, host: usize, chain: &Chain) {
        self.recent.retain(|(known, _)| *known != host);
        self.recent.push_back((host, chain.clone()));
        if self.recent.len() > REMEMBERED {
            self.recent.pop_front();
        }
    }

    /// How far the ground is to reach. One that lies is used until the lack of a further one has cost as much as that one will:
    /// so whatever hosts come, and in whatever order, choosing costs at most about twice as much as it could. What another
    /// host begins with as well is thought worth having; what only one does, is not.
    fn choose(&mut self, host: usize, chain: &Chain) -> Option<usize> {
        self.asked += 1;
        let lies = |(beginning, _): &(Beginning, u64)| self.lying.contains_key(beginning);
        let lying = chain.beginnings.iter().rposition(lies);
        let others = self.recent.iter().filter(|(other, _)| *other != host);
        let common = others.filter_map(|(_, other)| chain.common(other)).max();
        let (Some(lying), Some(common)) = (lying, common) else {
            return lying.or_else(|| common.filter(|common| self.make_room(chain.cost(*common))));
        };
        let Some((beginning, cost)) = chain.beginnings.get(common).filter(|_| common > lying).copied() else {
            return Some(lying);
        };
        let regret = self.regrets.get(&beginning).copied().unwrap_or(0).saturating_add(cost - chain.cost(lying));
        if regret >= cost.saturating_add(COST) && self.make_room(cost) {
            self.regrets.remove(&beginning);
            return Some(common);
        }
        if self.regrets.len() >= REGRETTED {
            self.regrets.clear();
        }
        self.regrets.insert(beginning, regret);
        Some(lying)
    }

    /// Gives up grounds for one of the cost `cost`, as long as all would take too much: those that are no longer in use, and those
    /// that are worth less than half. They last as long as a host stands on them. Whether that makes room enough; were those in
    /// use given up for their like, each of many groups in turn would find its own gone.
    fn make_room(&mut self, cost: u64) -> bool {
        let new = Lying::<G>::new(cost);
        while !self.lying.is_empty() && self.lying.values().map(Lying::size).sum::<u64>() + new.size() > MOST {
            let is_unused = |lying: &Lying<G>| self.asked - lying.asked >= UNUSED;
            let is_worth_less = |lying: &Lying<G>| lying.cost.saturating_add(COST) <= cost.saturating_add(COST) / 2;
            let candidates = self.lying.iter().filter(|(_, lying)| is_unused(lying) || is_worth_less(lying));
            let Some(oldest) = candidates.min_by_key(|(_, lying)| lying.asked).map(|(beginning, _)| *beginning) else {
                return false;
            };
            self.lying.remove(&oldest);
        }
        true
    }

    /// Where the ground with the first `count` edits lies, or will.
    fn slot(&mut self, chain: &Chain, count: usize) -> Option<Slot<G>> {
        let (beginning, cost) = chain.beginnings.get(count)?;
        let lying = self.lying.entry(*beginning).or_insert_with(|| Lying::new(*cost));
        lying.asked = self.asked;
        Some(Arc::clone(&lying.slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A plan of edits with these names and costs.
    fn chain(edits: &[(&str, u64)]) -> Chain {
        let mut beginnings = vec![([0; 32], 0)];
        for (number, (_, cost)) in edits.iter().enumerate() {
            let names: String = edits[..=number].iter().map(|(name, _)| *name).collect();
            let digest = crate::digest::sha256_hex(names.as_bytes());
            let (_, before) = beginnings[number];
            beginnings.push((digest.as_bytes()[..32].try_into().unwrap(), before + cost));
        }
        Chain::new(beginnings)
    }

    /// A number of edits each: what a ground is here, and what was laid.
    #[derive(Default)]
    struct Batch {
        choice: Choice<usize>,
        laid: Vec<usize>,
        hosts: usize,
    }

    impl Batch {
        fn host(&mut self, edits: &[(&str, u64)]) -> Option<usize> {
            self.hosts += 1;
            let laid = &mut self.laid;
            let ground = self.choice.ground(self.hosts, &chain(edits), |count| {
                laid.push(count);
                Some(count)
            });
            ground.map(|(ground, count)| {
                assert_eq!(*ground, count);
                count
            })
        }
    }

    const MODULES: (&str, u64) = ("modules", 4 << 20);

    #[test]
    fn hosts_stand_on_all_that_another_begins_with_as_well() {
        let mut batch = Batch::default();
        assert_eq!(batch.host(&[MODULES, ("tools", 9), ("h0", 9)]), None, "of one host nobody knows what is common");
        for host in ["h1", "h2", "h3"] {
            assert_eq!(batch.host(&[MODULES, ("tools", 9), (host, 9), ("more", 9)]), Some(2));
        }
        assert_eq!(batch.laid, [2]);
    }

    #[test]
    fn who_met_others_before_stands_on_a_ground_from_the_first_on() {
        let mut batch = Batch::default();
        for (host, name) in [(1, "h1"), (2, "h2")] {
            batch.choice.meet(host, &chain(&[MODULES, (name, 9)]));
        }
        assert_eq!((batch.host(&[MODULES, ("h1", 9)]), batch.host(&[MODULES, ("h2", 9)])), (Some(1), Some(1)));
        assert_eq!(batch.laid, [1]);
    }

    #[test]
    fn an_odd_host_breaks_the_ground_of_nobody() {
        let mut batch = Batch::default();
        for host in 0..20 {
            let name = format!("h{host}");
            let odd = [("other modules", 4 << 20), ("tools", 9), (name.as_str(), 9)];
            let usual = [MODULES, ("tools", 9), (name.as_str(), 9)];
            match host {
                7 => assert_eq!(batch.host(&odd), Some(0), "it has the image in common"),
                0 => assert_eq!(batch.host(&usual), None),
                _ => assert_eq!(batch.host(&usual), Some(2)),
            }
        }
        assert_eq!(batch.laid, [2, 0]);
    }

    #[test]
    fn each_of_several_groups_gets_a_ground_once_its_lack_cost_as_much() {
        let mut batch = Batch::default();
        let groups = ["a", "b", "c"].map(|name| (name, 4 << 20));
        let mut stand = Vec::new();
        for host in 0..60 {
            let name = format!("h{host}");
            stand.push(batch.host(&[("same", 9), groups[host % 3], (name.as_str(), 9)]));
        }
        assert!(stand[30..].iter().all(|count| *count == Some(2)), "{stand:?}");
        assert_eq!(batch.laid, [1, 2, 2, 2]);
    }

    #[test]
    fn what_saves_little_is_not_laid_however_many_have_it() {
        let mut batch = Batch::default();
        for host in 0..400 {
            let (rack, name) = (format!("rack{}", host / 4), format!("h{host}"));
            batch.host(&[MODULES, (rack.as_str(), 300_000), (name.as_str(), 9)]);
        }
        assert!(batch.laid.len() <= 2, "{:?}", batch.laid);
    }

    #[test]
    fn grounds_take_no_more_memory_the_more_of_them_are_asked_for() {
        let mut batch = Batch::default();
        for host in 0..2000 {
            let (group, name) = (format!("group{}", host / 20), format!("h{host}"));
            batch.host(&[("same", 9), (group.as_str(), 7 << 20), (name.as_str(), 9)]);
            let state = batch.choice.state();
            let size: u64 = state.lying.values().map(Lying::size).sum();
            assert!(size <= MOST && state.recent.len() <= REMEMBERED && state.regrets.len() <= REGRETTED);
        }
        assert!(batch.laid.len() > 90, "each group got its own: {}", batch.laid.len());
        // One that is larger than all may be is laid all the same, and alone.
        for name in ["a", "b", "c", "d"] {
            batch.host(&[("huge", 1 << 30), (name, 9)]);
        }
        assert_eq!(batch.laid.last(), Some(&1));
        assert_eq!(batch.choice.state().lying.len(), 1);
    }

    #[test]
    fn grounds_in_use_are_not_given_up_for_their_like() {
        let mut batch = Batch::default();
        let mut stand = Vec::new();
        for host in 0..600 {
            let (group, name) = (format!("group{}", host % 12), format!("h{host}"));
            stand.push(batch.host(&[("same", 9), (group.as_str(), 7 << 20), (name.as_str(), 9)]));
        }
        assert!(batch.laid.len() <= 4, "as many as there is room for, once: {:?}", batch.laid);
        assert!(stand.iter().skip(1).all(Option::is_some));
        assert!(stand[300..].iter().filter(|count| **count == Some(2)).count() >= 300 / 12 * 3);
    }

    #[test]
    fn a_ground_that_cannot_be_laid_is_tried_once() {
        let choice = Choice::<usize>::default();
        let mut tries = 0;
        for host in 0..5 {
            let name = format!("h{host}");
            let ground = choice.ground(host, &chain(&[MODULES, (name.as_str(), 9)]), |_| {
                tries += 1;
                None
            });
            assert!(ground.is_none());
        }
        assert_eq!(tries, 1);
    }
}
