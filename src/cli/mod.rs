//! The command line: clap types, exit codes, progress, human and JSON output.
