//! IPoIB interfaces: their settings and the rules they obey.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One IPoIB interface, checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct IpoibInterface {
    /// Network device, such as `ib0`.
    pub(crate) device: String,
}

/// The overlay `ipoib`'s settings, checked: any number of interfaces.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct IpoibSettings {
    /// The interfaces, parents before children.
    pub(crate) interfaces: Vec<IpoibInterface>,
}
