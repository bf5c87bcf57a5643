//! A name for what is wished: the same wherever the same files lie, and whatever image they are wished for.

use serde_json::{Value, json};

use crate::digest::sha256_hex;
use crate::plan::{Content, FileWish, LineWish, Managed};

use super::shelf::Shelf;
use super::steps::Wished;

/// SHA-256 over the wishes, 64 lower-case hex digits. Modules, packages and kernels are inputs with digests of their own; how
/// large the disk is to be, and what it is wrapped in, is nothing that the root shows.
pub(super) fn recipe_digest(wished: &Wished, keep_debug: bool, shelf: &Shelf) -> String {
    let resolved = &wished.resolved;
    let content = |content: &Content| match content {
        Content::File(bytes) => json!({ "file": shelf.digest(bytes) }),
        Content::Directory => json!("directory"),
        Content::Symlink(target) => json!({ "symlink": target }),
        Content::Link(existing) => json!({ "link": existing }),
    };
    let file = |wish: &FileWish| {
        let attributes = wish.attributes;
        json!([wish.path, content(&wish.content), attributes.mode, attributes.uid, attributes.gid])
    };
    let line = |wish: &LineWish| json!([wish.path, wish.line, wish.replaces]);
    let managed = |wish: &Managed| match wish {
        Managed::File(wish) => file(wish),
        Managed::Line(wish) => line(wish),
        Managed::Finding(_) => Value::Null,
    };
    let swap = wished.swap.as_ref();
    let wishes = json!({
        "overlays": resolved.overlays,
        "modules": resolved.required.iter().map(|(name, _, optional)| json!([name.as_str(), optional])).collect::<Vec<_>>(),
        "autoload": resolved.autoload.iter().map(|wish| json!([wish.module.as_str(), wish.parameters, wish.file, wish.boot])).collect::<Vec<_>>(),
        "files": resolved.files.iter().map(file).collect::<Vec<_>>(),
        "lines": resolved.lines.iter().map(line).collect::<Vec<_>>(),
        "managed": resolved.managed.iter().map(|wish| json!([wish.manager, managed(&wish.wish)])).collect::<Vec<_>>(),
        "root_password_hash": resolved.root_password_hash,
        "ssh_keys": resolved.ssh_keys,
        "register": resolved.is_registered,
        "keep_debug": keep_debug,
        "kernel_version": swap.and_then(|swap| swap.version.clone()),
        "replace_modules": swap.is_some_and(|swap| swap.replace_modules),
    });
    // Maps are in byte order of their keys.
    sha256_hex(wishes.to_string().as_bytes())
}
