//! The `ibwrt` command.

fn main() {}
