//! An output folder that appears whole under its name, or not at all.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use tempfile::{Builder, TempDir};

use super::form::form_of;
use super::output::{cannot_create, cannot_write, check_folder, exists, folder_of};
use crate::error::{Error, Result};

/// What stands at the top of a root filesystem: a folder that holds nothing else is one, or part of one.
const TOP: [&str; 24] = [
    "bin",
    "boot",
    "dev",
    "etc",
    "home",
    "init",
    "lib",
    "lib64",
    "lost+found",
    "media",
    "mnt",
    "opt",
    "overlay",
    "proc",
    "rom",
    "root",
    "run",
    "sbin",
    "srv",
    "sys",
    "tmp",
    "usr",
    "var",
    "www",
];

/// An output folder that was found possible before the work starts. What is to be in it is written into a temporary folder
/// beside it, which vanishes when this is dropped.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    force: bool,
    temporary: TempDir,
}

impl Folder {
    /// Checks that a folder can be made as `path`, and makes a temporary one beside it. `input` is the tree that is read. An
    /// existing folder is replaced only with `force`, and only when it is empty or holds a tree as this program writes them.
    ///
    /// # Errors
    /// Usage when the name is that of an image, something has it already, or one of output and input lies in the other; I/O
    /// when the folder around it cannot be written.
    pub(crate) fn prepare(path: &Path, input: &Path, force: bool) -> Result<Self> {
        if form_of(path).is_ok() {
            return Err(Error::usage(format!("a tree goes into a folder, but {} names an image", path.display()))
                .remedy("give the folder to make with -o, or the image to patch in the place of --rootdir"));
        }
        let around = folder_of(path);
        check_folder(&around)?;
        check_apart(path, &around, input)?;
        match fs::symlink_metadata(path) {
            Ok(_) if !force => return Err(exists(path)),
            Ok(metadata) if !metadata.is_dir() => {
                return Err(Error::usage(format!("the output {} is a file, and a tree is a folder", path.display()))
                    .remedy("give another name"));
            }
            Ok(_) => check_replaceable(path)?,
            Err(_) => {}
        }
        let temporary = temporary_in(&around).map_err(|error| cannot_create(path, &around, error))?;
        Ok(Self { path: path.to_owned(), force, temporary })
    }

    /// The folder's path, as given.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where to write what is to be in it.
    pub(crate) fn place(&self) -> &Path {
        self.temporary.path()
    }

    /// Gives the folder its name; the one that it replaces goes.
    ///
    /// # Errors
    /// I/O; usage when something got the name since this was prepared.
    pub(crate) fn finish(self) -> Result<()> {
        let Self { path, force, temporary } = self;
        let replaced = match fs::symlink_metadata(&path) {
            Ok(_) if !force => return Err(exists(&path)),
            Ok(_) => Some(Replaced::put_aside(&path)?),
            Err(_) => None,
        };
        if let Err(error) = fs::rename(temporary.path(), &path) {
            if let Some(replaced) = replaced {
                replaced.put_back(&path)?;
            }
            return Err(cannot_write(&path, error));
        }
        // It has another name now: nothing is left to vanish.
        let _ = temporary.keep();
        // Some filesystems cannot sync a folder; what is in it is safe on disk by now.
        #[cfg(unix)]
        let _ = fs::File::open(folder_of(&path)).and_then(|folder| folder.sync_all());
        replaced.map_or(Ok(()), Replaced::remove)
    }
}

/// The folder that had the name.
struct Replaced {
    around: TempDir,
}

impl Replaced {
    fn put_aside(path: &Path) -> Result<Self> {
        // It was told from others when this was prepared; it is still that one.
        check_replaceable(path)?;
        let folder = folder_of(path);
        let around = temporary_in(&folder).map_err(|error| cannot_create(path, &folder, error))?;
        fs::rename(path, around.path().join("replaced")).map_err(|error| Error::io("replace", path, error))?;
        Ok(Self { around })
    }

    fn put_back(self, path: &Path) -> Result<()> {
        let aside = self.around.path().join("replaced");
        fs::rename(&aside, path).map_err(|error| {
            let kept = self.around.keep();
            Error::io("put back", path, error).remedy(format!("it lies in {} now", kept.display()))
        })
    }

    fn remove(self) -> Result<()> {
        let path = self.around.path().to_owned();
        self.around.close().map_err(|error| {
            Error::io("remove", &path, error)
                .remedy("the output is in place; this is the folder that it replaced, remove it by hand")
        })
    }
}

fn temporary_in(folder: &Path) -> std::io::Result<TempDir> {
    Builder::new().prefix(".ibwrt-").suffix(".part").tempdir_in(folder)
}

/// Neither of `path` (which lies in the folder `around`) and `input` lies in the other.
fn check_apart(path: &Path, around: &Path, input: &Path) -> Result<()> {
    let name = path.file_name().ok_or_else(|| {
        Error::usage(format!("{} is no name for a new folder", path.display())).remedy("name the folder to make")
    })?;
    let (Ok(around), Ok(input)) = (around.canonicalize(), input.canonicalize()) else { return Ok(()) };
    let output = around.join(name).canonicalize().unwrap_or_else(|_| around.join(name));
    let message = if output == input {
        format!("the output {} is the input; an input is never overwritten", path.display())
    } else if output.starts_with(&input) {
        format!("the output {} lies in the tree that is read", path.display())
    } else if input.starts_with(&output) {
        format!("the tree that is read lies in the output {}", path.display())
    } else {
        return Ok(());
    };
    Err(Error::usage(message).remedy("give a folder elsewhere"))
}

/// Whether `--force` may remove the folder at `path`: it holds nothing that a tree does not.
fn check_replaceable(path: &Path) -> Result<()> {
    let io = |error| match error {
        error if ErrorKind::NotADirectory == std::io::Error::kind(&error) => exists(path),
        error => Error::io("read", path, error),
    };
    for entry in fs::read_dir(path).map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        if !TOP.iter().any(|top| name == *top) {
            return Err(Error::usage(format!(
                "the output {} exists and holds {}, which no root filesystem does; such a folder is not replaced",
                path.display(),
                name.display()
            ))
            .remedy(format!("give another name, or remove it yourself: rm -r {}", path.display())));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::names;
    use super::*;
    use crate::error::ErrorKind as Kind;

    struct Places {
        folder: TempDir,
    }

    impl Places {
        /// A folder with a tree in it, as `root`.
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir_all(folder.path().join("root/etc")).unwrap();
            Self { folder }
        }

        fn at(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn refusal(&self, name: &str, force: bool) -> String {
            let error = Folder::prepare(&self.at(name), &self.at("root"), force).unwrap_err();
            assert_eq!(error.kind(), Kind::Usage);
            error.message().replace(&self.folder.path().display().to_string(), "HERE")
        }

        fn names(&self) -> Vec<String> {
            names(self.folder.path())
        }
    }

    #[test]
    fn a_folder_appears_with_all_that_was_written_or_not_at_all() {
        let places = Places::new();
        let folder = Folder::prepare(&places.at("out"), &places.at("root"), false).unwrap();
        fs::write(folder.place().join("file"), "x").unwrap();
        assert!(!places.at("out").exists());
        drop(folder);
        assert_eq!(places.names(), ["root"], "given up");
        let folder = Folder::prepare(&places.at("out"), &places.at("root"), false).unwrap();
        fs::write(folder.place().join("file"), "x").unwrap();
        folder.finish().unwrap();
        assert_eq!(places.names(), ["out", "root"]);
        assert_eq!(fs::read(places.at("out/file")).unwrap(), b"x");
    }

    #[test]
    fn force_replaces_a_tree_and_nothing_else() {
        let places = Places::new();
        fs::create_dir_all(places.at("out/etc/config")).unwrap();
        fs::write(places.at("out/etc/config/network"), "old").unwrap();
        assert_eq!(places.refusal("out", false), "the output HERE/out exists already");
        let folder = Folder::prepare(&places.at("out"), &places.at("root"), true).unwrap();
        fs::create_dir(folder.place().join("lib")).unwrap();
        folder.finish().unwrap();
        assert_eq!(places.names(), ["out", "root"]);
        assert!(places.at("out/lib").exists() && !places.at("out/etc").exists());
        fs::write(places.at("out/thesis.tex"), "precious").unwrap();
        let message = "the output HERE/out exists and holds thesis.tex, which no root filesystem does; such a folder is \
                       not replaced";
        assert_eq!(places.refusal("out", true), message);
        fs::write(places.at("file"), "x").unwrap();
        assert_eq!(places.refusal("file", true), "the output HERE/file is a file, and a tree is a folder");
    }

    #[test]
    fn a_folder_that_came_into_being_meanwhile_is_kept() {
        let places = Places::new();
        let folder = Folder::prepare(&places.at("out"), &places.at("root"), false).unwrap();
        fs::create_dir(places.at("out")).unwrap();
        assert!(folder.finish().unwrap_err().message().ends_with("out exists already"));
        assert_eq!(places.names(), ["out", "root"]);
    }

    #[test]
    fn output_and_input_lie_apart() {
        let places = Places::new();
        let (inside, same) = ("root/etc/out", "root/etc/../../root");
        fs::create_dir(places.at("bin")).unwrap();
        fs::rename(places.at("root"), places.at("bin/root")).unwrap();
        let refusal = |output: &str| {
            let error = Folder::prepare(&places.at(output), &places.at("bin/root"), true).unwrap_err();
            error.message().replace(&places.folder.path().display().to_string(), "HERE")
        };
        assert_eq!(
            refusal(&format!("bin/{inside}")),
            format!("the output HERE/bin/{inside} lies in the tree that is read")
        );
        assert_eq!(refusal("bin"), "the tree that is read lies in the output HERE/bin");
        assert_eq!(
            refusal(&format!("bin/{same}")),
            format!("the output HERE/bin/{same} is the input; an input is never overwritten")
        );
        assert_eq!(refusal("out.img.gz"), "a tree goes into a folder, but HERE/out.img.gz names an image");
        assert_eq!(refusal("no/out"), "the output's folder HERE/no does not exist");
        assert_eq!(refusal(".."), "HERE/.. is no name for a new folder");
    }
}
