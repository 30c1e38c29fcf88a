//! Async functions that may block the thread that polls them: by a call that they lead to, or by a lock that they keep while
//! they wait.
//!
//! What is given to `spawn_blocking`, to `block_in_place` or to a thread is not on the way. What dependencies do is told on
//! demand only, and what runtimes do inside never: they know what they do to a worker.

use super::calls::{Blocks, Body, CodeCalls};
use super::{Bound, Bounds, Certainty, Coroutine, Coroutines, Origin};
use crate::decode::{FrameState, Recipe, Recipes, SourceLine};
use crate::runtime::{BlockingCall, guard};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

/// Paths that are told of one async function.
const MAX_PATHS: usize = 32;

/// A function on the way to a call, and where it makes the next step.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step {
    pub function: Arc<str>,
    pub is_async: bool,
    pub place: Option<SourceLine>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockingPath {
    /// Index of the async function in [`Coroutines::list`].
    pub coroutine: usize,
    /// The async function, then those that lead to the call. The last one makes it. Of a lock that is kept: the async function
    /// and the await.
    pub steps: Vec<Step>,
    pub call: BlockingCall,
    /// What is called, `std::fs::read_to_string`; of a lock the type of its guard.
    pub function: String,
    /// The dependency's function that makes the call.
    pub by: Option<String>,
    /// The guard's name, where a lock is kept across an await.
    pub kept: Option<Box<str>>,
    /// `Possible` of a guard that the file does not tell to be there still.
    pub certainty: Certainty,
}

/// Sorted by the async function and the way.
#[derive(Clone, Debug, Default)]
pub struct Blocking {
    pub paths: Vec<BlockingPath>,
    /// Async functions of the user's own that were looked at.
    pub looked_at: usize,
    /// What could not be told, for people.
    pub issues: Vec<String>,
    pub bounds: Bounds,
}

impl Blocking {
    /// `deps`: also async functions and calls of dependencies.
    pub fn of(recipes: &Recipes<'_, '_>, coroutines: &Coroutines, code: &CodeCalls, deps: bool) -> Blocking {
        let wanted = |one: &Coroutine| deps || one.origin == Origin::Own;
        let ways = Ways::of(coroutines, code, deps);
        let mut blocking =
            Blocking { issues: code.issues.clone(), bounds: code.bounds.clone(), ..Blocking::default() };
        blocking.bounds.add(&coroutines.bounds);
        for (number, one) in coroutines.list.iter().enumerate().filter(|(_, one)| wanted(one)) {
            let (paths, more) = ways.from(number);
            blocking.bounds.cut(Bound::BlockingCalls, more);
            blocking.looked_at += 1;
            blocking.paths.extend(paths);
            blocking.paths.extend(kept_locks(recipes, number, one));
        }
        let key = |path: &BlockingPath| (path.steps.clone(), path.function.clone(), path.by.clone());
        blocking.paths.sort_by_cached_key(key);
        blocking.paths.dedup();
        blocking
    }
}

impl Blocking {
    /// Why a coroutine holds up others, for people: one reason for each of its findings that are proven.
    pub fn reasons(&self) -> BTreeSet<(usize, String)> {
        let proven = self.paths.iter().filter(|path| path.certainty == Certainty::Proven);
        let reason = |path: &BlockingPath| match path.kept {
            Some(_) => format!("it keeps {} across an await", path.call.what),
            None => format!("it blocks its thread in {}", path.call.what),
        };
        proven.map(|path| (path.coroutine, reason(path))).collect()
    }
}

/// The calls, by who makes them.
struct Ways<'w> {
    coroutines: &'w Coroutines,
    code: &'w CodeCalls,
    next: HashMap<usize, Vec<(usize, &'w Option<SourceLine>)>>,
    blocks: HashMap<usize, Vec<&'w Blocks>>,
    /// By body: whether it leads to one of them.
    leads: Vec<bool>,
    /// The body of each coroutine.
    bodies: HashMap<usize, usize>,
}

impl<'w> Ways<'w> {
    fn of(coroutines: &'w Coroutines, code: &'w CodeCalls, deps: bool) -> Self {
        let leads = vec![false; code.bodies.len()];
        let (next, blocks, bodies) = (HashMap::new(), HashMap::new(), HashMap::new());
        let mut ways = Ways { coroutines, code, next, blocks, leads, bodies };
        let mut callers = vec![Vec::new(); code.bodies.len()];
        for (from, to, place) in &code.calls {
            ways.next.entry(*from).or_default().push((*to, place));
            callers[*to].push(*from);
        }
        // A lock is taken for a moment only, as a rule: it is told where it is kept while something is awaited.
        for one in code.blocks.iter().filter(|one| !one.call.lock && (deps || one.by.is_none())) {
            ways.blocks.entry(one.from).or_default().push(one);
        }
        for (number, body) in code.bodies.iter().enumerate() {
            if let Body::Coroutine(i) = body {
                ways.bodies.insert(*i, number);
            }
        }
        let mut open: Vec<usize> = ways.blocks.keys().copied().collect();
        while let Some(body) = open.pop() {
            if !std::mem::replace(&mut ways.leads[body], true) {
                open.extend(&callers[body]);
            }
        }
        ways
    }

    /// The shortest way from a coroutine to each call that blocks, and for how many there was no room.
    fn from(&self, coroutine: usize) -> (Vec<BlockingPath>, u64) {
        let (mut found, mut more) = (Vec::new(), 0);
        let mut before: HashMap<usize, Option<(usize, &Option<SourceLine>)>> = HashMap::new();
        let mut open: VecDeque<usize> = VecDeque::new();
        if let Some(body) = self.bodies.get(&coroutine).filter(|body| self.leads[**body]) {
            before.insert(*body, None);
            open.push_back(*body);
        }
        while let Some(body) = open.pop_front() {
            for one in self.blocks.get(&body).into_iter().flatten() {
                if found.len() < MAX_PATHS {
                    found.push(self.path(coroutine, body, one, &before));
                } else {
                    more += 1;
                }
            }
            for (to, place) in self.next.get(&body).into_iter().flatten() {
                let sync = matches!(self.code.bodies[*to], Body::Sync { .. });
                if sync && self.leads[*to] && !before.contains_key(to) {
                    before.insert(*to, Some((body, place)));
                    open.push_back(*to);
                }
            }
        }
        (found, more)
    }

    fn path(
        &self,
        coroutine: usize,
        last: usize,
        one: &Blocks,
        before: &HashMap<usize, Option<(usize, &Option<SourceLine>)>>,
    ) -> BlockingPath {
        let mut steps = vec![self.step(last, &one.place)];
        let mut at = last;
        while let Some(Some((from, place))) = before.get(&at) {
            steps.push(self.step(*from, place));
            at = *from;
        }
        steps.reverse();
        BlockingPath {
            coroutine,
            steps,
            call: one.call,
            function: one.function.clone(),
            by: one.by.clone(),
            kept: None,
            certainty: Certainty::Proven,
        }
    }

    fn step(&self, body: usize, place: &Option<SourceLine>) -> Step {
        let (function, is_async) = match &self.code.bodies[body] {
            Body::Coroutine(i) => (self.coroutines.list[*i].name.clone(), true),
            Body::Sync { name, .. } => (name.clone(), false),
        };
        Step { function, is_async, place: place.clone() }
    }
}

/// Locks whose guards lie in a state in which the coroutine waits.
fn kept_locks(recipes: &Recipes<'_, '_>, coroutine: usize, one: &Coroutine) -> Vec<BlockingPath> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    let recipe = recipes.get(one.recipe);
    let Recipe::Switch { arms, .. } = &*recipe else { return found };
    for arm in arms {
        let frame = arm.frame.map(|id| recipes.frames.get(id));
        let Some(frame) = frame.filter(|frame| frame.state == FrameState::Suspended) else { continue };
        for kept in arm.kept.iter().filter(|kept| !kept.guessed) {
            let Some(ty) = recipes.program.ty(kept.ty) else { continue };
            let path = recipes.program.path(&ty);
            let Some(call) = guard(&path) else { continue };
            if !seen.insert((frame.line.clone(), kept.name.clone())) {
                continue;
            }
            let step = Step { function: one.name.clone(), is_async: true, place: frame.line.clone() };
            let certain = kept.certain && kept.flags.is_empty();
            found.push(BlockingPath {
                coroutine,
                steps: vec![step],
                call,
                function: path,
                by: None,
                kept: Some(kept.name.clone()),
                certainty: if certain { Certainty::Proven } else { Certainty::Possible },
            });
        }
    }
    found
}
