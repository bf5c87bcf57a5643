//! Little-endian fields in a structure's bytes. A field behind the end reads as 0 and is not written: callers hold
//! structures whose length was checked once, where they were read.

/// The u16 at byte `offset`.
pub(super) fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    bytes.get(offset..).and_then(|rest| rest.first_chunk()).map_or(0, |field| u16::from_le_bytes(*field))
}

/// The u32 at byte `offset`.
pub(super) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    bytes.get(offset..).and_then(|rest| rest.first_chunk()).map_or(0, |field| u32::from_le_bytes(*field))
}

/// The u64 whose low half is the u32 at `low` and whose high half is the u32 at `high`.
pub(super) fn u64_at(bytes: &[u8], low: usize, high: usize) -> u64 {
    u64::from(u32_at(bytes, high)) << 32 | u64::from(u32_at(bytes, low))
}

/// Puts `value` at byte `offset`.
pub(super) fn put(bytes: &mut [u8], offset: usize, value: &[u8]) {
    let field = offset.checked_add(value.len()).and_then(|end| bytes.get_mut(offset..end));
    if let Some(field) = field {
        field.copy_from_slice(value);
    }
}

/// The low 16 bits of `value`.
pub(super) const fn low16(value: u32) -> u16 {
    let [a, b, _, _] = value.to_le_bytes();
    u16::from_le_bytes([a, b])
}

/// The high 16 bits of `value`.
pub(super) const fn high16(value: u32) -> u16 {
    let [_, _, a, b] = value.to_le_bytes();
    u16::from_le_bytes([a, b])
}
