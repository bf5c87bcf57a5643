//! Users and groups that a package needs.

use crate::error::Result;
use crate::filesystem::Attributes;
use crate::openwrt::Accounts;
use crate::package::{Entry, Owner, Package};
use crate::plan::draft::{Draft, Stage};
use crate::plan::files::existing;
use crate::plan::{Finding, Severity};

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";
const SHADOW: &str = "/etc/shadow";
/// Who owns what belongs to nobody known (apk-tools, apk_id_cache_resolve_uid).
const NOBODY: u32 = 65_534;

/// Makes sure that the users and groups that `package` needs exist, and answers all that exist.
///
/// # Errors
/// Usage: an account file that cannot be edited.
pub(super) fn require(draft: &mut Draft<'_>, package: &Package, findings: &mut Vec<Finding>) -> Result<Accounts> {
    let [(_, passwd), (_, group), (_, shadow)] =
        [existing(draft, PASSWD)?, existing(draft, GROUP)?, existing(draft, SHADOW)?];
    let before = Accounts { passwd, group, shadow };
    let mut accounts = before.clone();
    if let Some(users) = &package.users {
        accounts.require(users);
    }
    let reason = super::files::reason(package);
    for (path, old, new, mode) in [
        (PASSWD, &before.passwd, &accounts.passwd, 0o644),
        (GROUP, &before.group, &accounts.group, 0o644),
        (SHADOW, &before.shadow, &accounts.shadow, 0o600),
    ] {
        if old != new {
            let (place, _) = existing(draft, path)?;
            draft.update(&place, new.clone(), Attributes::root(mode), &reason, Stage::File)?;
        }
    }
    findings.extend(unknown(package, &accounts));
    Ok(accounts)
}

/// Permissions and owner of an entry; names that are not known belong to nobody.
pub(super) fn attributes(entry: &Entry, accounts: &Accounts) -> Attributes {
    let uid = match &entry.user {
        Owner::Id(id) => *id,
        Owner::Name(name) => accounts.uid(name).unwrap_or(NOBODY),
    };
    let gid = match &entry.group {
        Owner::Id(id) => *id,
        Owner::Name(name) => accounts.gid(name).unwrap_or(NOBODY),
    };
    Attributes { mode: entry.mode, uid, gid }
}

fn unknown(package: &Package, accounts: &Accounts) -> Option<Finding> {
    let is_unknown = |entry: &&Entry| {
        matches!(&entry.user, Owner::Name(name) if accounts.uid(name).is_none())
            || matches!(&entry.group, Owner::Name(name) if accounts.gid(name).is_none())
    };
    let first = package.entries.iter().find(is_unknown)?;
    Some(Finding {
        id: "package-owner".to_owned(),
        severity: Severity::Warning,
        message: format!(
            "{} of {} belongs to a user or group that the image does not have; it becomes nobody's ({NOBODY})",
            first.path, package.name
        ),
        remedy: Some("give the package that makes the user, or name it in the package's Require-User".to_owned()),
    })
}
