//! Templates and conditions. An undefined name is an error, never an empty string.

mod addresses;
mod outside;
mod secrets;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, Value};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::suggest::{instead, quoted_list};

pub(crate) use outside::Outside;
pub(crate) use secrets::Secrets;

/// Steps that one template may take: far more than any real one, and an end to a loop that has none.
const FUEL: u64 = 5_000_000;

/// The environment that all templates and conditions share.
pub(crate) fn environment() -> Environment<'static> {
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
    addresses::add_to(&mut environment);
    environment
}

/// `value` as templates see it.
pub(crate) fn serialized(value: &impl Serialize) -> Value {
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
pub(crate) fn render(environment: &Environment<'_>, name: &str, source: &str, context: &Value) -> Result<String> {
    environment.render_named_str(name, source, context).map_err(|error| explain(&error, name, source, context))
}

/// Renders `source`, which is a value that stands somewhere else.
///
/// # Errors
/// A mistake in the template, without a place.
pub(crate) fn render_value(environment: &Environment<'_>, source: &str, context: &Value) -> Result<String> {
    environment.render_named_str("value", source, context).map_err(|error| fault(&error, source, context))
}

/// The truth of the expression `source`.
///
/// # Errors
/// A mistake in the expression.
pub(crate) fn holds(environment: &Environment<'_>, source: &str, context: &Value) -> Result<bool> {
    let place = format!("condition `{source}`");
    let explain = |error: &minijinja::Error| explain(error, &place, source, context);
    let expression = environment.compile_expression(source).map_err(|error| explain(&error))?;
    Ok(expression.eval(context).map_err(|error| explain(&error))?.is_true())
}

/// The template engine's error as ours: what, and in which file, line and column.
fn explain(error: &minijinja::Error, name: &str, source: &str, context: &Value) -> Error {
    let column = error
        .range()
        .and_then(|range| source.get(..range.start))
        .map(|before| before.rsplit('\n').next().map_or(0, |line| line.chars().count()).saturating_add(1));
    let place = match (error.line(), column) {
        (Some(line), Some(column)) => format!("{name}, line {line}, column {column}"),
        (Some(line), None) => format!("{name}, line {line}"),
        _ => name.to_owned(),
    };
    fault(error, source, context).at(place)
}

/// What is wrong, without a place.
fn fault(error: &minijinja::Error, source: &str, context: &Value) -> Error {
    let snippet = error.range().and_then(|range| source.get(range)).map(str::trim).filter(|text| !text.is_empty());
    match (error.kind(), error.detail(), snippet) {
        // The helpers' own words.
        (ErrorKind::InvalidOperation, Some(detail), _) => Error::usage(detail.to_owned()),
        (ErrorKind::UndefinedError, _, Some(snippet)) => {
            let error = Error::usage(format!("undefined value: `{snippet}`"));
            error.remedy(known_names(snippet, context))
        }
        (kind, Some(detail), _) => Error::usage(format!("{kind}: {detail}")),
        (kind, None, _) => Error::usage(kind.to_string()),
    }
}

/// The names that there are where `expression`, such as `vars.rack`, leaves those that are defined.
fn known_names(expression: &str, context: &Value) -> String {
    let mut scope = context.clone();
    let mut path = String::new();
    let is_name =
        |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    for part in expression.split('.').take_while(is_name) {
        match scope.get_attr(part) {
            Ok(inner) if !inner.is_undefined() => scope = inner,
            _ => {
                let names: Vec<String> = scope.try_iter().into_iter().flatten().map(|key| key.to_string()).collect();
                let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
                names.sort_unstable();
                return match path.as_str() {
                    "" => format!("{}; `is defined` tests a name", instead(part, &names, "names")),
                    path if names.is_empty() => format!("there is nothing in `{path}`"),
                    path => format!("{}; `{path}` holds {}", instead(part, &names, "names"), quoted_list(&names)),
                };
            }
        }
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(part);
    }
    "`is defined` tests a name".to_owned()
}
