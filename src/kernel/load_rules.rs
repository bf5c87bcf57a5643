//! What a kernel checks when it loads a module, told by the messages that its image holds.

use serde::Serialize;

use super::KernelRelease;
use super::bytes::{find, u32_at};

/// What a kernel checks when it loads a module, beyond symbols. Every field is what the image tells; a kernel whose image
/// tells nothing (one that holds only export tables) has the defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct LoadRules {
    /// The string that modules' `vermagic=` must equal; `None` when the kernel does not compare it (OpenWrt's
    /// `CONFIG_MODULE_STRIPPED` compiles the comparison out) or does not tell.
    pub(crate) vermagic: Option<String>,
    /// The kernel's own vermagic string, compared or not, where it holds one.
    pub(crate) own_vermagic: Option<String>,
    /// Whether it demands that `.gnu.linkonce.this_module` has the size of its own `struct module` (Linux 6.4 and newer).
    pub(crate) checks_struct_module: bool,
    /// Its own `sizeof(struct module)`, bytes, where the comparison in its code could be told.
    pub(crate) struct_module_size: Option<u64>,
    /// Whether its messages about that section begin with `module NAME: ` (Linux 6.9 and newer).
    pub(crate) names_module_in_elf_errors: bool,
    /// Whether modules without vermagic or checksums are let in with a taint (`CONFIG_MODULE_FORCE_LOAD`).
    pub(crate) force_load: bool,
    /// Whether a missing namespace import only warns (`CONFIG_MODULE_ALLOW_MISSING_NAMESPACE_IMPORTS`).
    pub(crate) allows_missing_namespaces: bool,
}

impl LoadRules {
    /// Reads the rules from a kernel's `.rodata` and `.text`. All messages are those of kernel/module/main.c and
    /// kernel/module/version.c (kernel/module.c before Linux 5.19).
    pub(super) fn of(release: &KernelRelease, rodata: &[u8], text: &[u8]) -> Self {
        let own_vermagic = own_vermagic(release, rodata);
        let compares = find(rodata, b"%s: version magic '%s' should be '%s'").is_some();
        let size_message = find(rodata, b".gnu.linkonce.this_module section size must match");
        Self {
            vermagic: own_vermagic.clone().filter(|_| compares),
            own_vermagic,
            checks_struct_module: size_message.is_some(),
            struct_module_size: size_message.and_then(|_| struct_module_size(text)),
            names_module_in_elf_errors: size_message.is_some_and(|at| precedes(rodata, at, b"module %s: ")),
            force_load: find(rodata, b"%s: %s: kernel tainted.\n").is_some(),
            // The message's level, as printk stores it: SOH and a digit; 4 is a warning.
            allows_missing_namespaces: find(rodata, b" from namespace %s, but does not import it.\n")
                .is_some_and(|at| start_of_string(rodata, at).starts_with(b"\x014")),
        }
    }
}

/// The bytes of `text` from the start of the NUL-terminated string that holds offset `at`.
fn start_of_string(text: &[u8], at: usize) -> &[u8] {
    let head = text.get(..at).unwrap_or_default();
    let start = head.iter().rposition(|&byte| byte == 0).map_or(0, |nul| nul.saturating_add(1));
    text.get(start..).unwrap_or_default()
}

/// Whether `words` stand right before offset `at`.
fn precedes(text: &[u8], at: usize, words: &[u8]) -> bool {
    text.get(..at).is_some_and(|head| head.ends_with(words))
}

/// The string `VERMAGIC_STRING` (include/linux/vermagic.h): the release, then words such as `SMP mod_unload `.
fn own_vermagic(release: &KernelRelease, rodata: &[u8]) -> Option<String> {
    const WORDS: [&str; 6] = ["SMP", "preempt", "preempt_rt", "mod_unload", "modversions", "RANDSTRUCT"];
    let needle = format!("{release} ");
    let mut tail = rodata;
    loop {
        let at = find(tail, needle.as_bytes())?;
        tail = tail.get(at..)?;
        let end = tail.iter().take(256).position(|&byte| byte == 0).unwrap_or(0);
        let text = tail.get(..end).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default();
        let mut words = text.split(' ').skip(1).take_while(|word| !word.is_empty());
        let known = |word: &str| WORDS.iter().any(|known| word.starts_with(known));
        if text.ends_with(' ') && words.next().is_some_and(known) && words.all(known) {
            return Some(text.to_owned());
        }
        tail = tail.get(needle.len()..)?;
    }
}

/// `sizeof(struct module)`: the only constant of that sort that the code compares with a field at 0x20 of a structure,
/// `sh_size` of `Elf64_Shdr` (`cmpq $imm32, 0x20(%reg)`). `struct module` is aligned to a cache line of 64 bytes.
/// `None` when several constants would do.
fn struct_module_size(text: &[u8]) -> Option<u64> {
    let mut found = None;
    for at in memchr::memchr_iter(0x81, text) {
        let rex = at.checked_sub(1).and_then(|before| text.get(before));
        let operands = text.get(at.checked_add(1)?..).and_then(|tail| tail.first_chunk::<2>());
        let (Some(0x48 | 0x49), Some([0x78..=0x7F, 0x20])) = (rex, operands) else { continue };
        let Some(size) = u32_at(text, (at as u64).checked_add(3)?) else { continue };
        if size.is_multiple_of(64) && (512..=2048).contains(&size) {
            if found.is_some_and(|other| other != size) {
                return None;
            }
            found = Some(size);
        }
    }
    found.map(u64::from)
}
