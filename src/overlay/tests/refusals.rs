//! Recipes that are refused, each with its exact words.

use crate::ErrorKind;
use crate::overlay::resolve;

use super::{recipe_with, refusal, resolved};

/// The refusal of `[ipoib]` with `body` below it, from the body's own line 1 on.
fn ipoib(body: &str) -> (String, String) {
    let (message, remedy) = refusal(&format!("overlays = ['ipoib']\n[ipoib]\n{body}"));
    (message.strip_prefix("r.toml, ").map_or(message.clone(), str::to_owned), remedy)
}

#[test]
fn each_ipoib_rule_refuses_in_its_own_words() {
    for (body, message) in [
        ("adress = '10.0.0.1/24'", "line 3, column 1: unknown key `ipoib.adress`"),
        ("mtu = 'x'", "line 3, column 1: `ipoib.mtu` is a string, where an integer belongs"),
        ("mtu = 67", "line 3, column 1: `ipoib.mtu`: MTU 67 is out of range: 68 to 4092 in datagram mode"),
        ("mtu = 9000", "line 3, column 1: `ipoib.mtu`: MTU 9000 is out of range: 68 to 4092 in datagram mode"),
        (
            "mtu = 1000\naddress = 'fd00::1/64'",
            "line 3, column 1: `ipoib.mtu`: MTU 1000 is out of range: 1280 to 4092 in datagram mode with IPv6",
        ),
        (
            "mode = 'connected'\nmtu = 65521",
            "line 4, column 1: `ipoib.mtu`: MTU 65521 is out of range: 68 to 65520 in connected mode",
        ),
        ("mode = 'conected'", "line 3, column 1: `ipoib.mode` is \"conected\", not one of `datagram`, `connected`"),
        ("address = '10.0.0.1'", "line 3, column 1: `ipoib.address`: 10.0.0.1 has no prefix length"),
        (
            "address = ['10.0.0.1/24', '10.0.0.300/24']",
            "line 3, column 27: `ipoib.address[1]`: \"10.0.0.300/24\" is not an IP address with a prefix length",
        ),
        (
            "address = '10.0.0.1/33'",
            "line 3, column 1: `ipoib.address`: the prefix length of 10.0.0.1/33 is not a number from 0 to 32",
        ),
        (
            "address = '10.0.0.0/24'",
            "line 3, column 1: `ipoib.address`: 10.0.0.0/24 is the network address of its subnet, not a host's",
        ),
        (
            "address = '10.0.0.255/24'",
            "line 3, column 1: `ipoib.address`: 10.0.0.255/24 is the broadcast address of its subnet, not a host's",
        ),
        (
            "address = '224.0.0.1/24'",
            "line 3, column 1: `ipoib.address`: 224.0.0.1/24 is not an address that an interface can have",
        ),
        ("address = ['10.0.0.1/24', '10.0.0.1/24']", "line 3, column 27: `ipoib.address[1]`: 10.0.0.1 is listed twice"),
        (
            "device = 'ib0123456789abcd'",
            "line 3, column 1: `ipoib.device`: the device name `ib0123456789abcd` is 16 bytes long, but the kernel takes 1 \
             to 15",
        ),
        (
            "device = 'ib 0'",
            "line 3, column 1: `ipoib.device`: the device name `ib 0` holds characters that are not allowed",
        ),
        (
            "device = 'br-lan'",
            "line 3, column 1: `ipoib.device`: `br-lan` is a bridge, and an IPoIB device cannot be in one",
        ),
        (
            "device = 'ib0.80'",
            "line 3, column 1: `ipoib.device`: `ib0.80` is no name of an IPoIB child: the kernel names it by its parent, a dot \
             and four lower-case hex digits",
        ),
        (
            "device = 'ib012345678'\npkeys = [0x8001]",
            "line 4, column 10: `ipoib.pkeys[0]`: `ib012345678` is 11 bytes long, but a child's name may begin with at most 10",
        ),
        (
            "device = 'ib0.8001'\npkeys = [0x8002]",
            "line 4, column 1: `ipoib.pkeys`: `ib0.8001` is a child device and cannot have children itself",
        ),
        (
            "pkeys = [0]",
            "line 3, column 10: `ipoib.pkeys[0]`: partition key 0x0000 is reserved: partition 0 does not exist",
        ),
        (
            "pkeys = ['0x8000']",
            "line 3, column 10: `ipoib.pkeys[0]`: partition key 0x8000 is reserved: partition 0 does not exist",
        ),
        (
            "pkeys = [{ pkey = 65536 }]",
            "line 3, column 12: `ipoib.pkeys[0].pkey`: partition key 65536 is out of range: it has 16 bits",
        ),
        ("pkeys = ['lab']", "line 3, column 10: `ipoib.pkeys[0]`: \"lab\" is not a partition key"),
        ("pkeys = [0x8001, 0x8001]", "line 3, column 18: `ipoib.pkeys[1]`: partition 0x8001 of `ib0` is listed twice"),
        (
            "pkeys = [0x0001, 0x8001]",
            "line 3, column 18: `ipoib.pkeys[1]`: partition keys 0x0001 and 0x8001 of `ib0` overlap: bit 15 only says full or \
             limited member, the partition is the same",
        ),
        ("pkeys = [{ pkey = 0x8001, adress = 'x' }]", "line 3, column 27: unknown key `ipoib.pkeys[0].adress`"),
        ("name = 'lan'", "line 3, column 1: `ipoib.name`: `lan` is a section that OpenWrt has already"),
        ("name = 'a-b'", "line 3, column 1: `ipoib.name`: `a-b` cannot be the name of an interface section"),
        ("zone = 'a b'", "line 3, column 1: `ipoib.zone`: `a b` cannot be the name of a firewall zone"),
        (
            "zone = { forward_to = ['ib'] }",
            "line 3, column 24: `ipoib.zone.forward_to[0]`: zone `ib` cannot forward to or from `ib` here",
        ),
        ("proto = 'static'", "line 3, column 1: `ipoib.proto`: `proto = \"static\"` needs an address"),
        (
            "proto = 'dhcp'\naddress = '10.0.0.1/24'",
            "line 4, column 1: `ipoib.address`: an interface with `proto = \"dhcp\"` takes no address",
        ),
        ("gateway = 'fd00::1'", "line 3, column 1: `ipoib.gateway`: fd00::1 is not an IPv4 address"),
        ("gateway = 'gw'", "line 3, column 1: `ipoib.gateway`: \"gw\" is not an IP address"),
        (
            "address = '10.0.0.1/24'\ngateway = '10.0.0.1'",
            "line 4, column 1: `ipoib.gateway`: the gateway 10.0.0.1 is the interface's own address",
        ),
        ("dns = 'gw'", "line 3, column 1: `ipoib.dns`: \"gw\" is not an IP address"),
        (
            "routes = [{ target = '10.0.0.1' }]",
            "line 3, column 13: `ipoib.routes[0].target`: 10.0.0.1 has no prefix length",
        ),
        ("wait = 61", "line 3, column 1: `ipoib.wait` is 61, but must be 60 or less"),
        (
            "address = '10.0.0.1/24'\n[[ipoib.interface]]\ndevice = 'ib0'",
            "line 5, column 1: `ipoib.interface[0].device`: `ib0` is set up twice",
        ),
        (
            "[[ipoib.interface]]\naddress = '10.0.0.1/24'\n[[ipoib.interface]]\ndevice = 'ib1'\naddress = '10.0.0.1/16'",
            "line 7, column 1: `ipoib.interface[1].address`: `ib0` has the address 10.0.0.1 already",
        ),
        (
            "[[ipoib.interface]]\nname = 'x'\n[[ipoib.interface]]\ndevice = 'ib1'\nname = 'x'",
            "line 7, column 1: `ipoib.interface[1].name`: `ib0` and `ib1` would both be interface `x`",
        ),
        (
            "zone = { name = 'a', input = 'DROP' }\n[[ipoib.interface]]\ndevice = 'ib1'\nzone = { name = 'a', input = 'REJECT' }",
            "line 6, column 1: `ipoib.interface[0].zone`: zone `a` is described twice, in different ways",
        ),
    ] {
        let (found, remedy) = ipoib(body);
        assert_eq!(found, message, "{body}");
        assert!(
            !remedy.is_empty() || message.contains("belongs") || message.contains("must be"),
            "no remedy: {message}"
        );
    }
}

#[test]
fn remedies_say_what_to_write() {
    for (body, remedy) in [
        ("adress = '10.0.0.1/24'", "did you mean `address`?"),
        ("mode = 'conected'", "did you mean `connected`?"),
        ("mtu = 9000", "set `mode = \"connected\"`, or an MTU of 2044"),
        ("address = '10.0.0.1'", "write the address with the length of its subnet, such as 10.0.0.1/24"),
        ("address = 'fd00::1'", "write the address with the length of its subnet, such as fd00::1/64"),
        ("pkeys = [0x0001, 0x8001]", "keep one of them, best 0x8001"),
    ] {
        assert_eq!(ipoib(body).1, remedy);
    }
}

#[test]
fn what_an_ipoib_device_cannot_do_is_refused_with_the_reason() {
    for (body, message) in [
        (
            "bridge = 'br-lan'",
            "line 3, column 1: `ipoib.bridge`: an IPoIB device cannot join a bridge: the kernel bridges only Ethernet devices \
             with 6-byte addresses",
        ),
        (
            "vlan = 5",
            "line 3, column 1: `ipoib.vlan`: an IPoIB device cannot carry VLANs: the kernel refuses VLANs on it",
        ),
        (
            "pkeys = [{ pkey = 0x8001, macvlan = true }]",
            "line 3, column 27: `ipoib.pkeys[0].macvlan`: an IPoIB device cannot carry macvlan: it has no Ethernet addresses",
        ),
        (
            "[[ipoib.interface]]\nmacaddr = '02:00:00:00:00:01'",
            "line 4, column 1: `ipoib.interface[0].macaddr`: the hardware address of an IPoIB device cannot be set: its 20 \
             bytes come from the queue pair and the port GUID",
        ),
        (
            "bond = { mode = '802.3ad' }",
            "line 3, column 1: `ipoib.bond`: bond mode \"802.3ad\" cannot hold an IPoIB device: the kernel takes it only in \
             mode active-backup",
        ),
    ] {
        let (found, remedy) = ipoib(body);
        assert_eq!(found, message);
        assert!(!remedy.is_empty());
    }
    let error = resolved("overlays = ['ipoib']\n[ipoib]\nbond = 'active-backup'").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.message().contains("not generated yet"));
}

#[test]
fn doubtful_wishes_are_found() {
    for (body, id) in [
        ("proto = 'dhcp'", "dhcp-over-ipoib"),
        ("mtu = 4092", "datagram-mtu-needs-4k"),
        ("mode = 'connected'", "connected-mode-build"),
        ("address = '10.0.0.5/24'\ngateway = '10.0.1.1'", "gateway-outside-subnet"),
        ("address = '192.168.1.5/24'", "overlaps-stock-lan"),
        ("pkeys = [0xffff]", "child-on-default-partition"),
        ("pkeys = [0x0005]", "limited-pkey"),
        (
            "address = '10.0.0.5/16'\n[[ipoib.interface]]\ndevice = 'ib1'\naddress = '10.0.1.5/24'",
            "overlapping-subnets",
        ),
    ] {
        let resolved = resolved(&format!("overlays = ['ipoib', 'connectx3']\n[ipoib]\n{body}")).unwrap();
        let ids = resolved.findings.iter().map(|finding| finding.id.as_str()).collect::<Vec<_>>();
        assert_eq!(ids, [id], "{body}");
        assert!(resolved.findings[0].remedy.is_some());
    }
    assert_eq!(
        resolved(
            "overlays = ['ipoib', 'connectx3']\n[ipoib]\naddress = '10.0.0.5/24'\ngateway = '10.0.0.1'\nmtu = 2044"
        )
        .unwrap()
        .findings,
        []
    );
}

#[test]
fn overlays_and_their_tables_must_be_known_and_in_force() {
    for (text, message, remedy) in [
        (
            "overlays = ['connectx33']",
            "r.toml, line 1, column 13: there is no overlay `connectx33`",
            "did you mean `connectx3`?",
        ),
        (
            "overlays = ['ipoib']\n[connectx3]\nport_type = 'ib'",
            "r.toml, line 2, column 2: there are settings for the overlay `connectx3`, but it is not in force",
            "add --overlay connectx3 (in a recipe: overlays = [\"connectx3\"]), or drop its settings",
        ),
        (
            "overlays = ['ipoib']\n[ipob]\nmtu = 1",
            "r.toml, line 2, column 2: `ipob` is neither an overlay in force nor a key of a recipe",
            "did you mean `ipoib`?",
        ),
        ("hostnam = 'a'", "r.toml, line 1, column 1: unknown key `hostnam`", "did you mean `hostname`?"),
        (
            "ipoib = 5",
            "r.toml, line 1, column 1: `ipoib` is an integer, where the table of the overlay's settings belongs",
            "write `[ipoib]` with one setting per line; `ibwrt overlays show ipoib` lists them",
        ),
        ("overlays = 'ipoib'", "r.toml, line 1, column 1: `overlays` is a string, where a list of strings belongs", ""),
        (
            "overlays = ['connectx3']\n[connectx3]\nport_tipe = 'ib'",
            "r.toml, line 3, column 1: unknown key `connectx3.port_tipe`",
            "did you mean `port_type`?",
        ),
        (
            "overlays = ['connectx3']\n[connectx3]\nport_type = ['ib', 'ethernet']",
            "r.toml, line 3, column 20: `connectx3.port_type[1]` is \"ethernet\", not one of `ib`, `eth`, `default`",
            "did you mean `eth`?",
        ),
        (
            "overlays = ['connectx3']\n[connectx3]\nport_type = ['ib', 'ib', 'ib']",
            "r.toml, line 3, column 1: `connectx3.port_type` holds 3 values, but may hold at most 2",
            "",
        ),
        (
            "overlays = ['soft-roce']\n[soft-roce]\ndevice = 'a/b'",
            "r.toml, line 2, column 2: `a/b` or `rxe0` cannot be the name of a device",
            "use names such as eth1 and rxe0",
        ),
        (
            "hostname = 'a_b'",
            "r.toml, line 1, column 1: \"a_b\" is not a host name",
            "use letters, digits and inner dashes, at most 63 per label (RFC 1123), such as fabric-gw",
        ),
        (
            "root_password_hash = 'hunter2'",
            "r.toml, line 1, column 1: the root password hash is not a crypt(3) hash; is it the password itself?",
            "make a hash with `openssl passwd -6` (it asks for the password) and give that",
        ),
    ] {
        assert_eq!(refusal(text), (message.to_owned(), remedy.to_owned()), "{text}");
    }
}

#[test]
fn settings_of_the_command_line_are_held_to_the_same_rules() {
    let failing = |sets: &[&str]| {
        let error = recipe_with("overlays = ['ipoib']", sets).and_then(|recipe| resolve(&recipe)).unwrap_err();
        error.to_string()
    };
    assert_eq!(failing(&["ipoib.adress=1"]), "--set ipoib.adress=1: unknown key `ipoib.adress`");
    assert_eq!(
        failing(&["connectx3.port_type=ib"]),
        "--set connectx3.port_type=ib: there are settings for the overlay `connectx3`, but it is not in force"
    );
    assert_eq!(
        failing(&["ipoib.mtu=9000"]),
        "--set ipoib.mtu=9000: `ipoib.mtu`: MTU 9000 is out of range: 68 to 4092 in datagram mode"
    );
}

#[test]
fn a_control_character_does_not_reach_a_script() {
    let error = resolved("overlays = ['soft-roce']\n[soft-roce]\ndevice = \"a\\nb\"").unwrap_err();
    assert!(error.to_string().contains("holds the control character '\\n'"), "{error}");
}
