//! Mirror types: what we believe of tokio, std and the futures crates, in one place.
//! Chosen by the shape that DWARF shows, never by a version number; where the shape differs from every one we
//! know, the answer is a typed "unknown layout" that names what is missing.

mod async_task;
mod blocking_calls;
mod current_task;
mod futures;
mod futures_executor;
mod join_set;
mod look;
mod queues;
mod reflect;
mod routines;
mod spawners;
mod sync;
mod things;
mod tokio;
mod worker;

pub use async_task::{AsyncTaskSlots, AsyncTaskWord, ExecutorPointer, RawTaskLayout, Registration};
pub use blocking_calls::{BLOCK_ON, BlockingCall, PARK, guard, is_block_on, last_name};
pub use current_task::CurrentTask;
pub use futures::{
    FUTURES_UNORDERED, JOIN_SET, Role, SHARED, is_closure, is_handle, macro_name, needs_all, role,
};
pub use futures_executor::{
    ArcPlace, FutureObjLayout, LocalPoolLayout, ThreadPoolLayout, UnparkStatus, Vacant,
};
pub use join_set::{JoinSetLayout, Joined};
pub use look::{Leads, Look, Seen, Through};
pub use queues::{QueueKind, TaskQueue, ThreadQueue, thread_queues};
pub use reflect::{Place, Reflect, Route, Shared, part, places};
pub use routines::{Routine, Routines};
pub use spawners::HandOver;
pub use sync::{LockLayout, LockState, Readiness, Waiter, receiver_wakes, registered_waker};
pub use things::{Admits, Part, ResourceKind, Thing, thing};
pub use tokio::{
    CellLayout, Flavor, OLDEST_TOKIO, OwnedList, SchedulerLayout, TaskWord, UnknownLayout, VtableLayout,
    is_too_old,
};
pub use worker::{ThreadWorker, thread_worker};
