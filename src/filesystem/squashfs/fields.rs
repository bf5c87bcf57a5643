//! Little-endian fields, taken one after the other from a structure's bytes.

use crate::error::{Error, Result};

/// What is left of a structure.
pub(super) struct Fields<'a> {
    what: &'static str,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The fields of `bytes`, called `what` in errors.
    pub(super) fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, rest: bytes }
    }

    /// Whether nothing is left.
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `length` bytes.
    ///
    /// # Errors
    /// Corrupt: fewer are left.
    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(|| {
            let left = self.rest.len();
            Error::corrupt(format!("squashfs: {} ends {} bytes too early", self.what, length.saturating_sub(left)))
        })?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let taken = self.take(N)?;
        taken.first_chunk().copied().ok_or_else(|| Error::corrupt(format!("squashfs: {} ends too early", self.what)))
    }

    /// The next u16.
    ///
    /// # Errors
    /// Corrupt: the end.
    pub(super) fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// The next i16.
    ///
    /// # Errors
    /// Corrupt: the end.
    pub(super) fn i16(&mut self) -> Result<i16> {
        self.array().map(i16::from_le_bytes)
    }

    /// The next u32.
    ///
    /// # Errors
    /// Corrupt: the end.
    pub(super) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// The next u64.
    ///
    /// # Errors
    /// Corrupt: the end.
    pub(super) fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }
}
