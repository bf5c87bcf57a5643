//! What InfiniBand itself asks for: IPoIB modes, MTUs, pkeys, addresses, and what an IPoIB device cannot do. Nothing
//! here knows images or files.

mod address;
mod children;
mod input;
mod ipoib;
mod refused;
mod rules;
mod stack;
mod subnet_manager;
mod violation;

pub(crate) use address::Cidr;
pub(crate) use input::{InterfaceInput, IpoibInput};
pub(crate) use ipoib::{IpoibInterface, IpoibSettings, Mode};
pub(crate) use refused::refused_key;
pub(crate) use stack::{PROVIDERS, is_named_so, stack};
pub(crate) use subnet_manager::{SUBNET_MANAGER_RECORD, is_port_guid};
pub(crate) use violation::Violation;
