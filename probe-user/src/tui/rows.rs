//! Which tasks the table shows, in which order.

use crate::decode::{FrameId, Frames, TaskId};
use crate::model::{Model, TaskEntry, TaskPhase};
use crate::present::card::phase_word;
use crate::present::places::Places;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

/// tokio-console's columns, without its warnings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    Id,
    State,
    Name,
    Total,
    Busy,
    Sched,
    Idle,
    Polls,
    Location,
}

impl Column {
    pub const ALL: [Column; 9] = [
        Column::Id,
        Column::State,
        Column::Name,
        Column::Total,
        Column::Busy,
        Column::Sched,
        Column::Idle,
        Column::Polls,
        Column::Location,
    ];

    pub fn title(self) -> &'static str {
        match self {
            Column::Id => "ID",
            Column::State => "State",
            Column::Name => "Name",
            Column::Total => "Total",
            Column::Busy => "Busy",
            Column::Sched => "Sched",
            Column::Idle => "Idle",
            Column::Polls => "Polls",
            Column::Location => "Location",
        }
    }

    /// The neighbour on one side, around the ends.
    pub fn step(self, by: isize) -> Column {
        let at = Column::ALL.iter().position(|column| *column == self).unwrap_or(0) as isize;
        Column::ALL[(at + by).rem_euclid(Column::ALL.len() as isize) as usize]
    }

    /// Whether large values are what one looks for.
    pub fn largest_first(self) -> bool {
        matches!(self, Column::Total | Column::Busy | Column::Sched | Column::Idle | Column::Polls)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    pub column: Column,
    pub descending: bool,
}

/// Tells which tasks a text means: part of the name, of the place, the state's word, or `#id`. Case does not matter.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    text: String,
    names: HashMap<Arc<str>, bool>,
    places: HashMap<FrameId, bool>,
}

impl Wanted {
    pub fn new(text: &str) -> Wanted {
        Wanted { text: text.to_lowercase(), ..Wanted::default() }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    pub fn matches(&mut self, task: &TaskEntry, frames: &Frames, places: &Places) -> bool {
        if self.text.is_empty() {
            return true;
        }
        if let Some(id) = self.text.strip_prefix('#') {
            return task.id.id.to_string() == id;
        }
        if phase_word(task.phase) == self.text {
            return true;
        }
        let text = &self.text;
        if !self.names.contains_key(&task.name) {
            self.names.insert(task.name.clone(), task.name.to_lowercase().contains(text));
        }
        if self.names[&task.name] {
            return true;
        }
        let Some(place) = task.path().and_then(|path| path.place) else { return false };
        *self.places.entry(place).or_insert_with(|| {
            let shown = frames.get(place).line.as_ref().map(|line| places.show(line));
            shown.is_some_and(|shown| shown.to_lowercase().contains(text))
        })
    }
}

/// The tasks to show, sorted; ties in the order of ids, so that rows do not dance.
pub fn rows(model: &Model, order: Order, wanted: &mut Wanted, ended: bool, places: &Places) -> Vec<TaskId> {
    let frames = model.frames();
    let chosen = model
        .tasks()
        .filter(|task| (ended || !task.has_ended()) && wanted.matches(task, frames, places))
        .map(|task| task as &TaskEntry);
    match order.column {
        Column::Name => sorted(chosen, order, |task| Some(task.name.clone())),
        Column::Location => {
            let mut lines = HashMap::new();
            sorted(chosen, order, move |task| {
                let place = task.path()?.place?;
                let line = lines.entry(place).or_insert_with(|| frames.get(place).line.clone());
                line.clone()
            })
        }
        column => {
            let now = model.now_ns();
            sorted(chosen, order, move |task| number(task, column, now))
        }
    }
}

/// What is not known comes last, whichever way the rest is sorted.
fn sorted<'a, K: Ord>(
    tasks: impl Iterator<Item = &'a TaskEntry>,
    order: Order,
    mut key: impl FnMut(&TaskEntry) -> Option<K>,
) -> Vec<TaskId> {
    let mut keyed: Vec<(Option<K>, TaskId)> = tasks.map(|task| (key(task), task.id)).collect();
    keyed.sort_unstable_by(|(a, a_id), (b, b_id)| {
        let known = match (a, b) {
            (Some(a), Some(b)) if order.descending => b.cmp(a),
            (Some(a), Some(b)) => a.cmp(b),
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
        };
        known.then(a_id.cmp(b_id))
    });
    keyed.into_iter().map(|(_, id)| id).collect()
}

fn number(task: &TaskEntry, column: Column, now_ns: u64) -> Option<u64> {
    match column {
        Column::Id => Some(task.id.id),
        Column::State => Some(match task.phase {
            TaskPhase::Running => 0,
            TaskPhase::Scheduled => 1,
            TaskPhase::Idle => 2,
            TaskPhase::Unknown => 3,
            TaskPhase::Ended(_) => 4,
        }),
        Column::Total => Some(task.age(now_ns).0),
        Column::Busy => task.busy_ns,
        Column::Idle => task.idle_for(now_ns).map(|(ns, _)| ns),
        Column::Polls => task.polls,
        Column::Sched => task.wakes.delays.mean_ns(),
        Column::Name | Column::Location => None,
    }
}
