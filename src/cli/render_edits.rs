//! The plan's edits for people: what is added, replaced, changed and removed.

use super::page::{Page, Tone, size};
use crate::counted::number;
use crate::plan::{Change, Finding, Role, Severity, SpaceForecast};
use crate::task::EditRow;

/// Groups of edits in the order in which they are shown.
const GROUPS: [(Change, &str); 4] = [
    (Change::Add, "Added"),
    (Change::Replace, "Replaced"),
    (Change::Attributes, "Permissions changed"),
    (Change::Remove, "Removed"),
];

/// Width of the path's column; longer paths push their line further.
const PATH: usize = 50;

/// All edits, grouped. `planned` says that they are still to come, `owned` that every path's owner is shown.
pub(super) fn edits(page: &mut Page, edits: &[EditRow], planned: bool, owned: bool) {
    if edits.is_empty() {
        page.heading("Nothing to change");
        page.paragraph(2, "The image already holds everything that is wished.");
        return;
    }
    for (change, title) in GROUPS {
        let group: Vec<&EditRow> = edits.iter().filter(|edit| edit.change == change).collect();
        if group.is_empty() {
            continue;
        }
        let bytes = group.iter().fold(0_u64, |sum, edit| sum.saturating_add(edit.size));
        let what = match (change, planned) {
            (Change::Add, true) => "To be added",
            (Change::Replace, true) => "To be replaced",
            (Change::Attributes, true) => "Permissions to be changed",
            (Change::Remove, true) => "To be removed",
            (_, false) => title,
        };
        page.heading(&format!("{what}: {}, {}", number(group.len(), "path"), size(bytes)));
        rows(page, &group, owned);
    }
}

/// The rows of a group, the reason once above those that share it.
fn rows(page: &mut Page, group: &[&EditRow], owned: bool) {
    let mut reason = None;
    for edit in group {
        if reason != Some((edit.partition, edit.reason.as_str())) {
            let place = if edit.partition == Role::Boot { " (boot partition)" } else { "" };
            page.line(&format!("  {}", Tone::Faint.paint(&format!("{}{place}", edit.reason))));
            reason = Some((edit.partition, &edit.reason));
        }
        page.line(format!("    {:<PATH$} {}", shown(&edit.path), becomes(edit, owned)).trim_end());
    }
}

/// A path with control characters made visible.
fn shown(path: &str) -> String {
    path.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn becomes(edit: &EditRow, owned: bool) -> String {
    let owner = if owned { format!(" {}", edit.owner) } else { String::new() };
    match (edit.change, edit.becomes, &edit.target) {
        (Change::Attributes, _, _) => format!("{} {}", edit.mode, edit.owner),
        (Change::Remove, _, _) => edit.size_before.map(size).unwrap_or_default(),
        (_, "link", Some(existing)) => format!("hard link of {existing}"),
        (_, _, Some(target)) => format!("-> {target}"),
        (_, "directory", _) if owned => format!("directory  {}{owner}", edit.mode),
        (_, "directory", _) => "directory".to_owned(),
        _ => {
            let before = edit.size_before.map(|before| format!(" (was {})", size(before))).unwrap_or_default();
            format!("{:>9}  {}{owner}{before}", size(edit.size), edit.mode)
        }
    }
}

/// Room before and after.
pub(super) fn space(page: &mut Page, title: &str, space: &SpaceForecast) {
    let bytes = |blocks: u64| size(blocks.saturating_mul(u64::from(space.block_size)));
    page.heading(title);
    page.fact(
        "blocks",
        &format!(
            "{} free before, {} after ({} -> {})",
            space.free_blocks_before,
            space.free_blocks_after,
            bytes(space.free_blocks_before),
            bytes(space.free_blocks_after)
        ),
    );
    // FAT has none.
    if space.free_inodes_before == u64::MAX {
        return;
    }
    page.fact("inodes", &format!("{} free before, {} after", space.free_inodes_before, space.free_inodes_after));
}

/// Remarks, the weightiest first.
pub(super) fn findings(page: &mut Page, findings: &[Finding]) {
    if findings.is_empty() {
        return;
    }
    page.heading("Worth knowing");
    let mut sorted: Vec<&Finding> = findings.iter().collect();
    sorted.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    for finding in sorted {
        let (word, tone) = match finding.severity {
            Severity::Error => ("  error:", Tone::Bad),
            Severity::Warning => ("  warning:", Tone::Warn),
            Severity::Note => ("  note:", Tone::Accent),
        };
        page.labelled(word, tone, &finding.message);
        if let Some(remedy) = &finding.remedy {
            page.labelled("    help:", Tone::Accent, remedy);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(path: &str, change: Change, size: u64, reason: &str) -> EditRow {
        EditRow {
            partition: Role::Root,
            path: path.into(),
            change,
            becomes: "file",
            size,
            size_before: None,
            sha256: None,
            target: None,
            mode: "0644".into(),
            owner: "0:0".into(),
            reason: reason.into(),
        }
    }

    #[test]
    fn edits_are_grouped_with_their_reason_once() {
        let rows = [
            row("/lib/modules/6.6.106/ib_core.ko", Change::Add, 300_000, "overlay connectx3"),
            EditRow { size_before: Some(4), ..row("/etc/banner", Change::Replace, 9, "the recipe") },
            row("/lib/modules/6.6.106/mlx4_ib.ko", Change::Add, 200_000, "overlay connectx3"),
        ];
        let mut page = Page::new();
        edits(&mut page, &rows, false, false);
        assert_eq!(
            page.plain(),
            "\
Added: 2 paths, 488 KiB
  overlay connectx3
    /lib/modules/6.6.106/ib_core.ko                      292 KiB  0644
    /lib/modules/6.6.106/mlx4_ib.ko                      195 KiB  0644

Replaced: 1 path, 9 B
  the recipe
    /etc/banner                                              9 B  0644 (was 4 B)
"
        );
    }

    #[test]
    fn an_edit_of_the_boot_partition_says_so() {
        let swap = row("/boot/vmlinuz", Change::Replace, 4, "kernel swap");
        let mut page = Page::new();
        edits(&mut page, &[EditRow { partition: Role::Boot, ..swap }], true, false);
        let text = page.plain();
        assert!(
            text.starts_with("To be replaced: 1 path, 4 B\n  kernel swap (boot partition)\n    /boot/vmlinuz "),
            "{text}"
        );
    }

    #[test]
    fn an_image_that_has_everything_already_says_so() {
        let mut page = Page::new();
        edits(&mut page, &[], true, false);
        assert!(page.plain().contains("already holds everything"));
    }

    #[test]
    fn warnings_stand_above_notes() {
        let finding = |severity, message: &str| Finding {
            id: "x".into(),
            severity,
            message: message.into(),
            remedy: Some("do it".into()),
        };
        let mut page = Page::new();
        findings(&mut page, &[finding(Severity::Note, "small"), finding(Severity::Warning, "large")]);
        let expected = "Worth knowing\n  warning: large\n    help: do it\n  note: small\n    help: do it\n";
        assert_eq!(page.plain(), expected);
    }
}
