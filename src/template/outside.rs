//! Template functions that read what is outside of the template: files, environment variables, secrets.

use std::env;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use minijinja::{Environment, Error, ErrorKind};

use super::Secrets;

/// Longest file that a template takes in, in bytes.
const LONGEST: u64 = 16 << 20;

/// What is outside, as seen from a folder.
#[derive(Debug, Clone)]
pub(crate) struct Outside {
    /// Relative paths count from here.
    pub(crate) folder: PathBuf,
    /// Where secrets that were read are kept from being repeated.
    pub(crate) secrets: Secrets,
}

impl Outside {
    /// Adds the functions `file`, `env` and `secret` to `environment`.
    pub(crate) fn add_to(self, environment: &mut Environment<'_>) {
        let folder = self.folder.clone();
        environment.add_function("file", move |path: &str| read(&folder.join(path)));
        environment.add_function("env", variable);
        environment.add_function("secret", move |name: &str| self.secret(name));
    }

    /// The secret that an environment variable or a file holds, without line ends behind it.
    fn secret(&self, name: &str) -> Result<String, Error> {
        let path = self.folder.join(name);
        let is_variable = is_variable_name(name) && env::var_os(name).is_some();
        let text = match (is_variable, path.is_file()) {
            (true, true) => {
                return Err(refusal(format!(
                    "the secret `{name}` is an environment variable and the file {}; write `./{name}` for the file",
                    path.display()
                )));
            }
            (true, false) => variable(name)?,
            (false, true) => read(&path)?,
            (false, false) if is_variable_name(name) => {
                return Err(refusal(format!(
                    "there is no secret `{name}`: neither an environment variable of that name nor the file {}",
                    path.display()
                )));
            }
            (false, false) => return Err(refusal(format!("there is no secret `{name}`: no file {}", path.display()))),
        };
        let secret = text.trim_end_matches(['\n', '\r']);
        if secret.is_empty() {
            return Err(refusal(format!("the secret `{name}` is empty")));
        }
        self.secrets.keep(secret);
        Ok(secret.to_owned())
    }
}

fn is_variable_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn refusal(message: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

/// The text of the file at `path`.
fn read(path: &Path) -> Result<String, Error> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes));
    read.map_err(|error| refusal(format!("cannot read {}: {error}", path.display())))?;
    if bytes.len() as u64 > LONGEST {
        return Err(refusal(format!("{} is longer than {LONGEST} bytes", path.display())));
    }
    String::from_utf8(bytes).map_err(|error| {
        refusal(format!("{} is not UTF-8 from byte {}", path.display(), error.utf8_error().valid_up_to()))
    })
}

/// The environment variable `name`.
fn variable(name: &str) -> Result<String, Error> {
    match env::var(name) {
        Ok(text) => Ok(text),
        Err(env::VarError::NotPresent) => Err(refusal(format!("there is no environment variable `{name}`"))),
        Err(env::VarError::NotUnicode(_)) => Err(refusal(format!("the environment variable `{name}` is not UTF-8"))),
    }
}
