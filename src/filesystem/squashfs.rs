//! Squashfs: recognised, not yet editable.
