//! Where tasks stood when they were cancelled.

use crate::decode::{FrameId, TaskId};
use std::collections::HashMap;
use std::sync::Arc;

/// Places that are told apart.
const PLACES: usize = 1000;

/// Tasks of one name that were cancelled at one await.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancels {
    pub name: Arc<str>,
    pub place: FrameId,
    pub count: u64,
    /// The last of them.
    pub last: TaskId,
}

#[derive(Clone, Debug, Default)]
pub(super) struct CancelCounts(HashMap<(Arc<str>, FrameId), Cancels>);

impl CancelCounts {
    pub fn take(&mut self, task: TaskId, name: &Arc<str>, place: FrameId) {
        let key = (name.clone(), place);
        if !self.0.contains_key(&key) && self.0.len() >= PLACES {
            return;
        }
        let fresh = || Cancels { name: name.clone(), place, count: 0, last: task };
        let counts = self.0.entry(key).or_insert_with(fresh);
        counts.count += 1;
        counts.last = task;
    }

    pub fn iter(&self) -> impl Iterator<Item = &Cancels> {
        self.0.values()
    }
}
