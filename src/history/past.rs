//! What an earlier patch did to the root that is looked at, held against what is there.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{FOLDER, MANIFEST, Manifest, ORIGINALS, Record, State, packed_path, parse, unpack};
use crate::error::{At, Error, Result};
use crate::filesystem::{FileType, Filesystem};

/// Longest manifest that is read, in bytes.
const LONGEST_MANIFEST: u64 = 64 << 20;

/// What becomes of that which others changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Changes {
    /// It counts as what was there before.
    Keep,
    /// It goes.
    Discard,
}

/// Paths of one filesystem, with what stands there and what is taken for what stood there before.
#[derive(Debug, Clone, Default)]
pub(crate) struct Side {
    /// What stands there, at every path that was patched.
    pub(crate) present: BTreeMap<String, State>,
    /// What stood there, for the same paths.
    pub(crate) before: BTreeMap<String, State>,
}

/// A path that is neither as it was left by the patch nor as it was before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Changed {
    /// The path.
    pub(crate) path: String,
    /// Whether it is on the boot partition.
    pub(crate) on_boot: bool,
    /// How it differs, in a word or two.
    pub(crate) how: &'static str,
    /// Whether the content that stood there before was never kept, since only permissions or owner were changed.
    pub(crate) is_lost: bool,
}

/// An earlier patch.
#[derive(Debug, Clone)]
pub(crate) struct Past {
    /// What it did.
    pub(crate) manifest: Manifest,
    /// The root.
    pub(crate) root: Side,
    /// The boot partition, where there is one.
    pub(crate) boot: Option<Side>,
    /// What others changed since.
    pub(crate) changed: Vec<Changed>,
    /// Directories that the patch made and that hold something of others: the directory, and a name in it.
    pub(crate) held: Vec<(String, String)>,
    /// Whether all that was put in counts as what was there before, since it can no longer be taken out in part.
    pub(crate) is_settled: bool,
}

/// The manifest of the root `root`, with the digest of its file; `None` where there is none.
///
/// # Errors
/// Corrupt; unsupported when a later version wrote it.
pub(crate) fn manifest_of(root: &mut dyn Filesystem) -> Result<Option<(Manifest, State)>> {
    let Some(metadata) = root.metadata(MANIFEST)? else { return Ok(None) };
    if metadata.file_type != FileType::Regular || metadata.size > LONGEST_MANIFEST {
        return Err(Error::corrupt("the manifest is no file of up to 64 MiB")
            .at(MANIFEST)
            .remedy("remove /etc/ibwrt from the image"));
    }
    let bytes = root.read(MANIFEST)?;
    let sha256 = crate::digest::sha256_hex(&bytes);
    let state = State::File { sha256, size: bytes.len() as u64, attributes: metadata.attributes };
    Ok(Some((parse(&bytes)?, state)))
}

impl Past {
    /// Reads what was done to `root`, and to `boot`. Owners count where they are `owned`. When one of the paths `tied` was
    /// changed (a database that names the other files), and changes are kept, all of the patch is.
    ///
    /// # Errors
    /// As [`manifest_of`]; corrupt structures.
    pub(crate) fn read(
        root: &mut dyn Filesystem,
        boot: Option<&mut dyn Filesystem>,
        owned: bool,
        changes: Changes,
        tied: &[&str],
    ) -> Result<Option<Self>> {
        let Some((manifest, own)) = manifest_of(root)? else { return Ok(None) };
        let mut past = Self {
            root: Side::default(),
            boot: None,
            changed: Vec::new(),
            held: Vec::new(),
            is_settled: false,
            manifest,
        };
        past.root = past.compare(&past.manifest.root.clone(), root, owned, changes, false)?;
        if let Some(boot) = boot {
            past.boot = Some(past.compare(&past.manifest.boot.clone(), boot, owned, changes, true)?);
        }
        let is_tied = |changed: &Changed| !changed.on_boot && tied.contains(&changed.path.as_str());
        if changes == Changes::Keep && past.changed.iter().any(is_tied) {
            past.is_settled = true;
            past.root.before = past.root.present.clone();
            if let Some(boot) = &mut past.boot {
                boot.before = boot.present.clone();
            }
        }
        past.hide_own(root, own)?;
        past.hold(root)?;
        Ok(Some(past))
    }

    /// Holds `records` against `filesystem`.
    fn compare(
        &mut self,
        records: &[Record],
        filesystem: &mut dyn Filesystem,
        owned: bool,
        changes: Changes,
        on_boot: bool,
    ) -> Result<Side> {
        let mut side = Side::default();
        for record in records {
            let present = State::of(filesystem, &record.path).at(|| record.path.clone())?;
            let is_known = present.is_as(&record.put, owned) || present.is_as(&record.was, owned);
            let mut before = record.was.clone();
            if !is_known {
                let is_lost =
                    record.kept().is_none() && matches!(before, State::File { .. }) && !present.holds_as(&before);
                let how = how(&record.put, &present);
                self.changed.push(Changed { path: record.path.clone(), on_boot, how, is_lost });
                if changes == Changes::Keep {
                    before = present.clone();
                } else if is_lost {
                    before = with_attributes(&present, &before);
                }
            }
            side.before.insert(record.path.clone(), before);
            side.present.insert(record.path.clone(), present);
        }
        Ok(side)
    }

    /// What was written beside the patch is none of what was there before.
    fn hide_own(&mut self, root: &mut dyn Filesystem, own: State) -> Result<()> {
        let packed: Vec<String> = self.manifest.kept().into_iter().map(packed_path).collect();
        let packed = packed.into_iter().map(|path| Ok((path.clone(), State::of(root, &path).at(|| path)?)));
        let own = packed.chain([Ok((MANIFEST.to_owned(), own))]).collect::<Result<Vec<_>>>()?;
        for (path, state) in own {
            self.root.present.insert(path.clone(), state);
            self.root.before.insert(path, State::Absent);
        }
        for path in [FOLDER, ORIGINALS] {
            if let Some(record) = self.manifest.record(path) {
                self.root.before.insert(path.to_owned(), record.was.clone());
            }
        }
        Ok(())
    }

    /// A directory that the patch made stays when something else is in it.
    fn hold(&mut self, root: &mut dyn Filesystem) -> Result<()> {
        let goes = |path: &str, side: &Side| side.before.get(path) == Some(&State::Absent);
        let made = self
            .root
            .present
            .iter()
            .rev()
            .filter(|(path, present)| matches!(present, State::Directory(_)) && goes(path, &self.root));
        let made: Vec<(String, State)> = made.map(|(path, present)| (path.clone(), present.clone())).collect();
        // Backwards, byte order puts what is inside before what it is in.
        for (path, present) in made {
            let names = root.list(&path)?;
            let other = names.into_iter().find(|entry| !goes(&format!("{path}/{}", entry.name), &self.root));
            if let Some(other) = other {
                self.held.push((path.clone(), other.name));
                self.root.before.insert(path, present);
            }
        }
        Ok(())
    }

    /// What is to be laid over the root to see it as it was.
    pub(crate) fn over(&self) -> Arc<BTreeMap<String, State>> {
        let differs = |path: &str, state: &State| self.root.present.get(path) != Some(state);
        let over = self.root.before.iter().filter(|(path, state)| differs(path, state));
        Arc::new(over.map(|(path, state)| (path.clone(), state.clone())).collect())
    }

    /// The record of `path`, where what it says was there before still counts.
    pub(crate) fn record(&self, path: &str) -> Option<&Record> {
        let is_changed = self.changed.iter().any(|changed| !changed.on_boot && changed.path == path);
        self.manifest.record(path).filter(|_| !is_changed)
    }

    /// A content that was kept in `root`.
    ///
    /// # Errors
    /// Corrupt: it is gone, or damaged.
    pub(crate) fn content(root: &mut dyn Filesystem, sha256: &str) -> Result<Vec<u8>> {
        let path = packed_path(sha256);
        if root.metadata(&path)?.is_none() {
            return Err(Error::corrupt("the content that was kept is gone")
                .at(path)
                .remedy("patch the original image anew"));
        }
        unpack(&root.read(&path)?, sha256)
    }
}

fn how(put: &State, present: &State) -> &'static str {
    match (put, present) {
        (State::Absent, _) => "made anew",
        (_, State::Absent) => "removed",
        _ if put.holds_as(present) => "with other permissions or owner",
        _ => "changed",
    }
}

/// `present` with permissions and owner of `before`, where it is a file.
fn with_attributes(present: &State, before: &State) -> State {
    match (present, before.attributes()) {
        (State::File { sha256, size, .. }, Some(attributes)) => {
            State::File { sha256: sha256.clone(), size: *size, attributes }
        }
        _ => present.clone(),
    }
}
