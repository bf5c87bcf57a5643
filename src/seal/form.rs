//! The forms of an output: how the name of a file asks for each, and who writes it.

use std::io;
use std::path::Path;

use super::gzip::write_gzip;
use super::raw::write_raw;
use super::stream::Stream;
use crate::error::{Error, Result};
use crate::image::{Disk, Form};
use crate::progress::Progress;

/// A disk on its way into a file.
pub(super) struct Subject<'a> {
    /// The disk.
    pub(super) disk: &'a Disk,
    /// Where the bytes of the disk are counted.
    pub(super) progress: &'a dyn Progress,
}

/// One form of an output.
#[derive(Debug)]
pub(super) struct OutputForm {
    /// The wrapping.
    pub(super) form: Form,
    /// Endings of a name that ask for it, in lower case; the first one is recommended.
    endings: &'static [&'static str],
    /// What it is for, in a word or two.
    purpose: &'static str,
    /// What is being done while it is written.
    pub(super) verb: &'static str,
    /// Writes it.
    pub(super) write: fn(&Subject<'_>, &mut Stream<'_>) -> io::Result<()>,
}

/// All forms.
const FORMS: &[OutputForm] = &[
    OutputForm {
        form: Form::Gzip,
        endings: &[".img.gz", ".gz"],
        purpose: "compressed",
        verb: "Compressing",
        write: |subject, out| write_gzip(subject.disk, out, subject.progress),
    },
    OutputForm {
        form: Form::Raw,
        endings: &[".img", ".raw"],
        purpose: "as it is",
        verb: "Writing",
        write: |subject, out| write_raw(subject.disk, out, subject.progress),
    },
];

/// Whether the ending of `path` asks for a form.
///
/// # Errors
/// Usage when it does not.
pub(crate) fn check_ending(path: &Path) -> Result<()> {
    form_of(path).map(|_| ())
}

/// The form that the ending of `path` asks for.
///
/// # Errors
/// Usage when no form has that ending.
pub(super) fn form_of(path: &Path) -> Result<&'static OutputForm> {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let asks_for = |ending: &&str| name.len() > ending.len() && name.ends_with(ending);
    FORMS.iter().find(|form| form.endings.iter().any(asks_for)).ok_or_else(|| {
        let choices: Vec<_> =
            FORMS.iter().map(|form| format!("{} ({})", form.endings.join(" or "), form.purpose)).collect();
        Error::usage(format!("the ending of {} tells no image format", path.display()))
            .remedy(format!("end the output's name in one of these: {}", choices.join(", ")))
    })
}
