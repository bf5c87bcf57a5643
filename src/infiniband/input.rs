//! The overlay `ipoib`'s settings as they are written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ipoib::{Mode, Policy, Proto};

/// Seconds to wait for devices when nothing is said.
pub(crate) const WAIT_DEFAULT: u32 = 5;

/// One value or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum OneOrMany {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl OneOrMany {
    /// All of them, with the key each stands at below `key`.
    pub(crate) fn entries<'a>(&'a self, key: &str) -> Vec<(String, &'a str)> {
        match self {
            Self::One(text) => vec![(key.to_owned(), text)],
            Self::Many(texts) => {
                texts.iter().enumerate().map(|(index, text)| (format!("{key}[{index}]"), text.as_str())).collect()
            }
        }
    }
}

/// A static route over an interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteInput {
    /// Destination, such as `10.20.0.0/16`.
    pub(crate) target: String,
    /// Next hop.
    pub(crate) gateway: Option<String>,
    /// Metric.
    pub(crate) metric: Option<u32>,
}

/// A firewall zone with its policies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ZoneInput {
    /// Its name; `ib` by default. A zone of this name that the image has already is joined as it is.
    pub(crate) name: Option<String>,
    /// Packets to the router itself; `ACCEPT` by default.
    pub(crate) input: Option<Policy>,
    /// Packets from the router itself; `ACCEPT` by default.
    pub(crate) output: Option<Policy>,
    /// Packets between the zone's interfaces; `REJECT` by default.
    pub(crate) forward: Option<Policy>,
    /// Masquerade source addresses on the way out.
    pub(crate) masquerade: Option<bool>,
    /// Zones that this one may forward to, such as `wan`.
    pub(crate) forward_to: Option<OneOrMany>,
    /// Zones that may forward to this one, such as `lan`.
    pub(crate) forward_from: Option<OneOrMany>,
}

/// A firewall zone by name, or with its policies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum ZoneChoice {
    /// By name.
    Name(String),
    /// With policies.
    Table(ZoneInput),
}

/// A partition key: a number, or text such as `0x8001`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum PkeyInput {
    /// A number.
    Number(i64),
    /// Decimal or `0x` text.
    Text(String),
}

/// A child: a partition key alone, or a table with `pkey` and the child's own address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum ChildChoice {
    /// The partition key as a number.
    Number(i64),
    /// The partition key as text.
    Text(String),
    /// With settings of its own.
    Table(Box<ChildInput>),
}

/// A child interface on a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChildInput {
    /// Partition key, `0x0001` to `0xffff`; with the full-membership bit, such as `0x8001`.
    pub(crate) pkey: PkeyInput,
    /// Section name in `/etc/config/network`.
    pub(crate) name: Option<String>,
    /// How it gets addresses.
    pub(crate) proto: Option<Proto>,
    /// Address or addresses with prefix length.
    pub(crate) address: Option<OneOrMany>,
    /// IPv4 default gateway.
    pub(crate) gateway: Option<String>,
    /// IPv6 default gateway.
    pub(crate) gateway6: Option<String>,
    /// Name servers.
    pub(crate) dns: Option<OneOrMany>,
    /// Metric of its routes.
    pub(crate) metric: Option<u32>,
    /// Static routes.
    pub(crate) routes: Option<Vec<RouteInput>>,
    /// Firewall zone; the parent's by default.
    pub(crate) zone: Option<ZoneChoice>,
    /// MTU in bytes; the parent's by default.
    pub(crate) mtu: Option<i64>,
    /// Transport mode; the parent's by default.
    pub(crate) mode: Option<Mode>,
    /// The kernel's `umcast` switch; the parent's by default.
    pub(crate) umcast: Option<bool>,
}

/// One interface as it is written. All keys may be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InterfaceInput {
    /// Network device; `ib0` by default.
    pub(crate) device: Option<String>,
    /// Section name in `/etc/config/network`; the device's name by default.
    pub(crate) name: Option<String>,
    /// How it gets addresses; `static` by default when an address is given, else `none`.
    pub(crate) proto: Option<Proto>,
    /// Address or addresses with prefix length, IPv4 and IPv6, such as `10.10.0.5/24`.
    pub(crate) address: Option<OneOrMany>,
    /// IPv4 default gateway.
    pub(crate) gateway: Option<String>,
    /// IPv6 default gateway.
    pub(crate) gateway6: Option<String>,
    /// Name server or servers.
    pub(crate) dns: Option<OneOrMany>,
    /// Metric of its routes.
    pub(crate) metric: Option<u32>,
    /// Static routes over it.
    pub(crate) routes: Option<Vec<RouteInput>>,
    /// Firewall zone; `ib` by default.
    pub(crate) zone: Option<ZoneChoice>,
    /// MTU in bytes: up to 4092 in datagram mode, 65520 in connected mode.
    pub(crate) mtu: Option<i64>,
    /// Transport mode; the kernel's (datagram) by default.
    pub(crate) mode: Option<Mode>,
    /// The kernel's `umcast` switch.
    pub(crate) umcast: Option<bool>,
    /// Child interfaces on partitions.
    pub(crate) pkeys: Option<Vec<ChildChoice>>,
}

/// The whole of `[ipoib]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct IpoibInput {
    /// The short form: one interface's keys directly in `[ipoib]`.
    pub(crate) short: Option<InterfaceInput>,
    /// The long form: `[[ipoib.interface]]`.
    pub(crate) interface: Vec<InterfaceInput>,
    /// `ipoib.wait`.
    pub(crate) wait: Option<u32>,
}
