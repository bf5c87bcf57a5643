//! Where a text names partitions: `PARTUUID=…`, in the shape that sysupgrade replaces (`PARTUUID=[a-f0-9-]+` in either case;
//! target/linux/x86 platform.sh).

use std::ops::Range;

/// What stands before an identifier.
const KEY: &[u8] = b"PARTUUID=";

/// Every identifier that `text` names: the bytes where it stands, and itself in lower case.
pub(crate) fn named_partitions(text: &[u8]) -> Vec<(Range<usize>, String)> {
    let is_part = |byte: &u8| byte.is_ascii_hexdigit() || *byte == b'-';
    let starts = text.windows(KEY.len()).enumerate().filter(|(_, window)| window.eq_ignore_ascii_case(KEY));
    let named = starts.filter_map(|(at, _)| {
        let start = at + KEY.len();
        let id: String =
            text.get(start..)?.iter().take_while(|byte| is_part(byte)).map(|byte| char::from(*byte)).collect();
        Some((start..start + id.len(), id.to_ascii_lowercase()))
    });
    named.filter(|(_, id)| !id.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_identifier_is_found_whole_and_in_lower_case() {
        let text = b"root=PARTUUID=e805ec03-02 rw\0root=partuuid=E805EC03-db41-b0f4-2cfc-5a3bba428002/PARTNROFF=1 PARTUUID=$id PARTUUID=";
        let named = named_partitions(text);
        assert_eq!(named, [(14..25, "e805ec03-02".into()), (43..79, "e805ec03-db41-b0f4-2cfc-5a3bba428002".into())]);
        assert_eq!(&text[43..51], b"E805EC03");
    }
}
