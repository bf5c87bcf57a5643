//! Overlays: wishes as data. An overlay is a folder with `overlay.toml` and `files/`, embedded in the binary or the
//! user's own.

mod catalogue;
mod description;
mod files;
mod folder;
mod ipoib;
mod local;
mod login;
mod resolve;
mod settings;
mod work;

pub(crate) use catalogue::{Overlay, is_folder};
pub(crate) use description::Setting;
pub(crate) use files::{attributes as parse_attributes, check_target};
pub(crate) use local::is_public_pem;
pub(crate) use login::check_ssh_key;
pub(crate) use resolve::{Resolved, resolve};

#[cfg(test)]
mod tests;
