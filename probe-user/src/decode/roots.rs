//! Futures that no task holds: those given to `block_on`.
//!
//! Such a future lies on its thread's stack, or in a box that only the stack knows. The thread is not stopped: while it
//! sleeps its stack does not change, so the stack is unwound from a copy, and debug information tells where the variables
//! of `block_on` are. A future that is pinned there is pinned until `block_on` returns.
//!
//! By which variable of which function does not matter: optimised code keeps one here and another there. What matters
//! is that it has the type that `block_on` was made for, and that it stands at an await: one that has not been polled yet
//! is a copy that was moved from.

use super::holds::RawHold;
use super::recipe::Recipes;
use super::stacks::{StackFrame, ThreadStack};
use super::waits::RawWait;
use super::walk::Walker;
use super::{FrameState, Node, RuntimeKind, Task, TaskId, TaskState};
use crate::dwarf::{
    Chain, DieRef, FrameValues, Placed, Program, Scope, Type, TypeKind, future_name, split_arguments,
};
use crate::target::{Avma, CachedMemory, Image, Memory};
use std::sync::Arc;

/// Nesting of closures and pins that is looked through for a pointer.
const MAX_NESTING: usize = 4;
/// Members of such a closure.
const MAX_MEMBERS: usize = 64;

/// A future given to `block_on`.
#[derive(Clone, Debug)]
pub struct Root {
    pub task: Task,
    pub(super) waits: Box<[RawWait]>,
    pub(super) holds: Box<[RawHold]>,
    /// As seen where this command runs.
    pub tid: u32,
    /// It is tokio that blocks, inside of a runtime.
    pub in_tokio: bool,
    /// Its tree is whole.
    pub whole: bool,
}

#[derive(Debug, Default)]
pub struct Roots {
    pub list: Vec<Root>,
    pub issues: Vec<String>,
}

/// A function that has not returned, in the order of calls; inlined ones too.
struct Call<'a> {
    frame: StackFrame,
    chain: Arc<Chain<'a>>,
    scope: usize,
}

/// Calls of one `block_on`, which is made of several functions: from the outermost to the innermost of them.
struct Block {
    first: usize,
    last: usize,
    /// Inside of it the future is being polled.
    polled: bool,
    /// Another future is: a task of a current-thread runtime.
    left: bool,
}

/// A place that may be the future's.
struct Candidate {
    at: Avma,
    ty: DieRef,
    pinned: bool,
}

/// One reading of a candidate.
struct Reading {
    tree: Node,
    whole: bool,
    waits: Box<[RawWait]>,
    holds: Box<[RawHold]>,
}

/// What the search needs.
pub struct RootSearch<'s, 'p, 'a, M: Memory> {
    pub recipes: &'s Recipes<'p, 'a>,
    pub memory: &'s M,
    pub image: &'s Image,
}

impl<'a, M: Memory> RootSearch<'_, '_, 'a, M> {
    pub fn run(&self, threads: &[ThreadStack]) -> Roots {
        let mut roots = Roots::default();
        for stack in threads {
            let calls = self.calls(stack);
            for (depth, block) in blocks(&calls).iter().enumerate() {
                match self.root(stack, &calls, block, depth) {
                    Ok(root) => roots.list.push(root),
                    Err(issue) => roots.issues.push(issue),
                }
            }
        }
        roots
    }

    fn program(&self) -> &Program<'a> {
        self.recipes.program
    }

    /// Outermost first; only those of the program itself.
    fn calls(&self, stack: &ThreadStack) -> Vec<Call<'a>> {
        let mut calls = Vec::new();
        for frame in stack.frames.iter().rev() {
            let Some(chain) = self.image.to_svma(frame.code).and_then(|at| self.program().functions_at(at))
            else {
                continue;
            };
            for scope in 0..chain.scopes.len() {
                calls.push(Call { frame: *frame, chain: chain.clone(), scope });
            }
        }
        calls
    }

    fn root(
        &self,
        stack: &ThreadStack,
        calls: &[Call<'a>],
        block: &Block,
        depth: usize,
    ) -> Result<Root, String> {
        let tid = stack.registers.tid;
        let inside = &calls[block.first..=block.last];
        let mut futures: Vec<&str> = inside.iter().filter_map(|call| blocked_on(call.scope())).collect();
        futures.dedup();
        let outermost = futures.first().copied().unwrap_or("?");
        let name = future_name(peeled(outermost));
        let lost = |why: &str| format!("thread {tid} is in block_on of {name}: {why}");
        let candidates = self.candidates(stack, inside, &futures);
        if candidates.is_empty() {
            return Err(lost("its future was not found"));
        }
        let fitting = candidates.iter().find_map(|one| Some((one, self.decode(one, block)?)));
        let Some((Candidate { at, ty, .. }, read)) = fitting else {
            return Err(lost("its future was not found where it awaits"));
        };
        let moved = self.decode(&Candidate { at: *at, ty: *ty, pinned: true }, block);
        let Reading { tree, whole, mut waits, mut holds } = read;
        let steady = moved.is_some_and(|again| again.tree == tree);
        // Functions that are equal to the byte are folded into one, and then go by one name. Their callers tell.
        let path = self.program().ty(*ty).map(|ty| self.program().path(&ty)).unwrap_or_default();
        if !futures.iter().all(|future| path.contains(peeled(future)) || peeled(future).contains(&path)) {
            return Err(lost("several futures share its code"));
        }
        let frames = &self.recipes.frames;
        let state = if block.polled { TaskState::Running } else { TaskState::Idle };
        if block.polled {
            // What it waited for is over, what comes next is not known.
            (waits, holds) = (Box::default(), Box::default());
        }
        let named = named_by(&tree, peeled(outermost), frames).unwrap_or(&tree);
        let task = Task {
            spawned_at: None,
            queue: None,
            wakers: None,
            // Several on one thread, one inside of the other: the inner ones are numbered above the thread's id.
            id: TaskId { runtime: RuntimeKind::BlockOn, id: (depth as u64) << 32 | u64::from(tid) },
            address: *at,
            state,
            stale: block.polled || !steady,
            name: frames.get(named.frame).function.clone(),
            owner: None,
            waits: Box::default(),
            holds: Box::default(),
            tree: Some(tree),
        };
        let in_tokio = inside.iter().any(|call| call.scope().path.starts_with("tokio::"));
        Ok(Root { task, waits, holds, tid, in_tokio, whole })
    }

    /// The tree of what is at a candidate's place, if that is a future that may be there now.
    fn decode(&self, candidate: &Candidate, block: &Block) -> Option<Reading> {
        let cache = CachedMemory::new(self.memory, 0);
        let mut walker = Walker::new(self.recipes, &cache, self.image.bias);
        let mut roots = walker.tree(None, candidate.at, self.recipes.future(candidate.ty));
        if roots.is_empty() {
            return None;
        }
        let root = roots.swap_remove(0);
        let coroutine = self.program().ty(candidate.ty)?.coroutine().is_some();
        let suspended = self.recipes.frames.get(root.frame).state == FrameState::Suspended;
        // Before it sleeps for the first time `block_on` has polled its future, which then stays where it is.
        let fits = if candidate.pinned { block.polled || suspended } else { coroutine && suspended };
        fits.then_some(Reading {
            tree: root,
            whole: !walker.incomplete,
            waits: walker.waits.into(),
            holds: walker.holds.into(),
        })
    }

    /// Pinned ones first, and innermost first: the innermost function is the one that polls.
    fn candidates(&self, stack: &ThreadStack, calls: &[Call<'a>], futures: &[&str]) -> Vec<Candidate> {
        let mut found = Vec::new();
        let word = |at: Avma| stack.word(self.memory, at);
        for call in calls.iter().rev() {
            let frame = self.values(&call.frame, &word);
            for variable in call.scope().variables.iter().rev() {
                self.candidates_of(variable.ty, futures, &word, &mut found, &|| {
                    self.program().locate(&call.chain, variable, &frame).into_iter().collect()
                });
            }
        }
        found.sort_by_key(|candidate| !candidate.pinned);
        // Where its variables are lost by the time it sleeps, they may have been in the same frame before.
        let mut last = None;
        for call in calls.iter().rev().filter(|call| last.replace(call.frame.cfa) != Some(call.frame.cfa)) {
            let frame = self.values(&call.frame, &word);
            let mut elsewhere = Vec::new();
            let variables = self.program().variables_of(&call.chain);
            for variable in &variables {
                self.candidates_of(variable.ty, futures, &word, &mut elsewhere, &|| {
                    self.program().places_in_frame(&call.chain, variable, &frame)
                });
            }
            // A pointer there may be an old one.
            found.extend(elsewhere.into_iter().map(|one| Candidate { pinned: false, ..one }));
            // Else the code itself tells: what it polls it keeps the address of, in a register that outlives calls.
            let innermost = futures.last().map_or("", |innermost| peeled(innermost));
            let is_innermost =
                |ty: &DieRef| self.program().ty(*ty).is_some_and(|ty| self.program().path(&ty) == innermost);
            let known = found.iter().map(|one| one.ty).chain(variables.iter().map(|variable| variable.ty));
            if let Some(ty) = { known }.find(is_innermost) {
                let kept = registers_into_frame(&call.frame, self.program().code_of(&call.chain));
                found.extend(kept.map(|at| Candidate { at, ty, pinned: false }));
            }
        }
        found
    }

    fn values<'f>(&self, frame: &'f StackFrame, word: &'f dyn Fn(Avma) -> Option<u64>) -> FrameValues<'f> {
        FrameValues { registers: &frame.registers, cfa: frame.cfa, bias: self.image.bias, word }
    }

    /// What a variable of this type may tell.
    fn candidates_of(
        &self,
        ty: DieRef,
        futures: &[&str],
        word: &dyn Fn(Avma) -> Option<u64>,
        found: &mut Vec<Candidate>,
        places: &dyn Fn() -> Vec<Placed>,
    ) {
        let Some(ty) = self.program().ty(ty).filter(|ty| ty.size > 0) else { return };
        if self.is_future(&ty, futures) {
            let at = places().into_iter().filter_map(|placed| placed.address());
            found.extend(at.map(|at| Candidate { at, ty: ty.die, pinned: false }));
            return;
        }
        let mut pointers = Vec::new();
        self.pointers(&ty, 0, MAX_NESTING, &mut pointers);
        if pointers.is_empty() {
            return;
        }
        for placed in places() {
            let behind = |(offset, to): &(u64, DieRef)| self.behind(&placed, *offset, *to, futures, word);
            found.extend(pointers.iter().filter_map(behind));
        }
    }

    fn is_one_of(&self, ty: &Type, futures: &[&str]) -> bool {
        let path = self.program().path(ty);
        futures.iter().any(|future| *future == path || peeled(future) == path)
    }

    /// Pointers inside of a value, by value: in pins, in what closures capture.
    fn pointers(&self, ty: &Type, offset: u64, depth: usize, found: &mut Vec<(u64, DieRef)>) {
        match &ty.kind {
            TypeKind::Pointer(Some(to)) => found.push((offset, *to)),
            TypeKind::Struct if depth > 0 && found.len() < MAX_MEMBERS => {
                for member in ty.members.iter().take(MAX_MEMBERS) {
                    if let Some(inner) = self.program().ty(member.ty) {
                        self.pointers(&inner, offset.wrapping_add(member.offset), depth - 1, found);
                    }
                }
            }
            _ => {}
        }
    }

    /// The future that a pointer leads to, through further pins and boxes.
    fn behind(
        &self,
        placed: &Placed,
        offset: u64,
        to: DieRef,
        futures: &[&str],
        word: &dyn Fn(Avma) -> Option<u64>,
    ) -> Option<Candidate> {
        let mut at = None;
        let mut ty = self.program().ty(to)?;
        for _ in 0..MAX_NESTING {
            let pointer = match at {
                None => placed.word(offset, word)?,
                Some(at) => word(at)?,
            };
            if self.is_future(&ty, futures) {
                let at = Avma(pointer);
                return (!at.is_null()).then_some(Candidate { at, ty: ty.die, pinned: true });
            }
            let mut inner = Vec::new();
            self.pointers(&ty, 0, MAX_NESTING, &mut inner);
            let [(inner_offset, to)] = inner[..] else { return None };
            if ty.size != 8 {
                return None;
            }
            at = Some(Avma(pointer).offset(inner_offset));
            ty = self.program().ty(to)?;
        }
        None
    }

    fn is_future(&self, ty: &Type, futures: &[&str]) -> bool {
        // A pin or a box is one only to the type system: what it points to has the states.
        let wrapper = matches!(ty.kind, TypeKind::Pointer(_)) || ty.name.starts_with("Pin<");
        ty.size > 0 && !wrapper && self.is_one_of(ty, futures)
    }
}

impl<'a> Call<'a> {
    fn scope(&self) -> &Scope<'a> {
        &self.chain.scopes[self.scope]
    }
}

/// Places in a frame that its function's code makes an address of (`lea disp(%rsp), reg`), and has in a register that
/// outlives calls.
fn registers_into_frame(frame: &StackFrame, code: &[u8]) -> impl Iterator<Item = Avma> {
    let sp = frame.registers.sp().map_or(u64::MAX, |sp| sp.0);
    let kept = frame.registers.callee_saved().filter(move |at| (sp..frame.cfa.0).contains(at));
    let kept: Vec<u64> = kept.filter(|at| addressed(code, at - sp)).collect();
    kept.into_iter().map(Avma)
}

/// `lea disp(%rsp), reg` with this displacement: REX.W 8d, ModRM with a base by SIB, SIB of rsp alone.
fn addressed(code: &[u8], displacement: u64) -> bool {
    let Ok(displacement) = i32::try_from(displacement) else { return false };
    if displacement == 0 {
        // mov %rsp, reg
        return code.windows(3).any(|w| matches!(w, [0x48 | 0x49, 0x89, modrm] if modrm & 0xf8 == 0xe0));
    }
    code.windows(8).any(|window| {
        let [rex, 0x8d, modrm, 0x24, disp @ ..] = window else { return false };
        let told = match modrm & 0xc7 {
            0x44 => i32::from(disp[0] as i8),
            0x84 => i32::from_le_bytes([disp[0], disp[1], disp[2], disp[3]]),
            _ => return false,
        };
        matches!(rex, 0x48 | 0x4c) && told == displacement
    })
}

/// The calls of `block_on`, outermost first.
fn blocks(calls: &[Call<'_>]) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for (i, call) in calls.iter().enumerate() {
        let scope = call.scope();
        match blocks.last_mut().filter(|block| !block.left && !block.polled) {
            Some(block) if blocked_on(scope).is_some() || is_part_of_block_on(scope) => block.last = i,
            Some(block) if is_task_poll(scope) => block.left = true,
            Some(block) if is_poll(scope) => block.polled = true,
            Some(_) => {}
            None if blocked_on(scope).is_some() => {
                blocks.push(Block { first: i, last: i, polled: false, left: false });
            }
            None => {}
        }
    }
    blocks
}

/// The type of the future that `block_on<F>` was made for.
fn blocked_on<'s>(scope: &'s Scope<'_>) -> Option<&'s str> {
    let arguments = ["block_on_inner", "block_on"].iter().find_map(|name| scope.name.strip_prefix(name))?;
    let arguments = split_arguments(arguments);
    // Some have the output's type as well, before the future's or after it.
    arguments.iter().find(|argument| argument.contains("{async_")).or(arguments.last()).copied()
}

/// A closure of `block_on`.
fn is_part_of_block_on(scope: &Scope<'_>) -> bool {
    scope.name.starts_with("{closure#") && scope.path.split("::").any(|part| part == "block_on")
}

fn is_task_poll(scope: &Scope<'_>) -> bool {
    &*scope.path == "tokio::runtime::task::raw" && scope.name.starts_with("poll")
}

/// A coroutine's body, or `poll` of an impl of Future.
fn is_poll(scope: &Scope<'_>) -> bool {
    let coroutine =
        ["{async_fn#", "{async_block#", "{async_closure#"].iter().any(|p| scope.name.starts_with(p));
    let of_impl = || scope.path.rsplit("::").next().is_some_and(|last| last.starts_with("{impl"));
    coroutine || ((&*scope.name == "poll" || scope.name.starts_with("poll<")) && of_impl())
}

/// `core::pin::Pin<&mut F>` → `F`.
fn peeled(mut future: &str) -> &str {
    const AROUND: [(&str, &str); 4] = [
        ("core::pin::Pin<", ">"),
        ("alloc::boxed::Box<", ", alloc::alloc::Global>"),
        ("alloc::boxed::Box<", ">"),
        ("&mut ", ""),
    ];
    loop {
        let inner =
            AROUND.iter().find_map(|(before, after)| future.strip_prefix(before)?.strip_suffix(after));
        match inner {
            Some(inner) => future = inner,
            None => return future,
        }
    }
}

/// The node of this type along the first branches.
fn named_by<'n>(node: &'n Node, type_name: &str, frames: &super::Frames) -> Option<&'n Node> {
    let mut at = node;
    loop {
        if &*frames.get(at.frame).type_name == type_name {
            return Some(at);
        }
        at = at.awaiting.first()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_of_one_slot() {
        // lea 0x48(%rsp),%r12; lea 0x110(%rsp),%rdi; mov %rsp,%rsi
        let code = [0x4c, 0x8d, 0x64, 0x24, 0x48, 0x48, 0x8d, 0xbc, 0x24, 0x10, 1, 0, 0, 0x48, 0x89, 0xe6];
        assert!(addressed(&code, 0x48) && addressed(&code, 0x110) && addressed(&code, 0));
        assert!(!addressed(&code, 0x40) && !addressed(&code[..13], 0));
    }

    #[test]
    fn wrappers_are_taken_off() {
        assert_eq!(
            peeled("core::pin::Pin<&mut app::f::{async_fn_env#0}<u8>>"),
            "app::f::{async_fn_env#0}<u8>"
        );
        let boxed = "core::pin::Pin<alloc::boxed::Box<app::F, alloc::alloc::Global>>";
        assert_eq!(peeled(boxed), "app::F");
        assert_eq!(peeled("app::F"), "app::F");
    }
}
