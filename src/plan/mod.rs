//! Facts against wishes: which edits make the image as wished, in order, and what is to be said about it. Pure.

mod autoload;
mod boot;
mod compare;
mod draft;
mod edit;
mod files;
mod finding;
mod install;
mod loading;
mod packages;
mod parameters;
mod relink;
mod remarks;
mod settle;
mod space;
#[cfg(test)]
mod tests;
mod wishes;

pub(crate) use boot::{BootPartition, BootPlan, plan_boot};
pub(crate) use compare::{Plan, SpaceForecast, plan};
pub(crate) use edit::{Change, Content, Edit, Role};
pub(crate) use finding::{Finding, Severity};
pub(crate) use relink::check_relink;
pub(crate) use settle::{BACK, Standing, outcome, settle};
pub(crate) use space::{Need, mebibytes};
pub(crate) use wishes::{
    AutoloadWish, FileWish, LineWish, Managed, ManagedWish, ModuleWish, PackageWishes, Wishes, depends_of,
};
