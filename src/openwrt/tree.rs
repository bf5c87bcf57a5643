//! A snapshot of a root filesystem: every path with its metadata, and the content of those files that were asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::filesystem::Metadata;

/// One path of the snapshot.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Type, permissions, size, link target.
    pub(crate) metadata: Metadata,
    /// Content, where it was loaded.
    pub(crate) content: Option<Arc<[u8]>>,
}

/// The snapshot. Keys are absolute paths without a trailing slash; the root itself is `/`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tree {
    /// Path → what is there; links are not followed.
    pub(crate) nodes: BTreeMap<String, Node>,
}
