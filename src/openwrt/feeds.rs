//! Package feeds of one's own, and the keys that the package manager accepts for them.

use crate::overlay::is_public_pem;
use crate::signing::{Fingerprint, PublicKey};

use super::{PackageManager, System};

const OPKG_CONFIGURATION: &str = "/etc/opkg.conf";
const OPKG_FEEDS: &str = "/etc/opkg/customfeeds.conf";
const OPKG_KEYS: &str = "/etc/opkg/keys";
const APK_FEEDS: &str = "/etc/apk/repositories.d/customfeeds.list";
const APK_KEYS: &str = "/etc/apk/keys";
/// OpenWrt's own keys: of release 24.10, of snapshots.
const OFFICIAL: [&str; 2] = ["d310c6f2833e97f7", "b5043e70f9a75cde"];

/// A feed in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Feed {
    /// What opkg calls it; its place where the package manager has no names.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) url: String,
}

/// A file among the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FeedKey {
    /// Its path.
    pub(crate) path: String,
    /// Whether it is OpenWrt's own, by its name.
    pub(crate) is_official: bool,
    /// Why the package manager would not use it.
    pub(crate) problem: Option<String>,
}

/// The feeds that were added to the distribution's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Feeds {
    /// In the order of the file.
    pub(crate) feeds: Vec<Feed>,
    /// All keys.
    pub(crate) keys: Vec<FeedKey>,
    /// Whether a feed must be signed.
    pub(crate) checks_signatures: bool,
}

impl System {
    /// The feeds of one's own; `None` where there is no package manager.
    pub(crate) fn feeds(&self) -> Option<Feeds> {
        let text = |path: &str| self.tree.text(path).unwrap_or_default();
        Some(match self.package_manager()? {
            PackageManager::Opkg => Feeds {
                feeds: text(OPKG_FEEDS).lines().filter_map(opkg_feed).collect(),
                keys: self.keys(OPKG_KEYS, opkg_key),
                checks_signatures: text(OPKG_CONFIGURATION).lines().any(checks_signature),
            },
            PackageManager::Apk => Feeds {
                feeds: text(APK_FEEDS).lines().filter_map(apk_feed).collect(),
                keys: self.keys(APK_KEYS, apk_key),
                checks_signatures: true,
            },
        })
    }

    fn keys(&self, folder: &str, judge: fn(&str, &[u8]) -> FeedKey) -> Vec<FeedKey> {
        let files = self.tree.children(folder).into_iter();
        let keys = files.filter_map(|(name, _)| {
            let path = format!("{folder}/{name}");
            let content = self.tree.content(&path)?;
            Some(FeedKey { path, ..judge(name, content) })
        });
        keys.collect()
    }
}

/// `src/gz name url`, or `src name url`. Source: opkg-lede `libopkg/opkg_conf.c`.
fn opkg_feed(line: &str) -> Option<Feed> {
    let mut words = line.split_whitespace();
    words.next().filter(|kind| matches!(*kind, "src" | "src/gz"))?;
    Some(Feed { name: words.next()?.to_owned(), url: words.next()?.to_owned() })
}

/// One place per line, perhaps behind a tag. Source: apk-tools `apk-repositories(5)`.
fn apk_feed(line: &str) -> Option<Feed> {
    let line = line.trim();
    let url = line.split_whitespace().find(|word| !word.starts_with('@'))?;
    (!line.starts_with('#')).then(|| Feed { name: url.to_owned(), url: url.to_owned() })
}

/// `option check_signature`, as OpenWrt's build adds it to opkg.conf; a 0 behind it switches it off.
fn checks_signature(line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    matches!(words.as_slice(), ["option", "check_signature", rest @ ..] if rest.first() != Some(&"0"))
}

/// usign looks the key up by the fingerprint in the signature.
fn opkg_key(name: &str, content: &[u8]) -> FeedKey {
    let problem = match PublicKey::parse(content) {
        Err(error) => Some(error.to_string()),
        Ok(key) if Fingerprint::parse(name) != Some(key.fingerprint) => {
            Some(format!("the key {} lies there, and opkg looks for a file of that name", key.fingerprint))
        }
        Ok(_) => None,
    };
    FeedKey { path: String::new(), is_official: OFFICIAL.contains(&name), problem }
}

fn apk_key(name: &str, content: &[u8]) -> FeedKey {
    let problem = match (name.ends_with(".pem"), is_public_pem(content)) {
        (true, true) => None,
        (false, _) => Some("its name does not end in .pem".to_owned()),
        (true, false) => Some("this is no public key in PEM".to_owned()),
    };
    FeedKey { path: String::new(), is_official: name.starts_with("openwrt-"), problem }
}

#[cfg(test)]
mod tests {
    use super::super::testing::MemoryFilesystem;
    use super::*;

    const KEY: &[u8] = include_bytes!("../../fixtures/test-key.pub");

    fn opkg() -> MemoryFilesystem {
        let mut root = MemoryFilesystem::openwrt();
        root.add_file("/usr/lib/opkg/status", "Package: a\n");
        root.add_file("/etc/opkg.conf", "dest root /\noption check_signature\n");
        root.add_file(
            "/etc/opkg/customfeeds.conf",
            "# src/gz no http://x\nsrc/gz site https://a/b\nsrc two file:///c\n",
        );
        root
    }

    #[test]
    fn the_feeds_of_opkg_are_those_lines_that_opkg_reads() {
        let feeds = System::read(&mut opkg(), &[]).unwrap().feeds().unwrap();
        let feed = |name: &str, url: &str| Feed { name: name.into(), url: url.into() };
        assert_eq!(feeds.feeds, [feed("site", "https://a/b"), feed("two", "file:///c")]);
        assert!(feeds.checks_signatures && feeds.keys.is_empty());
        let mut root = opkg();
        root.add_file("/etc/opkg.conf", "#option check_signature\noption check_signature 0\n");
        assert!(!System::read(&mut root, &[]).unwrap().feeds().unwrap().checks_signatures);
    }

    #[test]
    fn a_key_of_opkg_lies_under_its_fingerprint() {
        let mut root = opkg();
        root.add_file("/etc/opkg/keys/74dc9401f1926250", KEY);
        root.add_file("/etc/opkg/keys/site.pub", KEY);
        root.add_file("/etc/opkg/keys/d310c6f2833e97f7", "rubbish");
        let keys = System::read(&mut root, &[]).unwrap().feeds().unwrap().keys;
        let problems: Vec<_> = keys.iter().map(|key| key.problem.as_deref().unwrap_or("none")).collect();
        assert_eq!(
            problems,
            [
                "none",
                "this is no usign public key: it has no second line",
                "the key 74dc9401f1926250 lies there, and opkg looks for a file of that name",
            ]
        );
        assert_eq!(keys.iter().map(|key| key.is_official).collect::<Vec<_>>(), [false, true, false]);
    }

    #[test]
    fn the_feeds_and_keys_of_apk_are_read() {
        let mut root = MemoryFilesystem::openwrt();
        root.add_file("/lib/apk/db/installed", "P:a\n");
        root.add_file("/etc/apk/repositories.d/customfeeds.list", "# none\n\n@site https://a/packages.adb\n");
        root.add_file("/etc/apk/keys/a.pem", "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n");
        root.add_file("/etc/apk/keys/b.pem", KEY);
        root.add_file("/etc/apk/keys/openwrt-snapshots.pem", "-----BEGIN PUBLIC KEY-----\nMFkw\n");
        let feeds = System::read(&mut root, &[]).unwrap().feeds().unwrap();
        assert_eq!(feeds.feeds[0].url, "https://a/packages.adb");
        let problems: Vec<_> = feeds.keys.iter().map(|key| (key.is_official, key.problem.is_some())).collect();
        assert_eq!(problems, [(false, false), (false, true), (true, true)]);
    }
}
