//! Wishes for modules to be loaded at boot, laid on the draft as edits of `/etc/modules.d` and `/etc/modules-boot.d`.

use super::draft::{Draft, Stage};
use super::files::{check_component, existing};
use super::loading::{Dependencies, FirstLoad, LinePlace, Slot, first_load, slots};
use super::parameters::merge;
use super::{AutoloadWish, Content, Finding, Severity};
use crate::error::{At as _, Error, Result};
use crate::filesystem::Attributes;
use crate::openwrt::{AUTOLOAD_DIRECTORY, AutoloadLine, BOOT_DIRECTORY, split_lines};

/// Makes every wished module be named, then linked for the boot run, then be given its parameters where it is loaded
/// first. What is already so stays as it is.
///
/// # Errors
/// Usage: names or parameters that kmodloader's syntax cannot hold; a clash with what is there.
pub(super) fn autoload(
    draft: &mut Draft<'_>,
    dependencies: &Dependencies,
    wishes: &[AutoloadWish],
    findings: &mut Vec<Finding>,
) -> Result<()> {
    for wish in wishes {
        let place = || format!("autoload entry for {}", wish.module);
        check(wish).at(place)?;
        name(draft, dependencies, wish).at(place)?;
        if wish.boot {
            link(draft, wish, findings).at(place)?;
        }
    }
    // Only now is it settled which line loads what first.
    for wish in wishes.iter().filter(|wish| !wish.parameters.trim().is_empty()) {
        parametrise(draft, dependencies, wish).at(|| format!("autoload entry for {}", wish.module))?;
    }
    Ok(())
}

fn check(wish: &AutoloadWish) -> Result<()> {
    check_component(&wish.file, "the autoload file")?;
    if wish.file.starts_with('.') {
        return Err(Error::usage(format!(
            "kmodloader does not read the file {:?}: its name starts with a dot",
            wish.file
        )));
    }
    let name = wish.module.as_str();
    if AutoloadLine::parse(1, name).module.as_ref() != Some(&wish.module) || name.contains(' ') {
        return Err(Error::usage(format!("{name:?} is no module name that kmodloader's files can hold")));
    }
    if let Some(bad) = wish.parameters.chars().find(|character| character.is_control()) {
        return Err(Error::usage(format!("the parameters {:?} hold the control character {bad:?}", wish.parameters)));
    }
    Ok(())
}

/// Makes sure that some line names the module: one in the wished file, or, where parameters would come too late there,
/// one before the line that needs the module.
fn name(draft: &mut Draft<'_>, dependencies: &Dependencies, wish: &AutoloadWish) -> Result<()> {
    let slots = slots(draft.tree());
    let is_named = |slot: &Slot| slot.lines.iter().any(|line| line.module.as_ref() == Some(&wish.module));
    if slots.iter().any(is_named) {
        return Ok(());
    }
    if !wish.parameters.trim().is_empty()
        && let Some(FirstLoad::Dependency(place)) = first_load(&slots, &wish.module, &dependencies.users(&wish.module))
        && precedes_end(&slots, &place, &wish.file)
    {
        return insert_before(draft, &place, &entry(wish, wish.parameters.trim()), &wish.reason);
    }
    let (path, mut content) = existing(draft, &format!("{AUTOLOAD_DIRECTORY}/{}", wish.file))?;
    if content.last().is_some_and(|last| *last != b'\n') {
        content.push(b'\n');
    }
    content.extend_from_slice(entry(wish, wish.parameters.trim()).as_bytes());
    draft.update(&path, content, Attributes::root(0o644), &wish.reason, Stage::Autoload)
}

/// Whether `place` is read before the end of the file `name` of `/etc/modules.d`.
fn precedes_end(slots: &[Slot], place: &LinePlace, name: &str) -> bool {
    slots.iter().any(|slot| slot.path == place.path && (slot.boot || slot.name.as_str() <= name))
}

fn entry(wish: &AutoloadWish, parameters: &str) -> String {
    match parameters {
        "" => format!("{}\n", wish.module),
        _ => format!("{} {parameters}\n", wish.module),
    }
}

/// Makes sure that the boot run reads a file that names the module.
fn link(draft: &mut Draft<'_>, wish: &AutoloadWish, findings: &mut Vec<Finding>) -> Result<()> {
    let slots = slots(draft.tree());
    let mut naming =
        slots.iter().filter(|slot| slot.lines.iter().any(|line| line.module.as_ref() == Some(&wish.module)));
    let Some(first) = naming.next().filter(|slot| !slot.boot) else { return Ok(()) };
    let path = format!("{BOOT_DIRECTORY}/{}", first.name);
    let target = format!("../modules.d/{}", first.name);
    let there = draft.tree().place(&path).and_then(|place| draft.tree().node(&place));
    if let Some(node) = there {
        let what = match &node.metadata.link_target {
            Some(other) => format!("a symlink to {other}"),
            None => "no symlink".to_owned(),
        };
        findings.push(Finding {
            id: "boot-link".to_owned(),
            severity: Severity::Warning,
            message: format!("{path} is {what}, so {} is not loaded before the overlay is mounted", wish.module),
            remedy: Some(format!("make it a symlink to {target}")),
        });
        return Ok(());
    }
    draft.put(&path, Content::Symlink(target), Attributes::root(0o777), &wish.reason, Stage::Autoload)?;
    Ok(())
}

/// Makes sure that the line by which the module is loaded first gives the wished parameters.
fn parametrise(draft: &mut Draft<'_>, dependencies: &Dependencies, wish: &AutoloadWish) -> Result<()> {
    let slots = slots(draft.tree());
    match first_load(&slots, &wish.module, &dependencies.users(&wish.module)) {
        None => Ok(()),
        Some(FirstLoad::Named(place)) => match merge(&parameters_at(&slots, &place), &wish.parameters) {
            None => Ok(()),
            Some(parameters) => rewrite(draft, &place, &parameters, &wish.reason),
        },
        Some(FirstLoad::Dependency(place)) => {
            let own = slots.iter().flat_map(|slot| &slot.lines).find(|line| line.module.as_ref() == Some(&wish.module));
            let known = own.map(|line| line.parameters.as_str()).unwrap_or_default();
            let parameters = merge(known, &wish.parameters).unwrap_or_else(|| known.trim().to_owned());
            insert_before(draft, &place, &entry(wish, &parameters), &wish.reason)
        }
    }
}

fn parameters_at(slots: &[Slot], place: &LinePlace) -> String {
    let slot = slots.iter().find(|slot| slot.path == place.path);
    let line = slot.and_then(|slot| slot.lines.iter().find(|line| line.number == place.number));
    line.map(|line| line.parameters.clone()).unwrap_or_default()
}

/// Gives the line at `place` other parameters; its name and every other line keep their bytes.
fn rewrite(draft: &mut Draft<'_>, place: &LinePlace, parameters: &str, reason: &str) -> Result<()> {
    change_line(draft, place, reason, |line, result| {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        result.extend(text.iter().take_while(|byte| **byte != b' '));
        result.push(b' ');
        result.extend_from_slice(parameters.as_bytes());
        result.extend_from_slice(line.get(text.len()..).unwrap_or_default());
    })
}

fn insert_before(draft: &mut Draft<'_>, place: &LinePlace, entry: &str, reason: &str) -> Result<()> {
    change_line(draft, place, reason, |line, result| {
        result.extend_from_slice(entry.as_bytes());
        result.extend_from_slice(line);
    })
}

fn change_line(
    draft: &mut Draft<'_>,
    place: &LinePlace,
    reason: &str,
    change: impl Fn(&[u8], &mut Vec<u8>),
) -> Result<()> {
    let (path, content) = existing(draft, &place.path)?;
    let mut result = Vec::with_capacity(content.len().saturating_add(64));
    for (index, line) in split_lines(&content).enumerate() {
        if index.saturating_add(1) == place.number {
            change(line, &mut result);
        } else {
            result.extend_from_slice(line);
        }
    }
    draft.update(&path, result, Attributes::root(0o644), reason, Stage::Autoload)
}
