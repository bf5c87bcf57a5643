mod foreign;
mod joints;
mod splicing;
mod support;
mod whole;
