//! apk's `scripts.tar` (database.c, apk_db_scriptdb): the scripts of all packages, each under
//! `<name>-<version>.<identity in hex>.<script>`. Newer versions compress it with gzip and call it `scripts.tar.gz`.

use std::io::{self, Read as _, Write as _};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use crate::error::{Error, Result};
use crate::package::Script;

/// The largest archive of scripts, unpacked.
const LARGEST: u64 = 64 << 20;

fn damaged(error: io::Error) -> Error {
    Error::corrupt(format!("the archive of scripts is damaged or cut short: {error}"))
}

/// `archive` (empty where there is none yet) with `scripts` for the package called `prefix` (`name-version.X1<hex>`), and
/// without the scripts of the packages called `gone`; `time` is what the new members are dated. Other members keep their
/// bytes. `is_packed` says whether it is compressed.
///
/// # Errors
/// Corrupt, or unsupported when it is larger than 64 MiB.
pub(crate) fn with_scripts(
    archive: &[u8],
    is_packed: bool,
    gone: &[String],
    prefix: &str,
    scripts: &[Script],
    time: u64,
) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    if is_packed && !archive.is_empty() {
        let mut reader = MultiGzDecoder::new(archive).take(LARGEST);
        reader.read_to_end(&mut content).map_err(damaged)?;
        if reader.limit() == 0 {
            return Err(Error::unsupported(format!("the archive of scripts holds more than {} MiB", LARGEST >> 20)));
        }
    } else {
        content.extend_from_slice(archive);
    }
    let belongs = |name: &str, package: &str| name.strip_prefix(package).is_some_and(|rest| rest.starts_with('.'));
    let is_gone = |name: &str| belongs(name, prefix) || gone.iter().any(|package| belongs(name, package));
    let mut result = kept(&content, is_gone)?;
    let mut builder = tar::Builder::new(&mut result);
    for script in scripts {
        let name = format!("{prefix}.{}", script.name);
        let content: &[u8] = &script.content;
        if name.len() > 99 {
            // A name that does not fit goes into a member of its own before.
            builder.append_data(&mut header(content.len(), time)?, name, content).map_err(damaged)?;
            continue;
        }
        let mut header = header(content.len(), time)?;
        header.set_path(&name).map_err(damaged)?;
        finish(&mut header);
        builder.append(&header, content).map_err(damaged)?;
    }
    builder.finish().map_err(damaged)?;
    drop(builder);
    if !is_packed {
        return Ok(result);
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&result).and_then(|()| encoder.finish()).map_err(damaged)
}

/// A member's header, as apk fills it (tar.c): numbers take their fields to the last digit.
fn header(size: usize, time: u64) -> Result<tar::Header> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o755);
    header.set_uid(0);
    header.set_gid(0);
    header.set_username("root").and_then(|()| header.set_groupname("root")).map_err(damaged)?;
    header.set_size(size as u64);
    header.set_mtime(time);
    if let Some(gnu) = header.as_gnu_mut().filter(|_| size < 1 << 36 && time < 1 << 36) {
        gnu.size.copy_from_slice(format!("{size:012o}").as_bytes());
        gnu.mtime.copy_from_slice(format!("{time:012o}").as_bytes());
    }
    Ok(header)
}

/// Sets the checksum, six digits, NUL and blank.
fn finish(header: &mut tar::Header) {
    header.set_cksum();
    if let (Ok(sum), Some(gnu)) = (header.cksum(), header.as_gnu_mut()) {
        let text = format!("{sum:06o}\0 ");
        if text.len() == gnu.cksum.len() {
            gnu.cksum.copy_from_slice(text.as_bytes());
        }
    }
}

/// The members that stay, as they stand.
fn kept(content: &[u8], is_gone: impl Fn(&str) -> bool) -> Result<Vec<u8>> {
    let mut kept = Vec::new();
    let mut start = 0u64;
    for entry in tar::Archive::new(content).entries().map_err(damaged)? {
        let entry = entry.map_err(damaged)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        // Headers of long names come before the member's own.
        let end = entry.raw_file_position().saturating_add(entry.size()).next_multiple_of(512);
        let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
        if !is_gone(&name) {
            kept.extend_from_slice(range.and_then(|(start, end)| content.get(start..end)).unwrap_or_default());
        }
        start = end;
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(name: &str, text: &str) -> Script {
        Script { name: name.to_owned(), content: text.as_bytes().into(), mode: 0o755 }
    }

    fn names(archive: &[u8]) -> Vec<String> {
        let mut archive = tar::Archive::new(archive);
        archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect()
    }

    #[test]
    fn scripts_of_a_package_are_replaced_and_those_of_others_stay() {
        let long = format!("{}-1.0.X1ab", "n".repeat(90));
        let one = with_scripts(&[], false, &[], &long, &[script("post-install", "a")], 5).unwrap();
        let two = with_scripts(&one, false, &[], "b-1.X1cd", &[script("trigger", "b"), script("pre-install", "c")], 5)
            .unwrap();
        assert_eq!(
            names(&two),
            [format!("{long}.post-install"), "b-1.X1cd.trigger".into(), "b-1.X1cd.pre-install".into()]
        );
        assert_eq!(two.len() % 512, 0);
        let gone =
            with_scripts(&two, false, std::slice::from_ref(&long), "b-1.X1cd", &[script("trigger", "d")], 5).unwrap();
        assert_eq!(names(&gone), ["b-1.X1cd.trigger"]);
        let packed = with_scripts(&[], true, &[], &long, &[script("post-install", "a")], 5).unwrap();
        let again = with_scripts(&packed, true, &[], &long, &[script("post-install", "a")], 5).unwrap();
        assert_eq!(packed, again, "the same bytes from the same scripts");
    }

    #[test]
    fn a_damaged_archive_is_refused() {
        let archive = with_scripts(&[], false, &[], "a-1.X1ab", &[script("trigger", "x")], 5).unwrap();
        assert!(with_scripts(&archive[..700], false, &[], "b-1.X1cd", &[], 5).is_err());
        assert!(with_scripts(b"not gzip", true, &[], "b-1.X1cd", &[], 5).is_err());
    }
}
