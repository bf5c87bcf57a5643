//! `/etc/openwrt_release` and `/usr/lib/os-release`.

use serde::Serialize;

/// Who built the system. Fields are empty where the files do not say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Release {
    /// `DISTRIB_ID`.
    pub(crate) distribution: String,
    /// `DISTRIB_RELEASE`, such as `24.10.0` or `SNAPSHOT`.
    pub(crate) version: String,
    /// `DISTRIB_REVISION`, such as `r28427-6df0e3d02a`.
    pub(crate) revision: String,
    /// `DISTRIB_TARGET`, such as `x86/64`.
    pub(crate) target: String,
    /// `DISTRIB_ARCH`, such as `x86_64`.
    pub(crate) architecture: String,
    /// `DISTRIB_DESCRIPTION`.
    pub(crate) description: String,
    /// `OPENWRT_BUILD_DATE` in seconds since 1970, where present.
    pub(crate) build_date: Option<u64>,
}
