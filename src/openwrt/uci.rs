//! UCI files: `config`, `option` and `list` lines.
