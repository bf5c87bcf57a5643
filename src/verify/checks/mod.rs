//! The checks, by subject.

mod authenticity;
mod autoload;
mod boot;
mod causes;
mod container;
mod features;
mod feeds;
mod files;
mod history;
mod kernel;
mod link;
mod loading;
mod modules;
mod network;
mod set;
mod squashfs;
mod subnet;
mod tools;

pub(crate) use authenticity::AUTHENTICITY;

use super::{Check, Evidence, Outcome};
use crate::counted::number;
use crate::openwrt::System;

/// The table, in the order in which it is printed: from the outside of the image to the inside, then who vouches for it.
pub(crate) const CHECKS: &[Check] = &[
    container::CONTAINER,
    container::PARTITION_TABLE,
    container::PARTITION_UUIDS,
    container::IDENTITY,
    boot::BOOT_FILESYSTEM,
    boot::ROOT_FILESYSTEM,
    boot::BOOT_ENTRIES,
    kernel::KERNEL_FOUND,
    squashfs::SQUASHFS_DECOMPRESSOR,
    boot::KERNEL_RELEASE,
    boot::SINGLE_MODULE_DIRECTORY,
    set::MODULES_PRESENT,
    set::MODULE_CLOSURE,
    modules::MODULES_FLAT,
    modules::MODULES_UNCOMPRESSED,
    modules::MODULE_DUPLICATES,
    modules::VERMAGIC,
    modules::STRUCT_MODULE,
    link::SYMBOLS_RESOLVE,
    link::GPL_ONLY,
    link::NAMESPACES,
    link::CRC,
    link::DUPLICATE_EXPORTS,
    link::OTHER_MODULES,
    features::MIXED_BUILDS,
    loading::KMODLOADER_TRAPS,
    autoload::AUTOLOAD_NAMES,
    autoload::AUTOLOAD_PARAMETERS,
    autoload::BOOT_LINK,
    autoload::BLACKLIST,
    loading::LOAD_ORDER,
    loading::MODULES_UNUSED,
    features::PORT_TYPE,
    features::CONNECTED_MODE,
    network::NO_IPOIB_IN_BRIDGE,
    subnet::SUBNET_MANAGER,
    files::NETWORK_SCRIPT,
    files::INIT_SCRIPT,
    files::FILES_PRESENT,
    tools::TOOLS_LINK,
    feeds::FEED_KEY,
    history::HISTORY,
    authenticity::SIGNED,
    authenticity::SUMS_SIGNATURE,
    authenticity::IMAGE_SIGNATURE,
    authenticity::IMAGE_CERTIFICATE,
];

/// Why nothing is judged of partitions and of what starts the system from them.
const NO_PARTITIONS: &str = "this is a root filesystem alone, without partitions";

/// Most places that one check lists one by one.
const LISTED: usize = 8;

/// Passes with `detail` when there are no problems; otherwise fails with them, the later ones of many as a number.
fn judge(mut problems: Vec<String>, detail: impl FnOnce() -> String) -> Outcome {
    if problems.is_empty() {
        return Outcome::Pass { detail: detail() };
    }
    if problems.len() > LISTED {
        let more = problems.len() - LISTED;
        problems.truncate(LISTED);
        problems.push(format!("and {more} more like these"));
    }
    Outcome::Fail { problems }
}

/// Fails with one problem.
fn fail(problem: impl Into<String>) -> Outcome {
    Outcome::Fail { problems: vec![problem.into()] }
}

/// Does not judge, for this reason.
fn skip(reason: impl Into<String>) -> Outcome {
    Outcome::Skip { reason: reason.into() }
}

/// Why nothing is judged of a kernel where there is none.
fn no_kernel(evidence: &Evidence<'_>) -> &'static str {
    match evidence.is_bare() {
        true => "there is no kernel in it; `--kernel BZIMAGE` names the one that will boot it",
        false => "there is no boot menu that names a kernel",
    }
}

/// Judges the system, where it could be read. Why it could not is said by `root-filesystem`.
fn with_system(evidence: &Evidence<'_>, check: impl FnOnce(&System) -> Outcome) -> Outcome {
    match &evidence.system {
        Ok(system) => check(system),
        Err(_) => skip("the root filesystem could not be read"),
    }
}

/// The names in a sentence: `a`, `a and b`, `a, b and c`.
fn listing<T: AsRef<str>>(names: &[T]) -> String {
    match names {
        [] => "none".to_owned(),
        [only] => only.as_ref().to_owned(),
        [start @ .., last] => {
            let start: Vec<&str> = start.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", start.join(", "), last.as_ref())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_unique_and_spelled_like_options() {
        let mut seen = std::collections::BTreeSet::new();
        for check in CHECKS {
            assert!(seen.insert(check.id), "{} stands twice", check.id);
            assert!(check.id.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{}", check.id);
            assert!(check.claim.ends_with('.') && check.remedy.ends_with('.'), "{}", check.id);
        }
    }

    #[test]
    fn a_long_list_of_problems_ends_in_a_number() {
        let Outcome::Fail { problems } = judge((0..20).map(|i| format!("p{i}")).collect(), String::new) else {
            panic!("20 problems passed");
        };
        assert_eq!((problems.len(), problems[8].as_str()), (9, "and 12 more like these"));
    }

    #[test]
    fn names_and_numbers_read_as_a_sentence() {
        assert_eq!(listing(&["a", "b", "c"]), "a, b and c");
        assert_eq!(
            (number(1, "entry"), number(2, "entry"), number(0, "module")),
            ("1 entry".into(), "2 entries".into(), "0 modules".into())
        );
    }
}
