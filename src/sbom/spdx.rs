//! SPDX 2.3. Every component is a package: a file of SPDX would need its SHA-1. Source: SPDX specification 2.3, clauses 6
//! to 11.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Component, ComponentKind, Inventory, TOOL, TOOL_VERSION};

const NOT_SAID: &str = "NOASSERTION";

pub(super) fn document(inventory: &Inventory) -> Value {
    let mut licences: BTreeMap<String, String> = BTreeMap::new();
    let mut packages = vec![json!({
        "SPDXID": "SPDXRef-image",
        "name": inventory.image,
        "downloadLocation": NOT_SAID,
        "filesAnalyzed": false,
        "primaryPackagePurpose": "FIRMWARE",
        "description": inventory.system,
        "checksums": checksums(inventory.sha256.as_ref()),
        "licenseConcluded": NOT_SAID,
        "licenseDeclared": NOT_SAID,
        "copyrightText": NOT_SAID,
    })];
    let described = ("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-image".to_owned());
    let mut relationships = vec![described];
    for (index, component) in inventory.components.iter().enumerate() {
        let id = format!("SPDXRef-component-{}", index + 1);
        packages.push(package(&id, component, &mut licences));
        relationships.push(("SPDXRef-image", "CONTAINS", id));
    }
    let relationships: Vec<Value> = relationships
        .into_iter()
        .map(|(from, kind, to)| json!({ "spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to }))
        .collect();
    let extracted: Vec<Value> = licences
        .into_iter()
        .map(|(id, name)| {
            json!({
                "licenseId": id,
                "name": name,
                "extractedText": format!("The component says `{name}` of its licence, and no more."),
            })
        })
        .collect();
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": inventory.image,
        "documentNamespace": format!("urn:uuid:{}", inventory.uuid()),
        "creationInfo": { "created": inventory.created(), "creators": [format!("Tool: {TOOL}-{TOOL_VERSION}")] },
        "packages": packages,
        "relationships": relationships,
        "hasExtractedLicensingInfos": extracted,
    })
}

fn checksums(sha256: Option<&String>) -> Value {
    sha256.map_or_else(|| json!([]), |sha256| json!([{ "algorithm": "SHA256", "checksumValue": sha256 }]))
}

fn package(id: &str, component: &Component, licences: &mut BTreeMap<String, String>) -> Value {
    let purpose = match component.kind {
        ComponentKind::Module => "DEVICE",
        ComponentKind::Kernel => "OPERATING-SYSTEM",
        ComponentKind::Package => "APPLICATION",
        ComponentKind::File => "FILE",
    };
    let licence = component.licence.as_ref().map_or_else(|| NOT_SAID.to_owned(), |name| reference(name, licences));
    let mut fields = Map::new();
    fields.insert("SPDXID".to_owned(), json!(id));
    fields.insert("name".to_owned(), json!(component.name));
    if let Some(version) = &component.version {
        fields.insert("versionInfo".to_owned(), json!(version));
    }
    if let Some(path) = &component.path {
        fields.insert("packageFileName".to_owned(), json!(path));
    }
    fields.insert("downloadLocation".to_owned(), json!(NOT_SAID));
    fields.insert("filesAnalyzed".to_owned(), json!(false));
    fields.insert("primaryPackagePurpose".to_owned(), json!(purpose));
    fields.insert("checksums".to_owned(), checksums(component.sha256.as_ref()));
    fields.insert("licenseConcluded".to_owned(), json!(NOT_SAID));
    fields.insert("licenseDeclared".to_owned(), json!(licence));
    fields.insert("copyrightText".to_owned(), json!(NOT_SAID));
    fields.insert("comment".to_owned(), json!(component.reason));
    Value::Object(fields)
}

/// The reference to a licence in a component's own words. `GPL` in a module says no version (Documentation/process/
/// license-rules.rst of the kernel), so no identifier of SPDX's list says the same.
fn reference(name: &str, licences: &mut BTreeMap<String, String>) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    let id = format!("LicenseRef-{}", name.chars().map(plain).collect::<String>());
    licences.entry(id.clone()).or_insert_with(|| name.to_owned());
    id
}
