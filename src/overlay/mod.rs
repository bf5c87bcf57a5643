//! Overlays: wishes as data. An overlay is a folder with `overlay.toml` and `files/`, embedded in the binary or the
//! user's own.
