//! Dependencies, as both managers write them.

use std::cmp::Ordering;
use std::fmt;

use super::{Format, version};

/// One package, or one of several that stand for each other: any of them will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AnyOf(pub(crate) Vec<Dependency>);

/// A name, and which of its versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dependency {
    /// The name of a package, or of what packages provide.
    pub(crate) name: String,
    /// Which versions; any without.
    pub(crate) constraint: Option<Constraint>,
}

/// Which versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Constraint {
    /// As written: `=`, `>=`, `~`, …
    pub(crate) operator: String,
    /// The version it is compared with.
    pub(crate) version: String,
}

/// What a package stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Provision {
    /// The name.
    pub(crate) name: String,
    /// Its version, where one is said.
    pub(crate) version: Option<String>,
}

impl Constraint {
    /// Whether version `found` is one of them. opkg takes `<` for `<=` and `>` for `>=`, as old dpkg did; `<<` and `>>`
    /// leave equality out.
    pub(crate) fn allows(&self, format: Format, found: &str) -> bool {
        let wanted = self.version.as_str();
        if self.operator.contains('~') && version::begins_as(format, found, wanted) {
            return true;
        }
        let order = version::compare(format, found, wanted);
        match (format, self.operator.as_str()) {
            (_, "=" | "==") => order == Ordering::Equal,
            (_, "<=") | (Format::Ipk, "<") => order != Ordering::Greater,
            (_, ">=") | (Format::Ipk, ">") => order != Ordering::Less,
            (_, "<<" | "<" | "<~") => order == Ordering::Less,
            (_, ">>" | ">" | ">~") => order == Ordering::Greater,
            _ => false,
        }
    }
}

impl Dependency {
    /// Whether a package of that name and version will do.
    pub(crate) fn takes(&self, format: Format, name: &str, version: Option<&str>) -> bool {
        self.name == name
            && self
                .constraint
                .as_ref()
                .is_none_or(|constraint| version.is_some_and(|found| constraint.allows(format, found)))
    }

    /// Reads opkg's `name`, `name (>= 1.0)` or `name (=1.0)`.
    pub(crate) fn parse_opkg(text: &str) -> Option<Self> {
        let text = text.trim();
        let (name, rest) = match text.split_once('(') {
            Some((name, rest)) => (name.trim(), Some(rest.trim().strip_suffix(')')?.trim())),
            None => (text, None),
        };
        // `name:any` names an architecture, and `*` behind a name was once written by ipkg.
        let name = name.split(':').next().unwrap_or_default().trim_end_matches('*');
        let constraint = rest.map(Constraint::parse_opkg);
        is_name(name)
            .then(|| constraint.map_or(Some(None), |constraint| constraint.map(Some)))?
            .map(|constraint| Self { name: name.to_owned(), constraint })
    }

    /// Reads apk's `name`, `name=1.0`, `name>=1.0`, `name~1`; a leading `!` is the caller's.
    pub(crate) fn parse_apk(text: &str) -> Option<Self> {
        let start = text.find(['<', '>', '=', '~']).unwrap_or(text.len());
        let (name, rest) = text.split_at(start);
        let end = rest.find(|character| !matches!(character, '<' | '>' | '=' | '~')).unwrap_or(rest.len());
        let (operator, version) = rest.split_at(end);
        // The `@tag` behind a name in `world` says which repository it is to come from.
        let name = name.split('@').next().unwrap_or_default();
        let constraint = match (operator.is_empty(), version.is_empty()) {
            (true, _) => None,
            (false, true) => return None,
            (false, false) => Some(Constraint { operator: operator.to_owned(), version: version.to_owned() }),
        };
        is_name(name).then(|| Self { name: name.to_owned(), constraint })
    }
}

impl Constraint {
    fn parse_opkg(text: &str) -> Option<Self> {
        let end = text.find(|character| !matches!(character, '<' | '>' | '='))?;
        let (operator, version) = text.split_at(end);
        let version = version.trim();
        (!operator.is_empty() && !version.is_empty())
            .then(|| Self { operator: operator.to_owned(), version: version.to_owned() })
    }
}

/// Whether `name` can be the name of a package: printable, without blanks, slashes and what lists are written with.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 128
        && !name.starts_with(['.', '-'])
        && name.chars().all(|character| character.is_ascii_graphic() && !"/,|()<>=~!\\\"'*".contains(character))
}

impl fmt::Display for Dependency {
    /// `name (>=1.0)`, as opkg prints it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.constraint {
            None => f.write_str(&self.name),
            Some(constraint) => write!(f, "{} ({}{})", self.name, constraint.operator, constraint.version),
        }
    }
}

impl fmt::Display for AnyOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, dependency) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(" | ")?;
            }
            write!(f, "{dependency}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_the_kernel_are_understood() {
        let opkg = Dependency::parse_opkg("kernel (=6.12.117~0123abcd-r1)").unwrap();
        let apk = Dependency::parse_apk("kernel=6.12.117~0123abcd-r1").unwrap();
        assert_eq!(opkg, apk);
        assert_eq!(opkg.to_string(), "kernel (=6.12.117~0123abcd-r1)");
        assert_eq!(
            Dependency::parse_opkg("kernel (= 5.15.137-1-aaaa)").unwrap().constraint.unwrap().version,
            "5.15.137-1-aaaa"
        );
        assert_eq!(Dependency::parse_apk("libc").unwrap().constraint, None);
        assert_eq!(Dependency::parse_apk("so:libc.musl-x86_64.so.1").unwrap().name, "so:libc.musl-x86_64.so.1");
        for bad in ["", "a b", "a (", "a ()", "a (=)", "a (1)", "../x", "a/b"] {
            assert_eq!(Dependency::parse_opkg(bad), None, "{bad}");
        }
        for bad in ["", "a=", "=1", "../x", "a/b=1"] {
            assert_eq!(Dependency::parse_apk(bad), None, "{bad}");
        }
    }

    #[test]
    fn each_manager_reads_the_operators_its_own_way() {
        for (format, text, found, takes) in [
            (Format::Ipk, "a (<1.0)", "1.0", true),
            (Format::Ipk, "a (<<1.0)", "1.0", false),
            (Format::Ipk, "a (>1.0)", "1.0", true),
            (Format::Ipk, "a (>>1.0)", "1.1", true),
            (Format::Ipk, "a (=1.0)", "1.0-r1", false),
            (Format::Apk, "a<1.0", "1.0", false),
            (Format::Apk, "a<=1.0", "1.0", true),
            (Format::Apk, "a>1.0", "1.0-r1", true),
            (Format::Apk, "a~1.0", "1.0.3-r1", true),
            (Format::Apk, "a>~1.0", "1.0.3-r1", true),
            (Format::Apk, "a>~1.0", "1.1", true),
            (Format::Apk, "a<~1.0", "1.1", false),
            (Format::Apk, "a=1.0", "1.0-r1", false),
        ] {
            let dependency = match format {
                Format::Ipk => Dependency::parse_opkg(text),
                Format::Apk => Dependency::parse_apk(text),
            };
            assert_eq!(dependency.unwrap().takes(format, "a", Some(found)), takes, "{text} {found}");
        }
        assert!(
            !Dependency::parse_apk("a=1").unwrap().takes(Format::Apk, "a", None),
            "what has no version fits no constraint"
        );
    }
}
