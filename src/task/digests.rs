//! Digests of contents that many plans share, worked out once each.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::digest::sha256_hex;

/// Shorter contents, in bytes, are not worth remembering.
const SHORTEST: usize = 16 << 10;
/// Contents that are remembered before those that nobody holds any more are forgotten.
const FEW: usize = 256;

/// Contents by their place in memory, which is nobody else's as long as they are remembered.
type Known = BTreeMap<(usize, usize), (Weak<[u8]>, String)>;

/// The digests.
#[derive(Debug, Default)]
pub(super) struct Digests(Mutex<Known>);

impl Digests {
    /// SHA-256 of `content`, 64 lower-case hex digits.
    pub(super) fn of(&self, content: &Arc<[u8]>) -> String {
        if content.len() < SHORTEST {
            return sha256_hex(content);
        }
        let key = (content.as_ptr().addr(), content.len());
        let known = |known: &Known| {
            let (weak, digest) = known.get(&key)?;
            weak.upgrade().is_some_and(|own| Arc::ptr_eq(&own, content)).then(|| digest.clone())
        };
        if let Some(digest) = known(&self.0.lock().unwrap_or_else(PoisonError::into_inner)) {
            return digest;
        }
        let digest = sha256_hex(content);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= FEW && all.len().is_power_of_two() {
            all.retain(|_, (weak, _)| weak.strong_count() > 0);
        }
        all.insert(key, (Arc::downgrade(content), digest.clone()));
        digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_has_its_own_digest_wherever_it_lies() {
        let digests = Digests::default();
        for round in 0..1000_u32 {
            let content: Arc<[u8]> = vec![round as u8; SHORTEST + round as usize % 3].into();
            assert_eq!(digests.of(&content), sha256_hex(&content), "round {round}");
            assert_eq!(digests.of(&Arc::clone(&content)), sha256_hex(&content));
        }
        assert!(digests.0.lock().unwrap().len() <= 2 * FEW, "what nobody holds is forgotten");
    }
}
