//! Of what a disk's identifiers are made: `--rekey` and the key `rekey`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Recipe;
use crate::error::{Error, Result};

/// What the recipe says of `rekey`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum RekeyInput {
    /// Whether, made of the host's name.
    Asked(bool),
    /// Made of this text.
    Seed(String),
}

/// What is wished of the disk's identifiers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rekey {
    /// Others, made of the host's name.
    ByName,
    /// Others, made of this text.
    BySeed(String),
}

impl RekeyInput {
    /// What it wishes; `true` and `false` may be text, as they are in CSV.
    pub(super) fn wish(self) -> Option<Rekey> {
        match self {
            Self::Asked(asked) => asked.then_some(Rekey::ByName),
            Self::Seed(text) if text == "true" => Some(Rekey::ByName),
            Self::Seed(text) if text == "false" => None,
            Self::Seed(text) => Some(Rekey::BySeed(text)),
        }
    }
}

impl Recipe {
    /// The text that the disk's identifiers are made of, where others are wished for.
    ///
    /// # Errors
    /// Usage when it is empty, or when there is no name to make them of.
    pub(crate) fn identity_seed(&self) -> Result<Option<String>> {
        let seed = match &self.rekey {
            None => return Ok(None),
            Some(Rekey::BySeed(seed)) => Some(seed),
            Some(Rekey::ByName) => self.hostname.as_ref(),
        };
        let refuse = |what: &str| {
            let error =
                Error::usage(what).remedy("give a text that only this host has, such as its name: rekey = \"h1\"");
            self.places.locate(error, "rekey")
        };
        match seed.map(|seed| seed.trim()) {
            None => Err(refuse("identifiers are to be made of the host's name, but it has none")),
            Some("") => Err(refuse("identifiers cannot be made of an empty text")),
            Some(seed) => Ok(Some(seed.to_owned())),
        }
    }
}
