//! IP addresses with a prefix length.

use std::fmt;
use std::net::IpAddr;

/// An address and the subnet it stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cidr {
    /// The address.
    pub(crate) address: IpAddr,
    /// Length of the prefix in bits: 0 to 32, or to 128.
    pub(crate) prefix: u8,
}

/// Why text is not a [`Cidr`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// No `/`.
    NoPrefix,
    /// Not an address.
    Address,
    /// Not a number in range.
    Prefix,
}

impl Cidr {
    /// Reads `ADDRESS/PREFIX`.
    pub(crate) fn parse(text: &str) -> Result<Self, Flaw> {
        let Some((address, prefix)) = text.split_once('/') else {
            return Err(if text.parse::<IpAddr>().is_ok() { Flaw::NoPrefix } else { Flaw::Address });
        };
        let address = address.parse::<IpAddr>().map_err(|_| Flaw::Address)?;
        let digits = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
        let prefix = prefix.parse::<u8>().ok().filter(|prefix| digits && *prefix <= width(address));
        Ok(Self { address, prefix: prefix.ok_or(Flaw::Prefix)? })
    }

    /// The address of the host with the number `number` in this subnet, counted from the subnet's own address.
    ///
    /// # Errors
    /// The greatest number that there is, when `number` is not among them.
    pub(crate) fn host(&self, number: i128) -> Result<IpAddr, u128> {
        let greatest = host_mask(self.address, self.prefix);
        let number = u128::try_from(number).ok().filter(|number| *number <= greatest).ok_or(greatest)?;
        let bits = network(self.address, self.prefix) | number;
        match self.address {
            // The bits of an IPv4 address are the lower 32.
            IpAddr::V4(_) => u32::try_from(bits).map(|bits| IpAddr::V4(bits.into())).map_err(|_| greatest),
            IpAddr::V6(_) => Ok(IpAddr::V6(bits.into())),
        }
    }

    /// Whether `address` is of this family and in this subnet.
    pub(crate) fn holds(&self, address: IpAddr) -> bool {
        same_family(self.address, address) && network(self.address, self.prefix) == network(address, self.prefix)
    }

    /// Whether the two subnets share an address.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let prefix = self.prefix.min(other.prefix);
        same_family(self.address, other.address) && network(self.address, prefix) == network(other.address, prefix)
    }

    /// Whether the address is the subnet's own (all host bits zero), where such an address has no host.
    pub(crate) fn is_network_address(&self) -> bool {
        self.address.is_ipv4() && self.prefix < 31 && bits(self.address) == network(self.address, self.prefix)
    }

    /// Whether the address is the subnet's broadcast address.
    pub(crate) fn is_broadcast_address(&self) -> bool {
        let host = host_mask(self.address, self.prefix);
        self.address.is_ipv4() && self.prefix < 31 && bits(self.address) & host == host
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn same_family(a: IpAddr, b: IpAddr) -> bool {
    a.is_ipv4() == b.is_ipv4()
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// Ones where the host part is.
fn host_mask(address: IpAddr, prefix: u8) -> u128 {
    let host_bits = u32::from(width(address).saturating_sub(prefix));
    1_u128.checked_shl(host_bits).map_or(u128::MAX, |bit| bit.wrapping_sub(1))
}

fn network(address: IpAddr, prefix: u8) -> u128 {
    bits(address) & !host_mask(address, prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_or_refused_for_its_flaw() {
        assert_eq!(Cidr::parse("10.0.0.5/24").unwrap().to_string(), "10.0.0.5/24");
        assert_eq!(Cidr::parse("fd00::5/64").unwrap().to_string(), "fd00::5/64");
        assert_eq!(Cidr::parse("10.0.0.5"), Err(Flaw::NoPrefix));
        assert_eq!(Cidr::parse("10.0.0.256/24"), Err(Flaw::Address));
        assert_eq!(Cidr::parse("ten"), Err(Flaw::Address));
        for text in ["10.0.0.5/33", "10.0.0.5/", "10.0.0.5/+8", "10.0.0.5/24/8", "fd00::5/129"] {
            assert_eq!(Cidr::parse(text), Err(Flaw::Prefix), "{text}");
        }
    }

    #[test]
    fn hosts_are_counted_from_the_subnets_own_address() {
        let host = |text, number| Cidr::parse(text).unwrap().host(number).map(|address| address.to_string());
        assert_eq!(host("10.10.0.0/22", 0).unwrap(), "10.10.0.0");
        assert_eq!(host("10.10.3.9/22", 1023).unwrap(), "10.10.3.255");
        assert_eq!(host("10.10.0.0/22", 1024), Err(1023));
        assert_eq!(host("10.10.0.0/22", -1), Err(1023));
        assert_eq!(host("0.0.0.0/0", i128::from(u32::MAX)).unwrap(), "255.255.255.255");
        assert_eq!(host("10.0.0.1/32", 1), Err(0));
        assert_eq!(host("fd00::/64", 1 << 63).unwrap(), "fd00::8000:0:0:0");
        assert_eq!(host("fd00::/64", 1 << 64), Err((1 << 64) - 1));
        assert_eq!(host("::/0", 1).unwrap(), "::1");
    }

    #[test]
    fn subnets_know_their_hosts() {
        let cidr = |text| Cidr::parse(text).unwrap();
        assert!(cidr("10.0.0.5/24").holds("10.0.0.1".parse().unwrap()));
        assert!(!cidr("10.0.0.5/24").holds("10.0.1.1".parse().unwrap()));
        assert!(!cidr("0.0.0.0/0").holds("::1".parse().unwrap()));
        assert!(cidr("::/0").holds("ffff::1".parse().unwrap()));
        assert!(cidr("10.0.0.5/16").overlaps(&cidr("10.0.9.1/24")));
        assert!(!cidr("10.0.0.5/24").overlaps(&cidr("10.0.1.5/24")));
        assert!(cidr("10.0.0.0/24").is_network_address() && !cidr("10.0.0.0/31").is_network_address());
        assert!(cidr("10.0.0.255/24").is_broadcast_address() && !cidr("10.0.0.1/31").is_broadcast_address());
        assert!(!cidr("fd00::/64").is_network_address());
    }
}
