//! What becomes of the identifiers of disk and partitions, for people.

use super::page::Page;
use crate::counted::number;
use crate::task::{IdentityChange, NamingFile, Renamed};

/// Identifiers before and after, and the files that are kept in step; `planned` says that it is still to come.
pub(super) fn identity(page: &mut Page, identity: &IdentityChange, planned: bool) {
    page.heading(&format!("Identifiers (--rekey {})", identity.seed));
    let identifiers = identity.identifiers.iter().map(|Renamed { partition, before, after }| {
        let what = partition.map_or_else(|| "disk".to_owned(), |number| format!("partition {number}"));
        (what, if before == after { format!("{before}, as before") } else { format!("{before} -> {after}") })
    });
    let files = identity.files.iter().filter(|_| identity.is_change()).map(|NamingFile { path, times }| {
        let state = if planned { "will be in step" } else { "in step" };
        ("named in".to_owned(), format!("{path} (boot partition), {}: {state}", number(*times, "time")))
    });
    let rows: Vec<(String, String)> = identifiers.chain(files).collect();
    page.facts(&rows.iter().map(|(label, value)| (label.as_str(), value.as_str())).collect::<Vec<_>>());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_stand_before_and_after_with_what_names_them() {
        let renamed = |partition, before: &str, after: &str| Renamed {
            partition,
            before: before.to_owned(),
            after: after.to_owned(),
        };
        let mut change = IdentityChange {
            seed: "h1".into(),
            identifiers: vec![renamed(None, "e805ec03", "12345678"), renamed(Some(2), "e805ec03-02", "12345678-02")],
            files: vec![NamingFile { path: "/boot/grub/grub.cfg".into(), times: 2 }],
        };
        let mut page = Page::new();
        identity(&mut page, &change, true);
        assert_eq!(
            page.plain(),
            "Identifiers (--rekey h1)\n  \
             disk          e805ec03 -> 12345678\n  \
             partition 2   e805ec03-02 -> 12345678-02\n  \
             named in      /boot/grub/grub.cfg (boot partition), 2 times: will be in step\n"
        );
        change.identifiers = vec![renamed(None, "12345678", "12345678")];
        let mut page = Page::new();
        identity(&mut page, &change, true);
        assert_eq!(page.plain(), "Identifiers (--rekey h1)\n  disk          12345678, as before\n");
    }
}
