//! Requests that an IPoIB device cannot meet, recognised so that the refusal can say why.

use super::Violation;

const OWN_SUBNET: &str =
    "give it an address and a firewall zone of its own (`address`, `zone`): routing and NAT between zones work";

/// Why `key` in an interface's table is refused; `value` is its text where it is a string, or the text of its key
/// `mode` where it is a table. `None` for keys that are not known to be impossible.
///
/// Sources: br_add_if wants ARPHRD_ETHER and 6-byte addresses; ipoib_main.c sets NETIF_F_VLAN_CHALLENGED; bond_enslave
/// allows only active-backup for devices that cannot set their address; netifd sends `macaddr` as ARPHRD_ETHER.
pub(crate) fn refused_key(key: &str, value: Option<&str>) -> Option<Violation> {
    let violation = |message: &str, remedy: &str| Some(Violation::new(key, message).remedy(remedy));
    match key {
        "bridge" | "ports" | "type" => violation(
            "an IPoIB device cannot join a bridge: the kernel bridges only Ethernet devices with 6-byte addresses",
            OWN_SUBNET,
        ),
        "vlan" | "vid" => violation(
            "an IPoIB device cannot carry VLANs: the kernel refuses VLANs on it",
            "use a partition instead: `pkeys = [0x8001]` makes the child device ib0.8001",
        ),
        "macvlan" | "macvtap" => violation(
            "an IPoIB device cannot carry macvlan: it has no Ethernet addresses",
            "use a partition instead: `pkeys = [0x8001]` makes the child device ib0.8001",
        ),
        "mac" | "macaddr" | "lladdr" => violation(
            "the hardware address of an IPoIB device cannot be set: its 20 bytes come from the queue pair and the port GUID",
            "leave the key out; to tell hosts apart, use the address or the port GUID, which is set in the card's firmware",
        ),
        "bond" | "bonding" => Some(refused_bond(key, value)),
        _ => None,
    }
}

fn refused_bond(key: &str, mode: Option<&str>) -> Violation {
    match mode {
        Some("active-backup" | "1") => Violation::new(
            key,
            "bonding of IPoIB devices is not generated yet, though the kernel could do it in mode active-backup",
        )
        .remedy("add the bond's `config device` and `config interface` by a [[file]] entry, or leave `bond` out")
        .unsupported(),
        Some(mode) => Violation::new(
            key,
            format!("bond mode \"{mode}\" cannot hold an IPoIB device: the kernel takes it only in mode active-backup"),
        )
        .remedy("leave `bond` out: bonds in mode active-backup are not generated yet either"),
        None => Violation::new(
            key,
            "an IPoIB device can only be bonded in mode active-backup, and bonds are not generated yet",
        )
        .remedy("leave `bond` out"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_impossible_request_says_why_and_what_instead() {
        for (key, word) in [
            ("bridge", "bridge"),
            ("ports", "bridge"),
            ("vlan", "VLANs"),
            ("macvlan", "macvlan"),
            ("macaddr", "hardware address"),
            ("bond", "active-backup"),
        ] {
            let violation = refused_key(key, None).unwrap();
            assert!(violation.message.contains(word), "{}", violation.message);
            assert!(violation.remedy.is_some() && !violation.unsupported);
        }
        assert!(refused_key("bond", Some("active-backup")).unwrap().unsupported);
        assert_eq!(
            refused_key("bond", Some("802.3ad")).unwrap().message,
            "bond mode \"802.3ad\" cannot hold an IPoIB device: the kernel takes it only in mode active-backup"
        );
        assert_eq!(refused_key("address", None), None);
    }
}
