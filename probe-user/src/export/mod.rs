//! One output format per file.
//!
//! For people: `text` with its `overview` (dump), `plain` (attach), `check` and `ps`, from what [`present`](crate::present) says.
//! For machines: `json` (dump), `stream` (attach) and `graph_json` (export), whose strings are whole.
//! For drawing: `dot` and `mermaid` (export).
//! Of `analyze`: `outline_blocking`, `outline_text`, `outline_json`, `outline_dot`, `outline_mermaid` and `outline_html`.

pub mod bottlenecks;
pub mod check;
pub mod compare;
pub mod dot;
pub mod findings;
pub mod graph_json;
pub mod json;
pub mod machine_dot;
pub mod machine_json;
pub mod machine_mermaid;
pub mod machine_text;
pub mod mermaid;
pub mod outline_blocking;
pub mod outline_dot;
pub mod outline_html;
pub mod outline_json;
pub mod outline_mermaid;
pub mod outline_text;
mod overview;
pub mod plain;
mod plain_end;
pub mod ps;
mod resources;
pub mod shape;
pub mod sizes_json;
pub mod stream;
mod stream_causes;
mod stream_off_cpu;
mod stream_samples;
mod stream_times;
pub mod text;
