//! Programs and libraries of the image's user space: what musl's dynamic linker would need of each, proved without running
//! anything.

mod elf;
mod linker;

pub(crate) use elf::{Binary, is_program};
pub(crate) use linker::{Library, PATH_FILE, Searched, link};
