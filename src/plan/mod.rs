//! Facts against wishes: which edits make the image as wished, in order, and what is to be said about it. Pure.

mod edit;
mod finding;
mod plan;
mod wishes;

pub(crate) use edit::{Change, Content, Edit};
pub(crate) use finding::{Finding, Severity};
pub(crate) use plan::{Plan, SpaceForecast, plan};
pub(crate) use wishes::{AutoloadWish, FileWish, ModuleWish, Wishes};
