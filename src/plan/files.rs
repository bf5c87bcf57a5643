//! Wishes for modules, files and root's login, laid on the draft.

use super::draft::{Draft, Stage};
use super::{Content, FileWish, Finding, LineWish, ModuleWish, Severity, Wishes};
use crate::error::{Error, Result};
use crate::filesystem::{Attributes, FileType};
use crate::kernel::KernelRelease;
use crate::openwrt::{
    AUTHORIZED_KEYS, MODULES_DIRECTORY, System, hash_problem, merge_authorized_keys, with_root_password,
};

const SHADOW: &str = "/etc/shadow";
/// Directories that are mounted over, or empty, when the system runs.
const VOLATILE: [&str; 4] = ["/tmp/", "/proc/", "/sys/", "/dev/"];

/// Wants the modules flat in the kernel's directory; a file that kmodloader already takes for the same name is
/// replaced under its own spelling, since of two the first in byte order wins. Answers where they stand.
pub(super) fn modules(
    draft: &mut Draft<'_>,
    system: &System,
    release: &KernelRelease,
    wishes: &[ModuleWish],
    findings: &mut Vec<Finding>,
) -> Result<Vec<String>> {
    let mut places = Vec::new();
    check_component(release.as_str(), "the kernel's release")?;
    let installed = system.module_directory(release);
    for wish in wishes {
        check_component(&wish.file_name, "the module's file name")?;
        let known = installed.and_then(|directory| directory.module(&wish.name));
        let file_name = known.map_or(wish.file_name.as_str(), |module| module.file_name());
        let path = format!("{MODULES_DIRECTORY}/{release}/{file_name}");
        let content = Content::File(wish.bytes.clone());
        places.push(draft.put(&path, content, Attributes::root(0o644), &wish.reason, Stage::Module)?);
        let twins = installed.map_or(&[][..], |directory| &directory.modules);
        let twins: Vec<&str> =
            twins.iter().filter(|module| module.name == wish.name).map(|module| module.file_name()).collect();
        if twins.len() > 1 {
            findings.push(Finding {
                id: "module-twins".to_owned(),
                severity: Severity::Warning,
                message: format!(
                    "{MODULES_DIRECTORY}/{release} holds {} files for the module {}: {}; kmodloader takes the first",
                    twins.len(),
                    wish.name,
                    twins.join(", ")
                ),
                remedy: Some("keep one of them".to_owned()),
            });
        }
    }
    Ok(places)
}

/// Wants files, directories and symlinks.
pub(super) fn files(draft: &mut Draft<'_>, wishes: &[FileWish], findings: &mut Vec<Finding>) -> Result<()> {
    for wish in wishes {
        check_path(&wish.path)?;
        let stage = if wish.is_own { Stage::Own } else { Stage::File };
        let place = draft.put(&wish.path, wish.content.clone(), wish.attributes, &wish.reason, stage)?;
        if VOLATILE.iter().any(|directory| place.starts_with(directory)) {
            findings.push(Finding {
                id: "volatile-path".to_owned(),
                severity: Severity::Warning,
                message: format!(
                    "{place} ({}) will not be seen: another filesystem is mounted over it at boot",
                    wish.reason
                ),
                remedy: Some("choose a path outside /tmp, /var, /proc, /sys and /dev".to_owned()),
            });
        }
    }
    Ok(())
}

/// Wants lines in files that others write to as well.
pub(super) fn lines(draft: &mut Draft<'_>, wishes: &[LineWish]) -> Result<()> {
    for wish in wishes {
        check_path(&wish.path)?;
        let (place, content) = existing(draft, &wish.path)?;
        let text = String::from_utf8(content)
            .map_err(|_| Error::unsupported(format!("{place} is no text, so no line can be added to it")))?;
        draft.update(&place, wish.added_to(&text).into_bytes(), Attributes::root(0o644), &wish.reason, Stage::Own)?;
    }
    Ok(())
}

/// Wants root's password and the keys that may log in.
pub(super) fn login(draft: &mut Draft<'_>, wishes: &Wishes) -> Result<()> {
    if let Some(hash) = &wishes.root_password_hash {
        if let Some(problem) = hash_problem(hash) {
            return Err(Error::usage(format!("root password: {problem}"))
                .remedy("give what `openssl passwd -5` or `mkpasswd -m sha256crypt` prints"));
        }
        let (place, content) = existing(draft, SHADOW)?;
        let new = with_root_password(&content, hash);
        draft.update(&place, new, Attributes::root(0o600), "root password", Stage::Own)?;
    }
    if let Some(key) = wishes.ssh_keys.iter().find(|key| key.trim().contains(['\n', '\r', '\0'])) {
        let lines = key.trim().lines().count();
        return Err(Error::usage(format!("an SSH key holds {lines} lines; it must be one line")));
    }
    if wishes.ssh_keys.iter().any(|key| !key.trim().is_empty()) {
        // dropbear refuses keys in a directory that others may write to; its package ships 0700.
        let directory = AUTHORIZED_KEYS.rsplit_once('/').map_or("/", |(directory, _)| directory);
        draft.put_directory(directory, Attributes::root(0o700), "SSH keys")?;
        let (place, content) = existing(draft, AUTHORIZED_KEYS)?;
        let new = merge_authorized_keys(&content, &wishes.ssh_keys);
        draft.update(&place, new, Attributes::root(0o600), "SSH keys", Stage::Own)?;
        draft.restrict(&place, Attributes::root(0o600));
    }
    Ok(())
}

/// Where the file `path` really is or will be, and its content (empty when it is not there).
pub(super) fn existing(draft: &Draft<'_>, path: &str) -> Result<(String, Vec<u8>)> {
    let tree = draft.tree();
    let circle = || Error::usage(format!("{path} runs through symlinks that go round in circles"));
    let Some(place) = tree.resolve(path) else {
        return Ok((tree.place(path).ok_or_else(circle)?, Vec::new()));
    };
    match tree.content(&place) {
        Some(content) => Ok((place, content.to_vec())),
        None => {
            let Some(metadata) = tree.metadata(&place) else { return Ok((place, Vec::new())) };
            let size = metadata.size;
            if metadata.file_type != FileType::Regular {
                return Err(Error::usage(format!("{place} is no regular file")));
            }
            Err(Error::unsupported(format!("{place} is {size} bytes long, too long to be edited")))
        }
    }
}

/// Refuses names that would not be one path component.
pub(super) fn check_component(name: &str, what: &str) -> Result<()> {
    let bad = name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0', '\n']) || name.len() > 255;
    if bad {
        return Err(Error::usage(format!("{what}, {name:?}, cannot be the name of a file")));
    }
    Ok(())
}

fn check_path(path: &str) -> Result<()> {
    let Some(relative) = path.strip_prefix('/') else {
        return Err(Error::usage(format!("{path:?} is no absolute path")).remedy("start it with a slash"));
    };
    relative.split('/').try_for_each(|name| check_component(name, &format!("a part of the path {path:?}")))
}
