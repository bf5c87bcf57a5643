//! Where files may go, and with which permissions.

use crate::error::{Error, Result};
use crate::filesystem::Attributes;

/// Folders whose content does not come from the image: they are mounted over at boot.
const MOUNTED_OVER: [&str; 5] = ["proc", "sys", "dev", "tmp", "lost+found"];

/// Refuses paths that are not a file's place in an image.
pub(crate) fn check_target(path: &str) -> Result<()> {
    let refuse = |message: String| Err(Error::usage(message));
    let Some(below) = path.strip_prefix('/') else {
        return refuse(format!("the path `{path}` in the image is not absolute"))
            .map_err(|error| error.remedy(format!("write it from the root, such as /etc/{path}")));
    };
    if let Some(character) = path.chars().find(|character| character.is_control()) {
        return refuse(format!("the path {path:?} in the image holds the control character {character:?}"));
    }
    let parts = below.split('/').collect::<Vec<_>>();
    if parts.iter().any(|part| matches!(*part, "" | "." | "..")) {
        return refuse(format!("the path `{path}` in the image holds an empty part, `.` or `..`"))
            .map_err(|error| error.remedy("write it in full, such as /etc/banner"));
    }
    if let Some(part) = parts.iter().find(|part| part.len() > 255) {
        return refuse(format!("a name in the path `{path}` is {} bytes long, but at most 255 fit", part.len()));
    }
    if let Some(first) = parts.first().filter(|first| MOUNTED_OVER.contains(first)) {
        return refuse(format!("the path `{path}` is below /{first}, which does not come from the image"))
            .map_err(|error| error.remedy("choose a place below /etc, /usr or /root"));
    }
    Ok(())
}

/// Permissions and owner from text.
///
/// # Errors
/// A mode that is not octal or not in 0 to 7777, an owner that is neither `root` nor numbers.
pub(crate) fn attributes(mode: &str, owner: &str) -> Result<Attributes> {
    let octal = (1..=5).contains(&mode.len()) && mode.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    let bits = u16::from_str_radix(mode, 8).ok().filter(|bits| octal && *bits <= 0o7777);
    let bits = bits.ok_or_else(|| {
        Error::usage(format!("the mode `{mode}` is not octal permissions")).remedy("write it like \"0755\"")
    })?;
    let id = |text: &str| {
        let number = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u32>().ok()).flatten();
        if text == "root" { Some(0) } else { number.filter(|id| *id != u32::MAX) }
    };
    let (user, group) = owner.split_once(':').unwrap_or((owner, owner));
    match (id(user), id(group)) {
        (Some(uid), Some(gid)) => Ok(Attributes { mode: bits, uid, gid }),
        _ => Err(Error::usage(format!("the owner `{owner}` is not `root` or numbers"))
            .remedy("write it like \"root\" or \"1000:1000\": names are known only to the image")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_absolute_plain_and_on_the_image() {
        check_target("/etc/banner").unwrap();
        check_target("/sysupgrade.conf").unwrap();
        for (path, message) in [
            ("etc/banner", "the path `etc/banner` in the image is not absolute"),
            ("", "the path `` in the image is not absolute"),
            ("/", "the path `/` in the image holds an empty part, `.` or `..`"),
            ("/etc/../bin/sh", "the path `/etc/../bin/sh` in the image holds an empty part, `.` or `..`"),
            ("/etc//x", "the path `/etc//x` in the image holds an empty part, `.` or `..`"),
            ("/proc/sys/x", "the path `/proc/sys/x` is below /proc, which does not come from the image"),
            ("/tmp/x", "the path `/tmp/x` is below /tmp, which does not come from the image"),
            ("/etc/a\nb", "the path \"/etc/a\\nb\" in the image holds the control character '\\n'"),
        ] {
            assert_eq!(check_target(path).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn modes_are_octal_and_owners_numeric_or_root() {
        assert_eq!(attributes("0755", "root").unwrap(), Attributes::root(0o755));
        assert_eq!(attributes("4711", "1000:100").unwrap(), Attributes { mode: 0o4711, uid: 1000, gid: 100 });
        assert_eq!(attributes("0644", "7").unwrap(), Attributes { mode: 0o644, uid: 7, gid: 7 });
        for mode in ["", "rwx", "0888", "17777", "+755", "000644"] {
            let error = attributes(mode, "root").unwrap_err();
            assert_eq!(error.to_string(), format!("the mode `{mode}` is not octal permissions"));
        }
        for owner in ["admin", "", "0:", "-1:0", "4294967296"] {
            let error = attributes("0644", owner).unwrap_err();
            assert_eq!(error.to_string(), format!("the owner `{owner}` is not `root` or numbers"));
        }
    }
}
