//! A filesystem in memory, for tests of whatever stands on [`Filesystem`].

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::filesystem::{Attributes, DirectoryEntry, FileType, Filesystem, Kind, Metadata, Space};

/// What one path holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MemoryNode {
    /// A directory.
    Directory(Attributes),
    /// A regular file.
    File(Vec<u8>, Attributes),
    /// A symlink.
    Symlink(String),
}

/// Nodes by absolute path; the root is the empty string.
#[derive(Debug, Clone)]
pub(crate) struct MemoryFilesystem {
    /// Everything but the root.
    pub(crate) nodes: BTreeMap<String, MemoryNode>,
    /// Names that were made of files which had one: the name, and the one that was there.
    pub(crate) links: Vec<(String, String)>,
    /// What [`Filesystem::space`] answers; writing does not change it.
    pub(crate) space: Space,
}

impl MemoryFilesystem {
    /// An empty one with much room.
    pub(crate) fn new() -> Self {
        let space = Space { block_size: 4096, blocks: 26624, free_blocks: 20000, inodes: 6656, free_inodes: 6000 };
        Self { nodes: BTreeMap::new(), links: Vec::new(), space }
    }

    /// A stock OpenWrt 24.10 root, cut down: release files, autoload directories, shadow, an opkg database.
    pub(crate) fn openwrt() -> Self {
        let mut root = Self::new();
        root.add_file(
            "/etc/openwrt_release",
            "DISTRIB_ID='OpenWrt'\nDISTRIB_RELEASE='24.10.0'\nDISTRIB_REVISION='r28427-6df0e3d02a'\n\
             DISTRIB_TARGET='x86/64'\nDISTRIB_ARCH='x86_64'\nDISTRIB_DESCRIPTION='OpenWrt 24.10.0 r28427-6df0e3d02a'\n",
        );
        root.add_file("/usr/lib/os-release", "NAME=\"OpenWrt\"\nOPENWRT_BUILD_DATE=\"1738624177\"\n");
        root.add_link("/etc/os-release", "../usr/lib/os-release");
        root.add_file("/etc/modules.d/30-hw-network", "# network drivers\n");
        root.add_file("/etc/modules.d/35-igb", "igb\n");
        root.add_link("/etc/modules-boot.d/35-igb", "../modules.d/35-igb");
        root.add_file("/etc/shadow", "root:::0:99999:7:::\ndaemon:*:0:0:99999:7:::\n");
        root.set_attributes("/etc/shadow", Attributes::root(0o600)).unwrap();
        root.add_file("/lib/modules/6.12.117/igb.ko", "not really ELF");
        root.add_directory("/tmp");
        root.add_link("/var", "tmp");
        root
    }

    /// Adds a file (0644) and its parents.
    pub(crate) fn add_file(&mut self, path: &str, content: impl AsRef<[u8]>) {
        self.add_parents(path);
        let node = MemoryNode::File(content.as_ref().to_vec(), Attributes::root(0o644));
        self.nodes.insert(path.to_owned(), node);
    }

    /// Adds a symlink and its parents.
    pub(crate) fn add_link(&mut self, path: &str, target: &str) {
        self.add_parents(path);
        self.nodes.insert(path.to_owned(), MemoryNode::Symlink(target.to_owned()));
    }

    /// Adds a directory (0755) and its parents.
    pub(crate) fn add_directory(&mut self, path: &str) {
        self.add_parents(path);
        self.nodes.entry(path.to_owned()).or_insert(MemoryNode::Directory(Attributes::root(0o755)));
    }

    /// Content of a file as text.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        match self.nodes.get(path)? {
            MemoryNode::File(content, _) => Some(String::from_utf8(content.clone()).unwrap()),
            _ => None,
        }
    }

    fn add_parents(&mut self, path: &str) {
        if let Some((parent, _)) = path.rsplit_once('/').filter(|(parent, _)| !parent.is_empty()) {
            self.add_directory(parent);
        }
    }

    fn check_parent(&self, path: &str) -> Result<()> {
        match path.rsplit_once('/') {
            Some(("", _)) => Ok(()),
            Some((parent, _)) if matches!(self.nodes.get(parent), Some(MemoryNode::Directory(_))) => Ok(()),
            _ => Err(Error::usage(format!("no directory above {path}"))),
        }
    }
}

impl Filesystem for MemoryFilesystem {
    fn kind(&self) -> Kind {
        Kind::Ext4
    }

    fn space(&mut self) -> Result<Space> {
        Ok(self.space)
    }

    fn metadata(&mut self, path: &str) -> Result<Option<Metadata>> {
        if path == "/" {
            let attributes = Attributes::root(0o755);
            return Ok(Some(Metadata { file_type: FileType::Directory, attributes, size: 0, link_target: None }));
        }
        Ok(self.nodes.get(path).map(|node| match node {
            MemoryNode::Directory(attributes) => {
                Metadata { file_type: FileType::Directory, attributes: *attributes, size: 4096, link_target: None }
            }
            MemoryNode::File(content, attributes) => Metadata {
                file_type: FileType::Regular,
                attributes: *attributes,
                size: content.len() as u64,
                link_target: None,
            },
            MemoryNode::Symlink(target) => Metadata {
                file_type: FileType::Symlink,
                attributes: Attributes::root(0o777),
                size: target.len() as u64,
                link_target: Some(target.clone()),
            },
        }))
    }

    fn list(&mut self, path: &str) -> Result<Vec<DirectoryEntry>> {
        let prefix = if path == "/" { path.to_owned() } else { format!("{path}/") };
        let entries = self.nodes.iter().filter_map(|(path, node)| {
            let name = path.strip_prefix(&prefix).filter(|name| !name.contains('/'))?;
            let file_type = match node {
                MemoryNode::Directory(_) => FileType::Directory,
                MemoryNode::File(..) => FileType::Regular,
                MemoryNode::Symlink(_) => FileType::Symlink,
            };
            Some(DirectoryEntry { name: name.to_owned(), file_type })
        });
        Ok(entries.collect())
    }

    fn read(&mut self, path: &str) -> Result<Vec<u8>> {
        match self.nodes.get(path) {
            Some(MemoryNode::File(content, _)) => Ok(content.clone()),
            _ => Err(Error::usage(format!("{path} is no file"))),
        }
    }

    fn write(&mut self, path: &str, content: &[u8], attributes: Attributes) -> Result<()> {
        self.check_parent(path)?;
        match self.nodes.get(path) {
            None | Some(MemoryNode::File(..)) => {}
            Some(_) => return Err(Error::usage(format!("{path} is no file"))),
        }
        self.nodes.insert(path.to_owned(), MemoryNode::File(content.to_vec(), attributes));
        Ok(())
    }

    fn make_directory(&mut self, path: &str, attributes: Attributes) -> Result<()> {
        self.check_parent(path)?;
        if self.nodes.contains_key(path) {
            return Err(Error::usage(format!("{path} is there already")));
        }
        self.nodes.insert(path.to_owned(), MemoryNode::Directory(attributes));
        Ok(())
    }

    fn symlink(&mut self, path: &str, target: &str) -> Result<()> {
        self.check_parent(path)?;
        match self.nodes.get(path) {
            None | Some(MemoryNode::Symlink(_)) => {}
            Some(_) => return Err(Error::usage(format!("{path} is no symlink"))),
        }
        self.nodes.insert(path.to_owned(), MemoryNode::Symlink(target.to_owned()));
        Ok(())
    }

    fn set_attributes(&mut self, path: &str, attributes: Attributes) -> Result<()> {
        match self.nodes.get_mut(path) {
            Some(MemoryNode::Directory(own) | MemoryNode::File(_, own)) => *own = attributes,
            _ => return Err(Error::usage(format!("{path} has no attributes"))),
        }
        Ok(())
    }

    fn link(&mut self, path: &str, existing: &str) -> Result<()> {
        let node = self.nodes.get(existing).cloned().ok_or_else(|| Error::usage("there is no such file"))?;
        self.nodes.insert(path.to_owned(), node);
        self.links.push((path.to_owned(), existing.to_owned()));
        Ok(())
    }

    fn remove(&mut self, path: &str) -> Result<()> {
        if !self.list(path)?.is_empty() {
            return Err(Error::usage(format!("{path} is not empty")));
        }
        self.nodes.remove(path).map(|_| ()).ok_or_else(|| Error::usage(format!("{path} is not there")))
    }
}
