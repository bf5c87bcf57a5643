//! The rules that IPoIB settings obey.

use std::net::IpAddr;

use crate::plan::{Finding, Severity};

use super::Violation;
use super::address::{Cidr, Flaw};
use super::children::{self, Draft};
use super::input::{InterfaceInput, IpoibInput, OneOrMany, RouteInput, WAIT_DEFAULT, ZoneChoice, ZoneInput};
use super::ipoib::{
    CONNECTED_MTU_MAX, DATAGRAM_MTU_MAX, DATAGRAM_MTU_USUAL, IPV4_MTU_MIN, IPV6_MTU_MIN, IpoibInterface, IpoibSettings,
    Mode, Policy, Proto, Route, Zone,
};

/// Longest wait for devices, in seconds: the boot must go on.
const WAIT_MAX: u32 = 60;
/// Bytes that fw3 and fw4 grant a zone's name.
const ZONE_NAME_MAX: usize = 11;
/// Address of a stock OpenWrt router's LAN.
const STOCK_LAN: &str = "192.168.1.1/24";
/// Sections that a stock `/etc/config/network` has already.
const STOCK_SECTIONS: [&str; 5] = ["loopback", "globals", "lan", "wan", "wan6"];

impl IpoibSettings {
    /// Checks `input`.
    ///
    /// # Errors
    /// The first setting that breaks a rule.
    pub(crate) fn check(input: &IpoibInput) -> Result<(Self, Vec<Finding>), Violation> {
        let mut drafts = Vec::new();
        let default = InterfaceInput::default();
        let short = input.short.as_ref().or(input.interface.is_empty().then_some(&default));
        if let Some(short) = short {
            drafts.extend(children::drafts("", short)?);
        }
        for (index, interface) in input.interface.iter().enumerate() {
            drafts.extend(children::drafts(&format!("interface[{index}]"), interface)?);
        }
        children::check_partitions(&drafts)?;
        drafts.sort_by_key(|draft| draft.child_of.is_some());
        let wait = input.wait.unwrap_or(WAIT_DEFAULT);
        if wait > WAIT_MAX {
            return Err(Violation::new(
                "wait",
                format!("{wait} s is longer than the boot may be held up: {WAIT_MAX} s"),
            )
            .remedy("devices that appear later are set up by the hotplug script"));
        }
        let mut settings = Self { wait, ..Self::default() };
        let mut findings = Vec::new();
        let mut seen: Vec<(String, Vec<(String, Cidr)>)> = Vec::new();
        for draft in &drafts {
            let below = |violation: Violation| violation.below(&draft.key);
            let interface = check_names(draft, &settings.interfaces).map_err(below)?;
            let addresses = addresses(&draft.input).map_err(below)?;
            check_overlap(&draft.device, &addresses, &seen, &mut findings).map_err(below)?;
            let interface = check_draft(draft, interface, &addresses, &mut findings).map_err(below)?;
            join_zone(&mut settings.zones, draft, &interface).map_err(below)?;
            settings.interfaces.push(interface);
            seen.push((draft.device.clone(), addresses));
        }
        Ok((settings, findings))
    }
}

fn warning(id: &str, message: String, remedy: &str) -> Finding {
    remark(Severity::Warning, id, message, remedy)
}

fn remark(severity: Severity, id: &str, message: String, remedy: &str) -> Finding {
    Finding { id: id.to_owned(), severity, message, remedy: Some(remedy.to_owned()) }
}

/// Device and section name, each used once.
fn check_names(draft: &Draft, earlier: &[IpoibInterface]) -> Result<IpoibInterface, Violation> {
    let device = draft.device.clone();
    if earlier.iter().any(|other| other.device == device) {
        return Err(Violation::new("device", format!("`{device}` is set up twice"))
            .remedy("describe each device once, either in `[ipoib]` or in one `[[ipoib.interface]]`"));
    }
    let derived = device.replace(['.', '-'], "_");
    let name = draft.input.name.clone().unwrap_or(derived);
    let sound = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !sound || name.len() > 15 {
        return Err(Violation::new("name", format!("`{name}` cannot be the name of an interface section"))
            .remedy("use 1 to 15 letters, digits and underscores"));
    }
    if STOCK_SECTIONS.contains(&name.as_str()) {
        return Err(Violation::new("name", format!("`{name}` is a section that OpenWrt has already"))
            .remedy(format!("leave `name` out to call it `{}`", device.replace(['.', '-'], "_"))));
    }
    if let Some(other) = earlier.iter().find(|other| other.name == name) {
        return Err(Violation::new(
            "name",
            format!("`{}` and `{device}` would both be interface `{name}`", other.device),
        )
        .remedy("give one of them another `name`"));
    }
    let (parent, pkey) = draft.child_of.clone().unzip();
    Ok(IpoibInterface {
        device,
        name,
        parent,
        pkey,
        proto: Proto::None,
        ipaddr: Vec::new(),
        ip6addr: Vec::new(),
        gateway: None,
        gateway6: None,
        dns: Vec::new(),
        metric: draft.input.metric,
        routes: Vec::new(),
        zone: None,
        mtu: None,
        mode: draft.input.mode,
        umcast: draft.input.umcast,
    })
}

fn addresses(input: &InterfaceInput) -> Result<Vec<(String, Cidr)>, Violation> {
    let entries = input.address.as_ref().map(|all| all.entries("address")).unwrap_or_default();
    entries.into_iter().map(|(key, text)| Ok((key.clone(), host_address(&key, text)?))).collect()
}

/// An address that a host can have.
fn host_address(key: &str, text: &str) -> Result<Cidr, Violation> {
    let cidr = cidr(key, text, "10.10.0.5/24")?;
    let refuse = |what: &str| {
        Violation::new(key, format!("{cidr} is the {what} address of its subnet, not a host's"))
            .remedy("use an address between the two ends of the subnet")
    };
    if cidr.is_network_address() {
        return Err(refuse("network"));
    }
    if cidr.is_broadcast_address() {
        return Err(refuse("broadcast"));
    }
    if cidr.address.is_multicast() || cidr.address.is_unspecified() || cidr.address.is_loopback() {
        return Err(Violation::new(key, format!("{cidr} is not an address that an interface can have"))
            .remedy("use an address of the fabric's subnet, such as 10.10.0.5/24"));
    }
    Ok(cidr)
}

fn cidr(key: &str, text: &str, example: &str) -> Result<Cidr, Violation> {
    Cidr::parse(text).map_err(|flaw| match flaw {
        Flaw::NoPrefix => Violation::new(key, format!("{text} has no prefix length"))
            .remedy(format!("write the address with the length of its subnet, such as {text}/{}", usual(text))),
        Flaw::Address => Violation::new(key, format!("\"{text}\" is not an IP address with a prefix length"))
            .remedy(format!("write it like {example}")),
        Flaw::Prefix => {
            Violation::new(key, format!("the prefix length of {text} is not a number from 0 to {}", most(text)))
                .remedy(format!("write it like {example}"))
        }
    })
}

fn usual(address: &str) -> u8 {
    if address.contains(':') { 64 } else { 24 }
}

fn most(address: &str) -> u8 {
    if address.contains(':') { 128 } else { 32 }
}

/// The addresses of one device against those of the devices before it, and against the stock LAN.
fn check_overlap(
    device: &str,
    addresses: &[(String, Cidr)],
    seen: &[(String, Vec<(String, Cidr)>)],
    findings: &mut Vec<Finding>,
) -> Result<(), Violation> {
    for (index, (key, cidr)) in addresses.iter().enumerate() {
        if addresses.iter().take(index).any(|(_, other)| other.address == cidr.address) {
            return Err(Violation::new(key, format!("{} is listed twice", cidr.address)).remedy("list it once"));
        }
        for (other_device, other) in seen.iter().flat_map(|(name, all)| all.iter().map(move |(_, cidr)| (name, cidr))) {
            if other.address == cidr.address {
                return Err(Violation::new(key, format!("`{other_device}` has the address {} already", cidr.address))
                    .remedy("give each interface an address of its own"));
            }
            if other.overlaps(cidr) {
                findings.push(warning(
                    "overlapping-subnets",
                    format!("the subnets of {device} ({cidr}) and {other_device} ({other}) overlap"),
                    "packets leave by one of the two only; give each interface a subnet of its own",
                ));
            }
        }
        if Cidr::parse(STOCK_LAN).is_ok_and(|lan| lan.overlaps(cidr)) {
            findings.push(warning(
                "overlaps-stock-lan",
                format!("the subnet of {device} ({cidr}) overlaps the LAN of a stock OpenWrt ({STOCK_LAN})"),
                "choose another subnet, or change the LAN's address",
            ));
        }
    }
    Ok(())
}

fn check_draft(
    draft: &Draft,
    mut interface: IpoibInterface,
    addresses: &[(String, Cidr)],
    findings: &mut Vec<Finding>,
) -> Result<IpoibInterface, Violation> {
    let input = &draft.input;
    interface.proto = check_proto(input, addresses)?;
    let (v4, v6) = addresses.iter().map(|(_, cidr)| cidr).partition::<Vec<_>, _>(|cidr| cidr.address.is_ipv4());
    interface.ipaddr = v4.iter().map(ToString::to_string).collect();
    interface.ip6addr = v6.iter().map(ToString::to_string).collect();
    interface.gateway = gateway(&draft.device, "gateway", input.gateway.as_deref(), &v4, true, findings)?;
    interface.gateway6 = gateway(&draft.device, "gateway6", input.gateway6.as_deref(), &v6, false, findings)?;
    for (key, text) in input.dns.as_ref().map(|all| all.entries("dns")).unwrap_or_default() {
        interface.dns.push(address(&key, text, None)?.to_string());
    }
    for (index, route) in input.routes.iter().flatten().enumerate() {
        let below = |violation: Violation| violation.below(&format!("routes[{index}]"));
        interface.routes.push(check_route(route).map_err(below)?);
    }
    interface.mtu = check_mtu(draft, !v6.is_empty() || interface.proto == Proto::Dhcpv6, findings)?;
    remarks(draft, &interface, findings);
    Ok(interface)
}

fn check_proto(input: &InterfaceInput, addresses: &[(String, Cidr)]) -> Result<Proto, Violation> {
    let addressed = !addresses.is_empty();
    match input.proto {
        None | Some(Proto::Static) if addressed => Ok(Proto::Static),
        Some(Proto::Static) => Err(Violation::new("proto", "`proto = \"static\"` needs an address")
            .remedy("add `address = \"10.10.0.5/24\"`, or use `proto = \"none\"`")),
        Some(proto) if addressed => {
            let name = match proto {
                Proto::Dhcp => "dhcp",
                Proto::Dhcpv6 => "dhcpv6",
                Proto::None | Proto::Static => "none",
            };
            Err(Violation::new("address", format!("an interface with `proto = \"{name}\"` takes no address"))
                .remedy("leave out `address`, or `proto` to make it static"))
        }
        proto => Ok(proto.unwrap_or(Proto::None)),
    }
}

/// An address without prefix length, of the family asked for.
fn address(key: &str, text: &str, v4: Option<bool>) -> Result<IpAddr, Violation> {
    let refuse = || Violation::new(key, format!("\"{text}\" is not an IP address")).remedy("write it like 10.10.0.1");
    let address = text.parse::<IpAddr>().map_err(|_| refuse())?;
    match v4 {
        Some(true) if !address.is_ipv4() => {
            Err(Violation::new(key, format!("{address} is not an IPv4 address"))
                .remedy("IPv6 gateways go to `gateway6`"))
        }
        Some(false) if address.is_ipv4() => {
            Err(Violation::new(key, format!("{address} is not an IPv6 address"))
                .remedy("IPv4 gateways go to `gateway`"))
        }
        _ => Ok(address),
    }
}

fn gateway(
    device: &str,
    key: &str,
    text: Option<&str>,
    subnets: &[&Cidr],
    v4: bool,
    findings: &mut Vec<Finding>,
) -> Result<Option<String>, Violation> {
    let Some(text) = text else { return Ok(None) };
    let gateway = address(key, text, Some(v4))?;
    if subnets.iter().any(|cidr| cidr.address == gateway) {
        return Err(Violation::new(key, format!("the gateway {gateway} is the interface's own address"))
            .remedy("name the address of the next router"));
    }
    let link_local = matches!(gateway, IpAddr::V6(address) if address.is_unicast_link_local());
    if !link_local && !subnets.iter().any(|cidr| cidr.holds(gateway)) {
        findings.push(warning(
            "gateway-outside-subnet",
            format!("the gateway {gateway} of {device} is in none of its subnets"),
            "use a gateway of the interface's subnet, or correct the prefix length",
        ));
    }
    Ok(Some(gateway.to_string()))
}

fn check_route(route: &RouteInput) -> Result<Route, Violation> {
    let target = cidr("target", &route.target, "10.20.0.0/16")?;
    let v4 = target.address.is_ipv4();
    let gateway = route.gateway.as_deref().map(|text| address("gateway", text, Some(v4))).transpose()?;
    Ok(Route {
        target: target.to_string(),
        ipv6: !v4,
        gateway: gateway.map(|address| address.to_string()),
        metric: route.metric,
    })
}

fn check_mtu(draft: &Draft, ipv6: bool, findings: &mut Vec<Finding>) -> Result<Option<u32>, Violation> {
    let Some(mtu) = draft.input.mtu else { return Ok(None) };
    let least = if ipv6 { IPV6_MTU_MIN } else { IPV4_MTU_MIN };
    let connected = draft.input.mode == Some(Mode::Connected);
    let (mode, most) = if connected { ("connected", CONNECTED_MTU_MAX) } else { ("datagram", DATAGRAM_MTU_MAX) };
    let fits = u32::try_from(mtu).ok().filter(|mtu| (least..=most).contains(mtu));
    let Some(mtu) = fits else {
        let family = if ipv6 { " with IPv6" } else { "" };
        let violation =
            Violation::new("mtu", format!("MTU {mtu} is out of range: {least} to {most} in {mode} mode{family}"));
        let usual = DATAGRAM_MTU_USUAL;
        return Err(match (connected, mtu > i64::from(most) && mtu <= i64::from(CONNECTED_MTU_MAX)) {
            (false, true) => violation.remedy(format!("set `mode = \"connected\"`, or an MTU of {usual}")),
            (false, false) => {
                violation.remedy(format!("{usual} fits every fabric; leave `mtu` out to take what the fabric offers"))
            }
            (true, _) => violation.remedy("leave `mtu` out to take the largest that the card offers"),
        });
    };
    if !connected && mtu > DATAGRAM_MTU_USUAL {
        findings.push(warning(
            "datagram-mtu-needs-4k",
            format!("MTU {mtu} of {} needs a fabric with 4 KiB MTU", draft.device),
            "set the subnet manager's partition to mtu=5 (4096) and check the switch, or use 2044",
        ));
    }
    Ok(Some(mtu))
}

fn remarks(draft: &Draft, interface: &IpoibInterface, findings: &mut Vec<Finding>) {
    let device = &interface.device;
    if interface.proto == Proto::Dhcp {
        findings.push(warning(
            "dhcp-over-ipoib",
            format!("{device} asks for its address by DHCP, which busybox's client cannot do over IPoIB"),
            "use a static address, or install a DHCP client that knows 20-byte hardware addresses",
        ));
    }
    if interface.mode == Some(Mode::Connected) && draft.child_of.is_none() {
        findings.push(remark(
            Severity::Note,
            "connected-mode-build",
            format!(
                "{device} in connected mode needs ib_ipoib built with INFINIBAND_IPOIB_CM, which is off by default"
            ),
            "build the modules with CONFIG_INFINIBAND_IPOIB_CM=y, or use datagram mode",
        ));
    }
    let Some(pkey) = interface.pkey else { return };
    if children::is_default_partition(pkey) {
        findings.push(warning(
            "child-on-default-partition",
            format!("{device} is on the default partition, which its parent normally uses: the kernel refuses it then"),
            "configure the parent itself, or choose another partition",
        ));
    } else if children::is_limited(pkey) {
        findings.push(warning(
            "limited-pkey",
            format!("partition key {pkey:#06x} of {device} lacks the full-membership bit"),
            "write it with bit 15 set: the kernel joins as a full member anyway, and only the name would differ",
        ));
    }
}

/// Puts the interface into its zone, making the zone where it is the first to name it.
fn join_zone(zones: &mut Vec<Zone>, draft: &Draft, interface: &IpoibInterface) -> Result<(), Violation> {
    let input = match &draft.input.zone {
        None => ZoneInput::default(),
        Some(ZoneChoice::Name(name)) => ZoneInput { name: Some(name.clone()), ..ZoneInput::default() },
        Some(ZoneChoice::Table(table)) => table.clone(),
    };
    let name = input.name.clone().unwrap_or_else(|| "ib".to_owned());
    check_zone_name("zone", &name)?;
    let forward_to = zone_names("zone.forward_to", input.forward_to.as_ref(), &name)?;
    let forward_from = zone_names("zone.forward_from", input.forward_from.as_ref(), &name)?;
    let plain = ZoneInput { name: input.name.clone(), ..ZoneInput::default() } == input;
    let wished = Zone {
        name,
        input: input.input.unwrap_or(Policy::Accept),
        output: input.output.unwrap_or(Policy::Accept),
        forward: input.forward.unwrap_or(Policy::Reject),
        masquerade: input.masquerade.unwrap_or(false),
        forward_to,
        forward_from,
        interfaces: Vec::new(),
    };
    let Some(zone) = zones.iter_mut().find(|zone| zone.name == wished.name) else {
        zones.push(Zone { interfaces: vec![interface.name.clone()], ..wished });
        return Ok(());
    };
    let same = Zone { interfaces: zone.interfaces.clone(), ..wished.clone() } == *zone;
    if !plain && !same {
        return Err(Violation::new("zone", format!("zone `{}` is described twice, in different ways", zone.name))
            .remedy("describe it at the first interface that is in it, and only name it at the others"));
    }
    zone.interfaces.push(interface.name.clone());
    Ok(())
}

fn zone_names(key: &str, names: Option<&OneOrMany>, own: &str) -> Result<Vec<String>, Violation> {
    let mut all = Vec::new();
    for (key, name) in names.map(|names| names.entries(key)).unwrap_or_default() {
        check_zone_name(&key, name)?;
        if name == own || all.iter().any(|other| other == name) {
            return Err(Violation::new(key, format!("zone `{own}` cannot forward to or from `{name}` here"))
                .remedy("name each other zone once; `forward = \"ACCEPT\"` forwards within the zone"));
        }
        all.push(name.to_owned());
    }
    Ok(all)
}

fn check_zone_name(key: &str, name: &str) -> Result<(), Violation> {
    let sound = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if sound && !name.is_empty() && name.len() <= ZONE_NAME_MAX {
        return Ok(());
    }
    Err(Violation::new(key, format!("`{name}` cannot be the name of a firewall zone"))
        .remedy(format!("use 1 to {ZONE_NAME_MAX} letters, digits and underscores")))
}
