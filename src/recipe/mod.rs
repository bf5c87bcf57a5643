//! The recipe: every option of a patch in one TOML file, merged with the command line.
