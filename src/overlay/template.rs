//! Templates and conditions. An undefined name is an error, never an empty string.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, Value};
use serde::Serialize;

use crate::error::{Error, Result};

/// Steps that one template may take: far more than any real one, and an end to a loop that has none.
const FUEL: u64 = 5_000_000;

/// The environment that all templates and conditions share.
pub(super) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    if let Ok(syntax) =
        SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build()
    {
        environment.set_syntax(syntax);
    }
    environment.set_debug(true);
    environment.set_fuel(Some(FUEL));
    environment.add_filter("shell_quote", shell_quote);
    environment
}

/// `value` as templates see it.
pub(super) fn serialized(value: &impl Serialize) -> Value {
    Value::from(Serde(value))
}

/// One shell word, whatever `value` holds. Control characters are refused: no setting needs one.
fn shell_quote(value: Value) -> Result<String, minijinja::Error> {
    if value.is_undefined() || value.is_none() {
        return Err(minijinja::Error::new(ErrorKind::UndefinedError, "shell_quote of a value that is not there"));
    }
    let text = value.to_string();
    if let Some(character) = text.chars().find(|character| character.is_control()) {
        let message = format!("the value {text:?} holds the control character {character:?}");
        return Err(minijinja::Error::new(ErrorKind::InvalidOperation, message));
    }
    Ok(format!("'{}'", text.replace('\'', r"'\''")))
}

/// Renders `source`, which errors call `name`.
///
/// # Errors
/// A mistake in the template, with file, line and column.
pub(super) fn render(environment: &Environment<'_>, name: &str, source: &str, context: &Value) -> Result<String> {
    environment.render_named_str(name, source, context).map_err(|error| explain(&error, name, source))
}

/// The truth of the expression `source`.
///
/// # Errors
/// A mistake in the expression.
pub(super) fn holds(environment: &Environment<'_>, source: &str, context: &Value) -> Result<bool> {
    let place = format!("condition `{source}`");
    let expression = environment.compile_expression(source).map_err(|error| explain(&error, &place, source))?;
    Ok(expression.eval(context).map_err(|error| explain(&error, &place, source))?.is_true())
}

/// The template engine's error as ours: what, and in which file, line and column.
fn explain(error: &minijinja::Error, name: &str, source: &str) -> Error {
    let what = error.kind().to_string();
    let message = error.detail().map_or_else(|| what.clone(), |detail| format!("{what}: {detail}"));
    let column = error
        .range()
        .and_then(|range| source.get(..range.start))
        .map(|before| before.rsplit('\n').next().map_or(0, |line| line.chars().count()).saturating_add(1));
    let place = match (error.line(), column) {
        (Some(line), Some(column)) => format!("{name}, line {line}, column {column}"),
        (Some(line), None) => format!("{name}, line {line}"),
        _ => name.to_owned(),
    };
    let error = Error::usage(message).at(place);
    if what == ErrorKind::UndefinedError.to_string() {
        return error
            .remedy("templates know `settings`, `hostname`, `overlays` and `provided`; test with `is defined`");
    }
    error
}
