//! Tasks by name and place: what a person wants to see of 100,000 tasks.

use crate::decode::FrameId;
use crate::model::{Known, Model, TaskPhase};
use std::collections::HashMap;
use std::sync::Arc;

/// Living tasks of one name at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceRow {
    pub name: Arc<str>,
    pub place: Option<FrameId>,
    pub tasks: u64,
    pub phases: Phases,
    pub polls: Option<u64>,
    pub busy_ns: Option<u64>,
    /// The one that has not been polled for longest.
    pub longest_idle: Option<(u64, Known)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    pub running: u64,
    pub scheduled: u64,
    pub idle: u64,
    pub unknown: u64,
}

impl Phases {
    pub fn add(&mut self, phase: TaskPhase) {
        match phase {
            TaskPhase::Running => self.running += 1,
            TaskPhase::Scheduled => self.scheduled += 1,
            TaskPhase::Idle => self.idle += 1,
            TaskPhase::Unknown => self.unknown += 1,
            TaskPhase::Ended(_) => {}
        }
    }

    /// `2 running, 1,019 idle`; states that nobody is in are left out.
    pub fn words(&self) -> String {
        let named = [
            (self.running, "running"),
            (self.scheduled, "scheduled"),
            (self.idle, "idle"),
            (self.unknown, "in an unknown state"),
        ];
        let words: Vec<_> = named
            .iter()
            .filter(|(n, _)| *n > 0)
            .map(|(n, word)| format!("{} {word}", super::units::count(*n)))
            .collect();
        words.join(", ")
    }
}

pub fn phases(model: &Model) -> Phases {
    let mut phases = Phases::default();
    model.tasks().for_each(|task| phases.add(task.phase));
    phases
}

/// Most numerous first, ties by name.
pub fn by_place(model: &Model) -> Vec<PlaceRow> {
    let now = model.now_ns();
    let mut rows: HashMap<(Arc<str>, Option<FrameId>), PlaceRow> = HashMap::new();
    for task in model.tasks().filter(|task| !task.has_ended()) {
        let place = task.path().and_then(|path| path.place);
        let row = rows.entry((task.name.clone(), place)).or_insert_with(|| PlaceRow {
            name: task.name.clone(),
            place,
            tasks: 0,
            phases: Phases::default(),
            polls: None,
            busy_ns: None,
            longest_idle: None,
        });
        row.tasks += 1;
        row.phases.add(task.phase);
        row.polls = sum(row.polls, task.polls);
        row.busy_ns = sum(row.busy_ns, task.busy_ns);
        let idle = task.idle_for(now);
        if idle.map(|(ns, _)| ns) > row.longest_idle.map(|(ns, _)| ns) {
            row.longest_idle = idle;
        }
    }
    let mut rows: Vec<_> = rows.into_values().collect();
    rows.sort_by(|a, b| b.tasks.cmp(&a.tasks).then_with(|| (&a.name, a.place).cmp(&(&b.name, b.place))));
    rows
}

fn sum(total: Option<u64>, more: Option<u64>) -> Option<u64> {
    match (total, more) {
        (Some(total), Some(more)) => Some(total + more),
        (known, None) | (None, known) => known,
    }
}
