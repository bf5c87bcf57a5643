//! What the root says of the patch that made it.

use super::{fail, judge, skip};
use crate::plan::Severity;
use crate::verify::{Check, Evidence, Outcome};

pub(super) const HISTORY: Check = Check {
    id: "history",
    severity: Severity::Warning,
    claim: "What a patch recorded in the image can be read, and what it put in is as it was put.",
    remedy: "A system that runs changes files of its own accord; `ibwrt unpatch --dry-run` names what the way back would lose. \
             Where the record is damaged, patch the original image anew.",
    run: history,
};

fn history(evidence: &Evidence<'_>) -> Outcome {
    match &evidence.history {
        None => skip("the record is written by this very run"),
        Some(Ok(None)) => skip("no patch is recorded in it"),
        Some(Ok(Some(history))) => judge(history.changed.clone(), || history.described.clone()),
        Some(Err(reason)) => fail(reason.clone()),
    }
}

#[cfg(test)]
mod tests {
    use crate::verify::History;
    use crate::verify::specimen::{Specimen, passed, problems, skipped};

    fn specimen(history: Option<Result<Option<History>, String>>) -> Specimen {
        Specimen { history, ..Specimen::patched() }
    }

    #[test]
    fn a_record_tells_who_patched_and_what_others_changed_since() {
        let mut history = History { described: "ibwrt 0.1.0 changed 3 paths".into(), changed: Vec::new() };
        assert_eq!(passed(&specimen(Some(Ok(Some(history.clone())))), "history"), history.described);
        history.changed.push("/etc/banner is changed since".into());
        assert_eq!(problems(&specimen(Some(Ok(Some(history)))), "history"), ["/etc/banner is changed since"]);
        assert_eq!(problems(&specimen(Some(Err("damaged".into()))), "history"), ["damaged"]);
        assert_eq!(skipped(&specimen(Some(Ok(None))), "history"), "no patch is recorded in it");
        assert_eq!(skipped(&specimen(None), "history"), "the record is written by this very run");
    }
}
