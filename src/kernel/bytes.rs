//! Little-endian reads that answer `None` beyond the end.

/// `length` bytes at `offset`.
pub(crate) fn slice(bytes: &[u8], offset: u64, length: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    let end = start.checked_add(usize::try_from(length).ok()?)?;
    bytes.get(start..end)
}

/// The u16 at `offset`.
pub(crate) fn u16_at(bytes: &[u8], offset: u64) -> Option<u16> {
    Some(u16::from_le_bytes(slice(bytes, offset, 2)?.try_into().ok()?))
}

/// The u32 at `offset`.
pub(crate) fn u32_at(bytes: &[u8], offset: u64) -> Option<u32> {
    Some(u32::from_le_bytes(slice(bytes, offset, 4)?.try_into().ok()?))
}

/// The i32 at `offset`.
pub(crate) fn i32_at(bytes: &[u8], offset: u64) -> Option<i32> {
    Some(i32::from_le_bytes(slice(bytes, offset, 4)?.try_into().ok()?))
}

/// The u64 at `offset`.
pub(crate) fn u64_at(bytes: &[u8], offset: u64) -> Option<u64> {
    Some(u64::from_le_bytes(slice(bytes, offset, 8)?.try_into().ok()?))
}

/// The bytes from `offset` up to the next NUL, which must come within `limit` bytes.
pub(crate) fn c_string(bytes: &[u8], offset: u64, limit: usize) -> Option<&[u8]> {
    let tail = bytes.get(usize::try_from(offset).ok()?..)?;
    let end = tail.iter().take(limit).position(|&byte| byte == 0)?;
    tail.get(..end)
}

/// Where `needle` first stands in `bytes`.
pub(crate) fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_beyond_the_end_are_none_and_never_wrap() {
        assert_eq!(u32_at(&[1, 0, 0, 0], 0), Some(1));
        assert_eq!(u32_at(&[1, 0, 0, 0], 1), None);
        assert_eq!(slice(&[1], u64::MAX, 2), None);
        assert_eq!(c_string(b"ab\0c", 3, 9), None);
        assert_eq!(c_string(b"ab\0c", 0, 2), None);
        assert_eq!(c_string(b"ab\0c", 0, 3), Some(&b"ab"[..]));
    }

    #[test]
    fn a_needle_is_found_after_a_false_start() {
        assert_eq!(find(b"abaabab", b"abab"), Some(3));
        assert_eq!(find(b"abaab", b"abab"), None);
    }
}
