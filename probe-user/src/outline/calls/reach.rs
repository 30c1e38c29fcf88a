//! From the calls of functions to those of bodies: through what lies between them.

use super::body::Bodies;
use super::{Blocks, CodeCalls, Handed, is_plain};
use crate::decode::{Recipes, SourceLine};
use crate::dwarf::{Calls, Class, CodeCall, Decl, DieRef, without_parameters};
use crate::outline::Bound;
use crate::runtime::{BlockingCall, HandOver};
use crate::target::Svma;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;

/// Functions of others between a body and what they call for it.
const MAX_BETWEEN: usize = 20_000;
/// Calls that are looked at in all, those that are copied to everybody who leads to them among them.
const MAX_LOOKS: u64 = 8_000_000;

/// Crates whose own blocking is their business: runtimes, which know what they do to a worker, and locks, which are held for a
/// moment as a rule.
const RUNTIMES: [&str; 19] = [
    "tokio",
    "mio",
    "polling",
    "async_io",
    "async_std",
    "async_executor",
    "async_global_executor",
    "blocking",
    "smol",
    "futures_executor",
    "actix_rt",
    "parking_lot",
    "parking_lot_core",
    "lock_api",
    "once_cell",
    "event_listener",
    "crossbeam_utils",
    "rayon_core",
    "tracing_subscriber",
];

pub fn follow(recipes: &Recipes<'_, '_>, calls: &Calls, bodies: &Bodies) -> CodeCalls {
    let mut follow = Follow {
        recipes,
        calls,
        bodies,
        useful: useful(calls, bodies),
        places: HashMap::new(),
        beyond: HashMap::new(),
        looks: MAX_LOOKS,
        found: CodeCalls::default(),
    };
    for function in 0..calls.functions.len() {
        if let Some(body) = bodies.of[function] {
            follow.body(body, function);
        }
    }
    let mut found = follow.found;
    fold_closures(bodies, &mut found);
    found.calls.sort();
    found.calls.dedup();
    found
        .blocks
        .sort_by(|a, b| (a.from, &a.place, &a.function, &a.by).cmp(&(b.from, &b.place, &b.function, &b.by)));
    found.blocks.dedup();
    found
}

/// The calls of one function.
fn calls_of(calls: &Calls, function: usize) -> &[CodeCall] {
    let from = calls.calls.partition_point(|call| (call.from as usize) < function);
    let to = calls.calls.partition_point(|call| (call.from as usize) <= function);
    &calls.calls[from..to]
}

/// Vtables that one function takes the addresses of.
fn vtables_of(calls: &Calls, function: usize) -> impl Iterator<Item = Svma> + '_ {
    let from = calls.vtables.partition_point(|used| (used.function as usize) < function);
    let used = calls.vtables[from..].iter().take_while(move |used| used.function as usize == function);
    used.map(|used| used.vtable)
}

/// Functions of others from which something is reached that is told of.
fn useful(calls: &Calls, bodies: &Bodies) -> Vec<bool> {
    let mut callers: Vec<Vec<u32>> = vec![Vec::new(); calls.functions.len()];
    for call in calls.calls.iter().filter(|call| is_plain(calls, call.from as usize)) {
        callers[call.to as usize].push(call.from);
    }
    let mut useful: Vec<bool> = (0..calls.functions.len())
        .map(|function| bodies.of[function].is_some() || calls.functions[function].class == Class::Marked)
        .collect();
    for used in &calls.vtables {
        useful[used.function as usize] = true;
    }
    let mut open: Vec<usize> = (0..useful.len()).filter(|function| useful[*function]).collect();
    while let Some(function) = open.pop() {
        for caller in &callers[function] {
            if !std::mem::replace(&mut useful[*caller as usize], true) {
                open.push(*caller as usize);
            }
        }
    }
    useful
}

struct Follow<'f, 'p, 'a> {
    recipes: &'f Recipes<'p, 'a>,
    calls: &'f Calls,
    bodies: &'f Bodies,
    useful: Vec<bool>,
    places: HashMap<Decl, Option<SourceLine>>,
    /// By a function of others: what it leads to.
    beyond: HashMap<usize, Rc<Beyond>>,
    /// Calls that may yet be looked at.
    looks: u64,
    found: CodeCalls,
}

/// What a function of others leads to, over others.
#[derive(Debug, Default)]
struct Beyond {
    reached: Vec<Reached>,
    vtables: Vec<Svma>,
}

/// A call of something that is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Reached {
    to: usize,
    /// The dependency's function that makes the call.
    by: Option<DieRef>,
    /// A function of std makes it.
    of_std: bool,
}

impl Follow<'_, '_, '_> {
    fn body(&mut self, body: usize, function: usize) {
        self.found.vtables.extend(vtables_of(self.calls, function).map(|vtable| (body, vtable)));
        for call in calls_of(self.calls, function) {
            let to = call.to as usize;
            if !self.useful[to] {
                continue;
            }
            let place = self.place(call.place);
            if !is_plain(self.calls, to) {
                self.reached(body, Reached { to, by: call.by, of_std: false }, &place);
                continue;
            }
            let beyond = self.beyond(to);
            let copied = (beyond.reached.len() + beyond.vtables.len()) as u64;
            let Some(looks) = self.looks.checked_sub(copied) else {
                self.found.bounds.cut(Bound::Between, 1);
                continue;
            };
            self.looks = looks;
            self.found.vtables.extend(beyond.vtables.iter().map(|vtable| (body, *vtable)));
            for reached in &beyond.reached {
                self.reached(body, Reached { by: reached.by.or(call.by), ..*reached }, &place);
            }
        }
    }

    /// What functions of others call, begun at one of them. Looked for once.
    fn beyond(&mut self, first: usize) -> Rc<Beyond> {
        if let Some(known) = self.beyond.get(&first) {
            return known.clone();
        }
        let mut beyond = Beyond::default();
        let mut told = HashSet::new();
        let mut cut = 0;
        let mut seen = HashSet::from([first]);
        let mut open = vec![(first, None)];
        while let Some((function, by)) = open.pop() {
            beyond.vtables.extend(vtables_of(self.calls, function));
            let of_std = self.calls.functions[function].class == Class::Std;
            let calls = calls_of(self.calls, function);
            let looks = self.looks.min(calls.len() as u64);
            self.looks -= looks;
            cut += calls.len() as u64 - looks;
            for call in &calls[..looks as usize] {
                let reached = Reached { to: call.to as usize, by: call.by.or(by), of_std };
                let to = reached.to;
                if !self.useful[to] || seen.contains(&to) || told.contains(&reached) {
                    continue;
                }
                if !is_plain(self.calls, to) {
                    told.insert(reached);
                    beyond.reached.push(reached);
                } else if seen.len() < MAX_BETWEEN {
                    seen.insert(to);
                    open.push((to, reached.by));
                } else {
                    cut += 1;
                }
            }
        }
        beyond.vtables.sort_unstable();
        beyond.vtables.dedup();
        self.found.bounds.cut(Bound::Between, cut);
        let beyond = Rc::new(beyond);
        self.beyond.insert(first, beyond.clone());
        beyond
    }

    /// Notes a call of what is told of.
    fn reached(&mut self, from: usize, reached: Reached, place: &Option<SourceLine>) {
        match self.calls.functions[reached.to].class {
            Class::Coroutine | Class::Std | Class::Dependency => {}
            Class::Own => {
                if let Some(to) = self.bodies.of[reached.to] {
                    self.found.calls.push((from, to, place.clone()));
                }
            }
            Class::Marked => self.marked(from, reached, place),
        }
    }

    fn marked(&mut self, from: usize, reached: Reached, place: &Option<SourceLine>) {
        let Reached { to, by, of_std } = reached;
        let target = &self.calls.functions[to];
        let Some(path) = &target.path else { return };
        if let Some(how) = HandOver::of(path) {
            let arguments = target.die.map(|die| self.recipes.program.function_arguments(die));
            let arguments = arguments.unwrap_or_default();
            let given = HandOver::ARGUMENTS
                .iter()
                .find_map(|name| arguments.iter().find(|(argument, _)| &**argument == *name))
                .or_else(|| arguments.iter().find(|(argument, _)| argument.starts_with("impl ")));
            if let Some((_, what)) = given {
                self.found.handed.push(Handed {
                    from,
                    how,
                    what: *what,
                    place: place.clone(),
                    by_dependency: by.is_some() || of_std,
                });
            }
        }
        // What std does inside is no call of anybody's.
        if let Some(call) = BlockingCall::of_call(path).filter(|_| !of_std) {
            let by = by.map(|die| self.recipes.program.function_name(die));
            let krate = by.as_deref().map(|name| name.trim_start_matches(['<', '&']));
            let krate = krate.and_then(|name| name.split([':', '<']).next());
            if !krate.is_some_and(|krate| RUNTIMES.contains(&krate)) {
                // As its users write it: std keeps its functions in a module of their own.
                let function = without_parameters(path).replace("::functions::", "::");
                self.found.blocks.push(Blocks { from, call, function, place: place.clone(), by });
            }
        }
    }

    fn place(&mut self, decl: Option<Decl>) -> Option<SourceLine> {
        let decl = decl?;
        let program = self.recipes.program;
        let read = || program.place(decl).map(|(file, line)| SourceLine { file, line });
        self.places.entry(decl).or_insert_with(read).clone()
    }
}

/// A closure that its function itself calls, as `Option::map` does for it, is a part of that.
fn fold_closures(bodies: &Bodies, found: &mut CodeCalls) {
    let is_part =
        |from: usize, to: usize| bodies.around.get(&to).is_some_and(|around| *around == bodies.names[from]);
    let mut wholes: HashMap<usize, BTreeSet<usize>> = HashMap::new();
    for (from, to, _) in found.calls.iter().filter(|(from, to, _)| is_part(*from, *to)) {
        wholes.entry(*to).or_default().insert(*from);
    }
    // Closures in closures: up to the function.
    let mut known: HashMap<usize, Rc<[usize]>> = HashMap::new();
    let mut owners = |body: usize| known.entry(body).or_insert_with(|| outermost(body, &wholes)).clone();
    let calls = std::mem::take(&mut found.calls);
    for (from, to, at) in calls.into_iter().filter(|(from, to, _)| !is_part(*from, *to)) {
        found.calls.extend(owners(from).iter().map(|from| (*from, to, at.clone())));
    }
    for one in std::mem::take(&mut found.handed) {
        found.handed.extend(owners(one.from).iter().map(|from| Handed { from: *from, ..one.clone() }));
    }
    for one in std::mem::take(&mut found.blocks) {
        found.blocks.extend(owners(one.from).iter().map(|from| Blocks { from: *from, ..one.clone() }));
    }
    for (from, vtable) in std::mem::take(&mut found.vtables) {
        found.vtables.extend(owners(from).iter().map(|from| (*from, vtable)));
    }
    found.vtables.sort();
    found.vtables.dedup();
}

/// Whose part a body is in the end; itself, if nobody's.
fn outermost(body: usize, wholes: &HashMap<usize, BTreeSet<usize>>) -> Rc<[usize]> {
    let mut outermost = BTreeSet::new();
    let mut seen = HashSet::new();
    let mut open = vec![body];
    while let Some(body) = open.pop() {
        if !seen.insert(body) {
            continue;
        }
        match wholes.get(&body) {
            Some(around) => open.extend(around),
            None => {
                outermost.insert(body);
            }
        }
    }
    outermost.into_iter().collect()
}
