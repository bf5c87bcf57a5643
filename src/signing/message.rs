//! What is signed.

use crate::error::Result;

/// Bytes that can be gone through more than once: to sign is to read them twice. So a file need not fit into memory.
pub(crate) trait Message {
    /// Hands all bytes to `take`, in order.
    ///
    /// # Errors
    /// I/O.
    fn read(&self, take: &mut dyn FnMut(&[u8])) -> Result<()>;
}

impl Message for &[u8] {
    fn read(&self, take: &mut dyn FnMut(&[u8])) -> Result<()> {
        take(self);
        Ok(())
    }
}
