//! The fields that the specifications demand.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Component, ComponentKind, Inventory, SbomForm};

fn inventory() -> Inventory {
    let component = |kind, name: &str, licence: Option<&str>| Component {
        kind,
        name: name.into(),
        version: (kind != ComponentKind::File).then(|| "6.6.106".into()),
        path: (kind != ComponentKind::Package).then(|| format!("/x/{name}")),
        sha256: (kind != ComponentKind::Package).then(|| "ab".repeat(32)),
        licence: licence.map(str::to_owned),
        reason: "overlay connectx3".into(),
    };
    Inventory {
        image: "router.img.gz".into(),
        sha256: Some("cd".repeat(32)),
        system: "OpenWrt 24.10.0".into(),
        time: 1_735_689_600,
        components: vec![
            component(ComponentKind::Module, "mlx4_ib", Some("Dual BSD/GPL")),
            component(ComponentKind::Module, "ib_core", Some("Dual BSD/GPL")),
            component(ComponentKind::Kernel, "linux", None),
            component(ComponentKind::Package, "rdma", Some("GPL-2.0")),
            component(ComponentKind::File, "/etc/banner", None),
        ],
    }
}

fn parsed(form: SbomForm) -> Value {
    serde_json::from_str(&inventory().write(form)).unwrap()
}

#[test]
fn cyclonedx_has_what_its_schema_demands() {
    let bom = parsed(SbomForm::CycloneDx);
    assert_eq!((bom["bomFormat"].as_str(), bom["specVersion"].as_str()), (Some("CycloneDX"), Some("1.6")));
    assert_eq!(bom["metadata"]["timestamp"], "2025-01-01T00:00:00Z");
    let serial = bom["serialNumber"].as_str().unwrap().strip_prefix("urn:uuid:").unwrap();
    let groups: Vec<usize> = serial.split('-').map(str::len).collect();
    assert_eq!(groups, [8, 4, 4, 4, 12]);
    assert_eq!((serial.as_bytes()[14], serial.as_bytes()[19]), (b'8', b'a'), "version and variant of RFC 9562");
    // Enumeration in the schema, 1.5 and later.
    let types: BTreeSet<&str> = ["application", "device-driver", "operating-system", "file"].into();
    let components = bom["components"].as_array().unwrap();
    assert_eq!(components.len(), 5);
    let mut references = BTreeSet::from(["image"]);
    for component in components {
        assert!(types.contains(component["type"].as_str().unwrap()) && component["name"].is_string());
        assert!(references.insert(component["bom-ref"].as_str().unwrap()), "references are unique");
    }
    for reference in bom["dependencies"][0]["dependsOn"].as_array().unwrap() {
        assert!(references.contains(reference.as_str().unwrap()));
    }
    assert_eq!(components[0]["licenses"][0]["license"]["name"], "Dual BSD/GPL");
    assert_eq!(components[0]["hashes"][0]["content"], "ab".repeat(32));
}

#[test]
fn spdx_has_what_its_specification_demands() {
    let document = parsed(SbomForm::Spdx);
    for (field, value) in [("spdxVersion", "SPDX-2.3"), ("dataLicense", "CC0-1.0"), ("SPDXID", "SPDXRef-DOCUMENT")] {
        assert_eq!(document[field], value);
    }
    assert_eq!(document["creationInfo"]["created"], "2025-01-01T00:00:00Z");
    assert!(document["creationInfo"]["creators"][0].as_str().unwrap().starts_with("Tool: ibwrt-"));
    let namespace = document["documentNamespace"].as_str().unwrap();
    assert!(namespace.starts_with("urn:uuid:") && !namespace.contains('#'));
    let licences = document["hasExtractedLicensingInfos"].as_array().unwrap();
    let known: BTreeSet<&str> = licences.iter().map(|licence| licence["licenseId"].as_str().unwrap()).collect();
    assert_eq!(known, BTreeSet::from(["LicenseRef-Dual-BSD-GPL", "LicenseRef-GPL-2.0"]));
    let mut ids = BTreeSet::from(["SPDXRef-DOCUMENT"]);
    for package in document["packages"].as_array().unwrap() {
        let id = package["SPDXID"].as_str().unwrap();
        assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte)) && ids.insert(id), "{id}");
        assert!(package["name"].is_string() && package["downloadLocation"].is_string());
        let licence = package["licenseDeclared"].as_str().unwrap();
        assert!(licence == "NOASSERTION" || known.contains(licence), "{licence}");
    }
    let relationships = document["relationships"].as_array().unwrap();
    assert_eq!(relationships.len(), 6);
    assert_eq!(relationships[0]["relationshipType"], "DESCRIBES");
    for relationship in relationships {
        for end in ["spdxElementId", "relatedSpdxElement"] {
            assert!(ids.contains(relationship[end].as_str().unwrap()));
        }
    }
}

#[test]
fn the_identifier_follows_from_the_contents_and_nothing_else() {
    let uuid = inventory().uuid();
    assert_eq!(inventory().uuid(), uuid);
    let mut other = inventory();
    other.components[0].sha256 = Some("00".repeat(32));
    assert_ne!(other.uuid(), uuid);
}
