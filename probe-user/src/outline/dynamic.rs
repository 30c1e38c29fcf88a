//! Awaits through trait objects: which futures may be behind a `dyn Future`.
//!
//! Whoever makes a trait object takes the address of a vtable. Of the vtables that the awaiting function uses itself, or that
//! those of the user's own do which it calls, the ones whose coroutine has the awaited output are behind it; where none is
//! (the object came from elsewhere), all of the file that have it may be.

use super::awaits::{DynAwait, future, trait_object};
use super::builder::{Builder, Handle, Link};
use super::calls::{Body, CodeCalls, coroutines_in};
use super::{Bound, Certainty, Coroutines, EdgeKind, Origin};
use crate::decode::Recipes;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Futures that may be behind one await; more say nothing.
const MAX_CANDIDATES: usize = 16;

/// A coroutine behind a vtable, and what lies around it.
type Behind = (usize, Vec<Arc<str>>);

pub fn add(
    recipes: &Recipes<'_, '_>,
    coroutines: &Coroutines,
    handles: &[Handle],
    code: &CodeCalls,
    awaits: &[DynAwait],
    builder: &mut Builder,
) {
    let objects = Objects::of(recipes, coroutines, code);
    builder.bounds.cut(Bound::Around, objects.around);
    let mut unknown = 0;
    for one in awaits {
        let ty = recipes.program.ty(one.ty);
        let name = ty.as_ref().map_or("dyn Future", |ty| &ty.name);
        let mut behind = output(name).map(|output| objects.behind(one.from, output)).unwrap_or_default();
        let too_many = behind.len() > MAX_CANDIDATES;
        if too_many {
            builder.bounds.cut(Bound::Candidates, 1);
            behind.clear();
        }
        let link = |to, through, certainty| Link {
            from: handles[one.from],
            to,
            kind: EdgeKind::Awaits,
            place: one.place.clone(),
            through,
            certainty,
        };
        let outer = || one.through.iter().cloned();
        for (coroutine, inner) in &behind {
            let through = outer().chain([Arc::from("dyn Future")]).chain(inner.iter().cloned());
            builder.link(link(handles[*coroutine], through.collect(), Certainty::Possible));
        }
        if behind.is_empty() {
            unknown += u64::from(!too_many && coroutines.list[one.from].origin == Origin::Own);
            let to = future(builder, trait_object(name).into(), Origin::Std, None);
            builder.link(link(to, outer().collect(), Certainty::Proven));
        }
    }
    if unknown > 0 {
        let one = if unknown == 1 { "1 await" } else { &format!("{unknown} awaits") };
        builder.issues.push(format!("{one} of a dyn Future: no future that returns the same is known"));
    }
}

struct Objects<'o> {
    code: &'o CodeCalls,
    /// Bodies of each coroutine.
    bodies: HashMap<usize, usize>,
    /// By vtable.
    behind: HashMap<u64, Vec<Behind>>,
    /// All of them by their output; under None those that have others around them, whose output is not known.
    all: HashMap<Option<String>, BTreeSet<Behind>>,
    /// Those with more around them than is looked at.
    around: u64,
    /// Vtables that a body uses.
    used: HashMap<usize, Vec<u64>>,
    /// Functions of the user's own that a body calls.
    calls: HashMap<usize, Vec<usize>>,
}

impl<'o> Objects<'o> {
    fn of(recipes: &Recipes<'_, '_>, coroutines: &Coroutines, code: &'o CodeCalls) -> Self {
        let program = recipes.program;
        let vtables =
            program.future_vtables().filter_map(|vtable| Some((vtable, program.behind_vtable(vtable)?)));
        let mut objects = Objects {
            code,
            bodies: HashMap::new(),
            behind: HashMap::new(),
            all: HashMap::new(),
            around: 0,
            used: HashMap::new(),
            calls: HashMap::new(),
        };
        for (vtable, ty) in vtables {
            let inside = coroutines_in(recipes, coroutines, ty);
            objects.around += u64::from(inside.is_cut);
            for behind in &inside.found {
                let output = objects.output(behind).map(str::to_owned);
                if !behind.1.is_empty() || output.is_some() {
                    objects.all.entry(output).or_default().insert(behind.clone());
                }
            }
            objects.behind.insert(vtable.0, inside.found);
        }
        for (number, body) in code.bodies.iter().enumerate() {
            if let Body::Coroutine(i) = body {
                objects.bodies.insert(*i, number);
            }
        }
        for (body, vtable) in &code.vtables {
            objects.used.entry(*body).or_default().push(vtable.0);
        }
        for (from, to, _) in &code.calls {
            if matches!(code.bodies[*to], Body::Sync { .. }) {
                objects.calls.entry(*from).or_default().push(*to);
            }
        }
        objects
    }

    /// What may be behind an object of this output that the coroutine awaits, sorted; of too many the first. Never more than
    /// possible: a function that makes one such object may await another, which it was given.
    fn behind(&self, coroutine: usize, output: &str) -> Vec<Behind> {
        let body = self.bodies.get(&coroutine);
        let own = self.with_output(body.into_iter().flat_map(|body| self.vtables(*body)), output);
        let called = body.and_then(|body| self.calls.get(body)).into_iter().flatten();
        let made = self.with_output(called.flat_map(|body| self.vtables(*body)), output);
        let both: BTreeSet<Behind> = own.iter().chain(&made).cloned().collect();
        if !both.is_empty() {
            return both.into_iter().collect();
        }
        let known = self.all.get(&Some(output.to_owned())).into_iter().flatten();
        known.chain(self.all.get(&None).into_iter().flatten()).take(MAX_CANDIDATES + 1).cloned().collect()
    }

    /// What a coroutine that nothing is around returns.
    fn output(&self, (coroutine, around): &Behind) -> Option<&str> {
        let returned = self.code.returned[*coroutine].as_deref().filter(|_| around.is_empty());
        returned.and_then(|name| name.strip_prefix("Poll<")?.strip_suffix('>'))
    }

    fn vtables(&self, body: usize) -> impl Iterator<Item = u64> {
        self.used.get(&body).into_iter().flatten().copied()
    }

    /// Coroutines behind these vtables that have this output. What lies around one may have another than it.
    fn with_output(&self, vtables: impl Iterator<Item = u64>, output: &str) -> BTreeSet<Behind> {
        let has = |behind: &&Behind| !behind.1.is_empty() || self.output(behind) == Some(output);
        vtables.filter_map(|vtable| self.behind.get(&vtable)).flatten().filter(has).cloned().collect()
    }
}

/// `Box<(dyn core::future::future::Future<Output=u64> + core::marker::Send), …>` → `u64`.
fn output(name: &str) -> Option<&str> {
    let (_, rest) = name.split_once("Future<Output=")?;
    let mut depth = 0usize;
    for (i, c) in rest.char_indices() {
        match c {
            '<' | '(' | '[' | '{' => depth += 1,
            '>' if rest[..i].ends_with('-') => {}
            '>' if depth == 0 => return Some(&rest[..i]),
            '>' | ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_of_a_trait_object() {
        let boxed =
            "alloc::boxed::Box<(dyn core::future::future::Future<Output=u64> + core::marker::Send), A>";
        assert_eq!(output(boxed), Some("u64"));
        let nested = "*mut dyn core::future::future::Future<Output=core::result::Result<(), fn(u8) -> u8>>";
        assert_eq!(output(nested), Some("core::result::Result<(), fn(u8) -> u8>"));
        assert_eq!(output("*mut dyn app::Service"), None);
        assert_eq!(output("dyn core::future::future::Future<Output=(u8"), None);
    }
}
