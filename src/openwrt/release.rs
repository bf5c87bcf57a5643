//! `/etc/openwrt_release` and `/usr/lib/os-release`.

use serde::Serialize;

/// Who built the system. Fields are empty where the files do not say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Release {
    /// `DISTRIB_ID`.
    pub(crate) distribution: String,
    /// `DISTRIB_RELEASE`, such as `24.10.0` or `SNAPSHOT`.
    pub(crate) version: String,
    /// `DISTRIB_REVISION`, such as `r28427-6df0e3d02a`.
    pub(crate) revision: String,
    /// `DISTRIB_TARGET`, such as `x86/64`.
    pub(crate) target: String,
    /// `DISTRIB_ARCH`, such as `x86_64`.
    pub(crate) architecture: String,
    /// `DISTRIB_DESCRIPTION`.
    pub(crate) description: String,
    /// `OPENWRT_BUILD_DATE` in seconds since 1970, where present.
    pub(crate) build_date: Option<u64>,
}

impl Release {
    /// Reads `/etc/openwrt_release` and, for what that does not say, os-release.
    pub(crate) fn parse(openwrt_release: Option<&str>, os_release: Option<&str>) -> Self {
        let own = openwrt_release.map(assignments).unwrap_or_default();
        let os = os_release.map(assignments).unwrap_or_default();
        let pick = |own_key: &str, os_key: &str| {
            value(&own, own_key).or_else(|| value(&os, os_key)).unwrap_or_default().to_owned()
        };
        Self {
            distribution: pick("DISTRIB_ID", "NAME"),
            version: pick("DISTRIB_RELEASE", "VERSION_ID"),
            revision: pick("DISTRIB_REVISION", "BUILD_ID"),
            target: pick("DISTRIB_TARGET", "OPENWRT_BOARD"),
            architecture: pick("DISTRIB_ARCH", "OPENWRT_ARCH"),
            description: pick("DISTRIB_DESCRIPTION", "PRETTY_NAME"),
            build_date: value(&os, "OPENWRT_BUILD_DATE").and_then(|date| date.parse().ok()),
        }
    }
}

/// The last assignment wins, as in a shell.
fn value<'a>(assignments: &'a [(String, String)], key: &str) -> Option<&'a str> {
    let found = assignments.iter().rev().find(|(name, _)| name == key);
    found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
}

/// The `KEY=value` lines of a shell fragment: value bare, in single quotes, in double quotes with `\` escapes, or a
/// run of these. Lines of any other shape are passed over.
fn assignments(text: &str) -> Vec<(String, String)> {
    text.lines()
        .filter_map(|line| {
            let (key, value) = line.trim().split_once('=')?;
            let is_name = !key.is_empty() && key.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric());
            is_name.then(|| (key.to_owned(), unquote(value)))
        })
        .collect()
}

/// One shell word without its quotes; it ends at the first blank outside quotes.
fn unquote(word: &str) -> String {
    let mut plain = String::new();
    let mut quote = None;
    let mut characters = word.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (None, '\'' | '"') => quote = Some(character),
            (None | Some('"'), '\\') => plain.extend(characters.next()),
            (None, ' ' | '\t' | '\r' | ';' | '#') => break,
            _ => plain.push(character),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_files_of_24_10_are_read() {
        let release = Release::parse(
            Some(
                "DISTRIB_ID='OpenWrt'\nDISTRIB_RELEASE='24.10.0'\nDISTRIB_REVISION='r28427-6df0e3d02a'\n\
                 DISTRIB_TARGET='x86/64'\nDISTRIB_ARCH='x86_64'\nDISTRIB_DESCRIPTION='OpenWrt 24.10.0 r28427-6df0e3d02a'\n\
                 DISTRIB_TAINTS=''\n",
            ),
            Some(
                "NAME=\"OpenWrt\"\nVERSION_ID=\"24.10.0\"\nOPENWRT_BOARD=\"x86/64\"\nOPENWRT_BUILD_DATE=\"1738624177\"\n",
            ),
        );
        assert_eq!(release.distribution, "OpenWrt");
        assert_eq!(release.version, "24.10.0");
        assert_eq!(release.revision, "r28427-6df0e3d02a");
        assert_eq!(release.target, "x86/64");
        assert_eq!(release.architecture, "x86_64");
        assert_eq!(release.description, "OpenWrt 24.10.0 r28427-6df0e3d02a");
        assert_eq!(release.build_date, Some(1_738_624_177));
    }

    #[test]
    fn os_release_stands_in_for_a_missing_openwrt_release() {
        let release =
            Release::parse(None, Some("NAME=\"OpenWrt\"\nOPENWRT_BOARD=\"x86/64\"\nOPENWRT_ARCH=\"x86_64\"\n"));
        assert_eq!(release.target, "x86/64");
        assert_eq!(release.architecture, "x86_64");
        assert_eq!(release.build_date, None);
    }

    #[test]
    fn values_are_unquoted_as_a_shell_does() {
        assert_eq!(unquote("'it'\\''s'"), "it's");
        assert_eq!(unquote("\"a \\\"b\\\" c\" # remark"), "a \"b\" c");
        assert_eq!(unquote("bare"), "bare");
        assert_eq!(unquote("'unterminated"), "unterminated");
        assert_eq!(assignments("export A=1\n# B=2\nC = 3\nD=4"), [("D".to_owned(), "4".to_owned())]);
    }

    #[test]
    fn the_last_assignment_wins() {
        assert_eq!(Release::parse(Some("DISTRIB_ID=a\nDISTRIB_ID=b\n"), None).distribution, "b");
    }
}
