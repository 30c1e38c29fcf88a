//! The lines of `attach --json` that tell who did something to a task.

use super::stream::About;
use crate::trace::Doer;
use serde::Serialize;

/// Who: a task by its id, or a thread that polled none.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum DoerJson {
    Parent(String),
    ParentThread(u32),
    Waker(String),
    WakerThread(u32),
}

impl DoerJson {
    pub fn parent(doer: Doer) -> DoerJson {
        match doer {
            Doer::Task(task) => DoerJson::Parent(task.id.to_string()),
            Doer::Thread(tid) => DoerJson::ParentThread(tid),
        }
    }

    pub fn waker(doer: Doer) -> DoerJson {
        match doer {
            Doer::Task(task) => DoerJson::Waker(task.id.to_string()),
            Doer::Thread(tid) => DoerJson::WakerThread(tid),
        }
    }
}

/// `wake`; `parent`, where a snapshot showed the task before its spawn was told.
#[derive(Serialize)]
pub(super) struct CausedJson {
    #[serde(flatten)]
    pub about: About,
    #[serde(flatten)]
    pub by: DoerJson,
}

/// Polls since the last such line that began after their task was woken for them.
#[derive(Serialize)]
pub(super) struct DelayJson {
    #[serde(flatten)]
    pub about: About,
    pub count: u64,
    /// From wake to start, of all of them.
    pub sum_ns: u64,
    /// The longest of this task up to now.
    pub max_ns: u64,
    /// How long it was idle before them, and before polls that followed no wake that was seen.
    pub idle_ns: Option<u64>,
    /// Its longest poll up to now.
    pub poll_max_ns: Option<u64>,
}
