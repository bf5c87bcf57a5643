//! A kernel that is given as a file.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::digest::sha256_hex;
use crate::error::{At, Error, Result};
use crate::kernel::{KernelFormat, KernelImage, KernelRelease};

use super::scene::KernelFile;

/// A kernel file longer than this is not read: 256 MiB.
const LONGEST_KERNEL: u64 = 256 << 20;

/// The file and what it says of itself.
#[derive(Debug, Clone)]
pub(super) struct GivenKernel {
    /// Where it came from.
    pub(super) file: PathBuf,
    /// Its content.
    pub(super) bytes: Arc<[u8]>,
    /// SHA-256 of it, 64 lower-case hex digits.
    pub(super) sha256: String,
    /// Its form.
    pub(super) format: KernelFormat,
    /// Its release.
    pub(super) release: KernelRelease,
}

impl GivenKernel {
    /// Reads the kernel at `file`.
    ///
    /// # Errors
    /// A file that cannot be read; unsupported when it is no kernel; corrupt when it contradicts itself.
    pub(super) fn read(file: &Path) -> Result<Self> {
        let bytes = read_file(file)?;
        let image = KernelImage::parse(&bytes).at(|| file.display().to_string())?;
        let (format, release) = (image.format(), image.release());
        Ok(Self { file: file.to_owned(), sha256: sha256_hex(&bytes), bytes: bytes.into(), format, release })
    }

    /// As the kernel that boots a root which has none of its own.
    pub(super) fn as_booted(&self) -> KernelFile {
        KernelFile { path: self.file.display().to_string(), content: Ok(Arc::clone(&self.bytes)) }
    }
}

/// The kernel's bytes, no more than a kernel has.
fn read_file(path: &Path) -> Result<Vec<u8>> {
    let file = File::open(path)
        .map_err(|error| Error::io("open the kernel", path, error).remedy("check the path given as kernel"))?;
    let mut bytes = Vec::new();
    let mut limited = file.take(LONGEST_KERNEL + 1);
    limited.read_to_end(&mut bytes).map_err(|error| Error::io("read the kernel", path, error))?;
    if limited.limit() == 0 {
        return Err(Error::unsupported(format!("longer than {LONGEST_KERNEL} bytes, which no bzImage is"))
            .at(path.display().to_string()));
    }
    Ok(bytes)
}
