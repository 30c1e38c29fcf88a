//! Debug information → static model: types, coroutine layouts, suspend points, vtables. No I/O.
//!
//! Constraints: a real server has 40 MB of `.debug_info` in 2,000 units and 3.5 million entries, and a
//! person waits for the answer. So one pass over all entries ([`Index`]), in parallel, keeps only the few
//! anchors that cannot be reached lazily; every type is then read when something asks for it, and kept.
//! The input may be hostile: every parse is bounded, and what cannot be read becomes an issue, not a panic.

mod bodies;
mod calls;
mod code_places;
mod constants;
mod coroutines;
mod demangle;
mod evaluate;
mod index;
mod invocation;
mod known;
mod lines;
mod linkage;
mod locals;
mod methods;
mod program;
mod prologue;
mod scan;
mod scopes;
mod sections;
mod symbols;
mod task_names;
mod types;
mod units;
mod unwind;

pub use bodies::FunctionCode;
pub use calls::{Calls, Class, CodeCall, CodeFunction, Cut, VtableUse, Wanted};
pub use code_places::{CodePlace, function_symbol};
pub use constants::Constants;
pub use demangle::{demangled, split_arguments, without_parameters};
pub use evaluate::Placed;
pub use index::{CellDie, INDEX_SCHEMA, Index, Lead, PollSite, PoolType, RunSite};
pub use lines::is_of_std;
pub use linkage::{Defined, defined, imported, offset_table};
pub use locals::LocalVariable;
pub use program::{Code, Program};
pub use scopes::{Chain, FrameValues, Scope, Variable};
pub use sections::{DwarfError, Sections};
pub use symbols::{Mentioned, PollSymbol, future_name, mentioned_runtimes, poll_symbols, run_symbols};
pub use task_names::{Evidence, TaskNames, Told};
pub use types::{CoroutineKind, Decl, Discriminant, Member, Type, TypeKind, Variant, Variants};
pub use units::{DieRef, OpenSibling};
pub use unwind::{Registers, UnwindInfo, Unwound};

/// Longest chain of namespaces, nested types or type modifiers followed before a file is called hostile.
const MAX_DEPTH: usize = 64;
