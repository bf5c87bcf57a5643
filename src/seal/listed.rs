//! What lies beside an image to tell whether it is the published one.

use std::path::Path;

use super::list::{lines, read_list};
use super::output::folder_of;
use super::profiles;
use super::sums::{PROFILES, SUMS, SUMS_SIGNATURE};
use crate::digest::sha256_hex;
use crate::error::Result;

/// The lists beside an image.
#[derive(Debug)]
pub(crate) struct ListedDigests {
    name: String,
    /// `sha256sums`.
    pub(crate) sums: Option<Vec<u8>>,
    /// usign's signature on it.
    pub(crate) sums_signature: Option<Vec<u8>>,
    profiles: Option<Vec<u8>>,
}

impl ListedDigests {
    /// Reads what lies beside the image at `path`.
    ///
    /// # Errors
    /// I/O.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let folder = folder_of(path);
        Ok(Self {
            name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            sums: read_list(&folder.join(SUMS))?,
            sums_signature: read_list(&folder.join(SUMS_SIGNATURE))?,
            profiles: read_list(&folder.join(PROFILES))?,
        })
    }

    /// Whether `sha256sums` lists the image.
    pub(crate) fn names_image(&self) -> bool {
        self.listed(&self.name).next().is_some()
    }

    /// Which lists speak of the image, in a sentence.
    pub(crate) fn agreeing(&self) -> &'static str {
        match self.entries().is_empty() {
            true => "it lists the image",
            false => "it lists the image and profiles.json, which agrees",
        }
    }

    /// What the lists say otherwise of an image with these digests and `size` bytes. `profiles.json` counts where
    /// `sha256sums` lists it.
    pub(crate) fn problems(&self, sha256: &str, unsigned: &str, size: u64) -> Vec<String> {
        let mut problems = Vec::new();
        let mut compare = |what: String, listed: &str, is: &str| {
            if listed != is {
                problems.push(format!("{what} is {is}, but the signed list says {listed}"));
            }
        };
        for listed in self.listed(&self.name) {
            compare(format!("SHA-256 of {}", self.name), &listed, sha256);
        }
        if let Some(content) = &self.profiles {
            for listed in self.listed(PROFILES) {
                compare(format!("SHA-256 of {PROFILES}"), &listed, &sha256_hex(content));
            }
        }
        for entry in self.entries() {
            let mut compare = |field: &str, listed: Option<String>, is: &str| {
                if let Some(listed) = listed.filter(|listed| listed != is) {
                    problems.push(format!("{field} of {} is {is}, but {PROFILES} says {listed}", self.name));
                }
            };
            compare("sha256", entry.sha256, sha256);
            compare("sha256_unsigned", entry.sha256_unsigned, unsigned);
            compare("size", entry.size, &size.to_string());
        }
        problems
    }

    /// The digests of `name` in `sha256sums`.
    fn listed<'a>(&'a self, name: &'a str) -> impl Iterator<Item = String> + 'a {
        let sums = self.sums.as_deref().unwrap_or_default();
        lines(sums).filter(move |line| line.names(name)).map(|line| line.digest.to_ascii_lowercase())
    }

    /// The entries of the image in a `profiles.json` that `sha256sums` lists.
    fn entries(&self) -> Vec<profiles::Told> {
        let text = self.profiles.as_deref().and_then(|content| std::str::from_utf8(content).ok());
        let trusted = text.filter(|_| self.listed(PROFILES).next().is_some());
        trusted.and_then(|text| profiles::told(text, &self.name).ok()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "openwrt-mini-ib-ext4-combined.img.gz";
    const DIGEST: &str = "f8be22dbe83a99b1295f3c55835bb8284d53dd10dd4cafd1a6a4c410a13012af";
    const UNSIGNED: &str = "358be01759f8d21ea0d4d400fa50aec153837710c6798ed76b4c950a5c84178d";

    fn lists() -> ListedDigests {
        ListedDigests::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(NAME)).unwrap()
    }

    #[test]
    fn the_lists_of_a_build_agree_with_its_image() {
        assert!(lists().names_image());
        assert_eq!(lists().problems(DIGEST, UNSIGNED, 1), Vec::<String>::new(), "no size is listed");
        assert_eq!(lists().agreeing(), "it lists the image and profiles.json, which agrees");
    }

    #[test]
    fn each_list_that_says_otherwise_is_named() {
        let problems = lists().problems(UNSIGNED, DIGEST, 1);
        assert_eq!(
            problems,
            [
                format!("SHA-256 of {NAME} is {UNSIGNED}, but the signed list says {DIGEST}"),
                format!("sha256 of {NAME} is {UNSIGNED}, but profiles.json says {DIGEST}"),
                format!("sha256_unsigned of {NAME} is {DIGEST}, but profiles.json says {UNSIGNED}"),
            ]
        );
        let mut changed = lists();
        changed.profiles.as_mut().unwrap().push(b' ');
        let problems = changed.problems(DIGEST, UNSIGNED, 1);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with("SHA-256 of profiles.json is "), "{problems:?}");
    }

    #[test]
    fn a_profiles_json_that_is_not_listed_says_nothing() {
        let mut unlisted = lists();
        unlisted.sums = Some(format!("{DIGEST} *{NAME}\n").into_bytes());
        assert_eq!(unlisted.problems(DIGEST, DIGEST, 1), Vec::<String>::new());
        assert_eq!(unlisted.agreeing(), "it lists the image");
    }
}
