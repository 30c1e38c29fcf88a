//! What a task waits for, as far as the *types* at the end of its await chains tell.
//!
//! Names only: which lock, which socket and until when are facts of memory, not known here.

use crate::decode::{Frame, FrameId, FrameKind, FrameState, Frames, Node};
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WaitKind {
    Timer,
    Mutex,
    RwLock,
    Semaphore,
    Mpsc,
    Oneshot,
    Watch,
    Broadcast,
    Notify,
    Barrier,
    Join,
    Io,
    OnceCell,
    Unknown,
}

impl WaitKind {
    /// The word of the JSON schema.
    pub fn as_str(self) -> &'static str {
        match self {
            WaitKind::Timer => "timer",
            WaitKind::Mutex => "mutex",
            WaitKind::RwLock => "rwlock",
            WaitKind::Semaphore => "semaphore",
            WaitKind::Mpsc => "mpsc",
            WaitKind::Oneshot => "oneshot",
            WaitKind::Watch => "watch",
            WaitKind::Broadcast => "broadcast",
            WaitKind::Notify => "notify",
            WaitKind::Barrier => "barrier",
            WaitKind::Join => "join",
            WaitKind::Io => "io",
            WaitKind::OnceCell => "once_cell",
            WaitKind::Unknown => "unknown",
        }
    }
}

/// One thing a task waits for, named by the future at the chain's end (or, where that is a bare `PollFn`, by the
/// one around it). A task inside `select!` or `join!` waits for several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Wait {
    pub kind: WaitKind,
    pub leaf: FrameId,
}

/// How many leaves of one tree are looked at.
const LEAVES: usize = 64;

pub fn waits_of(tree: &Node, frames: &Frames) -> Vec<Wait> {
    let mut waits = Vec::new();
    collect(tree, frames, &mut Vec::new(), &mut waits);
    waits
}

/// The same for a chain, outermost first, of which no tree is known.
pub fn wait_of_chain(chain: &[FrameId], frames: &Frames) -> Option<Wait> {
    let (id, above) = chain.split_last()?;
    let frame = frames.get(*id);
    let leaf = *above.last().filter(|_| is_bare(&frame)).unwrap_or(id);
    let above: Vec<_> = above.iter().map(|id| (*id, frames.get(*id))).collect();
    waits_for_something(&frame).then(|| Wait { kind: kind_of(&frame, &above), leaf })
}

fn collect(node: &Node, frames: &Frames, above: &mut Vec<(FrameId, Arc<Frame>)>, out: &mut Vec<Wait>) {
    if out.len() >= LEAVES {
        return;
    }
    let frame = frames.get(node.frame);
    if node.awaiting.is_empty() {
        if waits_for_something(&frame) {
            let leaf = above.last().filter(|_| is_bare(&frame)).map_or(node.frame, |(id, _)| *id);
            out.push(Wait { kind: kind_of(&frame, above), leaf });
        }
        return;
    }
    above.push((node.frame, frame));
    for child in &node.awaiting {
        collect(child, frames, above, out);
    }
    above.pop();
}

/// A coroutine without an awaited future has not begun, is running, or has ended: it waits for nothing.
fn waits_for_something(frame: &Frame) -> bool {
    let ended = matches!(frame.state, FrameState::Unresumed | FrameState::Returned | FrameState::Panicked);
    match frame.kind {
        FrameKind::Leaf => !ended,
        FrameKind::Future | FrameKind::Combinator => frame.state == FrameState::Suspended,
        FrameKind::AsyncFn | FrameKind::AsyncBlock | FrameKind::AsyncClosure => false,
    }
}

/// Whether its name says nothing of what it waits for.
fn is_bare(leaf: &Frame) -> bool {
    leaf.function.split('<').next().is_some_and(|head| head.ends_with("PollFn"))
}

fn kind_of(leaf: &Frame, above: &[(FrameId, Arc<Frame>)]) -> WaitKind {
    let head = type_head(&leaf.type_name);
    let has = |what: &str| head.contains(what) || type_head(&leaf.function).contains(what);
    let inside = |what: &str| {
        has(what)
            || above
                .iter()
                .rev()
                .map(|(_, frame)| frame)
                .take_while(|f| !f.own_code)
                .any(|f| type_head(&f.function).contains(what))
    };
    if has("::time::") || has("async_io::Timer") {
        WaitKind::Timer
    } else if has("JoinHandle") || has("async_task::task::Task") {
        WaitKind::Join
    } else if has("oneshot::") {
        WaitKind::Oneshot
    } else if inside("::once_cell::") {
        WaitKind::OnceCell
    } else if has("batch_semaphore::") {
        match () {
            () if inside("::mutex::") => WaitKind::Mutex,
            () if inside("::rwlock::") => WaitKind::RwLock,
            () if inside("::mpsc::") => WaitKind::Mpsc,
            () => WaitKind::Semaphore,
        }
    } else if has("::mpsc::") {
        WaitKind::Mpsc
    } else if inside("::broadcast::") {
        WaitKind::Broadcast
    } else if has("Notified") || has("::watch::") {
        match () {
            // A barrier waits on a watch channel of its own.
            () if inside("::barrier::") => WaitKind::Barrier,
            () if inside("::watch::") => WaitKind::Watch,
            () => WaitKind::Notify,
        }
    } else if inside("tokio::net::")
        || inside("tokio::io::")
        || inside("runtime::io::")
        || has("async_io::Ready")
    {
        WaitKind::Io
    } else {
        WaitKind::Unknown
    }
}

/// The type's own path without its parameters; for a `PollFn`, the path of the closure it polls.
fn type_head(name: &str) -> &str {
    let (head, parameters) = match name.split_once('<') {
        Some((head, parameters)) if !head.is_empty() => (head, parameters),
        _ => return name,
    };
    if head.ends_with("PollFn") { parameters.split_once('<').map_or(parameters, |(h, _)| h) } else { head }
}
