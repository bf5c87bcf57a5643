//! Running programs and keeping what they said.

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};

/// What a program did.
pub(crate) struct Ran {
    /// The command line, for messages.
    pub(crate) command: String,
    /// The exit code; -1 when a signal ended it.
    pub(crate) status: i32,
    /// Standard output.
    pub(crate) stdout: Vec<u8>,
    /// Standard error.
    pub(crate) stderr: String,
}

impl Ran {
    /// Standard output as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Panics with everything that was said unless the exit code is `status`.
    #[track_caller]
    pub(crate) fn expect_status(self, status: i32) -> Self {
        assert_eq!(self.status, status, "{self}");
        self
    }

    /// Whether a message for people says `text`, wherever its lines were broken.
    pub(crate) fn says(&self, text: &str) -> bool {
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        words(&self.text()).contains(&words(text)) || words(&self.stderr).contains(&words(text))
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String = self.text().chars().take(20_000).collect();
        write!(f, "{}\nexit {}\n-- stdout\n{shown}\n-- stderr\n{}", self.command, self.status, self.stderr)
    }
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Ran {
    let shown = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{shown}: {error}"));
    Ran {
        command: shown,
        status: output.status.code().unwrap_or(-1),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The program under test, in `folder`, free of what the caller's environment would change.
pub(crate) fn ibwrt_command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ibwrt"));
    command.current_dir(folder);
    for variable in ["SOURCE_DATE_EPOCH", "NO_COLOR", "CLICOLOR_FORCE", "SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX"] {
        command.env_remove(variable);
    }
    command
}

/// Runs the program under test.
pub(crate) fn ibwrt<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(folder: &Path, arguments: I) -> Ran {
    run(ibwrt_command(folder).args(arguments))
}
