//! Looks through a value for things of known types: guards, ends of channels, descriptors.

use super::reflect::{Reflect, Route, Shared};
use super::things::{Part, Thing, thing};
use crate::dwarf::{DieRef, Lead, Program, Type, TypeKind};
use crate::target::{Avma, Bias, Memory};
use foldhash::{HashMap, HashSet, HashSetExt as _};
use std::collections::VecDeque;
use std::sync::{Arc, RwLock};

/// Values looked at for one question; what lies behind more is not seen.
const MAX_LOOKS: usize = 2048;
const MAX_DEPTH: usize = 32;
/// Pointers followed one behind the other.
const MAX_HOPS: usize = 8;
/// Types looked through for one answer.
const MAX_TYPES: usize = 20_000;
/// Elements of one Vec or slice.
const MAX_ELEMENTS: u64 = 256;

/// What counts as part of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Through {
    /// What it owns: by value, in boxes, Vecs and Arcs. Only what others may wait for is looked for: guards and ends.
    Owned,
    /// What it refers to as well, and what trait objects hide.
    References,
}

/// A known thing inside a value.
#[derive(Clone, Debug)]
pub struct Seen {
    pub thing: &'static Thing,
    pub at: Avma,
    pub ty: Arc<Type>,
    /// To what it shares with others, where its type says how.
    pub route: Option<Arc<Route>>,
    /// Members that lead to it, `guards.1`.
    pub path: Box<str>,
    /// Others may own it, too, or nobody drops it: it is in an `Arc`, or in a `ManuallyDrop`.
    pub in_arc: bool,
}

impl Seen {
    /// What it shares with all who refer to the same lock, channel or source.
    pub fn shared<M: Memory + ?Sized>(&self, memory: &M) -> Option<Shared> {
        self.route.as_ref()?.follow(memory, self.at)
    }
}

/// What types can lead to, found once per type; shared by all threads.
#[derive(Debug, Default)]
pub struct Leads {
    things: RwLock<HashMap<DieRef, Option<Known>>>,
    leads: RwLock<HashMap<(DieRef, Through), bool>>,
}

/// A type that is known, and the way to what its values share.
type Known = (&'static Thing, Option<Arc<Route>>);

impl Leads {
    /// With what was found before.
    pub fn new(kept: &[Lead]) -> Leads {
        let through = |references| if references { Through::References } else { Through::Owned };
        let leads = kept.iter().map(|lead| ((lead.ty, through(lead.references)), lead.leads));
        Leads { things: RwLock::default(), leads: RwLock::new(leads.collect()) }
    }

    /// Sorted: the same answers make the same file.
    pub fn to_keep(&self) -> Vec<Lead> {
        let leads = self.leads.read().expect("no panic while held");
        let lead = |(&(ty, through), &leads): (&(DieRef, Through), &bool)| Lead {
            ty,
            references: through == Through::References,
            leads,
        };
        let mut kept: Vec<Lead> = leads.iter().map(lead).collect();
        kept.sort_unstable();
        kept
    }

    fn thing(&self, program: &Program<'_>, ty: &Type) -> Option<Known> {
        if let Some(known) = self.things.read().expect("no panic while held").get(&ty.die) {
            return known.clone();
        }
        let found = thing(&program.path(ty));
        let found = found.map(|thing| (thing, Route::new(program, ty.die, thing.shared).map(Arc::new)));
        self.things.write().expect("no panic while held").insert(ty.die, found.clone());
        found
    }

    /// Whether a value of this type can have a known thing in it.
    pub fn to_things(&self, program: &Program<'_>, die: DieRef, through: Through) -> bool {
        let known = |die| self.leads.read().expect("no panic while held").get(&(die, through)).copied();
        if let Some(known) = known(die) {
            return known;
        }
        let mut reached = HashSet::from_iter([die]);
        let mut queue = VecDeque::from([die]);
        let (mut found, mut cut) = (false, false);
        while let Some(next) = queue.pop_front() {
            if known(next) == Some(false) {
                continue;
            }
            let Some(ty) = program.ty(next).filter(|ty| ty.coroutine().is_none()) else { continue };
            found = known(next) == Some(true) || (is_trait_object(&ty) && through == Through::References);
            match self.thing(program, &ty).map(|(thing, _)| thing.part) {
                Some(Part::Object) if through == Through::Owned => continue,
                Some(Part::Descriptor) if through == Through::Owned => {}
                thing => found |= thing.is_some(),
            }
            cut = reached.len() > MAX_TYPES;
            if found || cut {
                break;
            }
            queue.extend(parts_of(program, &ty, through).into_iter().filter(|part| reached.insert(*part)));
        }
        let mut leads = self.leads.write().expect("no panic while held");
        if found || cut {
            // Where there were too many to look at all it may; then values are looked at, which are bounded by themselves.
            leads.insert((die, through), true);
        } else {
            // Nothing that was reached leads anywhere.
            leads.extend(reached.into_iter().map(|die| ((die, through), false)));
        }
        found || cut
    }
}

fn parts_of(program: &Program<'_>, ty: &Type, through: Through) -> Vec<DieRef> {
    let mut parts: Vec<DieRef> = match &ty.kind {
        TypeKind::Pointer(Some(to)) if follows(&ty.name, through) => vec![*to],
        TypeKind::Pointer(_) => Vec::new(),
        TypeKind::Array { element, .. } => vec![*element],
        _ => ty.members.iter().map(|m| m.ty).collect(),
    };
    parts.extend(ty.variants().into_iter().flat_map(|v| v.list.iter().map(|v| v.payload.ty)));
    parts.extend(counted_inner(program, ty));
    parts.extend(ty.argument("T").filter(|_| ty.name.starts_with("Vec<")));
    parts.extend(slice_element(program, ty));
    parts
}

/// Boxes are owned; references only lead somewhere; raw pointers are nobody's business.
fn follows(name: &str, through: Through) -> bool {
    name.starts_with("alloc::boxed::Box<") || (through == Through::References && name.starts_with('&'))
}

fn is_trait_object(ty: &Type) -> bool {
    ty.size == 16 && ty.member("vtable").is_some() && ty.members.len() == 2
}

/// Type of the contents of an `Arc` or `Rc`.
fn counted_inner(program: &Program<'_>, ty: &Type) -> Option<DieRef> {
    let counted = ty.name.starts_with("Arc<") || ty.name.starts_with("Rc<");
    counted.then(|| ty.argument("T")).flatten().filter(|die| program.ty(*die).is_some())
}

fn slice_element(program: &Program<'_>, ty: &Type) -> Option<DieRef> {
    if !ty.name.starts_with("alloc::boxed::Box<[") && !ty.name.starts_with("Box<[") {
        return None;
    }
    match program.ty(ty.member("data_ptr")?.ty)?.kind {
        TypeKind::Pointer(element) => element,
        _ => None,
    }
}

/// One question about one value.
pub struct Look<'l, 'r, 'a, M: Memory + ?Sized> {
    pub leads: &'l Leads,
    pub reflect: &'l Reflect<'r, 'a, M>,
    pub bias: Bias,
    pub through: Through,
    looks: usize,
    visited: HashSet<(Avma, DieRef)>,
    /// Members on the way to the value at hand.
    path: String,
    seen: Vec<Seen>,
    except: Option<&'l HashSet<(Avma, DieRef)>>,
}

impl<'l, 'r, 'a, M: Memory + ?Sized> Look<'l, 'r, 'a, M> {
    pub fn new(leads: &'l Leads, reflect: &'l Reflect<'r, 'a, M>, bias: Bias, through: Through) -> Self {
        let (visited, path, seen) = (HashSet::new(), String::new(), Vec::new());
        Look { leads, reflect, bias, through, looks: 0, visited, path, seen, except: None }
    }

    /// Does not look into these values.
    pub fn except(self, these: &'l HashSet<(Avma, DieRef)>) -> Self {
        Look { except: Some(these), ..self }
    }

    /// Every known thing in the value at `at`, in the order of its members; `local` is what it is called.
    pub fn see(mut self, at: Avma, ty: DieRef, local: &str) -> Vec<Seen> {
        self.path.push_str(local);
        self.visit(at, ty, MAX_DEPTH, 0, false);
        self.seen
    }

    fn visit(&mut self, at: Avma, die: DieRef, depth: usize, hops: usize, in_arc: bool) {
        self.looks += 1;
        let program = self.reflect.program;
        if depth == 0 || hops > MAX_HOPS || self.looks > MAX_LOOKS {
            return;
        }
        if !self.leads.to_things(program, die, self.through) || !self.visited.insert((at, die)) {
            return;
        }
        if self.except.is_some_and(|these| these.contains(&(at, die))) {
            return;
        }
        let Some(ty) = program.ty(die).filter(|ty| ty.size > 0) else { return };
        let in_arc = in_arc || ty.name.starts_with("ManuallyDrop<");
        if let Some((thing, route)) = self.leads.thing(program, &ty) {
            let path = self.path.as_str().into();
            self.seen.push(Seen { thing, at, ty: ty.clone(), route, path, in_arc });
            // What a lock or an object protects is another question.
            if thing.part != Part::Descriptor {
                return;
            }
        }
        if let TypeKind::Pointer(Some(to)) = ty.kind {
            if let Some(target) = self.reflect.number(at, 8).filter(|p| *p != 0)
                && follows(&ty.name, self.through)
            {
                self.visit(Avma(target), to, depth - 1, hops + 1, in_arc);
            }
            return;
        }
        if is_trait_object(&ty) {
            return self.trait_object(at, &ty, depth, hops, in_arc);
        }
        if let Some(inner) = counted_inner(program, &ty) {
            if let Some(shared) = self.reflect.pointee(at, &ty) {
                self.visit(shared.address, inner, depth - 1, hops + 1, true);
            }
            return;
        }
        if let Some((base, element, length)) = self.elements(at, &ty) {
            return self.slice(base, element, length, (depth, hops, in_arc));
        }
        self.parts(at, &ty, (depth, hops, in_arc));
    }

    fn parts(&mut self, at: Avma, ty: &Arc<Type>, (depth, hops, in_arc): (usize, usize, bool)) {
        if let TypeKind::Enum(variants) = &ty.kind {
            let value = match variants.discriminant {
                Some(d) => self.reflect.number(at.offset(d.offset), d.width),
                None => Some(0),
            };
            if let Some(active) = value.and_then(|v| variants.select(v)).map(|i| &variants.list[i].payload) {
                self.visit(at.offset(active.offset), active.ty, depth - 1, hops, in_arc);
            }
        }
        for member in &ty.members {
            // Numbers of tuples tell something, names of wrappers do not.
            let known = self.path.len();
            self.path.extend([".", member.name.strip_prefix("__").unwrap_or(&member.name)]);
            self.visit(at.offset(member.offset), member.ty, depth - 1, hops, in_arc);
            self.path.truncate(known);
        }
    }

    fn trait_object(&mut self, at: Avma, ty: &Type, depth: usize, hops: usize, in_arc: bool) {
        let data = ty.members.iter().find(|m| &*m.name != "vtable").map(|m| m.offset);
        let vtable = ty.member("vtable").map(|m| m.offset);
        let word = |offset: Option<u64>| self.reflect.number(at.offset(offset?), 8).filter(|p| *p != 0);
        let (Some(data), Some(vtable)) = (word(data), word(vtable)) else { return };
        if let Some(concrete) = self.reflect.program.behind_vtable(Avma(vtable).to_svma(self.bias)) {
            self.visit(Avma(data), concrete, depth - 1, hops + 1, in_arc);
        }
    }

    /// Base, element type and length of a Vec or a boxed slice.
    fn elements(&self, at: Avma, ty: &Type) -> Option<(Avma, DieRef, u64)> {
        let program = self.reflect.program;
        if ty.name.starts_with("Vec<") {
            let length = self.reflect.number(at.offset(ty.member("len")?.offset), 8)?;
            let is_pointer = |_: &str, part: &Type| matches!(part.kind, TypeKind::Pointer(_));
            let pointer = super::reflect::part(program, ty.die, &is_pointer)?;
            let base = self.reflect.number(at.offset(pointer.offset), 8)?;
            return Some((Avma(base), ty.argument("T")?, length));
        }
        let element = slice_element(program, ty)?;
        let base = self.reflect.number(at.offset(ty.member("data_ptr")?.offset), 8)?;
        let length = self.reflect.number(at.offset(ty.member("length")?.offset), 8)?;
        Some((Avma(base), element, length))
    }

    fn slice(
        &mut self,
        base: Avma,
        element: DieRef,
        length: u64,
        (depth, hops, in_arc): (usize, usize, bool),
    ) {
        let Some(stride) = self.reflect.program.ty(element).map(|ty| ty.size) else { return };
        for i in 0..length.min(MAX_ELEMENTS) {
            let known = self.path.len();
            self.path.extend([".", &i.to_string()]);
            self.visit(base.offset(i.wrapping_mul(stride)), element, depth - 1, hops + 1, in_arc);
            self.path.truncate(known);
        }
    }
}
