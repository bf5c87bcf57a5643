//! Resolving against small databases.

use std::collections::BTreeMap;

use super::*;
use crate::package::Details;

/// A package; `fields` are lines of a control file.
fn package(name: &str, version: &str, fields: &str) -> Package {
    let control = format!("Package: {name}\nVersion: {version}\nArchitecture: x86_64\n{fields}");
    let parsed = crate::package::stanza::stanzas(&control);
    crate::package::ipk::describe(&parsed[0], &format!("{name}.ipk")).unwrap()
}

fn database(status: &str) -> Database {
    Database::parse_opkg(status, &BTreeMap::new())
}

const IMAGE: &str = "Package: libc\nVersion: 1.2.5-r4\nStatus: install user installed\n\n\
    Package: kernel\nVersion: 6.12.117~0123abcd-r1\nStatus: install user installed\n\n\
    Package: libubox20240329\nABIVersion: 20240329\nVersion: 2024.03.29-r1\nStatus: install user installed\n\n\
    Package: ip-tiny\nVersion: 6.11.0-r1\nProvides: ip\nConflicts: ip-full\nStatus: install user installed\n\n\
    Package: app\nVersion: 1\nDepends: libold (=1.0)\nStatus: install user installed\n\n\
    Package: libold\nVersion: 1.0\nStatus: install user installed\n\n";

fn titles(selection: &Selection) -> Vec<String> {
    selection.packages.iter().map(|chosen| chosen.package.title()).collect()
}

fn refused(given: Vec<Package>, offered: Vec<Package>) -> Error {
    resolve(Some(&database(IMAGE)), given, offered).unwrap_err()
}

#[test]
fn what_is_needed_comes_from_the_offers_and_before_its_user() {
    let rdma = package("rdma", "6.11.0-r1", "Depends: libc, libmnl0, libubox\n");
    let offered = vec![
        package("libmnl0", "1.0.4-r1", ""),
        package("libmnl0", "1.0.5-r2", "Depends: libc (>=1.2)\n"),
        package("unneeded", "1", ""),
        Package { architecture: "aarch64_generic".into(), ..package("libmnl0", "2.0-r1", "") },
    ];
    let selection = resolve(Some(&database(IMAGE)), vec![rdma], offered).unwrap();
    assert_eq!(titles(&selection), ["libmnl0 1.0.5-r2", "rdma 6.11.0-r1"]);
    assert_eq!(selection.packages[0].needed_by.as_deref(), Some("rdma"));
    assert_eq!(selection.packages[1].needed_by, None);
}

#[test]
fn a_missing_dependency_is_named_with_the_chain_that_leads_to_it() {
    let tool = package("perftest", "4", "Depends: libibverbs1\n");
    let offered =
        vec![package("libibverbs1", "50", "Depends: libnl-3 (>=3.5) | libnl-tiny, kernel (=6.6.106~ff-r1)\n")];
    let error = refused(vec![tool], offered);
    assert_eq!(
        error.message(),
        "dependencies are neither in the image nor among the packages given: libnl-3 (>=3.5) | libnl-tiny (perftest -> \
         libibverbs1 -> libnl-3 (>=3.5) | libnl-tiny), kernel (=6.6.106~ff-r1) (perftest -> libibverbs1 -> kernel \
         (=6.6.106~ff-r1); there is kernel 6.12.117~0123abcd-r1 in the image)"
    );
    assert!(error.remedy_text().unwrap().contains("very build"));
}

#[test]
fn names_are_met_by_what_packages_provide() {
    for (depends, is_met) in [
        ("ip", true),
        ("libubox", true),
        ("libubox20240329", true),
        ("libubox20230523", false),
        ("ip (>=6)", true),
        ("ip (>=7)", false),
        ("kernel (=6.12.117~0123abcd-r1)", true),
        ("kernel (=6.12.117~0123abce-r1)", false),
        ("nothing | libc", true),
    ] {
        let asked = package("a", "1", &format!("Depends: {depends}\n"));
        assert_eq!(resolve(Some(&database(IMAGE)), vec![asked], Vec::new()).is_ok(), is_met, "{depends}");
    }
}

#[test]
fn an_installed_version_stays_an_older_one_goes_and_a_newer_one_is_not_replaced() {
    let selection = resolve(Some(&database(IMAGE)), vec![package("libc", "1.2.5-r4", "")], Vec::new()).unwrap();
    assert_eq!((titles(&selection), selection.present), (Vec::<String>::new(), vec!["libc 1.2.5-r4".to_owned()]));
    let selection = resolve(Some(&database(IMAGE)), vec![package("libc", "1.2.5-r5", "")], Vec::new()).unwrap();
    assert_eq!(titles(&selection), ["libc 1.2.5-r5"]);
    let error = refused(vec![package("libc", "1.2.4-r9", "")], Vec::new());
    assert_eq!(error.message(), "the image has libc 1.2.5-r4, which is newer than 1.2.4-r9: opkg does not go back");
}

#[test]
fn conflicts_are_refused_from_both_sides() {
    let error = refused(vec![package("ip-full", "6", "")], Vec::new());
    assert_eq!(error.message(), "ip-tiny 6.11.0-r1, which the image has, conflicts with ip-full 6");
    let error = refused(vec![package("x", "1", "Conflicts: ip\n")], Vec::new());
    assert_eq!(error.message(), "x 1 conflicts with ip-tiny 6.11.0-r1, which the image has");
    let error = refused(vec![package("x", "1", "Conflicts: y (<<2)\n"), package("y", "1", "")], Vec::new());
    assert_eq!(error.message(), "x 1 conflicts with y 1");
    let error = refused(vec![package("x", "1", ""), package("x", "2", "")], Vec::new());
    assert_eq!(error.message(), "two versions of x are given: 1 (x.ipk) and 2 (x.ipk)");
}

#[test]
fn what_stays_keeps_what_it_needs() {
    let error = refused(vec![package("libold", "1.1", "")], Vec::new());
    assert_eq!(
        error.message(),
        "app 1, which the image has, needs libold (=1.0), which would go with the packages that are replaced"
    );
    let given = vec![package("libold", "1.1", ""), package("app", "2", "Depends: libold (=1.1)\n")];
    assert_eq!(titles(&resolve(Some(&database(IMAGE)), given, Vec::new()).unwrap()), ["libold 1.1", "app 2"]);
}

#[test]
fn another_manager_or_architecture_is_refused() {
    let apk = Package { format: Format::Apk, details: Details::Apk(Default::default()), ..package("x", "1", "") };
    let error = refused(vec![apk], Vec::new());
    assert_eq!(
        error.to_string(),
        "x.ipk: this is an .apk for apk, but the image's packages are managed by opkg, which takes .ipk only"
    );
    let foreign = Package { architecture: "mips_24kc".into(), ..package("x", "1", "") };
    assert_eq!(refused(vec![foreign], Vec::new()).message(), "x 1 is built for mips_24kc, the image for x86_64");
}

#[test]
fn without_a_database_nothing_is_said_to_be_missing() {
    let selection = resolve(None, vec![package("rdma", "1", "Depends: libc, libmnl0\n")], Vec::new()).unwrap();
    assert_eq!(titles(&selection), ["rdma 1"]);
    assert_eq!(selection.unknown, ["libc (rdma needs it)", "libmnl0 (rdma needs it)"]);
}

#[test]
fn circles_end() {
    let given = vec![package("a", "1", "Depends: b\n")];
    let offered = vec![package("b", "1", "Depends: a, c\n"), package("c", "1", "Depends: b\n")];
    let selection = resolve(Some(&database(IMAGE)), given, offered).unwrap();
    assert_eq!(titles(&selection), ["c 1", "b 1", "a 1"]);
}
