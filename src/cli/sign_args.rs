//! The options that sign an output.

use std::path::PathBuf;

use clap::Args;

use crate::task::{SigningRequest, TrustRequest};

/// How the output is signed.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Signing")]
pub(super) struct Signing {
    /// Sign the output and sha256sums beside it (OUT.sig, sha256sums.sig) with this usign or signify secret key
    #[arg(long, value_name = "KEY", conflicts_with = "rootdir")]
    pub(super) sign: Option<PathBuf>,
    /// Put a signature behind the image as well, which a router with the package ucert checks at sysupgrade
    #[arg(long, requires = "sign")]
    pub(super) sign_image: bool,
    /// The certificate (ucert) of the key for --sign-image; without it the key certifies itself for a year
    #[arg(long, value_name = "FILE", requires = "sign_image")]
    pub(super) cert: Option<PathBuf>,
}

/// Whose signatures count.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Signatures")]
pub(super) struct Trust {
    /// A public key (usign, signify) whose signatures count, or a folder of them such as /etc/opkg/keys (repeatable);
    /// without it no signature is judged
    #[arg(long, value_name = "PUB|DIR", conflicts_with = "rootdir")]
    pub(super) key: Vec<PathBuf>,
    /// The time that certificates are held against, such as $(date +%s); else SOURCE_DATE_EPOCH, else their dates are
    /// only told
    #[arg(long, value_name = "SECONDS", requires = "key")]
    pub(super) now: Option<u64>,
}

impl Trust {
    /// As the task takes it; `epoch` is the time where no other is told.
    pub(super) fn to_request(&self, epoch: Option<u64>) -> TrustRequest {
        TrustRequest { keys: self.key.clone(), now: self.now.or(epoch) }
    }
}

/// Make a pair of keys to sign images with.
///
/// Writes NAME.sec and NAME.pub, in the form of usign and signify (Ed25519). The secret key has mode 0600 and no
/// passphrase. No file is ever replaced.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  ibwrt keygen site-key\n  ibwrt patch image.img.gz --recipe site.toml --sign \
                       site-key.sec -o router.img.gz\n  ibwrt verify router.img.gz --key site-key.pub"
)]
pub(super) struct KeygenArguments {
    /// What the files are called, without an ending
    pub(super) name: PathBuf,
}

impl Signing {
    /// As the task takes it.
    pub(super) fn to_request(&self) -> Option<SigningRequest> {
        let key = self.sign.clone()?;
        Some(SigningRequest { key, image: self.sign_image, certificate: self.cert.clone() })
    }
}
