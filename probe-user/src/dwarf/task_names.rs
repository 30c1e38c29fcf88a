//! Names of tasks' futures where debug information has no types: out of what the functions in a task's vtable are called
//! and what they call.
//!
//! `raw::poll<F, S>` has F in its own name only with v0 mangling. But dropping a task drops its future, and
//! `drop_in_place<Cell<F, S>>` has it with legacy mangling, too; line tables without types have it in the names of functions.
//! LLVM folds equal functions, so one address may have several names, and a name may stand for others that left none.

use super::demangle::{demangled, split_arguments};
use super::program::{Code, Program};
use super::symbols::{future_name, unboxed};
use crate::target::Svma;
use object::{Object, ObjectSymbol};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A function that works on one future type, and what it says that type is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    pub function: Svma,
    pub told: Told,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Several where equal functions of several types were folded.
    pub futures: BTreeSet<String>,
    /// By debug information, which names types in full; symbols do not.
    pub in_full: bool,
}

#[derive(Debug, Default)]
pub struct TaskNames {
    /// Functions whose name has the future's type in it.
    named: HashMap<u64, Told>,
    /// Ends of tokio's functions that have not, and are looked through, by their address.
    passed: BTreeMap<u64, u64>,
}

/// Calls followed from a vtable's slot: `raw::poll` → `Harness::poll` → `Core::poll`.
const DEPTH: u32 = 3;
/// Longest function that is looked through.
const LONGEST: u64 = 64 << 10;

impl TaskNames {
    /// From the symbol tables of the program and its separate debug file, and from line tables.
    pub fn new(objects: &[&[u8]], program: &Program<'_>) -> TaskNames {
        let mut names = TaskNames::default();
        for object in objects {
            let Ok(file) = object::File::parse(*object) else { continue };
            for symbol in file.symbols().filter(|symbol| symbol.is_definition()) {
                if let Ok(name) = symbol.name() {
                    names.symbol(name, symbol.address(), symbol.size());
                }
            }
        }
        for (address, future) in program.flat_polls() {
            let told = names.named.entry(address.0).or_default();
            if !told.in_full {
                *told = Told { futures: BTreeSet::new(), in_full: true };
            }
            told.futures.insert(future);
        }
        names
    }

    fn symbol(&mut self, name: &str, address: u64, size: u64) {
        let polls = name.contains("task3raw") || name.contains("task7harness") || name.contains("task4core");
        if !(polls || name.contains("drop_in_place")) {
            return;
        }
        let name = demangled(name);
        if let Some(future) = future_in(&name) {
            self.named.entry(address).or_default().futures.insert(future);
        } else if name.trim_start_matches('<').starts_with("tokio::runtime::task::") {
            self.passed.insert(address, address.saturating_add(size.min(LONGEST)));
        }
    }

    pub fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    /// What this function and those it calls tell of the type they work on.
    pub fn evidence(&self, code: &[Code<'_>], function: Svma) -> Vec<Evidence> {
        let mut found = BTreeMap::new();
        let mut seen = BTreeSet::new();
        self.follow(code, function.0, DEPTH, &mut seen, &mut found);
        found.into_iter().map(|(at, told)| Evidence { function: Svma(at), told }).collect()
    }

    fn follow(
        &self,
        code: &[Code<'_>],
        function: u64,
        depth: u32,
        seen: &mut BTreeSet<u64>,
        found: &mut BTreeMap<u64, Told>,
    ) {
        if !seen.insert(function) {
            return;
        }
        if let Some(told) = self.named.get(&function) {
            found.insert(function, told.clone());
            return;
        }
        // Without a symbol that tells its length, it may be but a jump (`raw::poll` at 16 codegen units).
        let end = self.passed.get(&function).copied().unwrap_or(function.saturating_add(JUMP));
        if depth > 0 {
            for target in targets(code, function, end) {
                if self.named.contains_key(&target) || self.passed.contains_key(&target) {
                    self.follow(code, target, depth - 1, seen, found);
                }
            }
        }
    }
}

/// Bytes of `jmp rel32`.
const JUMP: u64 = 5;

/// Targets of `call rel32` and `jmp rel32`. Read without decoding what lies between: that four bytes by chance are the
/// distance to the very start of one of a few functions does not happen, and the caller knows which those are.
fn targets(code: &[Code<'_>], start: u64, end: u64) -> Vec<u64> {
    let holds = |c: &&Code<'_>| start >= c.start.0 && end <= c.start.0 + c.bytes.len() as u64;
    let Some(code) = code.iter().find(holds) else { return Vec::new() };
    let bytes = &code.bytes[(start - code.start.0) as usize..(end - code.start.0) as usize];
    let target = |(i, window): (usize, &[u8])| {
        let displacement = i32::from_le_bytes([window[1], window[2], window[3], window[4]]);
        let next = start.wrapping_add(i as u64 + JUMP);
        matches!(window[0], 0xe8 | 0xe9).then(|| next.wrapping_add_signed(i64::from(displacement)))
    };
    bytes.windows(JUMP as usize).enumerate().filter_map(target).collect()
}

/// The future type in a demangled name: of `raw::poll<F, S>`, or of what drops a task's parts.
fn future_in(name: &str) -> Option<String> {
    const PARTS: [&str; 7] = [
        "tokio::runtime::task::raw::poll",
        "tokio::runtime::task::raw::dealloc",
        "tokio::runtime::task::core::Cell",
        "tokio::runtime::task::core::Core",
        "tokio::runtime::task::core::CoreStage",
        "tokio::runtime::task::core::Stage",
        "tokio::runtime::task::harness::poll_future::{{closure}}::Guard",
    ];
    let mut ty = inside(name, "core::ptr::drop_in_place").unwrap_or(name);
    while let Some(boxed) = inside(ty, "alloc::boxed::Box") {
        ty = boxed;
    }
    let arguments = PARTS.iter().find_map(|part| ty.strip_prefix(part))?;
    let arguments = arguments.strip_prefix("::").unwrap_or(arguments);
    let future = *split_arguments(arguments).first()?;
    Some(symbol_future(future))
}

/// `path<T>` or `path::<T>` → `T`.
fn inside<'n>(name: &'n str, path: &str) -> Option<&'n str> {
    let rest = name.strip_prefix(path)?;
    rest.strip_prefix("::").unwrap_or(rest).strip_prefix('<')?.strip_suffix('>')
}

/// Legacy mangling calls the body of an async fn and a block in a plain one the same, `f::{{closure}}`: it is left as it is.
fn symbol_future(printed: &str) -> String {
    let printed = unboxed(printed);
    if printed.contains("{{closure}}") { printed.to_owned() } else { future_name(printed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn futures_are_found_in_names_of_both_manglings() {
        let legacy = "core::ptr::drop_in_place<alloc::boxed::Box<tokio::runtime::task::core::Cell<app::f<u8>::{{closure}},alloc::sync::Arc<tokio::runtime::scheduler::current_thread::Handle>>>>";
        assert_eq!(future_in(legacy).as_deref(), Some("app::f<u8>::{{closure}}"));
        let v0 = "core::ptr::drop_in_place::<tokio::runtime::task::core::Stage<app::f::{closure#0}>>";
        assert_eq!(future_in(v0).as_deref(), Some("app::f"));
        let poll = "tokio::runtime::task::raw::poll::<app::f::{closure#0}, alloc::sync::Arc<X>>";
        assert_eq!(future_in(poll).as_deref(), Some("app::f"));
        assert_eq!(future_in("tokio::runtime::task::raw::poll"), None, "legacy");
        assert_eq!(future_in("core::ptr::drop_in_place<alloc::string::String>"), None);
        assert_eq!(future_in("tokio::runtime::task::core::Corelike<X>"), None);
    }

    #[test]
    fn calls_and_jumps_are_followed_through_known_functions_only() {
        // 0x1000: jmp 0x1010; 0x1010: call 0x1020, call 0x1030; what lies outside is nothing.
        let mut bytes = vec![0xcc; 0x40];
        let mut put = |at: usize, opcode: u8, to: i32| {
            bytes[at] = opcode;
            bytes[at + 1..at + 5].copy_from_slice(&(to - (at as i32 + 5)).to_le_bytes());
        };
        put(0, 0xe9, 0x10);
        put(0x10, 0xe8, 0x20);
        put(0x15, 0xe8, 0x30);
        let code = [Code { start: Svma(0x1000), bytes: &bytes }];
        let mut names = TaskNames::default();
        names.symbol("_ZN5tokio7runtime4task3raw4poll17h0c29b4345945763dE", 0x1000, 5);
        names.symbol("_ZN5tokio7runtime4task7harness4poll17h0c29b4345945763dE", 0x1010, 0x10);
        let told = Told { futures: BTreeSet::from(["app::f".into()]), in_full: false };
        names.named.insert(0x1020, told.clone());
        let evidence = names.evidence(&code, Svma(0x1000));
        assert_eq!(evidence, [Evidence { function: Svma(0x1020), told }]);
        assert_eq!(names.evidence(&code, Svma(0x1030)), []);
        assert_eq!(names.evidence(&code, Svma(u64::MAX - 8)), []);
    }
}
