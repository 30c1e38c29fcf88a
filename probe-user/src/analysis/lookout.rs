//! Lints beside a watch: after a snapshot, and no more often than they are cheap. The one part of this module that looks at a clock.

use super::case::ANSWERS_WITHIN;
use super::{Case, CriticalPath, Diagnosis, Finding};
use crate::decode::TaskId;
use crate::model::Model;
use std::time::{Duration, Instant};

/// The lints get at most one part in so many of our time.
const SHARE: u32 = 20;

/// What was found while a target was watched.
pub struct Lookout {
    diagnosis: Diagnosis,
    snapshots: u32,
    looked: Instant,
    took: Duration,
    path: Option<CriticalPath>,
    answers_within: Duration,
}

impl Default for Lookout {
    fn default() -> Lookout {
        Lookout::new()
    }
}

impl Lookout {
    pub fn new() -> Lookout {
        let (diagnosis, took) = (Diagnosis::default(), Duration::ZERO);
        let (looked, answers_within) = (Instant::now(), ANSWERS_WITHIN);
        Lookout { diagnosis, snapshots: 0, looked, took, path: None, answers_within }
    }

    /// What is new since the last call; none where no snapshot was taken since, or it is too soon.
    pub fn news(&mut self, model: &Model) -> Vec<Finding> {
        let snapshots = model.snapshots_taken();
        if snapshots == self.snapshots || self.looked.elapsed() < self.took * SHARE {
            return Vec::new();
        }
        self.look(model)
    }

    /// Whatever time it takes: for the last look.
    pub fn look(&mut self, model: &Model) -> Vec<Finding> {
        self.snapshots = model.snapshots_taken();
        let Some(mut case) = Case::of_model(model) else { return Vec::new() };
        case.answers_within = self.answers_within;
        let began = Instant::now();
        self.path.iter_mut().for_each(|path| path.look(&case));
        let news = self.diagnosis.look(&case);
        self.looked = Instant::now();
        self.took = began.elapsed();
        news
    }

    /// Follows also what this task waits for.
    pub fn following(self, task: Option<TaskId>) -> Lookout {
        Lookout { path: task.map(CriticalPath::new), ..self }
    }

    /// An answer over a connection that takes longer is late: see [`Case::answers_within`].
    pub fn answers_within(self, answers_within: Duration) -> Lookout {
        Lookout { answers_within, ..self }
    }

    pub fn diagnosis(&self) -> &Diagnosis {
        &self.diagnosis
    }

    pub fn into_parts(self) -> (Diagnosis, Option<CriticalPath>) {
        (self.diagnosis, self.path)
    }
}
