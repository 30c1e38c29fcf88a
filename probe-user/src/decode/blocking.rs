//! Closures given to `spawn_blocking`, on a thread of the pool or waiting for one.
//!
//! A closure that runs is in no list, and what the search finds may be freed memory. Its header tells against that: a
//! closure's task is never freed before it is marked complete. What runs must moreover be known to the thread that runs it.

use super::discover::{Found, HEADER_VTABLE};
use super::stacks::Stacks;
use super::{RuntimeKind, Task, TaskId, TaskState};
use crate::runtime::TaskWord;
use crate::target::{Avma, Memory};
use std::collections::HashSet;

/// `found` is what the search took for tasks of the blocking pool.
pub(super) fn closures<M: Memory>(memory: &M, found: &[Found], stacks: &Stacks) -> Vec<Task> {
    found
        .iter()
        .filter(|found| !is_worker(&found.vtable.site.name))
        .filter_map(|f| closure(memory, f, stacks))
        .collect()
}

/// Ids of the closures that are a runtime's own worker threads.
pub(super) fn workers<M: Memory>(memory: &M, found: &[Found]) -> HashSet<u64> {
    let own = found.iter().filter(|found| is_worker(&found.vtable.site.name));
    own.filter_map(|f| memory.read_u64(f.header.offset(f.vtable.id?)).ok()).collect()
}

fn closure<M: Memory>(memory: &M, found: &Found, stacks: &Stacks) -> Option<Task> {
    let header = found.header;
    let vtable = memory.read_u64(header.offset(HEADER_VTABLE)).ok()?;
    let id = memory.read_u64(header.offset(found.vtable.id?)).ok().filter(|id| *id != 0)?;
    let word = TaskWord(memory.read_u64(header).ok()?);
    if Avma(vtable) != found.vtable.address || !word.plausible() || word.complete() {
        return None;
    }
    let on_a_stack = stacks.asleep.iter().any(|stack| stack.copy.holds(header.0));
    let state = match (word.running(), word.notified()) {
        (true, _) => TaskState::Running,
        (false, true) => TaskState::Scheduled,
        // Between the two nothing leaves it.
        (false, false) => return None,
    };
    if state == TaskState::Running && !on_a_stack && stacks.running.is_empty() {
        return None;
    }
    Some(Task {
        spawned_at: None,
        queue: None,
        wakers: None,
        id: TaskId { runtime: RuntimeKind::Tokio, id },
        address: header,
        state,
        stale: state == TaskState::Running && !on_a_stack,
        name: found.vtable.site.name.clone(),
        owner: None,
        tree: None,
        waits: Box::default(),
        holds: Box::default(),
    })
}

/// The worker threads of a multi-thread runtime are the pool's, too: that is no closure of the user's
/// (<https://github.com/tokio-rs/tokio/blob/tokio-1.54.1/tokio/src/runtime/scheduler/multi_thread/worker.rs>, `launch`).
fn is_worker(name: &str) -> bool {
    name.starts_with("tokio::runtime::scheduler::multi_thread::")
        || name.starts_with("tokio::runtime::thread_pool::")
}
