//! Polls that threads are in, without probes: the runtime's thread-locals say which task, the kernel what the thread does.
//!
//! Two readings in which a thread has run no further show one and the same sleep.

use super::code_names::CodeSource;
use super::discover::Discovery;
use super::stacks::{StackFrame, Stacks};
use super::system_calls::call_name;
use super::{CodeFrame, Inspector, RuntimeKind, Snapshot, TaskId};
use crate::runtime::{Reflect, ThreadWorker, thread_worker};
use crate::target::{Avma, Subject};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;

/// Threads that are told of in one snapshot.
const MOST: usize = 1024;

/// A thread that polls a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadPoll {
    /// As seen where this command runs.
    pub tid: u32,
    pub task: TaskId,
    /// Which of [`super::Snapshot::runtimes`] the thread works for. None where it is inside of none: a thread of the blocking
    /// pool, or one that only blocks on a future.
    pub runtime: Option<u32>,
    /// Which of its workers. None of a runtime with one thread.
    pub worker: Option<u32>,
    /// How often the worker has gone for its next task; it wraps. None where the thread has given the worker's part away, as
    /// within `block_in_place`.
    pub tick: Option<u32>,
    /// None of a core file.
    pub asleep: Option<bool>,
    /// In which it sleeps. None if in none: it waits for a page.
    pub system_call: Option<Arc<str>>,
    /// What a `futex` call waits at.
    pub futex: Option<Avma>,
    /// How long the thread has run in all, ns; None where the kernel does not say.
    pub ran_ns: Option<u64>,
    /// Of a thread that sleeps: the stack pointer, and what was called since the poll began, innermost first.
    pub sp: Option<Avma>,
    pub stack: Box<[CodeFrame]>,
}

impl ThreadPoll {
    /// Whether this is the poll that was read before, under way since then: the thread has slept all the time, or its worker
    /// has not gone for another task. In one tick up to four polls may follow each other, by way of the LIFO slot.
    pub fn lasts_since(&self, before: &ThreadPoll) -> bool {
        let key = |poll: &ThreadPoll| (poll.tid, poll.task, poll.runtime, poll.worker);
        if key(self) != key(before) {
            return false;
        }
        let slept = self.slept_since(before);
        let same_tick = self.tick.is_some() && self.tick == before.tick;
        slept || same_tick
    }

    /// Whether its thread has not run at all since then.
    pub fn slept_since(&self, before: &ThreadPoll) -> bool {
        let same = (self.tid, self.task, self.sp) == (before.tid, before.task, before.sp);
        let asleep = self.asleep == Some(true) && before.asleep == Some(true);
        same && asleep && self.ran_ns.is_some() && self.ran_ns == before.ran_ns
    }
}

/// How long a poll was seen to last, by readings that had it the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lasting {
    /// The first of them, CLOCK_MONOTONIC ns.
    pub since_ns: u64,
    /// How long its thread had run then; see [`ThreadPoll::ran_ns`].
    pub ran_ns: Option<u64>,
    /// It has not run at all since then.
    pub slept: bool,
    /// Readings, without the first.
    pub again: u32,
}

impl Lasting {
    /// Of each poll of a snapshot; `before`: the one before it, with what was made of that.
    pub fn of(before: Option<(&Snapshot, &[Option<Lasting>])>, now: &Snapshot) -> Vec<Option<Lasting>> {
        let Some(polls) = &now.polls else { return Vec::new() };
        let Some((before, known)) = before else { return vec![None; polls.len()] };
        let earlier: HashMap<u32, (usize, &ThreadPoll)> =
            before.polls.iter().flatten().enumerate().map(|(i, poll)| (poll.tid, (i, poll))).collect();
        let one = |poll: &ThreadPoll| {
            let (i, earlier) = earlier.get(&poll.tid).filter(|(_, earlier)| poll.lasts_since(earlier))?;
            let first = Lasting { since_ns: before.t_ns?, ran_ns: earlier.ran_ns, slept: true, again: 0 };
            let known = known.get(*i).copied().flatten().unwrap_or(first);
            let slept = known.slept && poll.slept_since(earlier);
            Some(Lasting { slept, again: known.again + 1, ..known })
        };
        polls.iter().map(one).collect()
    }
}

impl<S: Subject> Inspector<S> {
    /// None where this program's threads do not tell which task they poll. `alive`: the kernel can be asked.
    pub(super) fn polls(
        &mut self,
        tls_blocks: &HashMap<u32, Avma>,
        discovery: &Discovery,
        stacks: &Stacks,
        alive: bool,
    ) -> Option<Vec<ThreadPoll>> {
        if self.polling.threads.is_empty() {
            return None;
        }
        let mut names = std::mem::take(&mut self.threads.names);
        let reflect = Reflect { program: self.model.program(), memory: &self.process };
        // An arena of units may each describe the static; one address, one description.
        let mut contexts: Vec<_> = reflect.program.contexts().collect();
        contexts.sort_unstable_by_key(|(_, offset)| *offset);
        contexts.dedup_by_key(|(_, offset)| *offset);
        let mut polls = Vec::new();
        for thread in &self.polling.threads {
            let current = || -> Option<u64> {
                let tag = thread.current.tag.unwrap_or(thread.current.id);
                let word = |at| self.process.read_u64(at).ok();
                word(tag).filter(|tag| *tag != 0).and_then(|_| word(thread.current.id))
            };
            let Some(id) = current().filter(|id| !self.polling.workers.contains(id)) else { continue };
            if polls.len() >= MOST {
                break;
            }
            let block = tls_blocks.get(&thread.tid);
            let inside = block.and_then(|block| {
                contexts.iter().find_map(|(ty, offset)| thread_worker(&reflect, block.offset(*offset), *ty))
            });
            let source = CodeSource {
                image: &self.image,
                program: self.model.program(),
                main: &self.model.files.main,
                debug: self.model.files.debug.as_ref().map(|located| &*located.bytes),
                user_crates: &self.model.recipes.user_crates,
                libraries: &self.threads.libraries,
            };
            let poll = ThreadPoll {
                task: TaskId { runtime: RuntimeKind::Tokio, id },
                ..self.poll(thread.tid, inside, discovery, stacks, alive)
            };
            let stack = stacks.asleep.iter().find(|stack| stack.registers.tid == thread.tid);
            let frames = stack.map_or(&[][..], |stack| &stack.frames).iter();
            let frames: Vec<StackFrame> =
                frames.copied().take(if poll.sp.is_some() { MOST } else { 0 }).collect();
            let stack = of_poll(names.of(&source, &frames));
            // It has gone on to another one.
            if current() == Some(id) {
                polls.push(ThreadPoll { stack, ..poll });
            }
        }
        self.threads.names = names;
        Some(polls)
    }

    /// But for its task and its stack.
    fn poll(
        &self,
        tid: u32,
        inside: Option<ThreadWorker>,
        discovery: &Discovery,
        stacks: &Stacks,
        alive: bool,
    ) -> ThreadPoll {
        let runtime = inside
            .and_then(|inside| discovery.schedulers.iter().position(|s| s.address == inside.scheduler))
            .map(|number| number as u32);
        let copied = stacks.asleep.iter().find(|stack| stack.registers.tid == tid);
        let now = self.process.thread_call(tid);
        let same = match (copied, now) {
            (Some(copied), Some((registers, _))) => copied.registers == registers,
            _ => false,
        };
        let call = now.filter(|_| same).and_then(|(_, call)| call);
        let name = call.and_then(|call| call_name(call.number));
        ThreadPoll {
            tid,
            task: TaskId { runtime: RuntimeKind::Tokio, id: 0 },
            runtime,
            worker: inside.and_then(|inside| inside.worker),
            tick: inside.and_then(|inside| inside.tick),
            asleep: alive.then_some(same),
            system_call: name.map(Arc::from),
            futex: call.filter(|_| name == Some("futex")).map(|call| Avma(call.arguments[0])),
            ran_ns: self.process.thread_ran_ns(tid),
            sp: copied.filter(|_| same || !alive).map(|stack| stack.registers.sp),
            stack: Box::default(),
        }
    }
}

/// Down to the function that the runtime polls a task with.
fn of_poll(stack: Box<[CodeFrame]>) -> Box<[CodeFrame]> {
    const POLLS: [&str; 2] = ["tokio::runtime::task::raw::", "tokio::runtime::task::harness::"];
    let is_poll = |frame: &CodeFrame| {
        let function = frame.function.as_deref().unwrap_or_default();
        POLLS.iter().any(|path| function.starts_with(path)) && function.contains("poll")
    };
    let end = stack.iter().position(is_poll).map_or(stack.len(), |end| end + 1);
    stack.into_vec().into_iter().take(end).collect()
}
