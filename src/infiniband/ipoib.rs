//! IPoIB interfaces, checked: what scripts are rendered from and what `verify` holds an image against.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bytes that the kernel grants a device name (IFNAMSIZ 16 with its NUL).
pub(crate) const DEVICE_NAME_MAX: usize = 15;
/// Bytes of a parent's name that a child's name may begin with (ipoib_vlan_add: parent, a dot, four hex digits).
pub(crate) const PARENT_NAME_MAX: usize = 10;
/// Largest MTU in connected mode: 64 KiB less the 16-byte pseudo header (IPOIB_CM_MTU).
pub(crate) const CONNECTED_MTU_MAX: u32 = 65520;
/// Largest MTU in datagram mode: 4 KiB less the 4-byte encapsulation header.
pub(crate) const DATAGRAM_MTU_MAX: u32 = 4092;
/// MTU of datagram mode on a fabric with the usual 2 KiB MTU.
pub(crate) const DATAGRAM_MTU_USUAL: u32 = 2044;
/// Least MTU that IPv4 takes.
pub(crate) const IPV4_MTU_MIN: u32 = 68;
/// Least MTU that IPv6 takes.
pub(crate) const IPV6_MTU_MIN: u32 = 1280;

/// How an IPoIB device carries packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// Unreliable datagrams, the kernel's default: MTU up to 4092.
    Datagram,
    /// Reliable connections: MTU up to 65520; ib_ipoib must be built with INFINIBAND_IPOIB_CM.
    Connected,
}

/// How the interface gets its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Proto {
    /// It gets none; the link comes up.
    None,
    /// Those given.
    Static,
    /// By DHCP.
    Dhcp,
    /// By DHCPv6 or router advertisements.
    Dhcpv6,
}

/// What the firewall does with packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Policy {
    /// Let through.
    Accept,
    /// Refuse, and say so.
    Reject,
    /// Drop silently.
    Drop,
}

/// A static route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Route {
    /// Destination in CIDR form.
    pub(crate) target: String,
    /// Whether it is IPv6.
    pub(crate) ipv6: bool,
    /// Next hop.
    pub(crate) gateway: Option<String>,
    /// Metric.
    pub(crate) metric: Option<u32>,
}

/// A firewall zone of IPoIB interfaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Zone {
    /// Its name.
    pub(crate) name: String,
    /// To the router itself.
    pub(crate) input: Policy,
    /// From the router itself.
    pub(crate) output: Policy,
    /// Between interfaces of the zone.
    pub(crate) forward: Policy,
    /// Whether source addresses are masqueraded on the way out.
    pub(crate) masquerade: bool,
    /// Zones that it may forward to.
    pub(crate) forward_to: Vec<String>,
    /// Zones that may forward to it.
    pub(crate) forward_from: Vec<String>,
    /// Names of the interfaces in it.
    pub(crate) interfaces: Vec<String>,
}

/// One IPoIB interface, checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct IpoibInterface {
    /// Network device, such as `ib0` or, for a child, `ib0.8001`.
    pub(crate) device: String,
    /// Name of its section in `/etc/config/network`.
    pub(crate) name: String,
    /// Device that it is a child of.
    pub(crate) parent: Option<String>,
    /// Partition key of a child, as the device name shows it.
    pub(crate) pkey: Option<u16>,
    /// How it gets its addresses.
    pub(crate) proto: Proto,
    /// IPv4 addresses in CIDR form.
    pub(crate) ipaddr: Vec<String>,
    /// IPv6 addresses in CIDR form.
    pub(crate) ip6addr: Vec<String>,
    /// IPv4 default gateway.
    pub(crate) gateway: Option<String>,
    /// IPv6 default gateway.
    pub(crate) gateway6: Option<String>,
    /// Name servers.
    pub(crate) dns: Vec<String>,
    /// Metric of its routes.
    pub(crate) metric: Option<u32>,
    /// Static routes over it.
    pub(crate) routes: Vec<Route>,
    /// Firewall zone.
    pub(crate) zone: Option<String>,
    /// Largest packet in bytes.
    pub(crate) mtu: Option<u32>,
    /// Transport mode; `None` leaves the kernel's.
    pub(crate) mode: Option<Mode>,
    /// Whether multicast goes over a unicast path to user space's own groups; `None` leaves the kernel's.
    pub(crate) umcast: Option<bool>,
}

/// The overlay `ipoib`'s settings, checked: any number of interfaces.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct IpoibSettings {
    /// The interfaces, parents before children.
    pub(crate) interfaces: Vec<IpoibInterface>,
    /// Their firewall zones, in order of appearance.
    pub(crate) zones: Vec<Zone>,
    /// Seconds that the init script waits for missing devices.
    pub(crate) wait: u32,
}

impl IpoibSettings {
    /// Devices that come from a port rather than from a parent, in order: those set up, and parents of children whose
    /// own settings are not wished.
    pub(crate) fn roots(&self) -> Vec<String> {
        let own = self.interfaces.iter().filter(|interface| interface.parent.is_none());
        let mut roots = own.map(|interface| interface.device.clone()).collect::<Vec<_>>();
        roots.extend(self.bare_roots());
        roots
    }

    /// Those of [`IpoibSettings::roots`] that only carry children.
    pub(crate) fn bare_roots(&self) -> Vec<String> {
        let mut roots = Vec::<String>::new();
        for parent in self.interfaces.iter().filter_map(|interface| interface.parent.as_ref()) {
            if !self.interfaces.iter().any(|interface| interface.device == *parent) && !roots.contains(parent) {
                roots.push(parent.clone());
            }
        }
        roots
    }
}
