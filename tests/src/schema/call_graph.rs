//! The JSON of `analyze -f json`.

use super::{Certainty, Location};
use serde::Deserialize;

/// `analyze -f json`.
#[derive(Clone, Debug, Deserialize)]
pub struct CallGraph {
    pub schema: u32,
    pub functions: Vec<GraphFunction>,
    pub edges: Vec<GraphEdge>,
    pub folded: u64,
    pub left_out: u64,
    pub issues: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct GraphFunction {
    pub id: u64,
    pub function: String,
    pub kind: FunctionKind,
    pub file: Option<String>,
    pub line: Option<u32>,
    pub color: Color,
    pub why: Vec<String>,
    pub size: Option<u64>,
    pub suspend_points: Vec<SuspendPoint>,
    pub is_root: bool,
    pub origin: Origin,
    #[serde(default)]
    pub waits_for: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum FunctionKind {
    #[serde(rename = "async fn")]
    AsyncFn,
    #[serde(rename = "async block")]
    AsyncBlock,
    #[serde(rename = "async closure")]
    AsyncClosure,
    #[serde(rename = "future")]
    Future,
    #[serde(rename = "sync")]
    Sync,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Color {
    Red,
    Green,
    Yellow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    Own,
    Dependency,
    Std,
}

#[derive(Clone, Debug, Deserialize)]
pub struct SuspendPoint {
    pub file: Option<String>,
    pub line: Option<u32>,
    pub expanded_from: Option<Location>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct GraphEdge {
    pub from: u64,
    pub to: u64,
    pub kind: EdgeKind,
    pub file: Option<String>,
    pub line: Option<u32>,
    pub certainty: Certainty,
    pub through: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EdgeKind {
    Awaits,
    Spawns,
    Calls,
}
