//! Squashfs judged by squashfs-tools.

mod damage;
mod edits;
mod made;
mod random;
mod support;
