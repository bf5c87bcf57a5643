//! A plan that was made for a root as it was before an earlier patch, turned into the edits that lead there from the root as
//! it is. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Change, Content, Edit};
use crate::error::Result;
use crate::filesystem::Attributes;
use crate::history::{Side, State};

/// Why a path becomes as it was.
pub(crate) const BACK: &str = "as it was before the earlier patch";

/// What settling asks of the root.
pub(crate) trait Standing {
    /// SHA-256 of a content, 64 lower-case hex digits.
    fn digest(&mut self, content: &Arc<[u8]>) -> String;

    /// What is to be put at `path`, so that `state` stands there again.
    ///
    /// # Errors
    /// Those of reading what was kept.
    fn restored(&mut self, path: &str, state: &State) -> Result<Content>;

    /// Whether `path` is a directory now.
    ///
    /// # Errors
    /// Corrupt structures.
    fn is_directory(&mut self, path: &str) -> Result<bool>;
}

/// What stands where `edit` was carried out.
pub(crate) fn outcome(edit: &Edit, standing: &mut dyn Standing) -> State {
    match &edit.content {
        _ if edit.change == Change::Remove => State::Absent,
        None => State::Absent,
        Some(Content::File(bytes)) => {
            State::File { sha256: standing.digest(bytes), size: bytes.len() as u64, attributes: edit.attributes }
        }
        Some(Content::Directory) => State::Directory(edit.attributes),
        Some(Content::Symlink(target)) => State::Symlink { target: target.clone(), attributes: edit.attributes },
        // Plans have none; only what is put back may be one.
        Some(Content::Link(_)) => State::Special,
    }
}

/// The edits that make of the root as it is (`side.present`) what `edits` make of it as it was (`side.before`). Paths that
/// `side` does not speak of are as they were. Owners count where they are `owned`.
///
/// What goes comes first, the deepest before what it is in; then what is put back, then the rest in the order of `edits`.
///
/// # Errors
/// Those of `standing`.
pub(crate) fn settle(edits: &[Edit], side: &Side, owned: bool, standing: &mut dyn Standing) -> Result<Vec<Edit>> {
    // Of several edits of one path the last one counts.
    let last: BTreeMap<&str, usize> = edits.iter().enumerate().map(|(at, edit)| (edit.path.as_str(), at)).collect();
    let mut settled = Settled::default();
    let mut made = Vec::new();
    for (at, edit) in edits.iter().enumerate() {
        let Some(present) = side.present.get(&edit.path) else {
            match edit.change {
                Change::Remove => settled.gone.push(edit.clone()),
                _ => made.push(edit.clone()),
            }
            continue;
        };
        if last.get(edit.path.as_str()) == Some(&at) {
            let wanted = outcome(edit, standing);
            made.extend(settled.change(edit, present, &wanted, owned));
        }
    }
    for (path, present) in side.present.iter().filter(|(path, _)| !last.contains_key(path.as_str())) {
        let Some(wanted) = side.before.get(path).filter(|wanted| !present.is_as(wanted, owned)) else { continue };
        let content = match wanted {
            State::Absent | State::Special => None,
            _ => Some(standing.restored(path, wanted)?),
        };
        let edit = Edit {
            path: path.clone(),
            change: Change::Replace,
            attributes: wanted.attributes().or(present.attributes()).unwrap_or(Attributes::root(0o644)),
            content,
            linked_to: None,
            is_own: false,
            size_before: None,
            reason: BACK.to_owned(),
        };
        let edit = settled.change(&edit, present, wanted, owned);
        settled.back.extend(edit);
    }
    settled.ordered(made, standing)
}

#[derive(Default)]
struct Settled {
    gone: Vec<Edit>,
    back: Vec<Edit>,
}

impl Settled {
    /// `edit` where `present` stands, so that `wanted` does; `None` where there is nothing more to do. What goes is noted.
    fn change(&mut self, edit: &Edit, present: &State, wanted: &State, owned: bool) -> Option<Edit> {
        if present.is_as(wanted, owned) {
            return None;
        }
        let size_before = match present {
            State::File { size, .. } => Some(*size),
            _ => None,
        };
        let is_directory = |state: &State| matches!(state, State::Directory(_));
        let changes_kind = is_directory(present) != is_directory(wanted);
        if *wanted == State::Absent || (is_directory(present) && changes_kind) {
            self.gone.push(Edit { change: Change::Remove, content: None, size_before, ..edit.clone() });
        }
        let change = match present {
            _ if *wanted == State::Absent => return None,
            State::Absent => Change::Add,
            State::Directory(_) if changes_kind => Change::Add,
            State::Symlink { .. } => Change::Replace,
            // A file of its own becomes one with the other name.
            _ if matches!(edit.content, Some(Content::Link(_))) => Change::Replace,
            _ if present.holds_as(wanted) => Change::Attributes,
            _ => Change::Replace,
        };
        let size_before = size_before.filter(|_| change != Change::Add);
        Some(Edit { change, size_before, ..edit.clone() })
    }

    /// All edits in order; directories that are missing above what is put back are made.
    fn ordered(self, made: Vec<Edit>, standing: &mut dyn Standing) -> Result<Vec<Edit>> {
        let Self { mut gone, mut back } = self;
        gone.sort_by(|one, other| other.path.cmp(&one.path));
        // Another name of a file needs that file, which may be put back as well.
        back.sort_by(|one, other| {
            let is_link = |edit: &Edit| matches!(edit.content, Some(Content::Link(_)));
            (is_link(one), &one.path).cmp(&(is_link(other), &other.path))
        });
        let mut known: BTreeSet<String> =
            back.iter().filter(|edit| edit.content == Some(Content::Directory)).map(|edit| edit.path.clone()).collect();
        let mut edits = gone;
        for edit in back {
            for (index, _) in edit.path.match_indices('/').skip(1) {
                let Some(above) = edit.path.get(..index) else { continue };
                if known.insert(above.to_owned()) && !standing.is_directory(above)? {
                    edits.push(Edit {
                        path: above.to_owned(),
                        change: Change::Add,
                        content: Some(Content::Directory),
                        attributes: Attributes::root(0o755),
                        linked_to: None,
                        is_own: false,
                        size_before: None,
                        reason: BACK.to_owned(),
                    });
                }
            }
            edits.push(edit);
        }
        edits.extend(made);
        Ok(edits)
    }
}
