//! An output file that appears whole under its name, or not at all.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::form::{OutputForm, Subject, form_of, written_as};
use super::gzip::Rehearsal;
use super::model::{Model, is_plain};
use super::sign::Signer;
use super::stream::Stream;
use super::temporary::{Temporaries, Temporary};
use crate::error::{Error, Result};
use crate::image::{Disk, Form};
use crate::progress::Progress;

/// An output that was found possible before the work starts. It holds a temporary file in the output's folder, which
/// vanishes when this is dropped.
#[derive(Debug)]
pub(crate) struct Output {
    path: PathBuf,
    form: &'static OutputForm,
    force: bool,
    rehearsal: Option<Arc<Rehearsal>>,
    /// The image that is read, where it is a file.
    input: Option<PathBuf>,
    model: Option<Arc<Model>>,
    file: Temporary,
}

/// An output that has its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sealed {
    /// Its path, as given.
    pub(crate) path: PathBuf,
    /// Its wrapping.
    pub(crate) form: Form,
    /// Its length in bytes.
    pub(crate) length: u64,
    /// SHA-256 of the file, 64 lower-case hex digits.
    pub(crate) sha256: String,
    /// SHA-256 of the file without the signature chunk behind it; the same where there is none.
    pub(crate) sha256_unsigned: String,
}

impl Output {
    /// Checks that an image can be written to `path`, and opens a temporary file beside it. `input` is the image that
    /// is read, where it is a file; an existing output is replaced only with `force`. A symbolic link at `path` is itself replaced.
    ///
    /// # Errors
    /// Usage when the ending is unknown, the output is the input, exists already, is no file, or lies in no folder;
    /// I/O when the folder cannot be written.
    pub(crate) fn prepare(path: &Path, input: Option<&Path>, force: bool) -> Result<Self> {
        Self::prepare_as("", path, input, force)
    }

    /// The same; the temporary file's name says that it is `whose`, as [`is_temporary`](super::is_temporary) tells.
    ///
    /// # Errors
    /// As [`Output::prepare`].
    pub(crate) fn prepare_as(whose: &str, path: &Path, input: Option<&Path>, force: bool) -> Result<Self> {
        let form = form_of(path)?;
        let folder = folder_of(path);
        check_folder(&folder)?;
        if let Ok(metadata) = fs::metadata(path) {
            check_existing(path, &metadata, input, force)?;
        } else if !force && fs::symlink_metadata(path).is_ok() {
            return Err(exists(path));
        }
        let temporaries = Temporaries { whose, ..Temporaries::readable(&folder) };
        let file = temporaries.create().map_err(|error| cannot_create(path, &folder, error))?;
        let input = input.map(Path::to_owned);
        Ok(Self { path: path.to_owned(), form, force, rehearsal: None, input, model: None, file })
    }

    /// The same, for a clone of the disk that was rehearsed. What is written is the same.
    #[must_use]
    pub(crate) fn rehearsed(mut self, rehearsal: Arc<Rehearsal>) -> Self {
        self.rehearsal = Some(rehearsal);
        self
    }

    /// The same, begun as a clone of `model` if it is a plain image. What is written is the same.
    #[must_use]
    pub(crate) fn modelled(mut self, model: Arc<Model>) -> Self {
        self.model = Some(model);
        self
    }

    /// Its path, as given.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its wrapping.
    pub(crate) fn form(&self) -> Form {
        self.form.form
    }

    /// Whether its form can carry a signature behind the image.
    pub(crate) fn takes_trailer(&self) -> bool {
        matches!(self.form.form, Form::Raw | Form::Gzip)
    }

    /// Writes `disk` into the temporary file, and lets it reach the storage.
    ///
    /// # Errors
    /// I/O. No temporary file stays behind.
    pub(crate) fn fill(mut self, disk: &Disk, progress: &dyn Progress) -> Result<Filled> {
        let name = self.path.file_name().unwrap_or_default().display().to_string();
        progress.begin(&format!("{} {name}", self.form.verb), Some(disk.length()));
        let model = self.begun(disk);
        let mut out = match &model {
            Some(model) => Stream::over(self.file.as_file(), model),
            None => Stream::new(self.file.as_file_mut()),
        };
        let subject = Subject { name: &name, disk, rehearsal: self.rehearsal.as_deref(), progress };
        let written = (self.form.write)(&subject, &mut out).and_then(|()| out.finish());
        progress.end();
        let (length, sha256) = written.map_err(|error| cannot_write(&self.path, error))?;
        Ok(Filled { output: self, length, sha256 })
    }

    /// What the file is a clone of by now, if it could become one.
    fn begun(&self, disk: &Disk) -> Option<Arc<Model>> {
        if self.form() != Form::Raw {
            return None;
        }
        let input = || self.input.as_deref().filter(|_| is_plain(disk)).and_then(|path| Model::at(path).ok());
        let model = self.model.clone().or_else(|| input().map(Arc::new))?;
        model.begin(self.file.as_file()).ok().map(|()| model)
    }

    /// Writes `disk` and gives the file its name.
    #[cfg(test)]
    pub(crate) fn write(self, disk: &Disk, signer: Option<&Signer>, progress: &dyn Progress) -> Result<Sealed> {
        self.fill(disk, progress)?.publish(signer)
    }
}

/// An output that holds its content, but has no name yet. It vanishes when this is dropped.
#[derive(Debug)]
pub(crate) struct Filled {
    output: Output,
    /// Length of the image in bytes.
    length: u64,
    /// SHA-256 of the image, 64 lower-case hex digits.
    sha256: String,
}

impl Filled {
    /// SHA-256 of the image, 64 lower-case hex digits.
    pub(crate) fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Puts a signature chunk behind the image where `signer` has a certificate, and gives the file its name.
    ///
    /// # Errors
    /// I/O; unsupported when the chunk would be too long; usage when the output came into being since it was prepared.
    /// No temporary file stays behind.
    pub(crate) fn publish(self, signer: Option<&Signer>) -> Result<Sealed> {
        let Self { output: Output { path, form, force, file, .. }, length: unsigned_length, sha256: sha256_unsigned } =
            self;
        let chunk = signer.map(|signer| signer.append_chunk(file.as_file(), &path, unsigned_length)).transpose()?;
        let (length, sha256) = chunk.flatten().unwrap_or_else(|| (unsigned_length, sha256_unsigned.clone()));
        persist(file, &path, force)?;
        Ok(Sealed { path, form: form.form, length, sha256, sha256_unsigned })
    }
}

/// SHA-256 that `disk` has in the form `form`, 64 lower-case hex digits, without writing it.
///
/// # Errors
/// I/O, in practice none.
pub(crate) fn digest_as(form: Form, disk: &Disk, progress: &dyn Progress) -> Result<String> {
    progress.begin("Checking the digest", Some(disk.length()));
    let digest = written_as(form, &Subject { name: "", disk, rehearsal: None, progress });
    progress.end();
    digest.map(|(_, sha256)| sha256).map_err(|error| Error::io("compress", Path::new("the image in memory"), error))
}

/// Replaces the content of the file at `path`, or creates it: whole or not at all.
///
/// # Errors
/// I/O.
pub(crate) fn replace_file(path: &Path, content: &[u8]) -> Result<()> {
    replace_file_as("", path, content)
}

/// The same; the temporary file's name says that it is `whose`, as [`is_temporary`](super::is_temporary) tells.
///
/// # Errors
/// I/O.
pub(crate) fn replace_file_as(whose: &str, path: &Path, content: &[u8]) -> Result<()> {
    let folder = folder_of(path);
    let temporaries = Temporaries { whose, ..Temporaries::readable(&folder) };
    let mut file = temporaries.create().map_err(|error| cannot_create(path, &folder, error))?;
    let written = file.as_file_mut().write_all(content).and_then(|()| file.as_file().sync_all());
    written.map_err(|error| cannot_write(path, error))?;
    persist(file, path, true)
}

/// The folder that `path` lies in.
pub(super) fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

pub(super) fn check_folder(folder: &Path) -> Result<()> {
    match fs::metadata(folder) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(Error::usage(format!("{} is not a folder", folder.display()))),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(Error::usage(format!("the output's folder {} does not exist", folder.display()))
                .remedy(format!("create it first: mkdir -p {}", folder.display())))
        }
        Err(error) => Err(Error::io("look at", folder, error)),
    }
}

pub(super) fn check_existing(path: &Path, metadata: &Metadata, input: Option<&Path>, force: bool) -> Result<()> {
    if metadata.is_dir() {
        return Err(
            Error::usage(format!("the output {} is a folder", path.display())).remedy("name the file to write in it")
        );
    }
    if !metadata.is_file() {
        return Err(Error::usage(format!("the output {} is a device, not a file", path.display()))
            .remedy("write to a file first, then copy it to the device with dd"));
    }
    if let Some(input) = input.filter(|input| is_same_file(path, metadata, input)) {
        return Err(Error::usage(format!(
            "the output {} is the input {}; an input is never overwritten",
            path.display(),
            input.display()
        ))
        .remedy("give the output another name"));
    }
    if !force {
        return Err(exists(path));
    }
    Ok(())
}

/// The error of an output that is there already.
pub(crate) fn exists(path: &Path) -> Error {
    Error::usage(format!("the output {} exists already", path.display()))
        .remedy("give another name, or --force to replace it")
}

/// Whether both names lead to one file: the same path, a symbolic or a hard link.
pub(super) fn is_same_file(path: &Path, metadata: &Metadata, input: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        if let Ok(other) = fs::metadata(input)
            && (metadata.dev(), metadata.ino()) == (other.dev(), other.ino())
        {
            return true;
        }
    }
    #[cfg(not(unix))]
    let _ = metadata;
    matches!((path.canonicalize(), input.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// Gives `file` the name `path`, and makes the name last.
pub(super) fn persist(file: Temporary, path: &Path, force: bool) -> Result<()> {
    file.persist(path, force).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => exists(path),
        _ => cannot_write(path, error),
    })?;
    // Some filesystems cannot sync a folder; the file itself is safe on disk by now.
    #[cfg(unix)]
    let _ = File::open(folder_of(path)).and_then(|folder| folder.sync_all());
    Ok(())
}

pub(super) fn cannot_create(path: &Path, folder: &Path, error: io::Error) -> Error {
    let remedy = match error.kind() {
        ErrorKind::PermissionDenied => {
            format!("make the folder {} writable for your user, or choose another", folder.display())
        }
        ErrorKind::ReadOnlyFilesystem => "choose a folder on a filesystem that can be written".into(),
        _ => return Error::io("create", path, error),
    };
    Error::io("create", path, error).remedy(remedy)
}

pub(super) fn cannot_write(path: &Path, error: io::Error) -> Error {
    Error::io("write", path, error)
}

#[cfg(test)]
mod tests {
    use super::super::testing::names;
    use super::*;
    use crate::error::ErrorKind as Kind;
    use crate::image::Image;
    use crate::progress::Silent;

    /// A folder with an input in it.
    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join("input.img");
        fs::write(&input, b"input").unwrap();
        (folder, input)
    }

    fn disk() -> Disk {
        let mut bytes = vec![0; 3 * 1024 * 1024];
        bytes[1_500_000] = 7;
        Disk::from_bytes(&bytes)
    }

    fn refusal(path: &Path, input: &Path, force: bool) -> (Kind, String) {
        let error = Output::prepare(path, Some(input), force).unwrap_err();
        (error.kind(), error.message().to_owned())
    }

    #[test]
    fn the_output_has_the_length_and_digest_that_are_told() {
        let (folder, input) = folder();
        for (name, form) in [
            ("a.img.gz", Form::Gzip),
            ("A.GZ", Form::Gzip),
            ("a.raw.gz", Form::Gzip),
            ("a.img", Form::Raw),
            ("a.raw", Form::Raw),
            ("a.img.zst", Form::Zstd),
            ("a.qcow2", Form::Qcow2),
            ("a.VMDK", Form::Vmdk),
            ("a.vdi", Form::Vdi),
            ("a.vhdx", Form::Vhdx),
        ] {
            let path = folder.path().join(name);
            let sealed = Output::prepare(&path, Some(&input), false).unwrap().write(&disk(), None, &Silent).unwrap();
            let bytes = fs::read(&path).unwrap();
            assert_eq!(sealed.form, form);
            assert_eq!(sealed.length, bytes.len() as u64);
            assert_eq!(sealed.sha256, crate::digest::sha256_hex(&bytes));
            if form == Form::Raw {
                assert!(bytes == disk().read_vec(0, 3 * 1024 * 1024).unwrap());
            }
        }
        assert_eq!(names(folder.path()).len(), 11, "nothing else stays behind");
    }

    #[test]
    fn an_image_opens_as_the_same_disk_in_every_form() {
        let (folder, input) = folder();
        let original = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/openwrt-mini-ib-ext4-combined.img.gz");
        let original = Image::open(&original, &Silent).unwrap();
        let length = usize::try_from(original.disk.length()).unwrap();
        for name in ["out.img.gz", "out.img", "out.img.zst", "out.qcow2", "out.vmdk"] {
            let path = folder.path().join(name);
            let sealed =
                Output::prepare(&path, Some(&input), false).unwrap().write(&original.disk, None, &Silent).unwrap();
            let image = Image::open(&path, &Silent).unwrap();
            assert_eq!((image.container.form, &image.container.sha256), (sealed.form, &sealed.sha256));
            assert_eq!(image.table, original.table);
            assert!(image.container.trailers.is_empty());
            assert_eq!(image.disk.length(), original.disk.length());
            assert!(image.disk.read_vec(0, length).unwrap() == original.disk.read_vec(0, length).unwrap());
        }
    }

    #[test]
    fn nothing_stays_behind_when_the_work_is_given_up() {
        let (folder, input) = folder();
        let output = Output::prepare(&folder.path().join("out.img"), Some(&input), false).unwrap();
        drop(output);
        assert_eq!(names(folder.path()), ["input.img"]);
    }

    #[test]
    fn an_output_that_came_into_being_meanwhile_is_kept() {
        let (folder, input) = folder();
        let path = folder.path().join("out.img");
        let output = Output::prepare(&path, Some(&input), false).unwrap();
        fs::write(&path, b"precious").unwrap();
        let error = output.write(&disk(), None, &Silent).unwrap_err();
        assert_eq!(error.message(), format!("the output {} exists already", path.display()));
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        assert_eq!(names(folder.path()), ["input.img", "out.img"]);
    }

    #[test]
    fn an_existing_output_is_replaced_only_by_force() {
        let (folder, input) = folder();
        let path = folder.path().join("out.img");
        fs::write(&path, b"old").unwrap();
        let message = format!("the output {} exists already", path.display());
        assert_eq!(refusal(&path, &input, false), (Kind::Usage, message));
        Output::prepare(&path, Some(&input), true).unwrap().write(&disk(), None, &Silent).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), disk().length());
    }

    #[test]
    fn the_input_is_never_the_output_by_whatever_name() {
        let (folder, input) = folder();
        let hard = folder.path().join("hard.img");
        fs::hard_link(&input, &hard).unwrap();
        let mut paths = vec![input.clone(), hard, folder.path().join(".").join("input.img")];
        #[cfg(unix)]
        {
            let soft = folder.path().join("soft.img");
            std::os::unix::fs::symlink(&input, &soft).unwrap();
            paths.push(soft);
        }
        for path in paths {
            let (kind, message) = refusal(&path, &input, true);
            let expected = format!(
                "the output {} is the input {}; an input is never overwritten",
                path.display(),
                input.display()
            );
            assert_eq!((kind, message), (Kind::Usage, expected));
        }
        assert_eq!(fs::read(&input).unwrap(), b"input");
    }

    #[test]
    fn a_place_that_can_hold_no_file_is_told_before_the_work() {
        let (folder, input) = folder();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("folder.img")).unwrap();
        let missing = at("no/out.img");
        for (path, expected) in [
            (at("folder.img"), format!("the output {} is a folder", at("folder.img").display())),
            (missing, format!("the output's folder {} does not exist", at("no").display())),
            (at("input.img/out.img"), format!("{} is not a folder", input.display())),
            (at("out.tar"), format!("the ending of {} tells no image format", at("out.tar").display())),
            (at("a.vdi.gz"), format!("{} asks for two image formats at once", at("a.vdi.gz").display())),
            (at(".img"), format!("the ending of {} tells no image format", at(".img").display())),
        ] {
            assert_eq!(refusal(&path, &input, true), (Kind::Usage, expected));
        }
        assert_eq!(names(folder.path()), ["folder.img", "input.img"]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_device_is_refused_and_a_folder_that_cannot_be_written_is_an_io_error() {
        let (folder, input) = folder();
        let device = folder.path().join("device.img");
        std::os::unix::fs::symlink("/dev/null", &device).unwrap();
        let message = format!("the output {} is a device, not a file", device.display());
        assert_eq!(refusal(&device, &input, true), (Kind::Usage, message));
        // /proc takes no files, not even from root.
        let error = Output::prepare(Path::new("/proc/out.img"), Some(&input), false).unwrap_err();
        assert_eq!(error.kind(), Kind::Io);
        assert!(error.message().starts_with("cannot create /proc/out.img: "), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn an_output_can_be_read_by_others_and_has_holes_where_it_is_zero() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        let (folder, input) = folder();
        let path = folder.path().join("out.img");
        Output::prepare(&path, Some(&input), false).unwrap().write(&disk(), None, &Silent).unwrap();
        let metadata = fs::metadata(&path).unwrap();
        let reference = folder.path().join("reference");
        fs::write(&reference, b"").unwrap();
        let usual = fs::metadata(&reference).unwrap().permissions().mode() & 0o644;
        assert_eq!(metadata.permissions().mode() & 0o777, usual);
        assert!(metadata.blocks() * 512 < disk().length(), "{} blocks", metadata.blocks());
    }
}
