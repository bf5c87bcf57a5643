//! Kernel modules as files: ELF structure, modinfo, imports and exports, stripping. Bytes in, facts out; nothing here
//! knows filesystems.

mod exports;
mod identity;
mod module;
mod name;
mod object_file;
mod object_writer;
mod strip;
#[cfg(test)]
pub(crate) mod test_module;

pub(crate) use exports::Export;
pub(crate) use identity::identity;
pub(crate) use module::{ModInfo, Module, SymbolVersion};
pub(crate) use name::{KernelRelease, ModuleName};
pub(crate) use strip::strip;
