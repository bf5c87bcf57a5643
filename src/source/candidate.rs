//! One module file on offer, and whether it fits.

use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::path::PathBuf;

use super::SourcedModule;
use super::archive::{Extent, LARGEST_MODULE, Spool, damage};
use super::decompress::decoder;
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::{KernelRelease, Module, ModuleName, identity};

/// Where the bytes of a candidate are.
#[derive(Debug)]
pub(super) enum Place {
    /// A file of its own.
    File(PathBuf),
    /// A member of an archive.
    Member(Extent),
}

/// A module file, not read yet.
#[derive(Debug)]
pub(super) struct Candidate {
    /// As [`SourcedModule::origin`].
    pub(super) origin: String,
    pub(super) place: Place,
}

/// What came of reading a candidate.
pub(super) enum Verdict {
    /// It is for the release asked for, or does not say what it is for.
    Fits(Box<SourcedModule>),
    /// It cannot be used; a predicate about the file.
    Misfit(String),
    /// The operating system does not let it be read.
    Unreadable(Error),
}

impl Candidate {
    /// Reads the file and compares it with `release`.
    pub(super) fn examine(&self, name: &ModuleName, release: &KernelRelease, spool: &Spool) -> Verdict {
        let parsed = self.read(spool).and_then(|bytes| Ok((Module::parse(&bytes)?, bytes)));
        let (module, bytes) = match parsed {
            Ok(parsed) => parsed,
            Err(error) if error.kind() == ErrorKind::Io => return Verdict::Unreadable(error),
            Err(error) => return Verdict::Misfit(error.message().to_owned()),
        };
        let built_for = module.modinfo.release();
        if let Some(built_for) = built_for.as_ref().filter(|built_for| *built_for != release) {
            return Verdict::Misfit(format!("was built for {built_for}, the image's kernel is {release}"));
        }
        let origin = self.origin.clone();
        let is_release_known = built_for.is_some();
        let (name, source_sha256) = (name.clone(), None);
        Verdict::Fits(Box::new(SourcedModule { name, origin, bytes, module, is_release_known, source_sha256 }))
    }

    /// The uncompressed module.
    fn read(&self, spool: &Spool) -> Result<Vec<u8>> {
        match &self.place {
            Place::File(path) => {
                let file = File::open(path).map_err(|e| Error::io("open", path, e))?;
                unpack(BufReader::with_capacity(1 << 16, file)).map_err(|failure| failure.into_error(path))?
            }
            Place::Member(extent) => {
                let stored = spool.read(*extent)?;
                unpack(stored.as_slice()).map_err(|failure| failure.into_error(self.origin.as_ref()))?
            }
        }
    }
}

/// A failed read, before it is known whose.
struct Failure(io::Error);

impl Failure {
    fn into_error(self, path: &std::path::Path) -> Error {
        let error = damage(path, self.0);
        if error.kind() == ErrorKind::Io {
            return error;
        }
        Error::corrupt(format!("is damaged: {}", error.message()))
    }
}

/// The outer failure is the reader's, the inner one the size limit.
fn unpack(source: impl io::BufRead) -> Result<Result<Vec<u8>>, Failure> {
    let mut bytes = Vec::new();
    let mut content = decoder(source).map_err(Failure)?.take(LARGEST_MODULE + 1);
    content.read_to_end(&mut bytes).map_err(Failure)?;
    if content.limit() == 0 {
        return Ok(Err(Error::unsupported("is larger than 256 MiB unpacked")));
    }
    Ok(Ok(bytes))
}

/// Whether two modules are the same but for stripping.
///
/// # Errors
/// As [`Module::parse`], which both have passed.
pub(super) fn are_equal(a: &SourcedModule, b: &SourcedModule) -> Result<bool> {
    Ok(a.bytes == b.bytes || identity(&a.bytes)? == identity(&b.bytes)?)
}
