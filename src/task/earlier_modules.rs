//! Modules that an earlier patch put into the image, for the one that takes its place.

use crate::error::{At, Error, Result};
use crate::history::{InputKind, Past, Record, State};
use crate::kernel::{KernelRelease, Module, ModuleName};
use crate::openwrt::MODULES_DIRECTORY;
use crate::source::{Reserve, SourcedModule};

use super::scene::Located;
use super::steps::Opened;

/// How the origin of such a module is told.
const ORIGIN: &str = "the earlier patch";

/// The modules that an earlier patch put into the root and that are as it left them. Those that it took out of a package are
/// none of them: the package belongs to them.
pub(super) struct EarlierModules<'a> {
    pub(super) opened: &'a Opened,
    pub(super) root: &'a Located,
    /// Whether debug sections are wanted.
    pub(super) keep_debug: bool,
}

impl<'a> EarlierModules<'a> {
    fn past(&self) -> Option<&'a Past> {
        self.opened.earlier.as_ref().map(|earlier| &earlier.past)
    }

    /// What the earlier patch put there under the name of `name`, each with the release that it is for.
    fn records(&self, name: &ModuleName) -> impl Iterator<Item = (&'a Record, &'a str)> {
        let all = self.past().map_or(&[][..], |past| &past.manifest.root).iter();
        all.filter_map(move |record| {
            let (release, file) = record.path.strip_prefix(MODULES_DIRECTORY)?.strip_prefix('/')?.split_once('/')?;
            let is_module = !file.contains('/') && file.ends_with(".ko") && ModuleName::new(file) == *name;
            (is_module && matches!(record.put, State::File { .. })).then_some((record, release))
        })
    }

    /// SHA-256 of the file that the module at `path` was made of.
    fn source_sha256(&self, path: &str) -> Option<&'a str> {
        let file = path.rsplit('/').next()?;
        let mut inputs = self.past()?.manifest.inputs.iter();
        let input = inputs.find(|input| input.kind == InputKind::Module && input.name == file)?;
        Some(&input.sha256)
    }

    /// Whether what stands there is what was put there.
    fn is_as_put(&self, record: &Record) -> bool {
        let present = self.past().and_then(|past| past.root.present.get(&record.path));
        present.is_some_and(|present| present.holds_as(&record.put))
    }
}

impl Reserve for EarlierModules<'_> {
    fn find(&self, name: &ModuleName, release: &KernelRelease) -> Result<Option<SourcedModule>> {
        let found =
            self.records(name).find(|(record, built_for)| *built_for == release.as_str() && self.is_as_put(record));
        let Some((Record { path, put, .. }, _)) = found else { return Ok(None) };
        let Some(source_sha256) = self.source_sha256(path) else { return Ok(None) };
        let is_stripped = !matches!(put, State::File { sha256, .. } if sha256 == source_sha256);
        if is_stripped && self.keep_debug {
            return Err(Error::usage(format!(
                "{name} is to keep its debug sections, but the earlier patch put it in without, and no source of modules \
                 has it"
            ))
            .remedy("say with --modules where it is, or leave out --keep-debug"));
        }
        let bytes = self.opened.scene.medium.filesystem(self.root)?.read(path)?;
        let module = Module::parse(&bytes).at(|| path.clone())?;
        Ok(Some(SourcedModule {
            name: name.clone(),
            origin: format!("{ORIGIN} » {path}"),
            is_release_known: module.modinfo.release().is_some(),
            source_sha256: Some(source_sha256.to_owned()),
            bytes,
            module,
        }))
    }

    fn why_not(&self, name: &ModuleName, release: &KernelRelease) -> Option<String> {
        let (record, built_for) = self.records(name).next()?;
        Some(match self.source_sha256(&record.path) {
            _ if built_for != release.as_str() => format!("{ORIGIN} put one in for kernel {built_for}"),
            _ if !self.is_as_put(record) => format!("the one that {ORIGIN} put in was changed or removed since"),
            None => format!("{ORIGIN} took it out of a package, which is to be named again"),
            Some(_) => format!("the one that {ORIGIN} put in is of another build than what the sources hold"),
        })
    }
}
