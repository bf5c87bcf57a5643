//! Package feeds of one's own.

use super::{judge, listing, number, skip, with_system};
use crate::openwrt::{Feeds, System};
use crate::plan::Severity;
use crate::verify::{Check, Evidence, Outcome};

pub(super) const FEED_KEY: Check = Check {
    id: "feed-key",
    severity: Severity::Warning,
    claim: "For every package feed that was added there is a key that the package manager accepts.",
    remedy: "Put the feed's public key in: --overlay package-feed --set package-feed.key=FILE; opkg wants it under its \
             fingerprint in /etc/opkg/keys, apk in PEM in /etc/apk/keys.",
    run: feed_key,
};

fn feed_key(evidence: &Evidence<'_>) -> Outcome {
    with_system(evidence, |system: &System| match system.feeds() {
        None => skip("there is no package manager"),
        Some(feeds) if feeds.feeds.is_empty() => skip("no feed was added to the distribution's"),
        Some(feeds) if !feeds.checks_signatures => Outcome::Pass {
            detail: format!("{}; signatures are not checked (opkg.conf says so)", number(feeds.feeds.len(), "feed")),
        },
        Some(feeds) => keys(&feeds),
    })
}

/// Which key signed a feed is known only where the feed is; one must be there that is not the distribution's.
fn keys(feeds: &Feeds) -> Outcome {
    let broken = feeds.keys.iter().filter_map(|key| Some(format!("{}: {}", key.path, key.problem.as_ref()?)));
    let mut problems: Vec<String> = broken.collect();
    let own: Vec<&str> = feeds
        .keys
        .iter()
        .filter(|key| key.problem.is_none() && !key.is_official)
        .map(|key| key.path.as_str())
        .collect();
    if own.is_empty() {
        let has_official = feeds.keys.iter().any(|key| key.is_official && key.problem.is_none());
        let which = if has_official { "no key but OpenWrt's own" } else { "no usable key" };
        problems.extend(
            feeds.feeds.iter().map(|feed| format!("there is {which} for the feed {} ({})", feed.name, feed.url)),
        );
    }
    judge(problems, || format!("{}; {}", number(feeds.feeds.len(), "feed"), listing(&own)))
}

#[cfg(test)]
mod tests {
    use crate::verify::specimen::{Specimen, passed, problems, skipped};

    const KEY: &str = include_str!("../../../fixtures/test-key.pub");

    fn specimen() -> Specimen {
        let mut specimen = Specimen::patched();
        specimen.put("/etc/opkg.conf", "option check_signature\n", 0o644);
        specimen
    }

    #[test]
    fn a_feed_without_a_key_of_its_own_is_told() {
        let mut specimen = specimen();
        assert_eq!(skipped(&specimen, "feed-key"), "no feed was added to the distribution's");
        specimen.put("/etc/opkg/customfeeds.conf", "src/gz site https://a\n", 0o644);
        assert_eq!(problems(&specimen, "feed-key"), ["there is no usable key for the feed site (https://a)"]);
        specimen.put("/etc/opkg/keys/74dc9401f1926250", KEY, 0o644);
        assert_eq!(passed(&specimen, "feed-key"), "1 feed; /etc/opkg/keys/74dc9401f1926250");
        specimen.put("/etc/opkg.conf", "", 0o644);
        assert_eq!(passed(&specimen, "feed-key"), "1 feed; signatures are not checked (opkg.conf says so)");
    }

    #[test]
    fn a_key_that_opkg_would_not_find_is_told() {
        let mut specimen = specimen();
        specimen.put("/etc/opkg/customfeeds.conf", "src/gz site https://a\n", 0o644);
        specimen.put("/etc/opkg/keys/site.pub", KEY, 0o644);
        assert_eq!(
            problems(&specimen, "feed-key"),
            [
                "/etc/opkg/keys/site.pub: the key 74dc9401f1926250 lies there, and opkg looks for a file of that name",
                "there is no usable key for the feed site (https://a)",
            ]
        );
    }
}
