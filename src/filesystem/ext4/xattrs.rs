//! Extended attributes, which a file keeps when another takes its place.

use rsext4::{InodeInfo, XattrName, XattrNamespace, XattrSetMode};

use super::mounted::{Mounted, failed, name};
use crate::error::{Error, Result};

/// The extended attributes of an inode: names and values, in the order in which they are stored.
pub(super) type Xattrs = Vec<(XattrName, Vec<u8>)>;

/// Inodes of so many bytes end where extended attributes would begin. The editor sets none there, not even in a block of
/// their own.
pub(super) const SMALL_INODE: u16 = 128;

/// Why a file with `xattrs` and such an inode is not replaced.
pub(super) fn lost(xattrs: &Xattrs) -> Error {
    let names = xattrs.iter().map(|(xattr, _)| shown(xattr)).collect::<Vec<_>>();
    Error::unsupported(format!(
        "a file with extended attributes ({}) cannot be replaced: in an ext4 with inodes of {SMALL_INODE} bytes they would \
         be lost",
        names.join(", ")
    ))
    .remedy("remove them in the running system (setfattr -x), or make the filesystem with larger inodes (mke2fs -I 256)")
}

/// The name of an extended attribute as `getfattr` shows it.
fn shown(xattr: &XattrName) -> String {
    let name = String::from_utf8_lossy(&xattr.name);
    match xattr.namespace {
        XattrNamespace::User => format!("user.{name}"),
        XattrNamespace::PosixAclAccess => "system.posix_acl_access".to_owned(),
        XattrNamespace::Trusted => format!("trusted.{name}"),
        XattrNamespace::Security => format!("security.{name}"),
        XattrNamespace::System => format!("system.{name}"),
        other => format!("{name} of namespace {}", other.disk_index()),
    }
}

impl Mounted {
    /// The extended attributes of `inode`.
    pub(super) fn xattrs(&mut self, inode: &InodeInfo) -> Result<Xattrs> {
        let names = self.0.list_xattrs(inode.number).map_err(failed("list extended attributes"))?;
        let mut xattrs = Vec::with_capacity(names.len());
        for xattr in names {
            let value = self.0.get_xattr(inode.number, xattr.namespace, &xattr.name);
            xattrs.push((xattr, value.map_err(failed("read an extended attribute"))?));
        }
        Ok(xattrs)
    }

    /// Gives the file `child` of `parent` the extended attributes `xattrs`.
    pub(super) fn set_xattrs(&mut self, parent: &InodeInfo, child: &str, xattrs: &Xattrs) -> Result<()> {
        if xattrs.is_empty() {
            return Ok(());
        }
        let inode = self.0.lookup_child(parent.number, name(child)?).map_err(failed("look up a name"))?;
        let inode = inode.ok_or_else(|| Error::corrupt("ext4: a new name cannot be found"))?;
        for (XattrName { namespace, name }, value) in xattrs {
            let set = self.0.set_xattr(inode.number, *namespace, name, value, XattrSetMode::Upsert);
            set.map_err(failed("set an extended attribute"))?;
        }
        Ok(())
    }
}
