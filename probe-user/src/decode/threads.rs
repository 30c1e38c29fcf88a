//! What threads do that no task shows: futures in `block_on`, closures of the blocking pool.

use super::blocking;
use super::code_names::CodeNames;
use super::discover::Discovery;
use super::relations::Claims;
use super::roots::{Root, RootSearch};
use super::snapshot::SnapshotParts;
use super::stacks::{Libraries, Stacks};
use super::{Inspector, RuntimeInfo, RuntimeKind, Task, TaskState};
use crate::target::{Avma, Subject, ThreadPlace};
use std::collections::HashMap;

/// What is remembered of threads from one snapshot to the next.
#[derive(Debug, Default)]
pub struct Threads {
    pub(super) libraries: Libraries,
    pub(super) names: CodeNames,
    /// Roots by thread, as they were last seen.
    roots: HashMap<u32, Vec<Root>>,
}

impl<S: Subject> Inspector<S> {
    /// `tls_blocks` are the threads', by tid. `alive`: of each thread the kernel tells what it does.
    pub(super) fn add_threads(
        &mut self,
        parts: &mut SnapshotParts,
        discovery: &Discovery,
        tls_blocks: &HashMap<u32, Avma>,
        alive: bool,
    ) {
        self.threads.libraries.refresh(&self.process);
        let stacks = self.stacks();
        parts.polls = self.polls(tls_blocks, discovery, &stacks, alive);
        let closures = blocking::closures(&self.process, &discovery.blocking, &stacks);
        parts.coverage.tasks_found += closures.len() as u64;
        parts.coverage.tasks_decoded += closures.len() as u64;
        let closures = closures.into_iter();
        parts.claims.extend(closures.map(|task| Claims {
            task,
            waits: Box::default(),
            holds: Box::default(),
        }));
        let roots = self.roots(&stacks, &mut parts.coverage.issues);
        if !stacks.running.is_empty() {
            let n = stacks.running.len();
            let issue = match n {
                1 => "1 thread was running: whether it is in block_on cannot be told".to_owned(),
                n => format!("{n} threads were running: whether they are in block_on cannot be told"),
            };
            parts.coverage.issues.push(issue);
        }
        if roots.is_empty() {
            return;
        }
        let own = parts.runtimes.len() as u32;
        parts.runtimes.push(RuntimeInfo {
            kind: RuntimeKind::BlockOn,
            version: None,
            flavor: None,
            workers: None,
            tasks: roots.len() as u64,
            address: Avma(0),
            closed: None,
        });
        for (i, root) in roots.iter().enumerate() {
            // A thread is inside of one runtime: that of the innermost.
            let innermost = !roots[i + 1..].iter().any(|other| other.tid == root.tid && other.in_tokio);
            let entered = tls_blocks.get(&root.tid).and_then(|block| discovery.entered.get(block));
            let owner = entered.copied().filter(|_| root.in_tokio && innermost).unwrap_or(own);
            parts.coverage.tasks_found += 1;
            parts.coverage.tasks_decoded += u64::from(root.whole);
            let task = Task { owner: Some(owner), ..root.task.clone() };
            parts.claims.push(Claims { task, waits: root.waits.clone(), holds: root.holds.clone() });
        }
    }

    fn stacks(&self) -> Stacks {
        let files = self.model.files;
        let main: &[u8] = &files.main;
        let debug = files.debug.as_ref().map(|located| &*located.bytes);
        Stacks::take(&self.process, (&self.image, main), debug, &self.threads.libraries)
    }

    fn roots(&mut self, stacks: &Stacks, issues: &mut Vec<String>) -> Vec<Root> {
        let search = RootSearch { recipes: &self.model.recipes, memory: &self.process, image: &self.image };
        let mut found = search.run(&stacks.asleep);
        issues.append(&mut found.issues);
        for root in &mut found.list {
            let stack = stacks.asleep.iter().find(|stack| stack.registers.tid == root.tid);
            let there = stack.map(|stack| ThreadPlace::Asleep(stack.registers));
            root.task.stale |= there != Some(self.process.thread_place(root.tid));
        }
        // A thread that is awake may have left block_on; that it did not is likely, where its future stands unknown.
        let awake = stacks.running.iter().filter_map(|tid| self.threads.roots.get(tid)).flatten();
        let awake: Vec<Root> = awake.map(Root::awake).collect();
        found.list.extend(awake);
        found.list.sort_by_key(|root| (root.tid, root.task.id));
        self.threads.roots.clear();
        for root in &found.list {
            self.threads.roots.entry(root.tid).or_default().push(root.clone());
        }
        found.list
    }
}

impl Root {
    /// The same one while its thread runs: where it stands is not known.
    fn awake(&self) -> Root {
        let task = Task {
            state: TaskState::Running,
            stale: true,
            tree: None,
            waits: Box::default(),
            holds: Box::default(),
            ..self.task.clone()
        };
        Root { task, waits: Box::default(), holds: Box::default(), whole: false, ..self.clone() }
    }
}
