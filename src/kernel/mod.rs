//! Kernel modules as files: ELF structure, modinfo, imports and exports, stripping. Bytes in, facts out; nothing here
//! knows filesystems.

mod module;
mod name;
mod strip;

pub(crate) use module::{ModInfo, Module};
pub(crate) use name::{KernelRelease, ModuleName};
pub(crate) use strip::strip;
