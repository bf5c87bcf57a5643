//! What a run writes beside the outputs when it ends: sums, their signature, the report.

use std::fs;
use std::path::Path;

use crate::error::{Error, Result};
use crate::plan::{Finding, Severity};
use crate::seal::{Signer, replace_file_as, stale_signatures};

use super::folder::whose;
use super::names::List;
use super::report::BatchReport;
use super::shard::Shard;

/// Writes the sums and the report of `shard`, or of all hosts, into the folder at `path`; `signer` signs the sums. What is to
/// be said of signatures that are there is returned.
///
/// # Errors
/// I/O.
pub(super) fn write(
    path: &Path,
    shard: Option<Shard>,
    report: &BatchReport,
    signer: Option<&Signer>,
) -> Result<Vec<Finding>> {
    let whose = whose(shard);
    let (sums, text) = (path.join(List::Sums.name(shard)), report.sums());
    let is_changed = fs::read(&sums).ok().as_deref() != Some(text.as_bytes());
    if is_changed {
        replace_file_as(&whose, &sums, text.as_bytes())?;
    }
    if let Some(signer) = signer {
        signer.sign_sums(path)?;
    }
    let mut text = serde_json::to_string_pretty(report)
        .map_err(|error| Error::unsupported(format!("the report cannot be written as JSON: {error}")))?;
    text.push('\n');
    replace_file_as(&whose, &path.join(List::Report.name(shard)), text.as_bytes())?;
    let stale = stale_signatures(path, signer).filter(|_| is_changed && shard.is_none());
    Ok(stale.map(|name| stale_signature(&path.join(name))).collect())
}

fn stale_signature(path: &Path) -> Finding {
    Finding {
        id: "stale-signature".to_owned(),
        severity: Severity::Warning,
        message: format!("{} no longer matches the changed sha256sums", path.display()),
        remedy: Some("sign it again (--sign KEY), or remove the signature".to_owned()),
    }
}
