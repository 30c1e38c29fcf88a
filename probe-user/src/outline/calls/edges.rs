//! From what the code does to the edges of the graph.

use super::given::coroutines_in;
use super::{Body, CodeCalls, Handed};
use crate::decode::{Recipes, SourceLine};
use crate::dwarf::DieRef;
use crate::outline::builder::{Builder, Handle, Link};
use crate::outline::excerpt::is_main_path;
use crate::outline::{Bound, Certainty, Color, Coroutines, EdgeKind, Function, FunctionKind, Origin};
use crate::runtime::{HandOver, is_closure};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What a function is given: a coroutine or a closure, and what lies around it.
struct Given {
    body: Ends,
    through: Vec<Arc<str>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Ends {
    Coroutine(usize),
    /// Number in [`CodeCalls::bodies`].
    Body(usize),
}

/// `calls` and `spawns` edges, and the user's own functions at their ends. Of those only what is called by a program's `main`
/// or by coroutines, or leads to one.
pub fn add(
    recipes: &Recipes<'_, '_>,
    coroutines: &Coroutines,
    handles: &[Handle],
    code: &CodeCalls,
    builder: &mut Builder,
) {
    let mut edges = Edges {
        recipes,
        coroutines,
        code,
        closures: closures(code),
        list: Vec::new(),
        unknown: Vec::new(),
        around: 0,
    };
    for (from, to, place) in &code.calls {
        edges.push(*from, edges.end(*to), EdgeKind::Calls, place, Vec::new());
    }
    for handed in &code.handed {
        edges.handed(handed);
    }
    let Edges { list, unknown, around, .. } = edges;
    builder.issues.extend(code.issues.iter().cloned());
    builder.bounds.add(&code.bounds);
    builder.bounds.cut(Bound::Around, around);
    if let Some(first) = unknown.first() {
        let more = match unknown.len() {
            1 => String::new(),
            n => format!(" ({} more like it)", n - 1),
        };
        builder.issues.push(format!(
            "no async function or closure is known in what is spawned or waited for as {first}{more}"
        ));
    }
    let kept = kept(code, &list);
    let mut made: HashMap<usize, Handle> = HashMap::new();
    let mut handle = |builder: &mut Builder, end: Ends| match end {
        Ends::Coroutine(i) => handles[i],
        Ends::Body(i) => *made.entry(i).or_insert_with(|| builder.function(function(&code.bodies[i]))),
    };
    for edge in list.into_iter().filter(|edge| kept.contains(&edge.from) && kept.contains(&edge.to)) {
        let (from, to) = (handle(builder, edge.from), handle(builder, edge.to));
        if edge.root {
            builder.get_mut(to).is_root = true;
        }
        let Edge { kind, place, through, .. } = edge;
        builder.link(Link { from, to, kind, place, through, certainty: Certainty::Proven });
    }
}

fn function(body: &Body) -> Function {
    let (name, place) = match body {
        Body::Sync { name, place } => (name.clone(), place.clone()),
        Body::Coroutine(_) => unreachable!("it has a handle"),
    };
    let is_root = is_main_path(&name);
    Function {
        name,
        kind: FunctionKind::Sync,
        place,
        origin: Origin::Own,
        color: Color::Green,
        why_yellow: Vec::new(),
        size: None,
        suspend_points: Vec::new(),
        is_root,
    }
}

/// Closures by the path of their type.
fn closures(code: &CodeCalls) -> HashMap<&str, usize> {
    code.closures.iter().map(|(path, body)| (path.as_str(), *body)).collect()
}

struct Edge {
    from: Ends,
    to: Ends,
    kind: EdgeKind,
    place: Option<SourceLine>,
    through: Vec<Arc<str>>,
    /// What is at the other end begins an await tree.
    root: bool,
}

struct Edges<'e, 'p, 'a> {
    recipes: &'e Recipes<'p, 'a>,
    coroutines: &'e Coroutines,
    code: &'e CodeCalls,
    closures: HashMap<&'e str, usize>,
    list: Vec<Edge>,
    /// Names of what is spawned or waited for, and is no coroutine that is known.
    unknown: Vec<String>,
    /// Futures with more around them than is looked at.
    around: u64,
}

impl Edges<'_, '_, '_> {
    fn end(&self, body: usize) -> Ends {
        match self.code.bodies[body] {
            Body::Coroutine(i) => Ends::Coroutine(i),
            Body::Sync { .. } => Ends::Body(body),
        }
    }

    fn push(
        &mut self,
        from: usize,
        to: Ends,
        kind: EdgeKind,
        place: &Option<SourceLine>,
        through: Vec<Arc<str>>,
    ) {
        let (from, place) = (self.end(from), place.clone());
        let through_block_on = through.first().is_some_and(|first| &**first == "block_on");
        let root = matches!(to, Ends::Coroutine(_)) && (kind == EdgeKind::Spawns || through_block_on);
        self.list.push(Edge { from, to, kind, place, through, root });
    }

    fn handed(&mut self, handed: &Handed) {
        let given = self.given(handed.what);
        let known = !matches!(handed.how, HandOver::Spawn | HandOver::BlockOn) || !given.is_empty();
        if !known && !handed.by_dependency {
            let ty = self.recipes.program.ty(handed.what);
            self.unknown.extend(ty.map(|ty| self.recipes.program.path(&ty)));
        }
        let (kind, how) = match handed.how {
            HandOver::Spawn => (EdgeKind::Spawns, None),
            HandOver::Thread(how) => (EdgeKind::Spawns, Some(how)),
            HandOver::BlockOn => (EdgeKind::Calls, Some("block_on")),
            HandOver::InPlace => (EdgeKind::Calls, Some("block_in_place")),
        };
        for Given { body, through } in given {
            let through = how.map(Arc::from).into_iter().chain(through).collect();
            self.push(handed.from, body, kind, &handed.place, through);
        }
    }

    fn given(&mut self, what: DieRef) -> Vec<Given> {
        let path = self.recipes.program.ty(what).map(|ty| self.recipes.program.path(&ty)).unwrap_or_default();
        if is_closure(&path) {
            let closure = self.closures.get(&*path).map(|body| Ends::Body(*body));
            return closure.map(|body| Given { body, through: Vec::new() }).into_iter().collect();
        }
        let inside = coroutines_in(self.recipes, self.coroutines, what);
        self.around += u64::from(inside.is_cut);
        inside.found.into_iter().map(|(i, through)| Given { body: Ends::Coroutine(i), through }).collect()
    }
}

/// Functions that `main` or a coroutine reaches, or that reach a coroutine.
fn kept(code: &CodeCalls, edges: &[Edge]) -> HashSet<Ends> {
    let ends = edges.iter().flat_map(|edge| [edge.from, edge.to]);
    let begins = |end: &Ends| match end {
        Ends::Coroutine(_) => true,
        Ends::Body(body) => {
            matches!(&code.bodies[*body], Body::Sync { name, .. } if is_main_path(name))
        }
    };
    let first: HashSet<Ends> = ends.filter(begins).collect();
    let mut kept = HashSet::new();
    for forward in [true, false] {
        let mut next: HashMap<Ends, Vec<Ends>> = HashMap::new();
        for edge in edges {
            let (from, to) = if forward { (edge.from, edge.to) } else { (edge.to, edge.from) };
            next.entry(from).or_default().push(to);
        }
        let coroutine = |end: &&Ends| matches!(end, Ends::Coroutine(_));
        let mut open: Vec<Ends> = match forward {
            true => first.iter().copied().collect(),
            false => first.iter().filter(coroutine).copied().collect(),
        };
        let mut seen: HashSet<Ends> = HashSet::new();
        while let Some(end) = open.pop() {
            if seen.insert(end) {
                open.extend(next.get(&end).into_iter().flatten());
            }
        }
        kept.extend(seen);
    }
    kept
}
