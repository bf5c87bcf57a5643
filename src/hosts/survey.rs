//! All hosts rendered and resolved, before any image is looked at: what is wrong is said at once, for all of them.

use serde::Serialize;

use crate::disk_identity::DiskIdentity;
use crate::error::{Error, Result};
use crate::infiniband::Cidr;
use crate::overlay::{self, Resolved};
use crate::parallel;

use super::unique::Unique;
use super::{Host, HostRecipe, Renderer};

/// Mistakes that are told in full.
const TOLD: usize = 20;

/// What tells a host from the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct HostRow {
    /// Its name.
    pub(crate) name: String,
    /// Its place in the hosts file, counted from 0.
    pub(crate) index: usize,
    /// Its groups.
    pub(crate) groups: Vec<String>,
    /// The system's host name.
    pub(crate) hostname: String,
    /// Addresses of all IPoIB interfaces: device and address with prefix length.
    pub(crate) addresses: Vec<Address>,
    /// Name of the output file.
    pub(crate) output: String,
    /// The disk GUID that it gets, where `rekey` is wished for; the first group is the disk signature.
    pub(crate) disk_guid: Option<String>,
}

/// An address of an interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Address {
    /// The network device.
    pub(crate) device: String,
    /// Address and prefix length.
    pub(crate) address: String,
}

/// Renders and resolves every host, and shows each to `each`. The rows come in the order in which the hosts are written.
///
/// # Errors
/// Usage, naming every host with a mistake; what two hosts share and may not. Those of `each` count like mistakes.
pub(crate) fn survey<T: Send>(
    renderer: &Renderer,
    each: impl Fn(&Host, HostRecipe, Resolved) -> Result<T> + Sync,
) -> Result<Vec<(HostRow, T)>> {
    let hosts = renderer.hosts();
    let looked_at = parallel::map(hosts.len(), |number| hosts.get(number).map(|host| look_at(renderer, host, &each)));
    let mut rows = Vec::new();
    let mut mistakes = Mistakes::default();
    for (host, result) in hosts.iter().zip(looked_at.into_iter().flatten()) {
        match result {
            Ok(row) => rows.push(row),
            Err(error) => mistakes.add(&host.name, error),
        }
    }
    mistakes.finish(renderer.hosts().len())?;
    let mut unique = Unique::default();
    for (host, (row, _)) in renderer.hosts().iter().zip(&rows) {
        claim(&mut unique, host, row)?;
    }
    Ok(rows)
}

fn look_at<T>(
    renderer: &Renderer,
    host: &Host,
    each: impl Fn(&Host, HostRecipe, Resolved) -> Result<T>,
) -> Result<(HostRow, T)> {
    let rendered = renderer.render(host)?;
    let secrets = rendered.secrets.clone();
    let resolved = overlay::resolve(&rendered.recipe).map_err(|error| secrets.cover_error(error))?;
    let addresses = resolved.interfaces.iter().flat_map(|interface| {
        let all = interface.ipaddr.iter().chain(&interface.ip6addr);
        all.map(|address| Address { device: interface.device.clone(), address: secrets.cover(address) })
    });
    let row = HostRow {
        name: host.name.clone(),
        index: host.index,
        groups: host.groups.clone(),
        hostname: secrets.cover(rendered.recipe.hostname.as_deref().unwrap_or_default()),
        addresses: addresses.collect(),
        output: rendered.output.clone(),
        disk_guid: rendered.recipe.identity_seed()?.map(|seed| DiskIdentity::derived(&seed).guid_text(0)),
    };
    let value = each(host, rendered, resolved).map_err(|error| secrets.cover_error(error))?;
    Ok((row, value))
}

fn claim(unique: &mut Unique, host: &Host, row: &HostRow) -> Result<()> {
    let mut claim = |what, value: &str| unique.claim(what, value, &host.name, &host.place);
    claim("the host name", &row.hostname.to_lowercase())?;
    claim("the output file", &row.output)?;
    // All that an MBR has of it, and no two hosts may share that either.
    if let Some((signature, _)) = row.disk_guid.as_deref().and_then(|guid| guid.split_once('-')) {
        claim("the disk signature (by `rekey`)", signature)?;
    }
    for address in &row.addresses {
        let cidr = Cidr::parse(&address.address).map(|cidr| cidr.address.to_string());
        claim("the address", cidr.as_deref().unwrap_or(&address.address))?;
    }
    Ok(())
}

/// What is wrong, with the hosts that it is wrong with. One mistake in the defaults is not told once per host.
#[derive(Default)]
struct Mistakes(Vec<(Error, Vec<String>)>);

impl Mistakes {
    fn add(&mut self, host: &str, error: Error) {
        let text = error.to_string();
        match self.0.iter_mut().find(|(known, _)| known.to_string() == text) {
            Some((_, hosts)) => hosts.push(host.to_owned()),
            None => self.0.push((error, vec![host.to_owned()])),
        }
    }

    fn finish(self, hosts: usize) -> Result<()> {
        let whom = |names: &[String]| match names {
            [one] => format!("host {one}"),
            [one, another] => format!("hosts {one} and {another}"),
            all if all.len() == hosts => "every host".to_owned(),
            [one, rest @ ..] => format!("host {one} and {} others", rest.len()),
            [] => String::new(),
        };
        let count = self.0.len();
        let mut mistakes = self.0.into_iter().map(|(error, names)| error.at(whom(&names)));
        match (mistakes.next(), count) {
            (None, _) => Ok(()),
            (Some(only), 1) => Err(only),
            (Some(first), _) => {
                let mut message = format!("{count} mistakes in the hosts");
                for error in std::iter::once(first).chain(mistakes).take(TOLD) {
                    let remedy = error.remedy_text().map(|remedy| format!(" ({remedy})")).unwrap_or_default();
                    message.push_str(&format!("\n{error}{remedy}"));
                }
                if count > TOLD {
                    message.push_str(&format!("\nand {} more", count - TOLD));
                }
                Err(Error::usage(message))
            }
        }
    }
}
