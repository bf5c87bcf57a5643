//! The tree of files in a folder, as the system shows it; and running the program as an ordinary user.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::program::{Ran, run};
use super::tool;
use super::tree::{Entry, Tree, sha256};

/// Reads the whole tree. What an [`Entry`] holds of the inode is the time of the last change, and how many names it has.
pub(crate) fn read(folder: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut waiting = vec![folder.to_path_buf()];
    while let Some(next) = waiting.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let metadata = std::fs::symlink_metadata(&path).unwrap();
            let content = if metadata.is_file() {
                sha256(&std::fs::read(&path).unwrap())
            } else if metadata.is_symlink() {
                std::fs::read_link(&path).unwrap().to_string_lossy().into_owned()
            } else {
                String::new()
            };
            if metadata.is_dir() {
                waiting.push(path.clone());
            }
            let entry = Entry {
                mode: format!("{:o}", metadata.mode()),
                owner: format!("{}:{}", metadata.uid(), metadata.gid()),
                content,
                inode: format!("{}.{:09} {}", metadata.mtime(), metadata.mtime_nsec(), metadata.nlink()),
            };
            tree.insert(format!("/{}", path.strip_prefix(folder).unwrap().display()), entry);
        }
    }
    tree
}

/// Whether the tests run as root, and so can be an ordinary user as well.
pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

/// A place where an ordinary user may work: `nobody` where the tests run as root, else whoever runs them.
pub(crate) struct User {
    folder: tempfile::TempDir,
    program: PathBuf,
}

impl User {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777)).unwrap();
        // The program's own folder may be closed to others.
        let program = folder.path().join("ibwrt");
        std::fs::copy(env!("CARGO_BIN_EXE_ibwrt"), &program).unwrap();
        Self { folder, program }
    }

    /// A folder of the user's own.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a shell command as the user, in the folder.
    pub(crate) fn shell(&self, command: &str) -> Ran {
        let mut setpriv = tool("setpriv");
        if is_root() {
            setpriv.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        }
        run(setpriv.args(["sh", "-c", command]).current_dir(self.folder.path()).env_remove("SOURCE_DATE_EPOCH"))
    }

    /// Runs the program under test as the user; `arguments` are words of the shell.
    pub(crate) fn ibwrt(&self, arguments: &str) -> Ran {
        self.shell(&format!("{} {arguments}", self.program.display()))
    }
}
