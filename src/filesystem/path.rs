//! Absolute paths inside a filesystem.

use crate::error::{Error, Result};

/// The names along `path` from the root down; empty for the root itself.
///
/// # Errors
/// Usage: a relative path, `.` or `..`, a NUL, or a name of more than 255 bytes.
pub(super) fn components(path: &str) -> Result<Vec<&str>> {
    let bad = |why: &str| Err(Error::usage(format!("{path:?} cannot be a path in the image: {why}")));
    if !path.starts_with('/') {
        return bad("it does not begin with a slash");
    }
    let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
    for name in &names {
        if matches!(*name, "." | "..") {
            return bad("it has a . or .. in it");
        }
        if name.len() > 255 {
            return bad("a name in it is longer than 255 bytes");
        }
        if name.contains('\0') {
            return bad("it has a NUL byte in it");
        }
    }
    Ok(names)
}

/// The names of the parent directory and the last name of `path`.
///
/// # Errors
/// As [`components`]; also for the root, which has no name.
pub(super) fn parent_and_name(path: &str) -> Result<(Vec<&str>, &str)> {
    let mut names = components(path)?;
    let name = names.pop().ok_or_else(|| Error::usage("the root directory cannot be made, replaced or removed"))?;
    Ok((names, name))
}

/// The absolute path with the names `names`.
pub(super) fn join(names: &[&str]) -> String {
    format!("/{}", names.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_cut_into_names_and_a_relative_one_is_refused() {
        assert_eq!(components("/").unwrap(), Vec::<&str>::new());
        assert_eq!(parent_and_name("/etc//config/network").unwrap(), (vec!["etc", "config"], "network"));
        for bad in ["etc", "", "/a/../b", "/./a", "/a\0b"] {
            assert!(components(bad).is_err(), "{bad:?}");
        }
        assert!(components(&format!("/{}", "n".repeat(256))).is_err());
        assert!(parent_and_name("/").is_err());
    }
}
