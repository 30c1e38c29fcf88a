//! Finds the tasks of the futures crates' ThreadPool and LocalPool: memory is searched for the trait objects that they
//! keep, and what is around each must be what these pools have around it.

use super::discover::{Scope, for_each_word};
use super::executors::{ExecutorTask, FoundExecutors, MAX_TASKS, Owners, Status, is_vacant};
use super::{RecipeId, Recipes, RuntimeInfo, RuntimeKind, TaskId};
use crate::runtime::{LocalPoolLayout, ThreadPoolLayout, UnparkStatus};
use crate::target::{Avma, Memory};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Layouts of the pools that a program has.
#[derive(Debug)]
pub struct FuturesPools {
    threads: Option<(ThreadPoolLayout, RecipeId)>,
    local: Option<(LocalPoolLayout, RecipeId)>,
}

/// The search for the tasks of these pools at one moment.
struct Search<'s, M: ?Sized> {
    pools: &'s FuturesPools,
    memory: &'s M,
    /// By the address of the future, which stays while its task moves between handle and queue.
    tasks: HashMap<u64, ExecutorTask>,
    owners: &'s mut Owners,
}

impl FuturesPools {
    /// None where the program has neither.
    pub fn new(recipes: &Recipes<'_, '_>) -> Option<Self> {
        let threads = ThreadPoolLayout::of(recipes.program).map(|l| (l, recipes.future(l.obj.ty)));
        let local = LocalPoolLayout::of(recipes.program).map(|l| (l, recipes.future(l.obj.ty)));
        (threads.is_some() || local.is_some()).then_some(FuturesPools { threads, local })
    }

    pub(super) fn find<M: Memory + ?Sized>(
        &self,
        recipes: &Recipes<'_, '_>,
        memory: &M,
        scope: &Scope<'_>,
        found: &mut FoundExecutors,
    ) {
        let vtables: HashSet<u64> =
            recipes.program.future_vtables().map(|vtable| vtable.to_avma(scope.bias).0).collect();
        let (Some(low), Some(high)) = (vtables.iter().min(), vtables.iter().max()) else { return };
        let owners = &mut found.owners;
        let mut search = Search { pools: self, memory, tasks: HashMap::new(), owners };
        for region in scope.heap {
            for_each_word(memory, region, &mut |at, word| {
                let known = (*low..=*high).contains(&word) && vtables.contains(&word);
                if known && search.tasks.len() < MAX_TASKS {
                    search.candidate(at);
                }
            });
        }
        let mut tasks: Vec<_> = search.tasks.into_values().collect();
        tasks.sort_by_key(|task| task.id);
        found.tasks.append(&mut tasks);
    }
}

impl<M: Memory + ?Sized> Search<'_, M> {
    fn word(&self, at: Avma) -> Option<u64> {
        self.memory.read_u64(at).ok()
    }

    /// `at` holds the vtable pointer of some `dyn Future`.
    fn candidate(&mut self, at: Avma) {
        let pools = self.pools;
        if let Some((layout, root)) = &pools.threads {
            let obj = at.offset(layout.obj.vtable.wrapping_neg());
            let task = obj.offset(layout.future.wrapping_neg());
            if let Some(found) = self.in_thread_pool(layout, *root, task, obj) {
                // A task in its handle is certain; elsewhere it may be a copy that was left in a queue.
                let certain = task == found.address.offset(layout.task);
                if certain || !self.tasks.contains_key(&found.identity.1) {
                    self.tasks.insert(found.identity.1, found);
                }
                return;
            }
        }
        if let Some((layout, root)) = &pools.local {
            let obj = at.offset(layout.obj.vtable.wrapping_neg());
            let node = obj.offset(layout.future.wrapping_neg());
            if let Some(found) = self.in_local_pool(layout, *root, node, obj) {
                self.tasks.insert(found.identity.1, found);
            }
        }
    }

    fn in_thread_pool(
        &mut self,
        layout: &ThreadPoolLayout,
        root: RecipeId,
        task: Avma,
        obj: Avma,
    ) -> Option<ExecutorTask> {
        let arc = Avma(self.word(task.offset(layout.handle.at))?);
        let handle = arc.offset(layout.handle.data);
        let strong = self.word(arc)?;
        let pool = self.word(task.offset(layout.task_pool.at))?;
        // Task and handle know the same pool.
        if !is_count(strong) || self.word(handle.offset(layout.pool.at))? != pool {
            return None;
        }
        let kept = task == handle.offset(layout.task);
        let status = UnparkStatus::of(self.word(handle.offset(layout.status))?)?;
        // A task outside of its handle, which is idle or over, is a copy that nobody cleared.
        let elsewhere = || match status {
            UnparkStatus::Waiting => is_vacant(self.memory, handle, layout.vacant) == Some(true),
            UnparkStatus::Polling | UnparkStatus::Repoll => true,
            UnparkStatus::Complete => false,
        };
        if !kept && !elsewhere() {
            return None;
        }
        let threads = layout.threads.and_then(|at| {
            let state = Avma(pool).offset(layout.pool.data);
            u32::try_from(self.word(state.offset(at))?).ok()
        });
        let owner = self.owner("thread_pool", Avma(pool), threads);
        let at = handle.offset(layout.status);
        let status = Status::Unpark { at, handle, vacant: layout.vacant };
        self.task(obj, layout.obj.data, root, handle, owner, status)
    }

    fn in_local_pool(
        &mut self,
        layout: &LocalPoolLayout,
        root: RecipeId,
        node: Avma,
        obj: Avma,
    ) -> Option<ExecutorTask> {
        let queue = Avma(self.word(node.offset(layout.queue.at))?);
        // The queue is alive, and its stub stands for "not linked now".
        let strong = self.word(queue)?;
        let stub = self.word(queue.offset(layout.queue.data).offset(layout.stub.at))?;
        let stub = Avma(stub).offset(layout.stub.data);
        let (next, previous) =
            (self.word(node.offset(layout.next))?, self.word(node.offset(layout.previous))?);
        let neighbour_agrees = |neighbour: u64, link: u64| {
            neighbour == 0 || self.word(Avma(neighbour).offset(link)) == Some(node.0)
        };
        let linked = next == stub.0 || neighbour_agrees(next, layout.previous);
        if !is_count(strong) || !linked || !neighbour_agrees(previous, layout.next) {
            return None;
        }
        let owner = self.owner("local_pool", queue, Some(1));
        let status = Status::Queued {
            flag: node.offset(layout.queued),
            next: node.offset(layout.next),
            polled: stub.0,
        };
        self.task(obj, layout.obj.data, root, node, owner, status)
    }

    fn task(
        &self,
        obj: Avma,
        data: u64,
        root: RecipeId,
        address: Avma,
        owner: u32,
        status: Status,
    ) -> Option<ExecutorTask> {
        let future = self.word(obj.offset(data)).filter(|future| *future != 0)?;
        Some(ExecutorTask {
            id: TaskId { runtime: RuntimeKind::Futures, id: future },
            address,
            name: Arc::from(format!("?{}", Avma(future))),
            owner: Some(owner),
            future: obj,
            root: Some(root),
            identity: (obj.offset(data), future),
            status,
        })
    }

    fn owner(&mut self, flavor: &str, address: Avma, workers: Option<u32>) -> u32 {
        self.owners.number(RuntimeInfo {
            kind: RuntimeKind::Futures,
            version: None,
            flavor: Some(flavor.to_owned()),
            workers,
            tasks: 0,
            address,
            closed: None,
        })
    }
}

/// Of an Arc that exists.
fn is_count(strong: u64) -> bool {
    (1..1 << 32).contains(&strong)
}
