//! Carrying out a plan's edits on a filesystem.

use crate::error::{At as _, Error, Result};
use crate::filesystem::{Attributes, FileType, Filesystem};
use crate::plan::{Change, Content, Edit};

/// Carries out `edits` on `filesystem`, in order. It is to be finished by the caller, or dropped on error.
///
/// # Errors
/// Those of the filesystem, with the path of the edit as place.
pub(crate) fn apply(edits: &[Edit], filesystem: &mut dyn Filesystem) -> Result<()> {
    edits.iter().try_for_each(|edit| carry_out(edit, filesystem).at(|| edit.path.clone()))
}

fn carry_out(edit: &Edit, filesystem: &mut dyn Filesystem) -> Result<()> {
    let path = edit.path.as_str();
    match (edit.change, &edit.content) {
        (Change::Remove, _) => filesystem.remove(path),
        (Change::Attributes, _) => filesystem.set_attributes(path, edit.attributes),
        (Change::Add | Change::Replace, None) => Err(Error::usage("the plan does not say what is to be there")),
        (change, Some(content)) => {
            if change == Change::Replace {
                make_way(path, content, filesystem)?;
            }
            match content {
                Content::File(bytes) => match &edit.linked_to {
                    Some(existing) if holds(existing, bytes, edit.attributes, filesystem)? => {
                        if filesystem.metadata(path)?.is_some() {
                            filesystem.remove(path)?;
                        }
                        filesystem.link(path, existing)
                    }
                    _ => filesystem.write(path, bytes, edit.attributes),
                },
                Content::Directory => filesystem.make_directory(path, edit.attributes),
                Content::Symlink(target) => link_symbolically(path, target, edit.attributes, filesystem),
                Content::Link(existing) => filesystem.link(path, existing),
            }
        }
    }
}

/// Whether `path` is a file with this content and these attributes.
fn holds(path: &str, content: &[u8], attributes: Attributes, filesystem: &mut dyn Filesystem) -> Result<bool> {
    let found = filesystem.metadata(path)?.filter(|found| found.file_type == FileType::Regular);
    let is_alike = found.is_some_and(|found| found.attributes == attributes && found.size == content.len() as u64);
    Ok(is_alike && filesystem.read(path)? == content)
}

/// Symlinks are root's, unless the edit says otherwise.
fn link_symbolically(path: &str, target: &str, attributes: Attributes, filesystem: &mut dyn Filesystem) -> Result<()> {
    filesystem.symlink(path, target)?;
    match (attributes.uid, attributes.gid) {
        (0, 0) => Ok(()),
        (uid, gid) => filesystem.set_attributes(path, Attributes { mode: 0o777, uid, gid }),
    }
}

/// Removes what stands at `path` when it is of another type than what is to come, so that a write never goes through
/// a symlink and never meets a directory.
fn make_way(path: &str, content: &Content, filesystem: &mut dyn Filesystem) -> Result<()> {
    let Some(metadata) = filesystem.metadata(path)? else { return Ok(()) };
    match (metadata.file_type, content) {
        (FileType::Regular, Content::File(_)) | (FileType::Symlink, Content::Symlink(_)) => Ok(()),
        (FileType::Regular | FileType::Symlink, _) => filesystem.remove(path),
        (FileType::Directory | FileType::Special, _) => {
            Err(Error::usage("a directory or device node stands here and is not replaced"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openwrt::testing::{MemoryFilesystem, MemoryNode};

    fn edit(path: &str, change: Change, content: Option<Content>) -> Edit {
        let attributes = Attributes::root(0o640);
        Edit {
            path: path.to_owned(),
            change,
            content,
            attributes,
            linked_to: None,
            is_own: false,
            size_before: None,
            reason: String::new(),
        }
    }

    fn file(text: &str) -> Option<Content> {
        Some(Content::File(text.as_bytes().into()))
    }

    #[test]
    fn edits_are_carried_out_in_order() {
        let mut root = MemoryFilesystem::new();
        root.add_file("/old", "x");
        root.add_file("/link", "x");
        root.add_link("/resolv", "/tmp/resolv");
        let edits = vec![
            edit("/new", Change::Add, Some(Content::Directory)),
            edit("/new/file", Change::Add, file("a")),
            edit("/link", Change::Replace, Some(Content::Symlink("new/file".to_owned()))),
            edit("/resolv", Change::Replace, file("b")),
            edit("/new/file", Change::Attributes, file("a")),
            edit("/old", Change::Remove, None),
        ];
        apply(&edits, &mut root).unwrap();
        let attributes = Attributes::root(0o640);
        assert_eq!(root.nodes["/new"], MemoryNode::Directory(attributes));
        assert_eq!(root.nodes["/new/file"], MemoryNode::File(b"a".to_vec(), attributes));
        assert_eq!(root.nodes["/link"], MemoryNode::Symlink("new/file".to_owned()));
        assert_eq!(root.nodes["/resolv"], MemoryNode::File(b"b".to_vec(), attributes));
        assert!(!root.nodes.contains_key("/old"));
    }

    #[test]
    fn another_name_is_made_of_a_file_that_is_alike_and_a_copy_of_any_other() {
        let linked = |path: &str, change, text: &str| Edit {
            linked_to: Some("/a".to_owned()),
            ..edit(path, change, file(text))
        };
        let mut root = MemoryFilesystem::new();
        root.add_file("/c", "old");
        let edits = [
            edit("/a", Change::Add, file("text")),
            linked("/b", Change::Add, "text"),
            linked("/c", Change::Replace, "text"),
            linked("/d", Change::Add, "other"),
            Edit { attributes: Attributes::root(0o600), ..linked("/e", Change::Add, "text") },
        ];
        apply(&edits, &mut root).unwrap();
        assert_eq!(root.links, [("/b".to_owned(), "/a".to_owned()), ("/c".to_owned(), "/a".to_owned())]);
        let MemoryNode::File(bytes, attributes) = &root.nodes["/d"] else { panic!("no file") };
        assert_eq!((bytes.as_slice(), *attributes), (b"other".as_slice(), Attributes::root(0o640)));
        assert_eq!(root.nodes["/e"], MemoryNode::File(b"text".to_vec(), Attributes::root(0o600)));
    }

    #[test]
    fn an_error_names_the_path_of_the_edit() {
        let mut root = MemoryFilesystem::new();
        let error = apply(&[edit("/a/b", Change::Add, file("x"))], &mut root).unwrap_err();
        assert_eq!(error.to_string(), "/a/b: no directory above /a/b");
    }

    #[test]
    fn a_directory_is_never_replaced() {
        let mut root = MemoryFilesystem::new();
        root.add_directory("/a");
        let error = apply(&[edit("/a", Change::Replace, file("x"))], &mut root).unwrap_err();
        assert_eq!(error.to_string(), "/a: a directory or device node stands here and is not replaced");
    }
}
