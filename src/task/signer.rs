//! Who signs an output, as the request says.

use std::path::Path;

use crate::civil::Moment;
use crate::error::{Error, Result};
use crate::plan::{Finding, Severity};
use crate::seal::{Output, Signer, exists, signature_of};
use crate::signing::VALIDITY;

use super::SigningRequest;

/// Who signs an output, and how.
pub(super) struct Signing<'a> {
    request: &'a SigningRequest,
    signer: Signer,
}

impl<'a> Signing<'a> {
    /// Reads key and certificates, before the work starts; `None` when nobody is asked to sign.
    ///
    /// # Errors
    /// Those of the files; usage when `output` cannot carry what is asked for, or has a signature already and there is no
    /// `force`.
    pub(super) fn prepare(
        request: Option<&'a SigningRequest>,
        output: Option<&Output>,
        force: bool,
    ) -> Result<Option<Self>> {
        let Some(request) = request else { return Ok(None) };
        let signer = Signer::load(&request.key)?;
        if let Some(output) = output {
            if request.image && !output.takes_trailer() {
                return Err(Error::usage("only an .img or .img.gz can carry a signature behind the image")
                    .remedy("leave --sign-image out: --sign alone puts a signature beside any output"));
            }
            let signature = signature_of(output.path());
            if !force && signature.exists() {
                return Err(exists(&signature));
            }
        }
        let signer = match &request.certificate {
            Some(path) if request.image => signer.with_certificates(path)?,
            _ => signer,
        };
        Ok(Some(Self { request, signer }))
    }

    /// What is to be said of the key file.
    pub(super) fn remark(&self) -> Option<Finding> {
        readable_by_others(&self.request.key)
    }

    /// The signer, with a certificate of its own where the image is to be signed and none was given; valid from `epoch`
    /// (seconds since 1970) on, which is added to `findings`.
    ///
    /// # Errors
    /// Usage when nothing tells the time.
    pub(super) fn certified(self, epoch: Option<u64>, findings: &mut Vec<Finding>) -> Result<Signer> {
        let Self { request, signer } = self;
        if !request.image || signer.certificates.is_some() {
            return Ok(signer);
        }
        let from = epoch.ok_or_else(|| {
            Error::usage("nothing tells from when on the certificate in the signature is to be valid")
                .remedy("set SOURCE_DATE_EPOCH, or give a certificate with --cert")
        })?;
        findings.push(Finding {
            id: "certificate-validity".to_owned(),
            severity: Severity::Note,
            message: format!(
                "the key certifies itself from {} to {}; a router that checks signatures refuses the image outside of that",
                Moment::of(from).date(),
                Moment::of(from.saturating_add(VALIDITY)).date()
            ),
            remedy: Some("set SOURCE_DATE_EPOCH to begin at another time, or give a certificate with --cert".to_owned()),
        });
        signer.self_certified(from)
    }
}

/// What is to be said of a key file that others can read.
pub(super) fn readable_by_others(key: &Path) -> Option<Finding> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(key).ok()?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Some(Finding {
                id: "key-permissions".to_owned(),
                severity: Severity::Warning,
                message: format!("the secret key {} has mode {mode:04o}: others can use it", key.display()),
                remedy: Some(format!("chmod 600 {}", key.display())),
            });
        }
    }
    #[cfg(not(unix))]
    let _ = key;
    None
}
