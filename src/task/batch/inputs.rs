//! Digests over all that an output comes from, and over what is done for it.

use crate::digest::{Sha256Hex, sha256_hex};
use crate::error::{Error, Result};
use crate::hosts::HostRow;
use crate::plan::{Content, Edit};

use super::super::shelf::Shelf;
use super::super::steps::{Opened, Planned, Wished};
use super::BatchRequest;

/// SHA-256 over everything that the output of a host depends on: image, wishes, files that they name, and this program.
///
/// # Errors
/// Module sources that cannot be read.
pub(super) fn digest(request: &BatchRequest, opened: &Opened, wished: &Wished, output: &str) -> Result<String> {
    let mut digest = Sha256Hex::default();
    let mut add = |text: &str| {
        digest.update(&(text.len() as u64).to_le_bytes());
        digest.update(text.as_bytes());
    };
    let container = opened.scene.medium.container().ok_or_else(|| Error::usage("a tree of files is no image"))?;
    let resolved = &wished.resolved;
    add(env!("CARGO_PKG_VERSION"));
    add(&container.sha256);
    add(output);
    add(&format!("{:?}", (request.keep_debug, request.epoch, &request.skip, &request.allow)));
    add(&format!("{:?}", wished.identity_seed));
    add(&format!("{:?}", (wished.discard_overlay, wished.rootfs_size, wished.backup_gpt, wished.is_recorded)));
    add(&format!("{:?}", (&resolved.overlays, &resolved.required, &resolved.same_build, &resolved.autoload)));
    add(&format!("{:?}", (&resolved.root_password_hash, &resolved.ssh_keys, &resolved.interfaces)));
    add(&format!("{:?}", (&resolved.lines, &resolved.managed, resolved.is_registered)));
    for wish in &resolved.files {
        add(&format!("{:?}", (&wish.path, &wish.attributes)));
        add(&content(&opened.shelf, Some(&wish.content)));
    }
    if let Some(swap) = &wished.swap {
        add(&format!("{:?}", (sha256_hex(&swap.kernel.bytes), &swap.version, swap.replace_modules)));
    }
    for file in &resolved.package_files {
        add(&format!("{} {}", file.origin(), sha256_hex(&file.bytes)));
    }
    for paths in [&resolved.module_sources, &resolved.packages, &resolved.package_folders] {
        opened.shelf.digests(paths)?.iter().for_each(|part| add(part));
    }
    Ok(digest.finish())
}

/// SHA-256 over the names, outputs and [`digest`]s of all hosts.
pub(super) fn of_all(rows: &[(HostRow, String)]) -> String {
    let mut digest = Sha256Hex::default();
    for (row, inputs) in rows {
        digest.update(format!("{:?}\n", (&row.name, &row.output, inputs)).as_bytes());
    }
    digest.finish()
}

/// SHA-256 over the edits of a plan; `shelf` knows the digests of what plans have in common.
pub(super) fn plan_digest(planned: &Planned, shelf: &Shelf) -> String {
    let mut digest = Sha256Hex::default();
    let boot = planned.boot.iter().flat_map(|boot| &boot.edits);
    for Edit { path, change, content: after, attributes, .. } in boot.chain(&planned.plan.edits) {
        digest.update(format!("{path}\0{change:?}\0{attributes:?}\0{}\n", content(shelf, after.as_ref())).as_bytes());
    }
    if let Some(rekeying) = &planned.rekeying {
        digest.update(format!("{:?}", rekeying.change.identifiers).as_bytes());
    }
    digest.finish()
}

/// What tells a content from every other: of a file its SHA-256.
pub(super) fn content(shelf: &Shelf, content: Option<&Content>) -> String {
    match content {
        Some(Content::File(bytes)) => shelf.digest(bytes),
        other => format!("{other:?}"),
    }
}
