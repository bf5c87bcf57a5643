//! Partition keys and the child devices they make.

use super::Violation;
use super::input::{ChildChoice, ChildInput, InterfaceInput, PkeyInput};
use super::ipoib::{DEVICE_NAME_MAX, PARENT_NAME_MAX};

/// The full-membership bit of a partition key. ib_ipoib sets it itself (ipoib_ndo_init), so two keys that differ only
/// in it name the same partition.
const FULL_MEMBER: u16 = 0x8000;
/// The partition that every port is in, and every parent device by default.
const DEFAULT_PARTITION: u16 = 0x7fff;

/// An interface as written, with what its place in the settings adds.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    /// Its table's key below `[ipoib]`; empty for the short form.
    pub(super) key: String,
    /// What was written, a child's with its parent's values where it has none.
    pub(super) input: InterfaceInput,
    /// Its device.
    pub(super) device: String,
    /// Parent device and partition key of a child.
    pub(super) child_of: Option<(String, u16)>,
}

/// The interface at `key` and its children.
///
/// # Errors
/// A device name that the kernel would not take, or a partition key that is none.
pub(super) fn drafts(key: &str, input: &InterfaceInput) -> Result<Vec<Draft>, Violation> {
    let device = input.device.clone().unwrap_or_else(|| "ib0".to_owned());
    check_device(&device).map_err(|violation| violation.below(key))?;
    let child_of = child_by_name(&device).map_err(|violation| violation.below(key))?;
    let pkeys = input.pkeys.as_deref().unwrap_or_default();
    if let (Some((parent, _)), false) = (&child_of, pkeys.is_empty()) {
        return Err(Violation::new("pkeys", format!("`{device}` is a child device and cannot have children itself"))
            .remedy(format!("list the partition keys at the parent `{parent}`"))
            .below(key));
    }
    let own = Draft { key: key.to_owned(), input: input.clone(), device: device.clone(), child_of };
    let mut drafts = vec![own];
    for (index, choice) in pkeys.iter().enumerate() {
        let place = format!("pkeys[{index}]");
        let child = child(&device, input, choice, &place).map_err(|violation| violation.below(key))?;
        let key = if key.is_empty() { place } else { format!("{key}.{place}") };
        drafts.push(Draft { key, ..child });
    }
    Ok(drafts)
}

fn child(parent: &str, inherited: &InterfaceInput, choice: &ChildChoice, place: &str) -> Result<Draft, Violation> {
    let bare;
    let own = match choice {
        ChildChoice::Table(table) => table.as_ref(),
        ChildChoice::Number(number) => {
            bare = ChildInput::of(PkeyInput::Number(*number));
            &bare
        }
        ChildChoice::Text(text) => {
            bare = ChildInput::of(PkeyInput::Text(text.clone()));
            &bare
        }
    };
    let key = if matches!(choice, ChildChoice::Table(_)) { format!("{place}.pkey") } else { place.to_owned() };
    let pkey = parse_pkey(&own.pkey).map_err(|(message, remedy)| Violation::new(&key, message).remedy(remedy))?;
    if parent.len() > PARENT_NAME_MAX {
        let length = parent.len();
        return Err(Violation::new(
            key,
            format!("`{parent}` is {length} bytes long, but a child's name may begin with at most {PARENT_NAME_MAX}"),
        )
        .remedy("rename the device, or drop the partition keys"));
    }
    let input = InterfaceInput {
        device: None,
        name: own.name.clone(),
        proto: own.proto,
        address: own.address.clone(),
        gateway: own.gateway.clone(),
        gateway6: own.gateway6.clone(),
        dns: own.dns.clone(),
        metric: own.metric,
        routes: own.routes.clone(),
        zone: own.zone.clone().or_else(|| inherited.zone.clone()),
        mtu: own.mtu.or(inherited.mtu),
        mode: own.mode.or(inherited.mode),
        umcast: own.umcast.or(inherited.umcast),
        pkeys: None,
    };
    let device = format!("{parent}.{pkey:04x}");
    Ok(Draft { key: String::new(), input, device, child_of: Some((parent.to_owned(), pkey)) })
}

impl ChildInput {
    /// A child with nothing but its partition key.
    fn of(pkey: PkeyInput) -> Self {
        Self {
            pkey,
            name: None,
            proto: None,
            address: None,
            gateway: None,
            gateway6: None,
            dns: None,
            metric: None,
            routes: None,
            zone: None,
            mtu: None,
            mode: None,
            umcast: None,
        }
    }
}

/// The parent and partition key that a device name such as `ib0.8001` stands for; `None` for a parent's name.
fn child_by_name(device: &str) -> Result<Option<(String, u16)>, Violation> {
    let Some((parent, digits)) = device.rsplit_once('.') else { return Ok(None) };
    let sound = digits.len() == 4 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let pkey = u16::from_str_radix(digits, 16).ok().filter(|_| sound);
    let named = pkey.filter(|_| !parent.is_empty() && parent.len() <= PARENT_NAME_MAX && !parent.contains('.'));
    let Some(pkey) = named else {
        return Err(Violation::new(
            "device",
            format!(
                "`{device}` is no name of an IPoIB child: the kernel names it by its parent, a dot and four lower-case hex \
                 digits"
            ),
        )
        .remedy("write it as the kernel does, such as `ib0.8001`, or use `pkeys` at the parent"));
    };
    match parse_pkey(&PkeyInput::Number(i64::from(pkey))) {
        Ok(pkey) => Ok(Some((parent.to_owned(), pkey))),
        Err((message, remedy)) => Err(Violation::new("device", message).remedy(remedy)),
    }
}

/// Reads a partition key; on failure what is wrong and what to write.
fn parse_pkey(input: &PkeyInput) -> Result<u16, (String, String)> {
    let (shown, number) = match input {
        PkeyInput::Number(number) => (format!("{number:#06x}"), Some(*number)),
        PkeyInput::Text(text) => {
            let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
            (text.clone(), hex.map_or_else(|| text.parse().ok(), |digits| i64::from_str_radix(digits, 16).ok()))
        }
    };
    let remedy = "write a number from 0x8001 to 0xffff, such as 0x8001".to_owned();
    let Some(number) = number else { return Err((format!("\"{shown}\" is not a partition key"), remedy)) };
    match u16::try_from(number) {
        Ok(0 | FULL_MEMBER) => Err((format!("partition key {shown} is reserved: partition 0 does not exist"), remedy)),
        Ok(pkey) => Ok(pkey),
        Err(_) => Err((format!("partition key {number} is out of range: it has 16 bits"), remedy)),
    }
}

/// Whether the kernel takes `device` as a name (dev_valid_name), narrowed to what scripts and UCI carry unharmed.
fn check_device(device: &str) -> Result<(), Violation> {
    let length = device.len();
    if length == 0 || length > DEVICE_NAME_MAX {
        return Err(Violation::new(
            "device",
            format!("the device name `{device}` is {length} bytes long, but the kernel takes 1 to {DEVICE_NAME_MAX}"),
        )
        .remedy("IPoIB devices are called ib0, ib1, … in the order in which the kernel finds the ports"));
    }
    let sound = device.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    if !sound || device.starts_with(['.', '-']) {
        return Err(Violation::new(
            "device",
            format!("the device name `{device}` holds characters that are not allowed"),
        )
        .remedy("use letters, digits, `_`, `-` and `.`, such as `ib0`"));
    }
    if device.starts_with("br-") {
        return Err(Violation::new("device", format!("`{device}` is a bridge, and an IPoIB device cannot be in one"))
            .remedy("name the IPoIB device itself, such as `ib0`; routing between it and the bridge works"));
    }
    Ok(())
}

/// Partition keys of one parent that name the same partition.
///
/// # Errors
/// The second of two such children.
pub(super) fn check_partitions(drafts: &[Draft]) -> Result<(), Violation> {
    for (index, draft) in drafts.iter().enumerate() {
        let Some((parent, pkey)) = &draft.child_of else { continue };
        let earlier = drafts.iter().take(index).filter_map(|other| other.child_of.as_ref());
        for (_, other) in earlier.filter(|(other, _)| other == parent) {
            if other == pkey {
                return Err(Violation::new(&draft.key, format!("partition {pkey:#06x} of `{parent}` is listed twice"))
                    .remedy("list each partition once"));
            }
            if other & !FULL_MEMBER == pkey & !FULL_MEMBER {
                return Err(Violation::new(
                    &draft.key,
                    format!(
                        "partition keys {other:#06x} and {pkey:#06x} of `{parent}` overlap: bit 15 only says full or limited \
                         member, the partition is the same"
                    ),
                )
                .remedy(format!("keep one of them, best {:#06x}", pkey | FULL_MEMBER)));
            }
        }
    }
    Ok(())
}

/// Whether a child's partition is the one that its parent is in by default.
pub(super) fn is_default_partition(pkey: u16) -> bool {
    pkey & !FULL_MEMBER == DEFAULT_PARTITION
}

/// Whether a partition key lacks the full-membership bit.
pub(super) fn is_limited(pkey: u16) -> bool {
    pkey & FULL_MEMBER == 0
}
