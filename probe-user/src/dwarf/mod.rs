//! Debug information → static model: types, coroutine layouts, suspend points, vtables. No I/O.
//!
//! Constraints: a real server has 40 MB of `.debug_info` in 2,000 units and 3.5 million entries, and a
//! person waits for the answer. So one pass over all entries ([`Index`]), in parallel, keeps only the few
//! anchors that cannot be reached lazily; every type is then read when something asks for it, and kept.
//! The input may be hostile: every parse is bounded, and what cannot be read becomes an issue, not a panic.

mod demangle;
mod index;
mod invocation;
mod lines;
mod program;
mod scan;
mod sections;
mod symbols;
mod types;
mod units;

pub use demangle::demangled;
pub use index::{CellDie, INDEX_SCHEMA, Index, PollSite};
pub use program::{Code, Program};
pub use sections::{DwarfError, Sections};
pub use symbols::{PollSymbol, mentions_tokio, poll_symbols};
pub use types::{CoroutineKind, Decl, Discriminant, Member, Type, TypeKind, Variant, Variants};
pub use units::{DieRef, OpenSibling};

/// Longest chain of namespaces, nested types or type modifiers followed before a file is called hostile.
const MAX_DEPTH: usize = 64;
