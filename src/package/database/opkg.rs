//! opkg's database (libopkg/pkg.c, pkg_parse.c): `status`, and beside it `info/<package>.list`, `.control`, scripts.

use std::collections::BTreeMap;

use super::Installed;
use super::text::replaced;
use crate::package::model::name_without_abi;
use crate::package::stanza::{Stanza, stanzas};
use crate::package::{Alternative, AnyOf, Dependency, Provision};

/// How a package came to be installed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpkgRecord<'a> {
    /// Conffiles with their SHA-256 in hex, in the package's order.
    pub(crate) conffiles: &'a [(String, String)],
    /// Seconds since 1970, where the time is known.
    pub(crate) time: Option<u64>,
    /// Whether only another package wanted it.
    pub(crate) is_automatic: bool,
}

/// Reads the packages that are installed: the third word of `Status` says so.
pub(super) fn parse(status: &str, lists: &BTreeMap<String, String>) -> Vec<Installed> {
    let is_installed = |stanza: &Stanza<'_>| {
        let state = stanza.field("Status").and_then(|status| status.split_whitespace().nth(2));
        stanza.field("Status").is_none() || matches!(state, Some("installed" | "unpacked"))
    };
    stanzas(status).iter().filter(|stanza| is_installed(stanza)).filter_map(|stanza| installed(stanza, lists)).collect()
}

fn installed(stanza: &Stanza<'_>, lists: &BTreeMap<String, String>) -> Option<Installed> {
    let name = stanza.field("Package").filter(|name| !name.is_empty())?.to_owned();
    let any_of = |text: &str| AnyOf(text.split('|').filter_map(Dependency::parse_opkg).collect());
    let provision = |text: &str| {
        let Dependency { name, constraint } = Dependency::parse_opkg(text.trim_start_matches('@'))?;
        Some(Provision { name, version: constraint.map(|constraint| constraint.version) })
    };
    let conffile = |line: &&str| {
        let (path, digest) = line.split_once(' ')?;
        Some((path.to_owned(), digest.trim().to_owned()))
    };
    let mut provides: Vec<Provision> = stanza.list("Provides").filter_map(provision).collect();
    provides.extend(name_without_abi(&name, stanza.field("ABIVersion")));
    let list = lists.get(&name).map(String::as_str).unwrap_or_default();
    // A line may say the mode behind the path, in versions that keep it.
    let paths =
        list.lines().map(|line| line.split('\t').next().unwrap_or_default()).filter(|path| path.starts_with('/'));
    Some(Installed {
        version: stanza.field("Version").unwrap_or_default().to_owned(),
        depends: stanza.list("Depends").map(any_of).filter(|any| !any.0.is_empty()).collect(),
        provides,
        conflicts: stanza.list("Conflicts").filter_map(Dependency::parse_opkg).collect(),
        alternatives: stanza.list("Alternatives").filter_map(Alternative::parse).collect(),
        conffiles: stanza.lines("Conffiles").unwrap_or_default().iter().filter_map(conffile).collect(),
        files: paths.map(|path| (path.to_owned(), None)).collect(),
        identity: String::new(),
        name,
    })
}

/// The stanza that opkg writes into `status` once the package with this control file is installed.
pub(crate) fn opkg_stanza(control: &str, record: &OpkgRecord<'_>) -> String {
    let parsed = stanzas(control);
    let empty = Stanza::default();
    let control = parsed.first().unwrap_or(&empty);
    let mut text = String::new();
    let mut put = |name: &str, value: &str| {
        if !value.is_empty() {
            text.push_str(&format!("{name}: {value}\n"));
        }
    };
    let plain = |name: &str| control.field(name).unwrap_or_default().to_owned();
    let joined = |name: &str| control.list(name).collect::<Vec<_>>().join(", ");
    let dependencies = |name: &str| {
        let any_of = |text: &str| AnyOf(text.split('|').filter_map(Dependency::parse_opkg).collect()).to_string();
        control.list(name).map(any_of).collect::<Vec<_>>().join(", ")
    };
    put("Package", &plain("Package"));
    put("ABIVersion", &plain("ABIVersion"));
    put("Version", &plain("Version"));
    let depends = [dependencies("Pre-Depends"), dependencies("Depends")];
    put("Depends", &depends.iter().filter(|list| !list.is_empty()).cloned().collect::<Vec<_>>().join(", "));
    for name in ["Recommends", "Suggests"] {
        put(name, &dependencies(name));
    }
    put("Provides", &joined("Provides"));
    put("Replaces", &joined("Replaces"));
    put("Conflicts", &dependencies("Conflicts"));
    put("Status", if record.is_automatic { "install ok installed" } else { "install user installed" });
    put("Essential", if plain("Essential") == "yes" { "yes" } else { "" });
    put("Architecture", &plain("Architecture"));
    let conffiles: String = record.conffiles.iter().map(|(path, digest)| format!(" {path} {digest}\n")).collect();
    text.push_str(if conffiles.is_empty() { "" } else { "Conffiles:\n" });
    text.push_str(&conffiles);
    let time = record.time.filter(|time| *time > 0).map(|time| format!("Installed-Time: {time}\n"));
    text.push_str(&time.unwrap_or_default());
    text.push_str(if record.is_automatic { "Auto-Installed: yes\n" } else { "" });
    let alternatives = joined("Alternatives");
    if !alternatives.is_empty() {
        text.push_str(&format!("Alternatives: {alternatives}\n"));
    }
    text
}

/// opkg's status with `stanza` for the package `name`, in the place of the one that it had; without `stanza`, without it.
pub(crate) fn with_opkg_stanza(status: &[u8], name: &str, stanza: Option<&str>) -> Vec<u8> {
    replaced(status, "Package", name, stanza, |_| false)
}

#[cfg(test)]
mod tests {
    use super::super::Database;
    use super::*;

    const CONTROL: &str = "Package: foo\nVersion: 1.0-r1\nDepends: libc, kernel (= 6.6~a-r1), a | b (>=2)\nProvides: foo-any\n\
        Alternatives: 300:/sbin/ip:/usr/libexec/ip-full\nSection: net\nRequire-User: foo=1:foo=1\nArchitecture: x86_64\n\
        ABIVersion: 3\nDescription:  what it\n is\n";

    #[test]
    fn what_is_written_reads_back_as_what_was_installed() {
        let conffiles = [("/etc/config/foo".to_owned(), "ab".repeat(32))];
        let record = OpkgRecord { conffiles: &conffiles, time: Some(1_735_689_600), is_automatic: true };
        let stanza = opkg_stanza(CONTROL, &record);
        assert_eq!(
            stanza,
            format!(
                "Package: foo\nABIVersion: 3\nVersion: 1.0-r1\nDepends: libc, kernel (=6.6~a-r1), a | b (>=2)\n\
                 Provides: foo-any\nStatus: install ok installed\nArchitecture: x86_64\nConffiles:\n /etc/config/foo {}\n\
                 Installed-Time: 1735689600\nAuto-Installed: yes\nAlternatives: 300:/sbin/ip:/usr/libexec/ip-full\n",
                "ab".repeat(32)
            )
        );
        let status = with_opkg_stanza(b"Package: libc\nStatus: install user installed\n\n", "foo", Some(&stanza));
        let lists = BTreeMap::from([("foo".to_owned(), "/sbin/x\n/etc/config/foo\n".to_owned())]);
        let database = Database::parse_opkg(&String::from_utf8(status).unwrap(), &lists);
        let foo = database.find("foo").unwrap();
        assert_eq!((foo.version.as_str(), foo.depends.len(), foo.provides.len()), ("1.0-r1", 3, 1));
        assert_eq!(foo.depends[2].to_string(), "a | b (>=2)");
        assert_eq!(foo.alternatives[0].target, "/usr/libexec/ip-full");
        assert_eq!(foo.conffiles["/etc/config/foo"], "ab".repeat(32));
        assert_eq!(database.owner("/sbin/x").map(|owner| owner.name.as_str()), Some("foo"));
        assert!(database.find("libc").is_some());
    }

    #[test]
    fn what_was_removed_is_not_installed() {
        let status = "Package: gone\nVersion: 1\nStatus: deinstall ok not-installed\n\nPackage: half\nStatus: install ok half-installed\n\n\
                      Package: here\nStatus: install hold installed\n";
        let database = Database::parse_opkg(status, &BTreeMap::new());
        assert_eq!(database.packages.iter().map(|package| package.name.as_str()).collect::<Vec<_>>(), ["here"]);
    }
}
