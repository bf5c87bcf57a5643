//! Template functions that count addresses in a subnet.

use minijinja::{Environment, Error, ErrorKind};

use crate::infiniband::Cidr;

/// Adds the functions to `environment`.
pub(super) fn add_to(environment: &mut Environment<'_>) {
    environment.add_function("cidr_host", |subnet: &str, number: i128| host(subnet, number, false));
    environment.add_function("cidr_address", |subnet: &str, number: i128| host(subnet, number, true));
}

/// The address of host `number` in `subnet`, with the subnet's prefix length or without.
fn host(subnet: &str, number: i128, with_prefix: bool) -> Result<String, Error> {
    let refuse = |message: String| Error::new(ErrorKind::InvalidOperation, message);
    let cidr = Cidr::parse(subnet).map_err(|_| {
        refuse(format!("{subnet:?} is not a subnet; write it as address and prefix length: 10.10.0.0/22"))
    })?;
    let address = cidr.host(number).map_err(|greatest| {
        refuse(format!("there is no host {number} in {subnet}, whose hosts are 0 to {greatest}"))
    })?;
    Ok(if with_prefix { format!("{address}/{}", cidr.prefix) } else { address.to_string() })
}
