//! The pass over all entries of a unit that fills the [`Index`].

use super::index::{
    CellDie, ContextStatic, Index, Namespace, PollFnDie, PollSite, PoolType, Static, Vtable, name_hash,
    path_hash,
};
use super::sections::Slice;
use super::units::{DieRef, Unit, Units};
use gimli::{AttributeValue, DwTag, constants as dw};
use rayon::prelude::*;

/// Scans all units in parallel. `progress` is told the units done so far, from any thread.
pub(super) fn scan(units: &Units<'_>, progress: &(dyn Fn(usize, usize) + Sync)) -> Index {
    let total = units.len();
    let done = std::sync::atomic::AtomicUsize::new(0);
    let parts: Vec<Index> = (0..total as u32)
        .into_par_iter()
        .map(|number| {
            let part = scan_unit(units, number);
            progress(done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1, total);
            part
        })
        .collect();
    let mut index = Index::default();
    for part in parts {
        index.append(part);
    }
    index.finish();
    index
}

/// Where in the tree of namespaces the pass stands; only the few paths that matter have names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Root,
    Tokio,
    TokioRuntime,
    TokioTask,
    /// `tokio::runtime::task::raw`, where `poll<F, S>` is.
    TokioRaw,
    /// `tokio::runtime::task::core`, where `Cell<F, S>` is.
    TokioCore,
    TokioContext,
    /// Below the thread-local `tokio::runtime::context::CONTEXT`.
    TokioContextStatic,
    TokioSignal,
    TokioSignalRegistry,
    /// `tokio::signal::registry::globals`, the function with the static `GLOBALS`.
    TokioSignalGlobals,
    Core,
    CoreFuture,
    TokioFuture,
    FuturesUtil,
    FuturesUtilFuture,
    /// `core::future::poll_fn`, tokio's own of before 1.40, and that of futures-util.
    PollFn,
    AsyncTask,
    /// `async_task::raw`, where `RawTask<F, T, S, M>` is.
    AsyncTaskRaw,
    FuturesExecutor,
    /// `futures_executor::thread_pool`.
    ThreadPool,
    FuturesStream,
    FuturesUnordered,
    /// `futures_util::stream::futures_unordered::task`.
    FuturesTask,
    Elsewhere,
}

impl Place {
    fn enter(self, name: &[u8]) -> Place {
        match (self, name) {
            (Place::Root, b"tokio") => Place::Tokio,
            (Place::Tokio, b"runtime") => Place::TokioRuntime,
            (Place::TokioRuntime, b"task") => Place::TokioTask,
            (Place::TokioTask, b"raw") => Place::TokioRaw,
            (Place::TokioTask, b"core") => Place::TokioCore,
            (Place::TokioRuntime, b"context") => Place::TokioContext,
            (Place::TokioContext, b"CONTEXT") => Place::TokioContextStatic,
            (Place::TokioContextStatic, _) => Place::TokioContextStatic,
            (Place::Tokio, b"signal") => Place::TokioSignal,
            (Place::TokioSignal, b"registry") => Place::TokioSignalRegistry,
            (Place::TokioSignalRegistry, b"globals") => Place::TokioSignalGlobals,
            (Place::Root, b"core") => Place::Core,
            (Place::Core, b"future") => Place::CoreFuture,
            (Place::Tokio, b"future") => Place::TokioFuture,
            (Place::Root, b"futures_util") => Place::FuturesUtil,
            (Place::FuturesUtil, b"future") => Place::FuturesUtilFuture,
            (Place::CoreFuture | Place::TokioFuture | Place::FuturesUtilFuture, b"poll_fn") => Place::PollFn,
            // Trait impls stand in a namespace of their own: `core::future::poll_fn::{impl#3}`.
            (Place::PollFn, name) if name.starts_with(b"{impl") => Place::PollFn,
            (Place::Root, b"async_task") => Place::AsyncTask,
            (Place::AsyncTask, b"raw") => Place::AsyncTaskRaw,
            (Place::Root, b"futures_executor") => Place::FuturesExecutor,
            (Place::FuturesExecutor, b"thread_pool") => Place::ThreadPool,
            (Place::FuturesUtil, b"stream") => Place::FuturesStream,
            (Place::FuturesStream, b"futures_unordered") => Place::FuturesUnordered,
            (Place::FuturesUnordered, b"task") => Place::FuturesTask,
            _ => Place::Elsewhere,
        }
    }
}

/// Of the unit that std is linked with where panics unwind; where they abort it is another crate's.
const UNWINDER: &[u8] = b"/panic_unwind/src/lib.rs";
/// What rustc's units have in the name of their producer.
const RUSTC: &[u8] = b"rustc";
/// What every scheduler's type has in its name.
const SCHEDULER: &[u8] = b"tokio::runtime::";

struct Open {
    /// Depth of this namespace's own entry.
    depth: isize,
    number: u32,
    place: Place,
    path: u64,
    /// An `{impl#N}` whose self type no function has told yet.
    impl_unknown: bool,
}

fn scan_unit(units: &Units<'_>, number: u32) -> Index {
    let mut found = Index { namespaces: vec![Box::default()], crates: vec![0], ..Index::default() };
    let Some(unit) = units.load(number) else {
        found.damaged_units = 1;
        return found;
    };
    let mut pass = Pass {
        units,
        number,
        unit: &unit,
        found,
        spans: Vec::new(),
        open: Vec::new(),
        raw_task: None,
        rust: false,
    };
    if pass.run().is_err() {
        pass.found.damaged_units = 1;
    }
    let end = u32::try_from(unit.unit.header.length_including_self()).unwrap_or(u32::MAX);
    while let Some(open) = pass.open.pop() {
        pass.spans[open.number as usize].end = end;
    }
    pass.found.namespaces = vec![pass.spans.into_boxed_slice()];
    pass.found
}

struct Pass<'p, 'a> {
    units: &'p Units<'a>,
    number: u32,
    unit: &'p Unit<'a>,
    found: Index,
    spans: Vec<Namespace>,
    open: Vec<Open>,
    /// The `RawTask` whose children come now, and its depth.
    raw_task: Option<(isize, DieRef)>,
    /// rustc made the unit.
    rust: bool,
}

/// The attributes that any anchor needs; the rest is skipped.
#[derive(Default)]
struct Attributes<'a> {
    name: Option<AttributeValue<Slice<'a>>>,
    low_pc: Option<AttributeValue<Slice<'a>>>,
    high_pc: Option<AttributeValue<Slice<'a>>>,
    linkage_name: bool,
    ty: Option<AttributeValue<Slice<'a>>>,
    location: Option<AttributeValue<Slice<'a>>>,
    producer: Option<AttributeValue<Slice<'a>>>,
    declaration: bool,
    /// The declaration or abstract instance of a function.
    refers_to: Option<AttributeValue<Slice<'a>>>,
}

impl<'a> Pass<'_, 'a> {
    fn run(&mut self) -> gimli::Result<()> {
        let mut entries = self.unit.unit.entries_raw(None)?;
        while !entries.is_empty() {
            let depth = entries.next_depth();
            let offset = entries.next_offset().0 as u32;
            let Some(abbreviation) = entries.read_abbreviation()? else {
                // A null entry ends the children of an entry one level up.
                if self.open.last().is_some_and(|open| open.depth == depth - 1) {
                    let open = self.open.pop().expect("just seen");
                    self.spans[open.number as usize].end = entries.next_offset().0 as u32;
                }
                continue;
            };
            let tag = abbreviation.tag();
            self.found.types |= tag == dw::DW_TAG_structure_type && abbreviation.has_children() && self.rust;
            self.raw_task = self.raw_task.filter(|(above, _)| depth > *above);
            if !self.wanted(tag, depth) && !is_definition(abbreviation, depth) {
                entries.skip_attributes(abbreviation.attributes())?;
                continue;
            }
            let mut attributes = Attributes::default();
            for spec in abbreviation.attributes() {
                let attribute = entries.read_attribute_inline(*spec)?;
                let value = attribute.value();
                match spec.name() {
                    dw::DW_AT_name => attributes.name = Some(value),
                    dw::DW_AT_low_pc => attributes.low_pc = Some(value),
                    dw::DW_AT_high_pc => attributes.high_pc = Some(value),
                    dw::DW_AT_linkage_name => attributes.linkage_name = true,
                    dw::DW_AT_type => attributes.ty = Some(value),
                    dw::DW_AT_location => attributes.location = Some(value),
                    dw::DW_AT_declaration => attributes.declaration = true,
                    dw::DW_AT_producer => attributes.producer = Some(value),
                    dw::DW_AT_specification | dw::DW_AT_abstract_origin => attributes.refers_to = Some(value),
                    _ => {}
                }
            }
            self.take(tag, depth, offset, abbreviation.has_children(), &attributes);
        }
        Ok(())
    }

    fn place(&self) -> Place {
        self.open.last().map_or(Place::Root, |open| open.place)
    }

    fn wanted(&self, tag: DwTag, depth: isize) -> bool {
        match tag {
            dw::DW_TAG_namespace => true,
            dw::DW_TAG_subprogram => {
                matches!(self.place(), Place::TokioRaw | Place::PollFn)
                    || depth == 1
                    || self.raw_task.is_some_and(|(above, _)| depth == above + 1)
                    || self.open.last().is_some_and(|open| open.impl_unknown)
            }
            dw::DW_TAG_structure_type => matches!(
                self.place(),
                Place::TokioCore | Place::AsyncTaskRaw | Place::ThreadPool | Place::FuturesTask
            ),
            // Vtables of trait objects are children of the unit; thread-locals stand in their closure's namespace.
            dw::DW_TAG_variable => {
                depth == 1 || matches!(self.place(), Place::TokioContextStatic | Place::TokioSignalGlobals)
            }
            dw::DW_TAG_compile_unit => depth == 0,
            _ => false,
        }
    }

    fn take(&mut self, tag: DwTag, depth: isize, offset: u32, children: bool, at: &Attributes<'a>) {
        let die = DieRef { unit: self.number, offset };
        let name = at.name.and_then(|value| self.unit.string(value)).unwrap_or_default();
        match tag {
            dw::DW_TAG_compile_unit => {
                let producer = at.producer.and_then(|value| self.unit.string(value));
                self.rust = producer.is_some_and(|name| name.windows(RUSTC.len()).any(|part| part == RUSTC));
                self.found.producer = producer.map(|p| String::from_utf8_lossy(p).into_owned());
                // `src/main.rs/@/shop.1f2e3d-cgu.3`: one crate's units differ in their end.
                let root = name.windows(3).position(|part| part == b"/@/").unwrap_or(name.len());
                self.found.crates = vec![name_hash(&name[..root])];
                self.found.unwinds = name.windows(UNWINDER.len()).any(|part| part == UNWINDER);
                let directory = self.unit.unit.comp_dir.filter(|_| is_of_main(name));
                self.found.package = directory.map(|d| String::from_utf8_lossy(d.slice()).into_owned());
            }
            dw::DW_TAG_namespace => self.namespace(depth, offset, children, name),
            dw::DW_TAG_subprogram => self.function(die, name, at),
            // A unit may only declare it, as the scope of a function.
            dw::DW_TAG_structure_type if !at.declaration => self.structure(die, depth, name),
            dw::DW_TAG_variable => self.variable(name, at),
            _ => {}
        }
    }

    fn namespace(&mut self, depth: isize, offset: u32, children: bool, name: &[u8]) {
        if !children {
            return;
        }
        let parent = self.open.last();
        let number = self.spans.len() as u32;
        self.spans.push(Namespace {
            start: offset,
            end: u32::MAX,
            parent: parent.map_or(u32::MAX, |open| open.number),
        });
        let path = path_hash(parent.map_or(0, |open| open.path), name);
        let place = self.place().enter(name);
        let impl_unknown = name.starts_with(b"{impl") || parent.is_some_and(|open| open.impl_unknown);
        self.open.push(Open { depth, number, place, path, impl_unknown });
    }

    fn structure(&mut self, die: DieRef, depth: isize, name: &[u8]) {
        match self.place() {
            Place::TokioCore => {
                if let Some(arguments) = arguments_of(name, b"Cell<") {
                    self.found.cells.push(CellDie { arguments, die });
                }
            }
            Place::AsyncTaskRaw if name.starts_with(b"RawTask<") => self.raw_task = Some((depth, die)),
            Place::ThreadPool if name == b"WakeHandle" => {
                self.found.pool_types.push((PoolType::WakeHandle, die));
            }
            Place::FuturesTask if name.starts_with(b"Task<futures_task::future_obj::LocalFutureObj<") => {
                self.found.pool_types.push((PoolType::LocalTask, die));
            }
            _ => {}
        }
    }

    fn function(&mut self, die: DieRef, name: &'a [u8], at: &Attributes<'a>) {
        if let Some((_, raw_task)) = self.raw_task.filter(|_| name.starts_with(b"run<")) {
            self.found.methods.declare(die, raw_task);
        }
        if let Some(to) = at.refers_to.and_then(|value| self.units.reference(self.number, value)) {
            let address = at.low_pc.and_then(|value| self.address(value)).unwrap_or(0);
            self.found.methods.define(die, to, address);
        }
        if at.linkage_name && self.open.last().is_some_and(|open| open.impl_unknown) {
            // The outermost open impl is the one this function's linkage name tells about.
            if let Some(open) = self.open.iter_mut().find(|open| open.impl_unknown) {
                self.found.impls.push((open.path, die));
            }
            for open in &mut self.open {
                open.impl_unknown = false;
            }
        }
        match self.place() {
            Place::TokioRaw => {
                let low = at.low_pc.and_then(|value| self.address(value));
                if let (Some(arguments), Some(address)) = (arguments_of(name, b"poll<"), low) {
                    self.found.poll_sites.push(PollSite::new(address, arguments, die));
                }
            }
            Place::Root => {
                let low = at.low_pc.and_then(|value| self.address(value));
                if let (Some(arguments), Some(address)) = (arguments_of(name, b"poll<"), low)
                    && name.windows(SCHEDULER.len()).any(|part| part == SCHEDULER)
                {
                    self.found.flat_polls.push(PollSite::new(address, arguments, die));
                }
            }
            Place::PollFn => {
                if let Some(closure) = closure_of(name) {
                    let address = at.low_pc.and_then(|value| self.address(value)).unwrap_or(0);
                    let end = match at.high_pc {
                        Some(AttributeValue::Addr(end)) => end,
                        Some(value) => address.wrapping_add(value.udata_value().unwrap_or(0)),
                        None => address,
                    };
                    self.found.poll_fns.push(PollFnDie { die, closure, address, end });
                }
            }
            _ => {}
        }
    }

    fn variable(&mut self, name: &[u8], at: &Attributes<'a>) {
        let Some(AttributeValue::Exprloc(expression)) = at.location else { return };
        let Some(ty) = at.ty.and_then(|value| self.units.reference(self.number, value)) else { return };
        let place = location(expression, &self.unit.unit, &self.unit.dwarf);
        if name.ends_with(b"::{vtable}") {
            if let Some(Location::Address(address)) = place {
                self.found.vtables.push(Vtable { address, ty, future: name.ends_with(b"Future>::{vtable}") });
            }
        } else if self.place() == Place::TokioContextStatic
            && let Some(Location::Tls(tls_offset)) = place
        {
            self.found.contexts.push(ContextStatic { ty, tls_offset });
        } else if self.place() == Place::TokioSignalGlobals
            && let Some(Location::Address(address)) = place
        {
            self.found.signals.push(Static { ty, address });
        }
    }

    fn address(&self, value: AttributeValue<Slice<'a>>) -> Option<u64> {
        // 0 is what a linker leaves of a function it dropped.
        self.unit.dwarf.attr_address(&self.unit.unit, value).ok().flatten().filter(|a| *a != 0)
    }
}

/// Whether a unit, named `ROOT/@/CRATE.HASH-cgu.N` after the crate's first file, is of a program and not of a library.
fn is_of_main(unit: &[u8]) -> bool {
    let name = String::from_utf8_lossy(unit);
    let Some((directory, file)) = name.split_once("/@/").and_then(|(root, _)| root.rsplit_once('/')) else {
        return false;
    };
    let within = |place: &str| directory == place || directory.ends_with(&format!("/{place}"));
    within("examples") || within("src/bin") || (within("src") && file == "main.rs")
}

/// The code of a function that is declared elsewhere.
fn is_definition(abbreviation: &gimli::Abbreviation, depth: isize) -> bool {
    let refers = |spec: &gimli::AttributeSpecification| {
        matches!(spec.name(), dw::DW_AT_specification | dw::DW_AT_abstract_origin)
    };
    depth == 1 && abbreviation.tag() == dw::DW_TAG_subprogram && abbreviation.attributes().iter().any(refers)
}

enum Location {
    Address(u64),
    Tls(u64),
}

/// The two kinds of location a static has.
fn location(
    expression: gimli::Expression<Slice<'_>>,
    unit: &gimli::Unit<Slice<'_>>,
    dwarf: &gimli::Dwarf<Slice<'_>>,
) -> Option<Location> {
    let mut operations = expression.operations(unit.encoding());
    let mut last = None;
    while let Ok(Some(operation)) = operations.next() {
        match operation {
            gimli::Operation::Address { address } => return Some(Location::Address(address)),
            gimli::Operation::AddressIndex { index } => {
                return dwarf.address(unit, index).ok().map(Location::Address);
            }
            gimli::Operation::UnsignedConstant { value } => last = Some(value),
            gimli::Operation::ConstantIndex { index } => last = dwarf.address(unit, index).ok(),
            gimli::Operation::TLS => return last.map(Location::Tls),
            _ => return None,
        }
    }
    None
}

/// Hash of what stands between `prefix` and the last `>`.
fn arguments_of(name: &[u8], prefix: &[u8]) -> Option<u64> {
    Some(name_hash(name.strip_prefix(prefix)?.strip_suffix(b">")?))
}

/// Hash of the last generic argument of `poll<T, closure>`: the closure that the `PollFn` holds.
fn closure_of(name: &[u8]) -> Option<u64> {
    let arguments = name.strip_prefix(b"poll<")?.strip_suffix(b">")?;
    let mut depth = 0usize;
    let mut start = 0;
    for (i, byte) in arguments.iter().enumerate() {
        match byte {
            b'<' | b'(' | b'[' | b'{' => depth += 1,
            // `->` of a function type closes nothing.
            b'>' if i > 0 && arguments[i - 1] == b'-' => {}
            b'>' | b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => start = i + 1,
            _ => {}
        }
    }
    Some(name_hash(arguments[start..].trim_ascii_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_told_from_libraries_by_their_first_file() {
        assert!(is_of_main(b"/cargo/registry/src/index/dufs-0.47.0/src/main.rs/@/dufs.77c0-cgu.0"));
        assert!(is_of_main(b"src/main.rs/@/app.1-cgu.3"));
        assert!(is_of_main(b"src/bin/server.rs/@/server.1-cgu.0"));
        assert!(!is_of_main(b"/cargo/registry/src/index/a-1.0.0/src/lib.rs/@/a.1-cgu.0"));
        assert!(!is_of_main(b"src/main.rs"));
    }

    #[test]
    fn the_closure_is_the_last_argument() {
        let closure = name_hash(b"app::f::{async_fn#0}::{closure_env#3}<u8, fn(u8) -> u8>");
        let name = b"poll<(u32, u32), app::f::{async_fn#0}::{closure_env#3}<u8, fn(u8) -> u8>>";
        assert_eq!(closure_of(name), Some(closure));
        assert_eq!(closure_of(b"poll"), None);
    }
}
