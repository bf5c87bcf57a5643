//! Running the table and what comes of it.

use serde::Serialize;

use super::{CHECKS, Evidence, Outcome};
use crate::plan::Severity;

/// A check with its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Row {
    /// The check's identifier.
    pub(crate) id: &'static str,
    /// Its severity.
    pub(crate) severity: Severity,
    /// Its claim.
    pub(crate) claim: &'static str,
    /// What to do about a failure; present only on failed rows.
    pub(crate) remedy: Option<&'static str>,
    /// The answer.
    #[serde(flatten)]
    pub(crate) outcome: Outcome,
}

impl Row {
    /// Whether the check did not hold.
    fn did_not_hold(&self) -> bool {
        matches!(self.outcome, Outcome::Fail { .. })
    }

    /// Whether the check failed: it did not hold, and that keeps InfiniBand from working.
    pub(crate) fn is_failure(&self) -> bool {
        self.did_not_hold() && self.severity == Severity::Error
    }

    /// Whether the check did not hold, but InfiniBand may work all the same.
    pub(crate) fn is_warning(&self) -> bool {
        self.did_not_hold() && self.severity != Severity::Error
    }
}

/// All rows, in table order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    /// One row per check that was not left out.
    pub(crate) rows: Vec<Row>,
}

/// How many rows ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Count {
    /// Rows that hold.
    pub(crate) passed: usize,
    /// Rows of severity error that do not hold.
    pub(crate) failed: usize,
    /// Other rows that do not hold.
    pub(crate) warnings: usize,
    /// Rows that were not judged.
    pub(crate) skipped: usize,
}

impl Report {
    /// Whether a check failed.
    pub(crate) fn failed(&self) -> bool {
        self.rows.iter().any(Row::is_failure)
    }

    /// The failed rows.
    pub(crate) fn failures(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.is_failure())
    }

    /// What is wrong by the failed rows, each with the identifier of its check before it.
    pub(crate) fn problems(&self) -> Vec<String> {
        let problems = |row: &Row| -> Vec<String> {
            row.outcome.problems().iter().map(|problem| format!("{}: {problem}", row.id)).collect()
        };
        self.failures().flat_map(problems).collect()
    }

    /// Makes warnings of the failed rows whose identifier is among `allowed`.
    pub(crate) fn tolerate(&mut self, allowed: &[String]) {
        for row in &mut self.rows {
            if row.is_failure() && allowed.iter().any(|id| id == row.id) {
                row.severity = Severity::Warning;
            }
        }
    }

    /// How many rows ended how.
    pub(crate) fn count(&self) -> Count {
        let mut count = Count::default();
        for row in &self.rows {
            match row.outcome {
                Outcome::Pass { .. } => count.passed += 1,
                Outcome::Skip { .. } => count.skipped += 1,
                Outcome::Fail { .. } if row.is_failure() => count.failed += 1,
                Outcome::Fail { .. } => count.warnings += 1,
            }
        }
        count
    }
}

/// Runs every check whose identifier is not among `skip`.
pub(crate) fn run(evidence: &Evidence<'_>, skip: &[String]) -> Report {
    let wanted = CHECKS.iter().filter(|check| !skip.iter().any(|id| id == check.id));
    let rows = wanted.map(|check| {
        let outcome = (check.run)(evidence);
        let remedy = matches!(outcome, Outcome::Fail { .. }).then_some(check.remedy);
        Row { id: check.id, severity: check.severity, claim: check.claim, remedy, outcome }
    });
    Report { rows: rows.collect() }
}

/// Identifiers of all checks, in table order.
pub(crate) fn check_ids() -> impl Iterator<Item = &'static str> {
    CHECKS.iter().map(|check| check.id)
}
