//! One output format per file.
//!
//! For people: `text` (dump), `card` (one task), `plain` (attach), `check` and `ps`. For machines: `json` (dump) and
//! `stream` (attach). Every string that comes from the target passes [`escape`] before a terminal sees it.

pub mod card;
pub mod check;
pub mod escape;
pub mod json;
pub mod names;
pub mod paint;
pub mod places;
pub mod plain;
pub mod ps;
pub mod shape;
pub mod source;
pub mod stream;
pub mod table;
pub mod text;
pub mod tree;
pub mod units;
