//! `boot/grub/grub.cfg` on the boot partition.

use serde::Serialize;

/// What a `root=` names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RootReference {
    /// `PARTUUID=…`, lower case.
    Partuuid(String),
    /// A device path such as `/dev/sda2`.
    Device(String),
}

/// One `menuentry`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct MenuEntry {
    /// Its title.
    pub(crate) title: String,
    /// Path of the kernel on the boot partition, such as `/boot/vmlinuz`.
    pub(crate) kernel: String,
    /// The kernel's command line, tokens in order.
    pub(crate) arguments: Vec<String>,
}

/// The boot configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct BootConfiguration {
    /// Entries that boot a kernel, in order.
    pub(crate) entries: Vec<MenuEntry>,
}
