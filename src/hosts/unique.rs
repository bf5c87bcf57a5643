//! What no two hosts may share: names, addresses, output files, identifiers of disks.

use std::collections::BTreeMap;

use crate::error::{Error, Result};

/// What has been claimed so far.
#[derive(Debug, Default)]
pub(crate) struct Unique {
    /// What it is and its value, with the host that has it and where that is written.
    claimed: BTreeMap<(&'static str, String), (String, String)>,
}

impl Unique {
    /// Claims `value`, which is `what` (with its article), for the host `host`, written at `place`.
    ///
    /// # Errors
    /// Usage when another host has it, naming both.
    pub(crate) fn claim(&mut self, what: &'static str, value: &str, host: &str, place: &str) -> Result<()> {
        let claim = (host.to_owned(), place.to_owned());
        match self.claimed.insert((what, value.to_owned()), claim) {
            Some((other, there)) if other != host || there != place => Err(Error::usage(format!(
                "hosts `{other}` and `{host}` both have {what} {value}; `{other}` is at {there}"
            ))
            .at(place)
            .remedy("no two hosts may share it: say it differently for one of them")),
            _ => Ok(()),
        }
    }
}
