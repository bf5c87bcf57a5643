//! Squashfs judged by squashfs-tools and backhand.

mod backhand;
mod damage;
mod edits;
mod made;
mod random;
pub(in crate::filesystem) mod support;
mod xattrs;
