//! The option that has a bill of materials written.

use clap::ValueEnum;

use crate::sbom::SbomForm;

/// The form of a bill of materials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Sbom {
    Cyclonedx,
    Spdx,
}

impl Sbom {
    /// As the task takes it.
    pub(super) fn form(self) -> SbomForm {
        match self {
            Self::Cyclonedx => SbomForm::CycloneDx,
            Self::Spdx => SbomForm::Spdx,
        }
    }
}
