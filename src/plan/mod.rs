//! Facts against wishes: which edits make the image as wished, in order, and what is to be said about it. Pure.

mod autoload;
mod draft;
mod edit;
mod files;
mod finding;
mod loading;
mod parameters;
mod plan;
mod remarks;
mod space;
#[cfg(test)]
mod tests;
mod wishes;

pub(crate) use edit::{Change, Content, Edit};
pub(crate) use finding::{Finding, Severity};
pub(crate) use plan::{Plan, SpaceForecast, plan};
pub(crate) use wishes::{AutoloadWish, FileWish, ModuleWish, Wishes};
