//! What one pass over all entries keeps: the anchors from which everything else is reached lazily.

use super::known::Kept;
use super::methods::Methods;
use super::units::DieRef;
use crate::target::Svma;
use serde::{Deserialize, Serialize};

/// An executor's poll function for one future type.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct PollSite {
    address: u64,
    /// Hash of the generic arguments as printed, `F, S`: what the site and its `Cell<F, S>` share.
    pub(super) arguments: u64,
    pub(super) die: DieRef,
}

impl PollSite {
    pub(super) fn new(address: u64, arguments: u64, die: DieRef) -> Self {
        PollSite { address, arguments, die }
    }

    pub fn address(&self) -> Svma {
        Svma(self.address)
    }

    pub fn die(&self) -> DieRef {
        self.die
    }
}

/// The layout of one task allocation, `tokio::runtime::task::core::Cell<F, S>`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct CellDie {
    pub(super) arguments: u64,
    pub die: DieRef,
}

/// `async_task::raw::RawTask::run` for one future type.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct RunSite {
    pub(super) address: u64,
    /// The `RawTask<F, T, S, M>` that has it.
    pub raw_task: DieRef,
}

impl RunSite {
    pub fn address(&self) -> Svma {
        Svma(self.address)
    }
}

/// Types by which the executors of the futures crates keep their tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PoolType {
    /// `futures_executor::thread_pool::WakeHandle`.
    WakeHandle,
    /// `futures_util::stream::futures_unordered::task::Task<LocalFutureObj<()>>`, of a LocalPool.
    LocalTask,
}

/// A namespace's entry and where its subtree ends, so that any entry's enclosing path can be told.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Namespace {
    pub start: u32,
    pub end: u32,
    /// Index of the enclosing namespace of the same unit, or `u32::MAX`.
    pub parent: u32,
}

/// A vtable of a trait object.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Vtable {
    pub address: u64,
    /// Entry of the vtable's type.
    pub ty: DieRef,
    /// Of `dyn Future`.
    pub future: bool,
}

/// `PollFn<closure>::poll`, through which every await of `select!` and `join!` goes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct PollFnDie {
    pub die: DieRef,
    /// Hash of the closure's printed type.
    pub closure: u64,
    /// Address, where this entry is an out-of-line copy; else 0.
    pub address: u64,
    pub end: u64,
}

/// Thread-local and other statics that lead to the runtime.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct ContextStatic {
    pub ty: DieRef,
    /// Offset in the executable's TLS block.
    pub tls_offset: u64,
}

/// A static of the program that has an address of its own.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Static {
    pub ty: DieRef,
    pub address: u64,
}

/// Whether a value of a type can have something in it that is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Lead {
    pub ty: DieRef,
    /// References are followed as well.
    pub references: bool,
    pub leads: bool,
}

/// Anchors of one unit, or of all of them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Index {
    pub(super) poll_sites: Vec<PollSite>,
    /// What may be a poll function of line tables, where no namespace tells it.
    pub(super) flat_polls: Vec<PollSite>,
    pub(super) cells: Vec<CellDie>,
    /// Sorted by address.
    pub(super) vtables: Vec<Vtable>,
    pub(super) poll_fns: Vec<PollFnDie>,
    /// `{impl#N}` paths, hashed, and a function inside whose linkage name tells the self type.
    pub(super) impls: Vec<(u64, DieRef)>,
    pub(super) contexts: Vec<ContextStatic>,
    /// tokio's table of signals.
    pub(super) signals: Vec<Static>,
    pub(super) run_sites: Vec<RunSite>,
    pub(super) pool_types: Vec<(PoolType, DieRef)>,
    /// What run sites are made from, while units are scanned.
    #[serde(skip)]
    pub(super) methods: Methods,
    /// Per unit, sorted by start.
    pub(super) namespaces: Vec<Box<[Namespace]>>,
    /// Where macros were called that await: hash of the closure, file, line. None: not looked for yet.
    pub(super) invocations: Option<Vec<(u64, String, u32)>>,
    /// What was read beyond the anchors.
    pub(super) known: Kept,
    /// What the runtimes' side found of types: which of them can lead to a known thing, through references or by what they own.
    pub(super) leads: Vec<Lead>,
    /// Units that could not be read to their end.
    pub damaged_units: u32,
    /// rustc described types, as it does with `debug = 2`.
    pub(super) types: bool,
    /// Every coroutine type, in the order of the file. None: not looked for yet.
    pub(super) coroutines: Option<Vec<DieRef>>,
    /// Names of compilers that made the units, `clang LLVM (rustc version 1.95.0 …)`.
    pub producer: Option<String>,
    /// Per unit, the crate it is a part of: hash of the name of its root.
    pub(super) crates: Vec<u64>,
    /// The runtime that unwinds the stack at a panic is part of the program.
    pub(super) unwinds: bool,
    /// Directory of the package that the program's `main` is in.
    pub(super) package: Option<String>,
}

impl Index {
    /// Appends what another unit gave. Units must be added in order: `namespaces` is per unit.
    pub(super) fn append(&mut self, mut unit: Index) {
        self.poll_sites.append(&mut unit.poll_sites);
        self.flat_polls.append(&mut unit.flat_polls);
        self.cells.append(&mut unit.cells);
        self.vtables.append(&mut unit.vtables);
        self.poll_fns.append(&mut unit.poll_fns);
        self.impls.append(&mut unit.impls);
        self.contexts.append(&mut unit.contexts);
        self.signals.append(&mut unit.signals);
        self.pool_types.append(&mut unit.pool_types);
        self.methods.append(unit.methods);
        self.namespaces.append(&mut unit.namespaces);
        self.damaged_units += unit.damaged_units;
        self.unwinds |= unit.unwinds;
        self.types |= unit.types;
        self.package = self.package.take().or(unit.package);
        self.crates.append(&mut unit.crates);
        if self.producer.as_ref().is_none_or(|p| !p.contains("rustc")) {
            self.producer = unit.producer.or(self.producer.take());
        }
    }

    /// Sorted, and reduced to one entry where many units repeat the same thing.
    pub(super) fn finish(&mut self) {
        self.poll_sites.sort_by_key(|s| (s.address, s.die));
        self.poll_sites.dedup_by_key(|s| (s.address, s.arguments));
        self.cells.sort_by_key(|c| (c.arguments, c.die));
        self.vtables.sort_by_key(|v| (v.address, v.ty));
        self.vtables.dedup_by_key(|v| v.address);
        self.impls.sort_by_key(|i| (i.0, i.1));
        self.impls.dedup_by_key(|i| i.0);
        self.pool_types.sort_unstable();
        self.pool_types.dedup_by_key(|(what, _)| *what);
        self.run_sites = std::mem::take(&mut self.methods).run_sites();
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_allocvec(self).unwrap_or_default()
    }

    /// None where the bytes are not an index of this shape.
    pub fn from_bytes(bytes: &[u8]) -> Option<Index> {
        postcard::from_bytes(bytes).ok()
    }
}

pub(super) fn name_hash(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}

/// Hash of a path one step longer.
pub(super) fn path_hash(parent: u64, name: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(name, parent)
}

/// Raised with every change of [`Index`] or of what a scan finds, so that an older index is not taken for a new one.
pub const INDEX_SCHEMA: u32 = 15;
