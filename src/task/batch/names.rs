//! What lies in a batch's folder beside the outputs, by name. Every shard has lists of its own.

use super::shard::Shard;

/// Holds the lock while somebody is at work in the folder.
pub(super) const LOCK: &str = ".ibwrt-batch.lock";

/// A kind of list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    /// What became of every host.
    Report,
    /// The outputs' digests, as `sha256sum` checks them.
    Sums,
    /// One line per output that was finished, for the run after one that was killed.
    Journal,
}

impl List {
    const ALL: [Self; 3] = [Self::Report, Self::Sums, Self::Journal];

    /// What its name begins and ends with. The label of a shard stands between, behind a point.
    const fn around(self) -> (&'static str, &'static str) {
        match self {
            Self::Report => ("report", ".json"),
            Self::Sums => ("sha256sums", ""),
            Self::Journal => (".ibwrt-batch", ".jsonl"),
        }
    }

    /// Its name, in a run over `shard`, or over all hosts.
    pub(super) fn name(self, shard: Option<Shard>) -> String {
        let (front, ending) = self.around();
        match shard {
            Some(shard) => format!("{front}.{}{ending}", shard.label()),
            None => format!("{front}{ending}"),
        }
    }

    /// Which list of which shard has this name.
    pub(super) fn of_name(name: &str) -> Option<(Self, Option<Shard>)> {
        Self::ALL.into_iter().find_map(|list| {
            let (front, ending) = list.around();
            let inner = name.strip_prefix(front)?.strip_suffix(ending)?;
            match inner.strip_prefix('.') {
                Some(label) => Some((list, Some(Shard::from_label(label)?))),
                None => inner.is_empty().then_some((list, None)),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_known_by_its_name_and_nothing_else_is() {
        let shard = Shard::new(2, 4).ok();
        assert_eq!(List::Sums.name(shard), "sha256sums.2-of-4");
        for list in List::ALL {
            for shard in [None, shard] {
                assert_eq!(List::of_name(&list.name(shard)), Some((list, shard)));
            }
        }
        for name in ["report.5-of-4.json", "report..json", "sha256sums.sig", "sha256sums.", "h1.img.gz", LOCK, ""] {
            assert_eq!(List::of_name(name), None, "{name}");
        }
    }
}
