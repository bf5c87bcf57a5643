//! Kernels and kernel modules as files: bzImage header, ELF structure, modinfo, imports and exports, stripping. Bytes in, facts out; nothing here
//! knows filesystems.

mod bytes;
mod bzimage;
mod decompress;
mod module;
mod name;
mod strip;

pub(crate) use bzimage::{KernelFormat, KernelImage};
pub(crate) use decompress::{Compression, decompress};
pub(crate) use module::{ModInfo, Module};
pub(crate) use name::{KernelRelease, ModuleName};
pub(crate) use strip::strip;
