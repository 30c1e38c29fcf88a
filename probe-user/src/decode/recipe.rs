//! How to read a future of one type: what to look at, and where its children are. Made once per type, from the
//! static model; executed for each task by [`super::walk`] and compiled for the kernel by the trace.

use super::bearing::MAX_SEARCH;
use super::collections::{List, Ring, Tasks};
use super::{Frame, FrameId, FrameKind, FrameState, Frames};
use crate::dwarf::{CoroutineKind, DieRef, Discriminant, Member, Program, Type, TypeKind, Variant, Variants};
use crate::runtime::{Leads, Role, is_closure, macro_name, role};
use std::collections::HashMap;
use std::sync::{Arc, RwLock};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecipeId(pub u32);

/// A future (or a holder of futures) inside another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Child {
    pub offset: u64,
    /// The place holds a pointer to it.
    pub deref: bool,
    pub recipe: RecipeId,
    /// Its number in a tuple of branches that `select!` polls.
    pub branch: Option<u8>,
}

#[derive(Clone, Debug)]
pub struct Arm {
    /// The node that this state stands for; None in an enum that only holds futures.
    pub frame: Option<FrameId>,
    /// The node it is instead where its futures stand in a row: one that counts them.
    pub row: Option<FrameId>,
    pub awaiting: Box<[Child]>,
    pub held: Box<[Child]>,
    /// Values in this state that are no futures, but can have guards or ends of channels in them.
    pub kept: Box<[Kept]>,
    /// Of a task's Stage: the future has ended.
    pub ends: bool,
    /// Of a task's Stage: its output is still there.
    pub finished: bool,
    /// A mere field, which no one awaits: a node only while there is a future in it.
    pub field: bool,
}

/// A local, a capture or a field that may keep something others wait for.
#[derive(Clone, Debug)]
pub struct Kept {
    pub offset: u64,
    pub ty: DieRef,
    pub name: Box<str>,
    /// It came from elsewhere: an argument, or what a block captured.
    pub is_capture: bool,
    /// It is where debug information says, and not moved away without a drop flag.
    pub certain: bool,
    /// Offsets of bools that may be its drop flag: where one is cleared, it may have been moved away or dropped.
    pub flags: Box<[u64]>,
    /// Nobody says that it is there.
    pub guessed: bool,
}

impl Arm {
    pub(super) fn of(frame: Option<FrameId>, awaiting: Box<[Child]>) -> Arm {
        Arm {
            frame,
            row: None,
            awaiting,
            held: Box::default(),
            kept: Box::default(),
            ends: false,
            finished: false,
            field: false,
        }
    }
}

#[derive(Clone, Debug)]
pub enum Recipe {
    /// A coroutine or an enum: the discriminant chooses the arm.
    Switch {
        discriminant: Option<Discriminant>,
        select: Box<[(u64, u64, u32)]>,
        default: Option<u32>,
        arms: Box<[Arm]>,
    },
    /// Anything else with or without children.
    Fixed(Arm),
    /// Fat pointer to a trait object; the vtable tells the type.
    Dyn {
        data: u64,
        vtable: u64,
    },
    /// Children side by side in memory: a boxed slice, a `Vec`, a `VecDeque`.
    Slice {
        data: u64,
        length: u64,
        ring: Option<Ring>,
        stride: u64,
        element: RecipeId,
    },
    /// Children in a linked list.
    List(List),
    Tasks(Tasks),
    /// `select!`'s closure: a bit set in the mask means that the branch is done or disabled.
    Select {
        mask: u64,
        mask_width: u8,
        inner: Child,
    },
    /// Nothing describes this type.
    Unknown,
}

/// What a recipe is made for: the same type shows differently as an awaited future and as a mere field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Subject {
    die: DieRef,
    /// It is polled as a future itself: awaited, spawned, or behind `dyn Future`.
    awaited: bool,
    /// The payload of an enum's variant: a struct only to DWARF.
    payload: bool,
    /// The macro whose expansion awaits it.
    expands: Option<&'static str>,
}

impl Subject {
    pub(super) fn awaited(die: DieRef) -> Subject {
        Subject { die, awaited: true, payload: false, expands: None }
    }

    /// A pair in a row is a future beside something else, not two branches of a macro.
    pub(super) fn element(ty: &Type) -> Subject {
        Subject { awaited: !ty.name.starts_with('('), ..Subject::awaited(ty.die) }
    }
}

/// All recipes of a program; shared by all threads.
#[derive(Debug)]
pub struct Recipes<'p, 'a> {
    pub program: &'p Program<'a>,
    pub frames: Arc<Frames>,
    pub(super) user_crates: Vec<String>,
    subjects: RwLock<Subjects>,
    made: RwLock<HashMap<RecipeId, Arc<Recipe>>>,
    pub(super) bears: RwLock<HashMap<DieRef, bool>>,
    pub(super) leads: Leads,
}

#[derive(Debug, Default)]
struct Subjects {
    list: Vec<Subject>,
    ids: HashMap<Subject, RecipeId>,
}

impl<'p, 'a> Recipes<'p, 'a> {
    /// `user_crates`: crates to count as the user's own wherever their sources lie.
    pub fn new(program: &'p Program<'a>, frames: Arc<Frames>, user_crates: Vec<String>) -> Self {
        Recipes {
            program,
            frames,
            user_crates,
            subjects: RwLock::default(),
            made: RwLock::default(),
            bears: RwLock::default(),
            leads: Leads::new(program.leads()),
        }
    }

    /// The recipe of a future that is polled in its own right.
    pub fn future(&self, die: DieRef) -> RecipeId {
        self.id(Subject::awaited(die))
    }

    /// Crates that count as the user's own wherever their sources lie.
    pub fn user_crates(&self) -> &[String] {
        &self.user_crates
    }

    /// How many recipes have been made so far.
    pub fn made(&self) -> usize {
        self.made.read().expect("no panic while held").len()
    }

    pub(super) fn id(&self, subject: Subject) -> RecipeId {
        let mut subjects = self.subjects.write().expect("no panic while held");
        if let Some(id) = subjects.ids.get(&subject) {
            return *id;
        }
        let id = RecipeId(subjects.list.len() as u32);
        subjects.list.push(subject);
        subjects.ids.insert(subject, id);
        id
    }

    /// The type that a recipe is for.
    pub fn subject(&self, id: RecipeId) -> Option<DieRef> {
        self.subjects.read().expect("no panic while held").list.get(id.0 as usize).map(|subject| subject.die)
    }

    pub fn get(&self, id: RecipeId) -> Arc<Recipe> {
        if let Some(made) = self.made.read().expect("no panic while held").get(&id) {
            return made.clone();
        }
        let subject = self.subjects.read().expect("no panic while held").list[id.0 as usize];
        let recipe = Arc::new(self.make(subject));
        self.made.write().expect("no panic while held").entry(id).or_insert(recipe).clone()
    }

    fn make(&self, subject: Subject) -> Recipe {
        let Some(ty) = self.program.ty(subject.die) else { return Recipe::Unknown };
        if let Some(kind) = ty.coroutine() {
            return self.coroutine(&ty, kind);
        }
        if let Some((data, vtable)) = self.trait_object(&ty) {
            return Recipe::Dyn { data, vtable };
        }
        if let TypeKind::Pointer(to) = ty.kind {
            let child = to.map(|die| self.id(Subject { die, payload: false, ..subject }));
            let awaiting = child.map(|recipe| Child { offset: 0, deref: true, recipe, branch: None });
            return Recipe::Fixed(Arm::of(None, awaiting.into_iter().collect()));
        }
        if let Some(row) = self.row_recipe(&ty) {
            return row;
        }
        let path = self.program.path(&ty);
        if let Some(collection) = self.collection(&ty, &path) {
            return collection;
        }
        let part = if subject.payload { Role::Transparent } else { role(&path) };
        match (&ty.kind, part) {
            (_, Role::Leaf) => Recipe::Fixed(self.leaf(&ty, path)),
            (TypeKind::Enum(variants), part) => self.enumeration(subject, &ty, variants, part, path),
            (_, part) => self.structure(subject, &ty, part, path),
        }
    }

    fn leaf(&self, ty: &Type, path: String) -> Arm {
        let frame = self.frame(ty, path, FrameKind::Leaf);
        Arm::of(Some(frame), Box::default())
    }

    pub(super) fn frame(&self, ty: &Type, function: String, kind: FrameKind) -> FrameId {
        self.frames.intern(Frame {
            function: function.into(),
            type_name: self.program.path(ty).into(),
            kind,
            state: FrameState::Suspended,
            suspend_point: None,
            line: None,
            expanded_from: None,
            size: ty.size,
            own_code: false,
            large_parts: Arc::default(),
        })
    }

    fn structure(&self, subject: Subject, ty: &Type, part: Role, path: String) -> Recipe {
        if let Some(select) = self.select_closure(ty, &path) {
            return select;
        }
        let through = part == Role::Transparent;
        let inner = Subject {
            // What a macro's closure has captured is what the macro polls.
            awaited: subject.awaited && (through || subject.expands.is_some()),
            payload: false,
            expands: subject.expands.filter(|_| through),
            ..subject
        };
        let awaiting = self.children(ty, inner);
        let shown = !through && (subject.awaited || part == Role::Future || !awaiting.is_empty());
        if !shown {
            return Recipe::Fixed(Arm::of(None, awaiting));
        }
        let kind = match awaiting.len() {
            0 => FrameKind::Leaf,
            _ if subject.expands.is_some() || part == Role::Future => FrameKind::Combinator,
            _ => FrameKind::Future,
        };
        let function = subject.expands.map_or(path, str::to_owned);
        let rows = ty.members.iter().any(|m| self.has_row(m.ty, MAX_SEARCH));
        let row = rows.then(|| self.frame(ty, function.clone(), FrameKind::Collection));
        let frame = self.frame(ty, function, kind);
        let field = !subject.awaited && part != Role::Future;
        Recipe::Fixed(Arm { row, kept: self.fields(ty), field, ..Arm::of(Some(frame), awaiting) })
    }

    fn enumeration(
        &self,
        subject: Subject,
        ty: &Type,
        variants: &Variants,
        part: Role,
        path: String,
    ) -> Recipe {
        let shown = subject.awaited && part != Role::Transparent;
        let stage = path.starts_with("tokio::runtime::task::core::Stage<");
        let inner = Subject { awaited: subject.awaited && !shown, payload: true, ..subject };
        let frame = shown.then(|| self.frame(ty, path, FrameKind::Future));
        let arms = variants.list.iter().map(|variant| {
            let wraps =
                self.program.ty(variant.payload.ty).is_some_and(|p| p.members.iter().any(|m| wraps(&p, m)));
            let awaiting = self.child(&variant.payload, inner, wraps, None);
            let ends = stage && matches!(&*variant.payload.name, "Finished" | "Consumed");
            let finished = stage && &*variant.payload.name == "Finished";
            Arm { ends, finished, ..Arm::of(frame, awaiting.into_iter().collect()) }
        });
        switch(variants, arms.collect())
    }

    /// Members that hold futures. A tuple's elements carry their number.
    fn children(&self, ty: &Type, subject: Subject) -> Box<[Child]> {
        let tuple = ty.name.starts_with('(');
        let numbered = |m: &Member| m.name.strip_prefix("__").and_then(|n| n.parse().ok()).filter(|_| tuple);
        // What `select!` and `join!` have in their tuples are futures, known ones or not.
        ty.members.iter().filter_map(|m| self.child(m, subject, tuple || wraps(ty, m), numbered(m))).collect()
    }

    /// `polled`: what polls the whole polls this.
    fn child(&self, member: &Member, subject: Subject, polled: bool, branch: Option<u8>) -> Option<Child> {
        let holds_one = polled && subject.awaited || self.bears(member.ty);
        if !holds_one {
            return None;
        }
        let recipe = self.id(Subject { die: member.ty, ..subject });
        Some(Child { offset: member.offset, deref: false, recipe, branch })
    }

    /// `select!` captures `_ref__disabled` and `_ref__futures` by reference, in its closure
    /// (<https://github.com/tokio-rs/tokio/blob/tokio-1.54.1/tokio/src/macros/select.rs>).
    fn select_closure(&self, ty: &Type, path: &str) -> Option<Recipe> {
        if !is_closure(path) {
            return None;
        }
        let pointee = |name: &str| {
            let member = ty.member(&format!("_ref__{name}")).or_else(|| ty.member(name))?;
            let TypeKind::Pointer(Some(to)) = self.program.ty(member.ty)?.kind else { return None };
            Some((member, self.program.ty(to)?))
        };
        let (mask, mask_ty) = pointee("disabled")?;
        let (futures, _) = pointee("futures")?;
        let mask_width = u8::try_from(mask_ty.size).ok().filter(|w| matches!(w, 1 | 2 | 4 | 8))?;
        let recipe = self.id(Subject::awaited(futures.ty));
        let inner = Child { offset: futures.offset, deref: false, recipe, branch: None };
        Some(Recipe::Select { mask: mask.offset, mask_width, inner })
    }

    fn coroutine(&self, ty: &Type, kind: CoroutineKind) -> Recipe {
        let Some(variants) = ty.variants() else { return Recipe::Unknown };
        let function: Arc<str> = self.program.function(ty, kind).into();
        let type_name: Arc<str> = self.program.path(ty).into();
        // `Unresumed` stands where the function does.
        let own_file =
            variants.list.first().and_then(|v| self.program.place(v.payload.decl?)).map(|(file, _)| file);
        let own_code = self.is_own(own_file.as_deref(), &function);
        let places = self.places(variants, own_file.as_deref(), own_code);
        let large_parts = self.large_parts(ty);
        let arms = variants.list.iter().zip(places).map(|(variant, (line, expanded_from))| {
            let payload = self.program.ty(variant.payload.ty);
            let state = payload.as_ref().map_or(FrameState::Unknown, |p| state_of(&p.name));
            let suspend_point = payload.as_ref().and_then(|p| p.name.strip_prefix("Suspend")?.parse().ok());
            let suspended = state == FrameState::Suspended;
            let frame = self.frames.intern(Frame {
                function: function.clone(),
                type_name: type_name.clone(),
                kind: match kind {
                    CoroutineKind::Fn => FrameKind::AsyncFn,
                    CoroutineKind::Block => FrameKind::AsyncBlock,
                    CoroutineKind::Closure => FrameKind::AsyncClosure,
                },
                state,
                suspend_point,
                line,
                expanded_from,
                size: ty.size,
                own_code,
                large_parts: large_parts.clone(),
            });
            let kept = self.kept(ty, variants, variant, state);
            let payload = payload.filter(|_| suspended);
            let (awaiting, held) = payload.map(|p| self.suspended(variant, &p)).unwrap_or_default();
            Arm { held, kept, ..Arm::of(Some(frame), awaiting) }
        });
        switch(variants, arms.collect())
    }

    /// The awaited future of a suspended state, and the futures in its other locals.
    fn suspended(&self, variant: &Variant, payload: &Type) -> (Box<[Child]>, Box<[Child]>) {
        let base = variant.payload.offset;
        let place = |member: &Member, subject: Subject| {
            let recipe = self.id(subject);
            Child { offset: base.wrapping_add(member.offset), deref: false, recipe, branch: None }
        };
        let file = variant.payload.decl.and_then(|d| self.program.place(d)).map(|(file, _)| file);
        let expands = file.as_deref().and_then(macro_name);
        let (mut awaiting, mut held) = (Vec::new(), Vec::new());
        for (i, member) in payload.members.iter().enumerate() {
            if &*member.name == "__awaitee" {
                awaiting.push(place(member, Subject { expands, ..Subject::awaited(member.ty) }));
            } else if self.is_future(member.ty, MAX_SEARCH) && slot_is_certain(&payload.members, i) {
                held.push(place(member, Subject::awaited(member.ty)));
            }
        }
        (awaiting.into(), held.into())
    }
}

/// Whether a wrapper is generic over this member, as `Stage<T>` and its `Running<T>` are: it may be a future of which nothing
/// but its fields is known.
fn wraps(wrapper: &Type, member: &Member) -> bool {
    ["T", "F", "Fut", "Ptr"].iter().any(|name| wrapper.argument(name) == Some(member.ty))
}

fn switch(variants: &Variants, arms: Box<[Arm]>) -> Recipe {
    let mut select = Vec::new();
    let mut default = None;
    for (i, variant) in variants.list.iter().enumerate() {
        if variant.values.is_empty() {
            default = Some(i as u32);
        }
        select.extend(variant.values.iter().map(|(low, high)| (*low, *high, i as u32)));
    }
    select.sort_unstable();
    Recipe::Switch { discriminant: variants.discriminant, select: select.into(), default, arms }
}

/// The discriminants of an enum, its arms empty: for enums that hold no futures but tell something.
pub fn switch_of(variants: &Variants) -> Recipe {
    let arms = variants.list.iter().map(|_| Arm::of(None, Box::default())).collect();
    switch(variants, arms)
}

fn state_of(payload: &str) -> FrameState {
    match payload {
        "Unresumed" => FrameState::Unresumed,
        "Returned" => FrameState::Returned,
        "Panicked" => FrameState::Panicked,
        name if name.starts_with("Suspend") => FrameState::Suspended,
        _ => FrameState::Unknown,
    }
}

/// rustc gives every local of one name in a variant the offset of the first (shadowed locals, parameters listed
/// again), so only the first of a name can be trusted.
pub(super) fn slot_is_certain(members: &[Member], i: usize) -> bool {
    members[..i].iter().all(|earlier| earlier.name != members[i].name)
}
