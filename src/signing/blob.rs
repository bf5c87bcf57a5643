//! libubox's blobs: attributes of a 4-byte header and data, padded to 4 bytes, one inside another.
//!
//! Header: u32, big-endian: bit 31 extended, bits 30 to 24 id, bits 23 to 0 length with the header, without the padding. The
//! data of an extended attribute (blobmsg) begins with the name: u16 length, the name, a NUL, padded to 4 bytes; the id
//! is then the type of the rest. Source: libubox `blob.h`, `blobmsg.h`.

/// Type of a blobmsg attribute: a table of others.
pub(super) const TABLE: u8 = 2;
/// Type: a string that ends in a NUL.
pub(super) const STRING: u8 = 3;
/// Type: eight bytes, big-endian.
pub(super) const INT64: u8 = 4;
/// Type: four bytes, big-endian.
pub(super) const INT32: u8 = 5;

const HEADER: usize = 4;
const EXTENDED: u32 = 1 << 31;
const LENGTH_MASK: u32 = (1 << 24) - 1;

/// One attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attribute<'a> {
    pub(super) id: u8,
    pub(super) is_extended: bool,
    /// What follows the header, without the padding.
    pub(super) data: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// The first attribute in `bytes`, and what follows it and its padding.
    pub(super) fn split(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), String> {
        let (header, _) =
            bytes.split_first_chunk::<HEADER>().ok_or_else(|| format!("{} bytes are no blob", bytes.len()))?;
        let word = u32::from_be_bytes(*header);
        let length = usize::try_from(word & LENGTH_MASK).unwrap_or(usize::MAX);
        let data = bytes
            .get(HEADER..length)
            .ok_or_else(|| format!("a blob claims {length} bytes where {} are left", bytes.len()))?;
        let id = u8::try_from((word & !EXTENDED) >> 24).unwrap_or(0);
        let rest = bytes.get(length.next_multiple_of(HEADER)..).unwrap_or_default();
        Ok((Self { id, is_extended: word & EXTENDED != 0, data }, rest))
    }

    /// All attributes in `bytes`.
    pub(super) fn all(mut bytes: &'a [u8]) -> Result<Vec<Self>, String> {
        let mut found = Vec::new();
        while !bytes.is_empty() {
            let (attribute, rest) = Self::split(bytes)?;
            found.push(attribute);
            bytes = rest;
        }
        Ok(found)
    }

    /// Name and value of a blobmsg attribute.
    pub(super) fn named(&self) -> Result<(&'a str, &'a [u8]), String> {
        let wrong = || "a blob has no name".to_owned();
        let (length, rest) = self.data.split_first_chunk::<2>().filter(|_| self.is_extended).ok_or_else(wrong)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let name = rest.get(..length).and_then(|name| std::str::from_utf8(name).ok()).ok_or_else(wrong)?;
        let value = self.data.get(named_header(length)..).ok_or_else(wrong)?;
        Ok((name, value))
    }
}

/// Bytes in front of the value of an attribute whose name has `length` bytes.
const fn named_header(length: usize) -> usize {
    (2 + length + 1).next_multiple_of(HEADER)
}

/// Adds an attribute to `out`.
pub(super) fn put(out: &mut Vec<u8>, id: u8, data: &[u8]) {
    put_word(out, u32::from(id) << 24, data);
}

/// Adds a blobmsg attribute to `out`.
pub(super) fn put_named(out: &mut Vec<u8>, id: u8, name: &str, value: &[u8]) {
    let mut data = u16::try_from(name.len()).unwrap_or(u16::MAX).to_be_bytes().to_vec();
    data.extend_from_slice(name.as_bytes());
    data.resize(named_header(name.len()), 0);
    data.extend_from_slice(value);
    put_word(out, EXTENDED | (u32::from(id) << 24), &data);
}

fn put_word(out: &mut Vec<u8>, word: u32, data: &[u8]) {
    let length = u32::try_from(HEADER + data.len()).unwrap_or(LENGTH_MASK) & LENGTH_MASK;
    out.extend_from_slice(&(word | length).to_be_bytes());
    out.extend_from_slice(data);
    out.resize(out.len().next_multiple_of(HEADER), 0);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_table_has_the_bytes_that_the_headers_of_libubox_define() {
        let mut inner = Vec::new();
        put_named(&mut inner, INT32, "ab", &7u32.to_be_bytes());
        assert_eq!(inner, [0x85, 0, 0, 16, 0, 2, b'a', b'b', 0, 0, 0, 0, 0, 0, 0, 7]);
        let mut outer = Vec::new();
        put_named(&mut outer, STRING, "x", b"abcde\0");
        assert_eq!(outer, [0x83, 0, 0, 14, 0, 1, b'x', 0, b'a', b'b', b'c', b'd', b'e', 0, 0, 0]);
        put(&mut outer, 1, &[9]);
        assert_eq!(outer[16..], [1, 0, 0, 5, 9, 0, 0, 0]);
        let all = Attribute::all(&outer).unwrap();
        assert_eq!(all[0].named().unwrap(), ("x", &b"abcde\0"[..]));
        assert_eq!(all[1], Attribute { id: 1, is_extended: false, data: &[9] });
    }

    #[test]
    fn a_length_that_cannot_be_is_told_with_numbers() {
        assert_eq!(Attribute::split(&[0, 0, 0]).unwrap_err(), "3 bytes are no blob");
        assert_eq!(Attribute::split(&[0, 0, 0, 3]).unwrap_err(), "a blob claims 3 bytes where 4 are left");
        assert_eq!(Attribute::split(&[0, 0, 0, 5]).unwrap_err(), "a blob claims 5 bytes where 4 are left");
        let unnamed = Attribute { id: STRING, is_extended: true, data: &[0, 9, b'x'] };
        assert_eq!(unnamed.named().unwrap_err(), "a blob has no name");
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic_or_go_round_for_ever(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(all) = Attribute::all(&bytes) {
                prop_assert!(all.len() <= bytes.len() / HEADER);
                for attribute in all {
                    let _ = attribute.named();
                }
            }
        }
    }
}
