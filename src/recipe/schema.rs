//! The recipe's JSON schema: typed keys from the types, overlays' settings from their declarations.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::error::Result;
use crate::overlay::Overlay;

use super::files::FileInput;
use super::rekey::RekeyInput;

/// The keys of a recipe that do not belong to an overlay.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RecipeInput {
    /// Overlays: names of built-in ones, or folders (anything with a `/`), relative to the recipe.
    pub(crate) overlays: Vec<String>,
    /// Module sources: folders searched in depth, `.ko` files, archives; relative to the recipe.
    pub(crate) modules: Vec<String>,
    /// Packages to be installed: .ipk or .apk files, or folders of them; relative to the recipe.
    pub(crate) packages: Vec<String>,
    /// Folders that are searched for what the packages need; relative to the recipe.
    pub(crate) package_dirs: Vec<String>,
    /// Whether modules that come without a package are registered in the package database, as `kmod-ibwrt`; true by default.
    pub(crate) register: Option<bool>,
    /// A bzImage that takes the place of the image's kernel; relative to the recipe.
    pub(crate) kernel: Option<String>,
    /// New version of the package `kernel`, which otherwise keeps its version when the kernel is replaced.
    pub(crate) kernel_version: Option<String>,
    /// Whether every module of the image is replaced, from `modules`, along with the kernel.
    pub(crate) replace_modules: bool,
    /// Whether an overlay behind a squashfs root, which holds what a system has written since, is given up.
    pub(crate) discard_overlay: bool,
    /// How large the root partition and its filesystem are to be: a size such as `512M` (units of 1024; bytes without one),
    /// `+64M` for that much more, or `min` for what the plan needs. It never shrinks.
    pub(crate) rootfs_size: Option<String>,
    /// Whether a backup GPT is written to the end of the disk, where OpenWrt writes none.
    pub(crate) backup_gpt: bool,
    /// Whether disk and partitions get identifiers of their own (disk GUID or signature, PARTUUIDs), with grub.cfg in step: a
    /// text that they are made of, the same ones each time, or `true` for the host's name.
    pub(crate) rekey: Option<RekeyInput>,
    /// Whether the image keeps a record of what is done to it (`/etc/ibwrt`), with what stood there before, so that it can be
    /// undone and replaced; true by default.
    pub(crate) manifest: Option<bool>,
    /// Host name.
    pub(crate) hostname: Option<String>,
    /// crypt(3) hash of root's password, as `openssl passwd -6` prints it.
    pub(crate) root_password_hash: Option<String>,
    /// Public SSH keys for root, or files of them.
    pub(crate) ssh_keys: Vec<String>,
    /// Files to be put into the image.
    pub(crate) file: Vec<FileInput>,
}

/// The schema of `T`, without references and without `null`, which TOML does not have.
pub(crate) fn schema_of<T: JsonSchema>() -> Json {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = SchemaGenerator::new(settings).into_root_schema_for::<T>().to_value();
    without_null(&mut schema);
    if let Some(object) = schema.as_object_mut() {
        object.remove("$schema");
        object.remove("title");
    }
    schema
}

/// The JSON schema of a recipe with the built-in overlays' tables; tables of other overlays are allowed beside them.
///
/// # Errors
/// None but a damaged built-in overlay.
pub(crate) fn schema() -> Result<Json> {
    let mut schema = recipe_schema().clone();
    if let Some(properties) = schema.get_mut("properties").and_then(Json::as_object_mut) {
        for name in Overlay::builtin_names() {
            properties.insert(name.to_owned(), Overlay::load(name)?.schema().clone());
        }
    }
    if let Some(object) = schema.as_object_mut() {
        object.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        object.insert("title".to_owned(), json!("ibwrt recipe"));
        object.insert("additionalProperties".to_owned(), json!({ "type": "object" }));
    }
    Ok(schema)
}

/// The schema of the recipe's own keys.
pub(super) fn recipe_schema() -> &'static Json {
    static SCHEMA: LazyLock<Json> = LazyLock::new(schema_of::<RecipeInput>);
    &SCHEMA
}

/// Keys that hosts, groups and hosts files have beside those of a recipe.
const HOSTS_KEYS: [&str; 4] = ["group", "host", "name", "vars"];

/// Whether `key` is one of the recipe's or the hosts file's own, so that no overlay can be called so.
pub(crate) fn is_recipe_key(key: &str) -> bool {
    HOSTS_KEYS.contains(&key) || recipe_keys().iter().any(|own| own == key)
}

/// The recipe's own keys.
pub(crate) fn recipe_keys() -> &'static [String] {
    static KEYS: LazyLock<Vec<String>> = LazyLock::new(|| {
        let properties = recipe_schema().get("properties").and_then(Json::as_object);
        properties.into_iter().flat_map(|properties| properties.keys().cloned()).collect()
    });
    &KEYS
}

fn without_null(schema: &mut Json) {
    match schema {
        Json::Object(object) => {
            if let Some(Json::Array(types)) = object.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    object.insert("type".to_owned(), only);
                }
            }
            collapse(object);
            if object.get("default") == Some(&Json::Null) {
                object.remove("default");
            }
            object.values_mut().for_each(without_null);
        }
        Json::Array(items) => items.iter_mut().for_each(without_null),
        _ => {}
    }
}

/// Drops `null` from alternatives; an alternative that is left alone takes their place, but keeps the description.
fn collapse(object: &mut serde_json::Map<String, Json>) {
    let Some(Json::Array(branches)) = object.get_mut("anyOf") else { return };
    branches.retain(|branch| branch.get("type") != Some(&json!("null")));
    if branches.len() != 1 {
        return;
    }
    if let Some(Json::Object(only)) = branches.pop() {
        object.remove("anyOf");
        for (key, value) in only {
            object.entry(key).or_insert(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::{Document, check_table};

    const EXAMPLE: &str = r#"
overlays = ["connectx3", "ipoib"]
modules  = ["build_dir/target-x86_64_musl/linux-x86_64/linux-6.6.106", "extra/ib_srp.ko.xz"]
packages = ["rdma_6.11.0-r1_x86_64.ipk"]
hostname = "fabric-gw"
[connectx3]
port_type = ["ib", "eth"]
[ipoib]
address = "10.10.0.5/24"
mode = "connected"
[[ipoib.interface]]
device = "ib1"
address = ["10.11.0.5/24", "fd00::5/64"]
pkeys = [0x8001]
zone = "ib"
[[file]]
path = "/etc/banner"
content = "hello"
[my-overlay]
anything = 1
"#;

    #[test]
    fn the_example_fits_the_schema_and_a_typo_in_it_does_not() {
        let schema = schema().unwrap();
        let check = |text: &str| {
            let document = Document::parse(text, "r.toml").unwrap();
            check_table(&schema, &document.table, "", &document.places)
        };
        check(EXAMPLE).unwrap();
        for (from, to) in [
            ("address =", "adress ="),
            ("pkeys =", "pkey ="),
            ("\"ib\", \"eth\"", "\"ib\", \"et\""),
            ("content", "contents"),
        ] {
            assert!(check(&EXAMPLE.replacen(from, to, 1)).is_err(), "{to}");
        }
    }

    #[test]
    fn the_schema_names_every_key_and_every_overlay_and_stands_alone() {
        let schema = schema().unwrap();
        let keys = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect::<Vec<_>>();
        let mut expected = vec![
            "file",
            "hostname",
            "kernel",
            "kernel_version",
            "modules",
            "overlays",
            "package_dirs",
            "packages",
            "replace_modules",
        ];
        expected.extend(["backup_gpt", "discard_overlay", "manifest", "register", "rekey"]);
        expected.extend(["root_password_hash", "rootfs_size", "ssh_keys"]);
        expected.extend(Overlay::builtin_names());
        expected.sort_unstable();
        let mut keys = keys;
        keys.sort_unstable();
        assert_eq!(keys, expected);
        let text = schema.to_string();
        assert!(!text.contains("$ref") && !text.contains("\"null\""), "{text}");
        assert_eq!(schema["properties"]["ipoib"]["properties"]["mode"]["oneOf"][0]["const"], "datagram");
        assert_eq!(schema["properties"]["ipoib"]["additionalProperties"], false);
    }
}
