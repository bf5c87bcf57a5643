//! fwtool trailers: chunks appended behind an image, parsed from the end of the file backwards.

use serde::Serialize;

/// What a trailer chunk carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TrailerKind {
    /// A ucert chain, or the `# fake certificate` of official builds.
    Signature,
    /// JSON metadata.
    Info,
    /// Another type number.
    Other(u8),
}

/// One fwtool chunk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Trailer {
    /// What it carries.
    pub(crate) kind: TrailerKind,
    /// Payload length in bytes.
    pub(crate) payload_length: u64,
    /// Whether its CRC matches the file up to it.
    pub(crate) crc_matches: bool,
}
