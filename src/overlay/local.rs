//! The local files that settings name.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use toml::Table;

use crate::base64;
use crate::error::{Error, Result};
use crate::recipe::{Places, read_local};
use crate::signing::PublicKey;

use super::description::{Description, SettingType};

const PEM_BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const PEM_END: &str = "-----END PUBLIC KEY-----";

/// A local file, as templates and conditions see it.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Local {
    /// Its name; empty where the setting names none.
    name: String,
    /// Its name without the last ending.
    stem: String,
    /// Fingerprint of the usign public key that it is, else empty.
    fingerprint: String,
    /// Whether it is a public key in PEM.
    pem: bool,
    /// Its content.
    #[serde(skip)]
    pub(super) bytes: Arc<[u8]>,
}

/// Reads the files that `settings` name, by the names of the settings.
///
/// # Errors
/// A file that cannot be read, with the place of the setting.
pub(super) fn read(description: &Description, settings: &Table, places: &Places) -> Result<BTreeMap<String, Local>> {
    let mut files = BTreeMap::new();
    for setting in description.setting.iter().filter(|setting| setting.kind == SettingType::File) {
        let path = settings.get(&setting.name).and_then(|value| value.as_str()).unwrap_or_default();
        let local = match path {
            "" => Local::default(),
            path => Local::read(Path::new(path))
                .map_err(|error| places.locate(error, &format!("{}.{}", description.name, setting.name)))?,
        };
        files.insert(setting.name.clone(), local);
    }
    Ok(files)
}

impl Local {
    /// The file's name; empty where the setting names none.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn read(path: &Path) -> Result<Self> {
        let bytes = read_local(path)?;
        let text = |part: Option<&std::ffi::OsStr>| {
            part.and_then(|part| part.to_str())
                .map(str::to_owned)
                .ok_or_else(|| Error::usage(format!("the name of {} is not UTF-8", path.display())))
        };
        let fingerprint = PublicKey::parse(&bytes).map(|key| key.fingerprint.to_string()).unwrap_or_default();
        Ok(Self {
            name: text(path.file_name())?,
            stem: text(path.file_stem())?,
            fingerprint,
            pem: is_public_pem(&bytes),
            bytes: bytes.into(),
        })
    }
}

/// Whether `bytes` are a public key in PEM (RFC 7468 section 13): base64 of a DER sequence between two lines.
pub(crate) fn is_public_pem(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let mut lines = text.lines().map(str::trim).skip_while(|line| *line != PEM_BEGIN).skip(1);
    let body: String = lines.by_ref().take_while(|line| *line != PEM_END).collect();
    base64::decode(&body).is_some_and(|der| der.first() == Some(&0x30) && text.contains(PEM_END))
}
