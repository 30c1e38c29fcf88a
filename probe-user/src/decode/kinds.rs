//! What a task waits for, as far as the *types* at the end of its await chains tell.
//!
//! Names only: which lock, which socket and until when are facts of memory, not known here.

use super::{Frame, FrameId, FrameKind, FrameState, Frames, Node, ResourceKind, Wait, place_of};
use std::sync::Arc;

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
    let at = place_of(chain, frames);
    waits_for_something(&frame).then(|| Wait { at, ..Wait::of_kind(kind_of(&frame, &above), leaf) })
}

fn collect(node: &Node, frames: &Frames, above: &mut Vec<(FrameId, Arc<Frame>)>, out: &mut Vec<Wait>) {
    if out.len() >= LEAVES {
        return;
    }
    let frame = frames.get(node.frame);
    if node.awaiting.is_empty() {
        if waits_for_something(&frame) {
            let leaf = above.last().filter(|_| is_bare(&frame)).map_or(node.frame, |(id, _)| *id);
            let chain: Vec<FrameId> = above.iter().map(|(id, _)| *id).chain([node.frame]).collect();
            let at = place_of(&chain, frames);
            out.push(Wait { at, ..Wait::of_kind(kind_of(&frame, above), leaf) });
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
pub(super) fn waits_for_something(frame: &Frame) -> bool {
    let ended = matches!(frame.state, FrameState::Unresumed | FrameState::Returned | FrameState::Panicked);
    match frame.kind {
        FrameKind::Leaf => !ended,
        FrameKind::Future | FrameKind::Combinator | FrameKind::Collection => {
            frame.state == FrameState::Suspended
        }
        FrameKind::AsyncFn | FrameKind::AsyncBlock | FrameKind::AsyncClosure => false,
    }
}

/// Whether its name says nothing of what it waits for.
pub(super) fn is_bare(leaf: &Frame) -> bool {
    leaf.function.split('<').next().is_some_and(|head| head.ends_with("PollFn"))
}

pub(super) fn kind_of(leaf: &Frame, above: &[(FrameId, Arc<Frame>)]) -> ResourceKind {
    let inner = above.iter().rev().map(|(_, frame)| frame).take_while(|frame| !frame.own_code);
    let inner: Vec<&str> = inner.map(|frame| &*frame.function).collect();
    kind_of_names(&[&leaf.type_name, &leaf.function], &inner)
}

/// By the names of a future that awaits no other, and by those of the futures around it that are not the program's own.
pub fn kind_of_names(leaf: &[&str], above: &[&str]) -> ResourceKind {
    let has = |what: &str| leaf.iter().any(|name| type_head(name).contains(what));
    let inside = |what: &str| has(what) || above.iter().any(|name| type_head(name).contains(what));
    if has("::time::") || has("async_io::Timer") {
        ResourceKind::Timer
    } else if has("JoinHandle") || has("::join_set::") || has("async_task::task::") {
        ResourceKind::Join
    } else if has("oneshot::") {
        ResourceKind::Oneshot
    } else if inside("::once_cell::") && (has("batch_semaphore::") || has("event_listener::")) {
        // Who makes the value waits for whatever its own future waits for.
        ResourceKind::OnceCell
    } else if has("event_listener::") {
        match () {
            // Each of these is made of the next ones.
            () if inside("async_lock::barrier::") => ResourceKind::Barrier,
            () if inside("async_lock::rwlock::") => ResourceKind::RwLock,
            () if inside("async_lock::mutex::") => ResourceKind::Mutex,
            () if inside("async_lock::semaphore::") => ResourceKind::Semaphore,
            () if inside("async_channel::") => ResourceKind::Mpsc,
            () => ResourceKind::Notify,
        }
    } else if has("batch_semaphore::") {
        match () {
            () if inside("::mutex::") => ResourceKind::Mutex,
            () if inside("::rwlock::") => ResourceKind::RwLock,
            () if inside("::mpsc::") => ResourceKind::Mpsc,
            () => ResourceKind::Semaphore,
        }
    } else if has("::scheduled_io::") {
        ResourceKind::Io
    } else if has("::mpsc::") {
        ResourceKind::Mpsc
    } else if inside("::broadcast::") {
        ResourceKind::Broadcast
    } else if has("Notified") || has("::watch::") {
        match () {
            // A signal's arrival is told through a watch channel, a closed mpsc channel through a notify.
            () if inside("tokio::signal::") => ResourceKind::Io,
            () if inside("::mpsc::") => ResourceKind::Mpsc,
            // A barrier waits on a watch channel of its own.
            () if inside("::barrier::") => ResourceKind::Barrier,
            () if inside("::watch::") => ResourceKind::Watch,
            () => ResourceKind::Notify,
        }
    } else if inside("tokio::net::")
        || inside("tokio::io::")
        || inside("runtime::io::")
        || has("async_io::Ready")
    {
        ResourceKind::Io
    } else {
        ResourceKind::Unknown
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
