//! The command line's behaviour as case files: `tests/cases/*.toml`.
//!
//! A case says what is given (files, arguments), and what must come of it. `{fixtures}` stands for the folder of
//! fixtures. The run takes place in an empty folder; afterwards it may hold the given files and those in `leaves` only.

use std::path::Path;

use serde::Deserialize;

use super::support::{Ran, fixture, ibwrt, listing};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// What the case shows, one sentence.
    claim: String,
    /// Arguments of `ibwrt`.
    arguments: Vec<String>,
    /// Exit code.
    status: i32,
    /// Fragments that standard output must hold, in this order.
    #[serde(default)]
    stdout: Vec<String>,
    /// Fragments that standard error must hold, in this order. Without any it must be empty.
    #[serde(default)]
    stderr: Vec<String>,
    /// Fragments that neither may hold.
    #[serde(default)]
    never: Vec<String>,
    /// Files that the run leaves behind.
    #[serde(default)]
    leaves: Vec<String>,
    /// Files that are there before.
    #[serde(default)]
    file: Vec<Given>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    path: String,
    content: String,
}

impl Case {
    /// Runs the case; what did not come as claimed.
    fn failures(&self) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        for given in &self.file {
            std::fs::write(folder.path().join(&given.path), fill(&given.content)).unwrap();
        }
        let ran = ibwrt(folder.path(), self.arguments.iter().map(|argument| fill(argument)));
        let mut failures = self.failures_of(&ran);
        let given = self.file.iter().map(|given| given.path.clone());
        let mut expected: Vec<String> = given.chain(self.leaves.iter().cloned()).collect();
        expected.sort();
        let found = listing(folder.path());
        if found != expected {
            failures.push(format!("leaves {found:?}, should leave {expected:?}"));
        }
        let untouched = |given: &&Given| {
            std::fs::read_to_string(folder.path().join(&given.path)).ok() != Some(fill(&given.content))
        };
        failures.extend(self.file.iter().filter(untouched).map(|given| format!("{} was changed", given.path)));
        if !failures.is_empty() {
            failures.push(ran.to_string());
        }
        failures
    }

    fn failures_of(&self, ran: &Ran) -> Vec<String> {
        let mut failures = Vec::new();
        if ran.status != self.status {
            failures.push(format!("exit code {}, should be {}", ran.status, self.status));
        }
        let stdout = ran.text();
        for (stream, text, fragments) in [("stdout", &stdout, &self.stdout), ("stderr", &ran.stderr, &self.stderr)] {
            let mut from = 0;
            for fragment in fragments {
                match text[from..].find(fragment) {
                    Some(at) => from += at + fragment.len(),
                    None => failures.push(format!("{stream} does not say (in this place): {fragment}")),
                }
            }
        }
        if self.stderr.is_empty() && !ran.stderr.is_empty() {
            failures.push("stderr should be empty".to_string());
        }
        let spoken = format!("{stdout}{}", ran.stderr);
        failures.extend(self.never.iter().filter(|one| spoken.contains(*one)).map(|one| format!("says {one:?}")));
        failures
    }
}

fn fill(text: &str) -> String {
    text.replace("{fixtures}", fixture("").to_str().unwrap().trim_end_matches('/'))
}

#[test]
fn the_command_line_behaves_as_the_case_files_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let names = listing(&folder);
    assert!(!names.is_empty());
    let mut report = String::new();
    for name in &names {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        let case: Case = toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let failures = case.failures();
        if !failures.is_empty() {
            report.push_str(&format!("\n== {name}: {}\n{}\n", case.claim, failures.join("\n")));
        }
    }
    assert!(report.is_empty(), "{report}");
    println!("{} cases", names.len());
}
