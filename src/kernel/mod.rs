//! Kernels and kernel modules as files: bzImage header, export tables, ELF structure, modinfo, imports and exports,
//! stripping; and the linker that tells which modules a kernel takes. Bytes in, facts out; nothing here knows filesystems.

pub(crate) mod bytes;
mod bzimage;
mod decompress;
mod exports;
mod identity;
mod ksymtab;
mod linker;
mod load_rules;
mod module;
mod name;
mod object_file;
mod object_writer;
mod refusal;
mod squashfs;
mod strip;
mod symbol_table;
#[cfg(test)]
pub(crate) mod test_module;
mod vmlinux;

pub(crate) use bzimage::{KernelFormat, KernelImage};
pub(crate) use decompress::{Compression, decompress};
pub(crate) use exports::Export;
pub(crate) use identity::identity;
pub(crate) use linker::{Linker, LoadResult, LoadStep, Verdict};
#[cfg(test)]
pub(crate) use load_rules::LoadRules;
pub(crate) use module::Module;
#[cfg(test)]
pub(crate) use module::{ModInfo, SymbolVersion};
pub(crate) use name::{KernelRelease, ModuleName};
pub(crate) use refusal::{Provider, Reason, Refusal};
pub(crate) use squashfs::SquashfsReader;
pub(crate) use strip::strip;
pub(crate) use symbol_table::SymbolTable;
pub(crate) use vmlinux::{KernelExports, Proof};
