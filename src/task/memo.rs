//! Answers that many plans ask for, worked out once each.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::error::Result;

/// An answer that is being worked out, or known.
type Slot<V> = Arc<OnceLock<Result<Arc<V>>>>;

/// Answers by question. Whoever asks what another is working out waits for it, so `make` must not ask the same.
#[derive(Debug)]
pub(super) struct Memo<K, V>(Mutex<BTreeMap<K, Slot<V>>>);

impl<K, V> Default for Memo<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Ord, V> Memo<K, V> {
    /// The answer to `question`, made by `make` if nobody asked before.
    ///
    /// # Errors
    /// Those of `make`, each time.
    pub(super) fn get(&self, question: K, make: impl FnOnce() -> Result<V>) -> Result<Arc<V>> {
        let slot = {
            // Nothing is left half done in it.
            let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(slots.entry(question).or_default())
        };
        match slot.get_or_init(|| make().map(Arc::new)) {
            Ok(answer) => Ok(Arc::clone(answer)),
            Err(error) => Err(error.again()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn a_question_is_worked_out_once_and_its_error_told_each_time() {
        let memo = Memo::<u8, u8>::default();
        assert_eq!(*memo.get(1, || Ok(10)).unwrap(), 10);
        assert_eq!(*memo.get(1, || panic!("worked out twice")).unwrap(), 10);
        assert_eq!(memo.get(2, || Err(Error::usage("no").at("x").remedy("r"))).unwrap_err().to_string(), "x: no");
        let error = memo.get(2, || panic!("worked out twice")).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.remedy_text()), ("x: no", Some("r")));
    }
}
