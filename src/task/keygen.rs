//! Keygen: a pair of keys to sign with.

use std::path::Path;

use crate::error::{Error, Result};
use crate::seal::KeyFiles;
use crate::signing::{RANDOM_LENGTH, SecretKey};

use super::KeygenReport;

/// Makes a pair of keys, `name.sec` and `name.pub`. This is the one place where random numbers are drawn.
///
/// # Errors
/// Usage when one of the files is there already; I/O, also when the system has no random numbers to give.
pub(crate) fn keygen(name: &Path) -> Result<KeygenReport> {
    let files = KeyFiles::prepare(name)?;
    let mut random = [0; RANDOM_LENGTH];
    getrandom::fill(&mut random)
        .map_err(|error| Error::io("draw random numbers for", &files.secret, std::io::Error::other(error)))?;
    let key = SecretKey::from_random(&random);
    files.write(&key)?;
    let fingerprint = key.public().fingerprint.to_string();
    Ok(KeygenReport { secret: files.secret, public: files.public, fingerprint })
}
