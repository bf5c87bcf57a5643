//! The forms of an output: how the name of a file asks for each, and who writes it.

use std::io;
use std::path::Path;

use super::delta::write_delta;
use super::gzip::{Rehearsal, write_gzip};
use super::raw::write_raw;
use super::stream::Stream;
use super::virtual_disk::{write_qcow2, write_vdi, write_vhdx, write_vmdk};
use super::zstd::write_zstd;
use crate::error::{Error, Result};
use crate::image::{Disk, Form};
use crate::progress::Progress;

/// A disk on its way into a file.
pub(super) struct Subject<'a> {
    /// The file's name.
    pub(super) name: &'a str,
    /// The disk.
    pub(super) disk: &'a Disk,
    /// What was compressed already, of a disk that this one is a clone of.
    pub(super) rehearsal: Option<&'a Rehearsal>,
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
        write: |subject, out| write_gzip(subject.disk, subject.rehearsal, out, subject.progress),
    },
    OutputForm {
        form: Form::Raw,
        endings: &[".img", ".raw"],
        purpose: "as it is",
        verb: "Writing",
        write: |subject, out| write_raw(subject.disk, out, subject.progress),
    },
    OutputForm {
        form: Form::Zstd,
        endings: &[".img.zst", ".zst"],
        purpose: "compressed by zstd",
        verb: "Compressing",
        write: |subject, out| write_zstd(subject.disk, out, subject.progress),
    },
    OutputForm {
        form: Form::Qcow2,
        endings: &[".qcow2"],
        purpose: "QEMU, KVM, Proxmox",
        verb: "Writing",
        write: write_qcow2,
    },
    OutputForm { form: Form::Vmdk, endings: &[".vmdk"], purpose: "VMware", verb: "Writing", write: write_vmdk },
    OutputForm { form: Form::Vdi, endings: &[".vdi"], purpose: "VirtualBox", verb: "Writing", write: write_vdi },
    OutputForm { form: Form::Vhdx, endings: &[".vhdx"], purpose: "Hyper-V", verb: "Writing", write: write_vhdx },
    // The longer endings come first, since the other ones end as they do.
    OutputForm {
        form: Form::Delta,
        endings: &[".img.ibdelta", ".raw.ibdelta"],
        purpose: "what changed, for an .img",
        verb: "Comparing",
        write: |subject, out| write_delta(subject, out, Form::Raw),
    },
    OutputForm {
        form: Form::Delta,
        endings: &[".ibdelta", ".img.gz.ibdelta"],
        purpose: "what changed, for an .img.gz",
        verb: "Comparing",
        write: |subject, out| write_delta(subject, out, Form::Gzip),
    },
];

/// Length in bytes and SHA-256 that an output in the form `form` would have, without writing it.
///
/// # Errors
/// Those of the form.
pub(super) fn written_as(form: Form, subject: &Subject<'_>) -> io::Result<(u64, String)> {
    let form = FORMS.iter().find(|candidate| candidate.form == form).ok_or_else(|| io::Error::other("no such form"))?;
    let mut out = Stream::to_nowhere();
    (form.write)(subject, &mut out)?;
    out.finish()
}

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
/// Usage when no form has that ending, or two are asked for at once.
pub(super) fn form_of(path: &Path) -> Result<&'static OutputForm> {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let Some(form) = with_ending_of(&name) else {
        let choices: Vec<_> =
            FORMS.iter().map(|form| format!("{} ({})", form.endings.join(" or "), form.purpose)).collect();
        return Err(Error::usage(format!("the ending of {} tells no image format", path.display()))
            .remedy(format!("end the output's name in one of these: {}", choices.join(", "))));
    };
    // Such as router.qcow2.gz, or router.img.gz.zst.
    let packed = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst"));
    let inner = packed.and_then(with_ending_of).filter(|inner| inner.form != Form::Raw);
    // A delta is against an image of either kind: router.img.gz.ibdelta.
    let whole = name.strip_suffix(".ibdelta").and_then(with_ending_of);
    let inner = inner.or(whole.filter(|whole| !matches!(whole.form, Form::Raw | Form::Gzip)));
    match inner {
        None => Ok(form),
        Some(inner) => {
            let [ending, ..] = inner.endings else { return Ok(form) };
            Err(Error::usage(format!("{} asks for two image formats at once", path.display()))
                .remedy(format!("end it in {ending} alone, or in .img.gz")))
        }
    }
}

/// The form that has an ending of `name`, which is in lower case and not the ending alone.
fn with_ending_of(name: &str) -> Option<&'static OutputForm> {
    let asks_for = |ending: &&str| name.len() > ending.len() && name.ends_with(ending);
    FORMS.iter().find(|form| form.endings.iter().any(asks_for))
}
