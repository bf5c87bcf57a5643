//! Signing what was written: a detached signature beside a file, and the signature chunk behind an image.
//!
//! The chunk is what OpenWrt's build appends: certificates (ucert) and the signature on everything in front of the chunk.
//! Source: `include/image-commands.mk`, `Build/append-metadata`.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::output::replace_file;
use super::sums::SUMS;
use crate::digest::Sha256Hex;
use crate::error::{Error, Result};
use crate::image::{LONGEST_SIGNATURE, TrailerKind, chunk_end};
use crate::signing::{Chain, Message, SecretKey, closing, self_signed};

/// Bytes read in one piece.
const PIECE: usize = 256 * 1024;
/// Longest key or certificate that is read; both have some hundred bytes.
const LONGEST: u64 = 64 * 1024;

/// The first bytes of a file, as a message.
pub(crate) struct FileMessage<'a> {
    file: &'a File,
    path: &'a Path,
    length: u64,
}

impl<'a> FileMessage<'a> {
    /// The first `length` bytes of `file`; `path` is for messages.
    pub(crate) fn new(file: &'a File, path: &'a Path, length: u64) -> Self {
        Self { file, path, length }
    }

    /// The same message up to `length` bytes.
    pub(crate) fn shortened(&self, length: u64) -> Self {
        Self { length, ..*self }
    }

    fn pieces(&self, take: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let mut file = self.file;
        file.seek(SeekFrom::Start(0))?;
        let mut buffer = vec![0; PIECE];
        let mut left = self.length;
        while left > 0 {
            let now = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            let count = file.read(buffer.get_mut(..now).unwrap_or_default())?;
            if count == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            take(buffer.get(..count).unwrap_or_default());
            left = left.saturating_sub(count as u64);
        }
        Ok(())
    }
}

impl Message for FileMessage<'_> {
    fn read(&self, take: &mut dyn FnMut(&[u8])) -> Result<()> {
        self.pieces(take).map_err(|error| Error::io("read", self.path, error))
    }
}

/// SHA-256 of `message`, 64 lower-case hex digits.
///
/// # Errors
/// I/O.
pub(crate) fn sha256_of(message: &dyn Message) -> Result<String> {
    let mut digest = Sha256Hex::default();
    message.read(&mut |bytes| digest.update(bytes))?;
    Ok(digest.finish())
}

/// The bytes of `file` at `range`; `path` is for messages.
///
/// # Errors
/// I/O.
pub(crate) fn read_range(mut file: &File, path: &Path, range: &Range<u64>) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    let read = file
        .seek(SeekFrom::Start(range.start))
        .and_then(|_| file.take(range.end.saturating_sub(range.start)).read_to_end(&mut content));
    read.map_err(|error| Error::io("read", path, error))?;
    Ok(content)
}

/// Who signs an output.
#[derive(Debug)]
pub(crate) struct Signer {
    /// With what.
    pub(crate) key: SecretKey,
    /// The certificates that go before the signature in the chunk behind the image; `None`: there will be no chunk.
    pub(crate) certificates: Option<Vec<u8>>,
}

impl Signer {
    /// Signs with the secret key file `key`.
    ///
    /// # Errors
    /// Usage when there is no such file or it is no secret key; unsupported when the key has a passphrase; I/O.
    pub(crate) fn load(key: &Path) -> Result<Self> {
        let place = |error: Error| error.at(key.display().to_string());
        let key = SecretKey::parse(&read_small(key, "key")?).map_err(place)?;
        Ok(Self { key, certificates: None })
    }

    /// The key's fingerprint, as public keys and signatures name it.
    pub(crate) fn fingerprint(&self) -> String {
        self.key.public().fingerprint.to_string()
    }

    /// Has the chunk begin with the certificates in the file `path`, the last of which must authorise the key.
    ///
    /// # Errors
    /// Usage when it does not, or there is no such file; corrupt; I/O.
    pub(crate) fn with_certificates(self, path: &Path) -> Result<Self> {
        let place = |error: Error| error.at(path.display().to_string());
        let bytes = read_small(path, "certificate")?;
        let chain = Chain::parse(&bytes).map_err(place)?;
        let own = self.key.public();
        match chain.authorised() {
            Some(key) if *key == own => Ok(Self { certificates: Some(bytes), ..self }),
            Some(key) => Err(place(Error::usage(format!(
                "the certificate authorises key {}, but key {} signs",
                key.fingerprint, own.fingerprint
            )))
            .remedy("sign with the key that the certificate is for, or give its own certificate")),
            None => Err(place(Error::usage("the chain of certificates does not end with one that authorises a key"))
                .remedy("give a certificate as `ucert -I` makes it, such as key-build.ucert")),
        }
    }

    /// Has the chunk begin with a certificate with which the key authorises itself from `from` (seconds since 1970) on.
    ///
    /// # Errors
    /// None in practice.
    pub(crate) fn self_certified(self, from: u64) -> Result<Self> {
        let certificates = self_signed(&self.key, from)?;
        Ok(Self { certificates: Some(certificates), ..self })
    }

    /// Appends the signature chunk to `file` (called `path` in messages), which has `length` bytes, where there are
    /// certificates. Returns the new length and SHA-256.
    pub(super) fn append_chunk(&self, file: &File, path: &Path, length: u64) -> Result<Option<(u64, String)>> {
        let Some(certificates) = &self.certificates else { return Ok(None) };
        let message = FileMessage::new(file, path, length);
        let payload = [certificates.clone(), closing(self.key.sign(&message)?)].concat();
        if payload.len() > LONGEST_SIGNATURE {
            return Err(Error::unsupported(format!(
                "certificates and signature have {} bytes, and fwtool takes {LONGEST_SIGNATURE}",
                payload.len()
            ))
            .remedy("give a shorter chain of certificates, or leave --cert out"));
        }
        let (mut crc, mut digest) = (crc32fast::Hasher::new(), Sha256Hex::default());
        let mut take = |bytes: &[u8]| {
            crc.update(bytes);
            digest.update(bytes);
        };
        message.read(&mut take)?;
        take(&payload);
        let end = chunk_end(TrailerKind::Signature, u32::try_from(payload.len()).unwrap_or(u32::MAX), crc);
        digest.update(&end);
        append(file, length, &[payload.as_slice(), &end].concat()).map_err(|error| Error::io("write", path, error))?;
        Ok(Some((length + payload.len() as u64 + end.len() as u64, digest.finish())))
    }

    /// Signs the file at `path` into `path.sig` beside it, byte for byte as usign does. Returns the signature's path
    /// where it was not there already.
    ///
    /// # Errors
    /// I/O.
    pub(super) fn sign_file(&self, path: &Path) -> Result<Option<PathBuf>> {
        let file = File::open(path).map_err(|error| Error::io("open", path, error))?;
        let length = file.metadata().map_err(|error| Error::io("look at", path, error))?.len();
        let text = self.key.sign(&FileMessage::new(&file, path, length))?.to_text();
        let signature = signature_of(path);
        if fs::read(&signature).is_ok_and(|there| there == text.as_bytes()) {
            return Ok(None);
        }
        replace_file(&signature, text.as_bytes())?;
        Ok(Some(signature))
    }

    /// Signs the `sha256sums` in `folder`. Returns the signature's path where it was not there already.
    ///
    /// # Errors
    /// I/O.
    pub(crate) fn sign_sums(&self, folder: &Path) -> Result<Option<PathBuf>> {
        self.sign_file(&folder.join(SUMS))
    }
}

/// Where the detached signature of the file at `path` lies.
pub(crate) fn signature_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".sig");
    path.with_file_name(name)
}

fn append(mut file: &File, at: u64, bytes: &[u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// The content of the small file at `path`.
///
/// # Errors
/// Usage when there is no such file or it is far too long to be `what`; I/O.
pub(crate) fn read_small(path: &Path, what: &str) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(|error| Error::unopened(what, path, error))?;
    let mut content = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut content).map_err(|error| Error::io("read", path, error))?;
    if content.len() as u64 > LONGEST {
        return Err(Error::usage(format!("{} is longer than {LONGEST} bytes: it is no {what}", path.display())));
    }
    Ok(content)
}
