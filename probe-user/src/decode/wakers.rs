//! Which task a waker wakes: what stands in the queues of locks and channels, and in handles that wait for a task.

use super::{Task, TaskId};
use crate::target::{Avma, Memory, Region};
use std::collections::HashMap;

/// A `core::task::RawWaker` as it lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawWaker {
    pub data: Avma,
    pub vtable: Avma,
}

/// The tasks of one snapshot by what their wakers point to: tokio's Header, async-task's header, a futures pool's handle
/// or list node. In all of them that is [`Task::address`].
#[derive(Debug, Default)]
pub struct Wakers {
    tasks: HashMap<Avma, TaskId>,
}

impl Wakers {
    pub fn new(tasks: &[Task]) -> Self {
        Wakers { tasks: tasks.iter().map(|task| (task.address, task.id)).collect() }
    }

    /// The task with its header here, which is what a `JoinHandle` (`raw.ptr`) or async-task's `Task` (`ptr`) leads to.
    pub fn at(&self, header: Avma) -> Option<TaskId> {
        self.tasks.get(&header).copied()
    }

    /// The task that `waker` wakes. None for a waker of something else (a thread in `block_on`, a `FuturesUnordered` inside
    /// a task), and where the vtable is not one: four functions in `text`.
    pub fn task<M: Memory + ?Sized>(&self, memory: &M, text: &[Region], waker: RawWaker) -> Option<TaskId> {
        let id = self.at(waker.data)?;
        let code = |slot: u64| {
            let function = memory.read_u64(waker.vtable.offset(slot * 8)).ok().map(Avma);
            function.is_some_and(|function| text.iter().any(|region| region.contains(function)))
        };
        (0..4).all(code).then_some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{RuntimeKind, TaskState};
    use crate::target::ReadError;

    /// Words at 0x1000: a waker's vtable, and then three functions and a number.
    struct Words([u64; 8]);

    impl Memory for Words {
        fn read(&self, at: Avma, buf: &mut [u8]) -> Result<(), ReadError> {
            let word = at.0.checked_sub(0x1000).and_then(|o| self.0.get(o as usize / 8));
            let word = word.ok_or(ReadError::Unmapped(at))?;
            buf.copy_from_slice(&word.to_le_bytes()[..buf.len()]);
            Ok(())
        }

        fn regions(&self) -> &[Region] {
            &[]
        }
    }

    #[test]
    fn a_waker_is_a_tasks_by_its_data_and_a_table_of_code() {
        let id = TaskId { runtime: RuntimeKind::AsyncTask, id: 0x5000 };
        let task = Task {
            spawned_at: None,
            queue: None,
            wakers: None,
            id,
            address: Avma(0x5000),
            state: TaskState::Idle,
            stale: false,
            name: "app::f".into(),
            owner: None,
            tree: None,
            waits: Box::default(),
            holds: Box::default(),
        };
        let text = [Region {
            start: Avma(0x100),
            end: Avma(0x200),
            readable: true,
            writable: false,
            executable: true,
            file_offset: 0,
            device: (0, 0),
            inode: 1,
            path: "/bin/app".into(),
        }];
        let memory = Words([0x100, 0x110, 0x120, 0x1ff, 0x100, 0x110, 0x120, 3]);
        let wakers = Wakers::new(&[task]);
        let woken =
            |data, vtable| wakers.task(&memory, &text, RawWaker { data: Avma(data), vtable: Avma(vtable) });
        assert_eq!(woken(0x5000, 0x1000), Some(id));
        assert_eq!(woken(0x5008, 0x1000), None, "no task's");
        assert_eq!(woken(0x5000, 0x1020), None, "no table of functions");
        assert_eq!(woken(0x5000, 0x9000), None, "no memory");
    }
}
