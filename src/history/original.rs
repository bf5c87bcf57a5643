//! Contents of files that were replaced or removed, each a gzip file of its own.

use std::io::{Read as _, Write as _};

use flate2::{Compression, GzBuilder, bufread::GzDecoder};

use super::ORIGINALS;
use crate::digest::sha256_hex;
use crate::error::{Error, Result};

/// Kernels and modules are the largest that a patch replaces; this is far more than either.
const LONGEST: u64 = 1 << 30;
/// What a file with this content is called, beside its digest.
const ENDING: &str = ".gz";

/// Where the content with the digest `sha256` lies.
pub(crate) fn packed_path(sha256: &str) -> String {
    format!("{ORIGINALS}/{sha256}{ENDING}")
}

/// `content` as it is kept: gzip, without a name and a time.
pub(crate) fn pack(content: &[u8]) -> Result<Vec<u8>> {
    let failed = |error| Error::unsupported(format!("{} bytes cannot be compressed: {error}", content.len()));
    // Most of what is large was compressed before.
    let level = if content.len() > 1 << 20 { Compression::fast() } else { Compression::best() };
    let mut encoder = GzBuilder::new().operating_system(3).write(Vec::new(), level);
    encoder.write_all(content).map_err(failed)?;
    encoder.finish().map_err(failed)
}

/// The content with the digest `sha256` that `packed` holds.
///
/// # Errors
/// Corrupt: no gzip file, or other content.
pub(crate) fn unpack(packed: &[u8], sha256: &str) -> Result<Vec<u8>> {
    const REMEDY: &str = "patch the original image anew";
    let place = packed_path(sha256);
    let mut content = Vec::new();
    let read = GzDecoder::new(packed).take(LONGEST).read_to_end(&mut content);
    read.map_err(|error| {
        Error::corrupt(format!("the content that was kept cannot be unpacked: {error}"))
            .at(place.clone())
            .remedy(REMEDY)
    })?;
    let found = sha256_hex(&content);
    if found != sha256 {
        return Err(Error::corrupt(format!("the content that was kept has the SHA-256 {found}, not that of its name"))
            .at(place)
            .remedy(REMEDY));
    }
    Ok(content)
}
