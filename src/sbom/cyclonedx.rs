//! CycloneDX 1.6. Source: ECMA-424, `bom-1.6.schema.json`.

use serde_json::{Map, Value, json};

use super::{Component, ComponentKind, Inventory, TOOL, TOOL_VERSION};

pub(super) fn document(inventory: &Inventory) -> Value {
    let components: Vec<Value> =
        inventory.components.iter().enumerate().map(|(index, one)| component(index, one)).collect();
    let references: Vec<String> = (0..inventory.components.len()).map(reference).collect();
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": format!("urn:uuid:{}", inventory.uuid()),
        "version": 1,
        "metadata": {
            "timestamp": inventory.created(),
            "tools": { "components": [{ "type": "application", "name": TOOL, "version": TOOL_VERSION }] },
            "component": {
                "type": "firmware",
                "bom-ref": "image",
                "name": inventory.image,
                "description": inventory.system,
                "hashes": hashes(inventory.sha256.as_ref()),
            },
        },
        "components": components,
        "dependencies": [{ "ref": "image", "dependsOn": references }],
    })
}

fn hashes(sha256: Option<&String>) -> Value {
    sha256.map_or_else(|| json!([]), |sha256| json!([{ "alg": "SHA-256", "content": sha256 }]))
}

fn reference(index: usize) -> String {
    format!("component-{}", index + 1)
}

fn component(index: usize, component: &Component) -> Value {
    let kind = match component.kind {
        ComponentKind::Module => "device-driver",
        ComponentKind::Kernel => "operating-system",
        ComponentKind::Package => "application",
        ComponentKind::File => "file",
    };
    let mut fields = Map::new();
    fields.insert("type".to_owned(), json!(kind));
    fields.insert("bom-ref".to_owned(), json!(reference(index)));
    fields.insert("name".to_owned(), json!(component.name));
    if let Some(version) = &component.version {
        fields.insert("version".to_owned(), json!(version));
    }
    fields.insert("hashes".to_owned(), hashes(component.sha256.as_ref()));
    if let Some(licence) = &component.licence {
        fields.insert("licenses".to_owned(), json!([{ "license": { "name": licence } }]));
    }
    let mut properties = vec![json!({ "name": "ibwrt:reason", "value": component.reason })];
    properties.extend(component.path.as_ref().map(|path| json!({ "name": "ibwrt:path", "value": path })));
    fields.insert("properties".to_owned(), json!(properties));
    Value::Object(fields)
}
