//! From the calls of functions to those of bodies: through what lies between them.

use super::body::{Bodies, without_parameters};
use super::{Blocks, CodeCalls, Handed, is_plain};
use crate::decode::{Recipes, SourceLine};
use crate::dwarf::{Calls, Class, CodeCall, Decl, DieRef};
use crate::runtime::{BlockingCall, HandOver};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Functions of others between a body and what they call for it.
const MAX_BETWEEN: usize = 20_000;

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
    found: CodeCalls,
}

impl Follow<'_, '_, '_> {
    fn body(&mut self, body: usize, function: usize) {
        self.vtables(body, function);
        for call in calls_of(self.calls, function) {
            let to = call.to as usize;
            if !self.useful[to] {
                continue;
            }
            let place = self.place(call.place);
            if !self.reached(body, to, &place, call.by, false) {
                self.between(body, to, &place, call.by);
            }
        }
    }

    /// What functions of others call, begun at one that the body calls.
    fn between(&mut self, body: usize, first: usize, place: &Option<SourceLine>, by: Option<DieRef>) {
        let mut seen = HashSet::from([first]);
        let mut open = vec![(first, by)];
        while let Some((function, by)) = open.pop() {
            self.vtables(body, function);
            let of_std = self.calls.functions[function].class == Class::Std;
            for call in calls_of(self.calls, function) {
                let (to, by) = (call.to as usize, call.by.or(by));
                if !self.useful[to] || self.reached(body, to, place, by, of_std) {
                    continue;
                }
                if seen.len() < MAX_BETWEEN && seen.insert(to) {
                    open.push((to, by));
                }
            }
        }
    }

    /// Notes what is told of. False of functions in between.
    fn reached(
        &mut self,
        body: usize,
        to: usize,
        place: &Option<SourceLine>,
        by: Option<DieRef>,
        of_std: bool,
    ) -> bool {
        let target = &self.calls.functions[to];
        match target.class {
            Class::Coroutine => {}
            Class::Own => {
                if let Some(to) = self.bodies.of[to] {
                    self.found.calls.push((body, to, place.clone()));
                }
            }
            Class::Marked => self.marked(body, to, place, by, of_std),
            Class::Std | Class::Dependency => return false,
        }
        true
    }

    fn marked(
        &mut self,
        from: usize,
        to: usize,
        place: &Option<SourceLine>,
        by: Option<DieRef>,
        of_std: bool,
    ) {
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

    fn vtables(&mut self, body: usize, function: usize) {
        let all = &self.calls.vtables;
        let from = all.partition_point(|used| (used.function as usize) < function);
        let used = all[from..].iter().take_while(|used| used.function as usize == function);
        self.found.vtables.extend(used.map(|used| (body, used.vtable)));
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
    let owners = |body: usize| {
        let mut owners = BTreeSet::new();
        let mut open = vec![body];
        let mut seen = HashSet::new();
        while let Some(body) = open.pop().filter(|body| seen.insert(*body)) {
            match wholes.get(&body) {
                Some(around) => open.extend(around),
                None => {
                    owners.insert(body);
                }
            }
        }
        owners
    };
    let calls = std::mem::take(&mut found.calls);
    let outer = calls.into_iter().filter(|(from, to, _)| !is_part(*from, *to));
    found.calls = outer
        .flat_map(|(from, to, at)| owners(from).into_iter().map(move |from| (from, to, at.clone())))
        .collect();
    let handed = std::mem::take(&mut found.handed);
    found.handed = handed
        .into_iter()
        .flat_map(|one| owners(one.from).into_iter().map(move |from| Handed { from, ..one.clone() }))
        .collect();
    let blocks = std::mem::take(&mut found.blocks);
    found.blocks = blocks
        .into_iter()
        .flat_map(|one| owners(one.from).into_iter().map(move |from| Blocks { from, ..one.clone() }))
        .collect();
    let vtables = std::mem::take(&mut found.vtables);
    found.vtables = vtables
        .into_iter()
        .flat_map(|(from, at)| owners(from).into_iter().map(move |from| (from, at)))
        .collect();
    found.vtables.sort();
    found.vtables.dedup();
}
