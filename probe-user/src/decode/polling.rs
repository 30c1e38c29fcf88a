//! Where each thread says which task it polls.

use super::discover::Discovery;
use super::{Inspector, blocking};
use crate::runtime::{CurrentTask, Reflect};
use crate::target::{Avma, Subject};
use std::collections::{HashMap, HashSet};

/// A thread, and where its current task's id lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PollingThread {
    pub tid: u32,
    pub current: CurrentTask,
}

/// What looking at threads takes.
#[derive(Clone, Debug, Default)]
pub struct Polling {
    /// By tid. Threads whose runtime is not begun, or keeps no such id, are absent.
    pub threads: Vec<PollingThread>,
    /// Ids of what is no task of the program: a worker thread with nothing to poll says that it polls itself.
    pub workers: HashSet<u64>,
}

impl<S: Subject> Inspector<S> {
    /// `tls_blocks` are the threads', by tid.
    pub(super) fn polling(&self, tls_blocks: &HashMap<u32, Avma>, discovery: &Discovery) -> Polling {
        let program = self.model.program();
        let reflect = Reflect { program, memory: &self.process };
        // An arena of units may each describe the static; one address, one description.
        let mut seen = HashSet::new();
        let contexts: Vec<_> = program.contexts().filter(|(_, offset)| seen.insert(*offset)).collect();
        let mut threads: Vec<PollingThread> = tls_blocks
            .iter()
            .filter_map(|(tid, block)| {
                let in_context =
                    |(ty, offset): &(_, u64)| CurrentTask::of(&reflect, block.offset(*offset), *ty);
                Some(PollingThread { tid: *tid, current: contexts.iter().find_map(in_context)? })
            })
            .collect();
        threads.sort_unstable_by_key(|thread| thread.tid);
        Polling { threads, workers: blocking::workers(&self.process, &discovery.blocking) }
    }
}
