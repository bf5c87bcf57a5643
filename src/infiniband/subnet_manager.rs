//! Who manages the subnet.

/// Where an image says it: a line `external` or `opensm`.
pub(crate) const SUBNET_MANAGER_RECORD: &str = "/etc/ibwrt/subnet-manager";

/// Whether `text` is the GUID of a port: 16 hex digits, perhaps behind `0x`, and not all of them 0.
pub(crate) fn is_port_guid(text: &str) -> bool {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) && digits.bytes().any(|byte| byte != b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_guid_is_sixteen_hex_digits() {
        assert!(is_port_guid("0x0002c903000e0b72") && is_port_guid("0002C903000E0B72"));
        for text in ["", "0x", "0x2c903000e0b72", "0x0002c903000e0b7g", "0002:c903:000e:0b72", "0x0000000000000000"] {
            assert!(!is_port_guid(text), "{text}");
        }
    }
}
