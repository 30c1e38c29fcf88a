//! One output format per file.
//!
//! For people: `text` (dump), `plain` (attach), `check` and `ps`, from what [`present`](crate::present) says.
//! For machines: `json` (dump) and `stream` (attach), whose strings are whole.

pub mod check;
pub mod json;
pub mod plain;
pub mod ps;
pub mod shape;
pub mod stream;
pub mod text;
