//! How long steps tell the outside how far they are. The command line draws it; tests and pipes ignore it.

/// Receives progress. Steps do not nest; calls come from one thread at a time or from many.
pub(crate) trait Progress: Sync {
    /// A step begins; `total` is its length in bytes (or items), where known.
    fn begin(&self, step: &str, total: Option<u64>);
    /// The step got `by` bytes (or items) further.
    fn advance(&self, by: u64);
    /// The step is over.
    fn end(&self);
}

/// Ignores all progress.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Silent;

impl Progress for Silent {
    fn begin(&self, _step: &str, _total: Option<u64>) {}
    fn advance(&self, _by: u64) {}
    fn end(&self) {}
}
