//! What readers made of ranges of a base, such as blocks unpacked. An image is read when it is planned for and when its result
//! is checked: what lies there as it lay need not be unpacked again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Result;

/// Most bytes that are kept; what was made first goes first.
const MOST: usize = 16 << 20;

/// How something is made of bytes: what makes it, and the limits that it keeps.
pub(crate) type Way = (&'static str, u32, u32);

/// First byte and length of a range, and the way.
type Key = (u64, u64, Way);

/// What was made. Nothing is left half done in it.
#[derive(Default)]
pub(super) struct Made(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    made: BTreeMap<Key, Arc<[u8]>>,
    order: VecDeque<Key>,
    bytes: usize,
}

impl Made {
    /// What is made of the range that `key` tells: by `make`, where it is not kept.
    ///
    /// # Errors
    /// Those of `make`.
    pub(super) fn get(&self, key: Key, make: impl FnOnce() -> Result<Vec<u8>>) -> Result<Arc<[u8]>> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = lock().made.get(&key) {
            return Ok(Arc::clone(made));
        }
        // Others may make the same meanwhile; nobody waits.
        let made: Arc<[u8]> = make()?.into();
        lock().keep(key, &made);
        Ok(made)
    }
}

impl Kept {
    fn keep(&mut self, key: Key, made: &Arc<[u8]>) {
        if made.len() > MOST || self.made.insert(key, Arc::clone(made)).is_some() {
            return;
        }
        self.order.push_back(key);
        self.bytes += made.len();
        while self.bytes > MOST {
            let Some(oldest) = self.order.pop_front() else { return };
            let gone = self.made.remove(&oldest).map_or(0, |made| made.len());
            self.bytes = self.bytes.saturating_sub(gone);
        }
    }
}
