//! The check table for people.

use super::page::{Page, Tone};
use crate::counted::number;
use crate::plan::Severity;
use crate::verify::{CHECKS, Count, Outcome, Report, Row};

/// Width of the identifier's column.
const ID: usize = 24;
/// Column at which details start: two blanks, the outcome, two blanks, the identifier.
const DETAIL: usize = 2 + 4 + 2 + ID;

/// Every row.
pub(super) fn table(page: &mut Page, report: &Report) {
    for row in &report.rows {
        render_row(page, row);
    }
}

/// The rows that do not hold in full, and how many there are of the others.
pub(super) fn summary(page: &mut Page, report: &Report) {
    for row in report.rows.iter().filter(|row| row.is_failure() || row.is_warning()) {
        render_row(page, row);
    }
    page.paragraph(2, &counts(report.count()));
}

fn render_row(page: &mut Page, row: &Row) {
    match &row.outcome {
        Outcome::Pass { detail } => lead(page, "pass", Tone::Good, row.id, detail),
        Outcome::Skip { reason } => lead(page, "skip", Tone::Faint, row.id, reason),
        Outcome::Fail { problems } => {
            let (word, tone) = if row.is_failure() { ("FAIL", Tone::Bad) } else { ("warn", Tone::Warn) };
            lead(page, word, tone, row.id, "");
            for problem in problems {
                page.hanging("        - ", 10, problem);
            }
            if let Some(remedy) = row.remedy {
                page.labelled("        help:", Tone::Accent, remedy);
            }
        }
    }
}

fn lead(page: &mut Page, word: &str, tone: Tone, id: &str, detail: &str) {
    let lead = format!("  {}  {id:<ID$}", tone.paint(word));
    page.hanging(&lead, DETAIL, detail);
}

/// `24 passed, 1 failed, 2 skipped`.
pub(super) fn counts(count: Count) -> String {
    let mut parts = vec![format!("{} passed", count.passed)];
    if count.failed > 0 {
        parts.push(format!("{} failed", count.failed));
    }
    if count.warnings > 0 {
        parts.push(number(count.warnings, "warning"));
    }
    if count.skipped > 0 {
        parts.push(format!("{} skipped", count.skipped));
    }
    parts.join(", ")
}

/// The table of checks itself, for `--list-checks`.
pub(super) fn list(page: &mut Page) {
    for check in CHECKS {
        let weight = match check.severity {
            Severity::Error => "",
            Severity::Warning | Severity::Note => " (warning only)",
        };
        page.hanging(&format!("{:<26}", check.id), 26, &format!("{}{weight}", check.claim));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::specimen::Specimen;

    #[test]
    fn a_stock_image_reads_like_this() {
        let mut page = Page::new();
        summary(&mut page, &Specimen::stock().report());
        let expected = [
            "  FAIL  modules-present",
            "        - no InfiniBand module is in the image: it has no InfiniBand support",
            "          yet, and an InfiniBand adapter in this machine would get no driver and",
            "          no network interface (ib0); mlx4_core alone runs such a card as",
            "          Ethernet only",
            "        help: Put them in: `ibwrt patch IMAGE --modules <folder of your OpenWrt",
            "              build> --overlay connectx3 --overlay ipoib -o OUT`.",
            "              `ibwrt overlays` lists the adapters and features there are.",
            &format!("  18 passed, 1 failed, {} skipped", CHECKS.len() - 19),
        ];
        assert_eq!(page.plain().lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn every_row_fits_into_80_columns() {
        let mut page = Page::new();
        table(&mut page, &Specimen::patched().report());
        list(&mut page);
        let wide: Vec<String> =
            page.plain().lines().filter(|line| line.chars().count() > 80).map(str::to_owned).collect();
        assert!(wide.is_empty(), "{wide:#?}");
    }
}
