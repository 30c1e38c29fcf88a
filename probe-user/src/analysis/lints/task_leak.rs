//! Tasks of one kind that are spawned again and again, and do not end.

use super::group::{Groups, MAX_TASKS, once_each};
use crate::analysis::{Answer, Case, Finding, FoundPlace, Lint, Part, Sentence, sentence};
use crate::decode::{Certainty, Task};
use crate::model::{Known, Model, TaskEntry, TaskPhase};
use crate::trace::Doer;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

pub struct TaskLeak;

/// Fewer are not counted on.
const MANY: usize = 20;
/// Parts of the watch; in each of them some were born.
const PARTS: u64 = 4;
/// Readings before anything is said.
const READINGS: u32 = 2;

impl Lint for TaskLeak {
    fn name(&self) -> &'static str {
        "task-leak"
    }

    fn what(&self) -> &'static str {
        "tasks of one kind that are spawned again and again, and do not end"
    }

    fn look(&self, case: &Case<'_>) -> Answer {
        let Some(model) = case.watched else {
            return Answer::Blind("how many tasks there are is not watched over time");
        };
        if model.snapshots_taken() < READINGS {
            return Answer::LookAgain(Duration::from_millis(250));
        }
        let watch =
            Watch { from_ns: model.started_ns(), ns: model.now_ns().saturating_sub(model.started_ns()) };
        if watch.ns < 1_000_000_000 {
            return Answer::LookAgain(Duration::from_nanos(1_000_000_000 - watch.ns));
        }
        let growing = kinds(model, &watch);
        Answer::of(growing.into_iter().flat_map(|(name, kind)| finding(case, &watch, &name, &kind)).collect())
    }
}

/// The time that is looked at.
struct Watch {
    from_ns: u64,
    ns: u64,
}

impl Watch {
    /// In which part of it a time is.
    fn part(&self, t_ns: u64) -> usize {
        let part = t_ns.saturating_sub(self.from_ns).saturating_mul(PARTS) / self.ns.max(1);
        part.min(PARTS - 1) as usize
    }
}

/// Tasks of one name that were born while it was watched.
#[derive(Default)]
struct Kind<'a> {
    alive: Vec<&'a TaskEntry>,
    born: [u64; PARTS as usize],
    ended: u64,
    /// Of those born in the first half: how many live, and how many of them have not been polled for a part of the watch.
    old: u64,
    resting: u64,
}

impl Kind<'_> {
    fn grows(&self) -> bool {
        let births: u64 = self.born.iter().sum();
        // Of a pool that is filled at once nothing is born later, and what serves somebody is polled now and then.
        self.alive.len() >= MANY
            && self.born.iter().all(|born| *born > 0)
            && self.ended * 10 <= births
            && self.resting * 10 >= self.old * 9
            && self.old * 4 >= self.alive.len() as u64
    }
}

fn kinds<'a>(model: &'a Model, watch: &Watch) -> Vec<(Arc<str>, Kind<'a>)> {
    let mut kinds: HashMap<Arc<str>, Kind<'a>> = HashMap::new();
    for task in model.tasks().filter(|task| task.born.known != Known::AtLeast) {
        let kind = kinds.entry(task.name.clone()).or_default();
        let part = watch.part(task.born.t_ns);
        kind.born[part] += 1;
        if task.has_ended() {
            kind.ended += 1;
            continue;
        }
        if part < PARTS as usize / 2 {
            kind.old += 1;
            kind.resting += u64::from(rests(task, model.now_ns(), watch));
        }
        kind.alive.push(task);
    }
    let mut growing: Vec<_> = kinds.into_iter().filter(|(_, kind)| kind.grows()).collect();
    growing.sort_by(|a, b| a.0.cmp(&b.0));
    for (_, kind) in &mut growing {
        kind.alive.sort_unstable_by_key(|task| task.id);
    }
    growing
}

fn rests(task: &TaskEntry, now_ns: u64, watch: &Watch) -> bool {
    task.phase == TaskPhase::Idle && task.idle_for(now_ns).is_some_and(|(ns, _)| ns >= watch.ns / PARTS)
}

/// One per place where they stand, of those places where many do.
fn finding(case: &Case<'_>, watch: &Watch, name: &Arc<str>, kind: &Kind<'_>) -> Vec<Finding> {
    let mut places = Groups::default();
    for task in kind.alive.iter().filter_map(|entry| case.task(entry.id)) {
        places.add(case.place(task), task);
    }
    let many = places.into_iter().filter(|(_, tasks)| tasks.len() >= MANY);
    many.map(|(place, tasks)| leak(case, watch, name, kind, place, &tasks)).collect()
}

fn leak(
    case: &Case<'_>,
    watch: &Watch,
    name: &Arc<str>,
    kind: &Kind<'_>,
    place: FoundPlace,
    tasks: &[&Task],
) -> Finding {
    let births: u64 = kind.born.iter().sum();
    let mut stands = sentence![Part::Count(tasks.len() as u64), " of them stand"];
    if let Some(line) = &place.line {
        stands.append(sentence![" at ", line]);
    }
    stands.append(sentence![
        ", ",
        Part::Task(tasks[0].id),
        " for ",
        Part::Span(case.index(tasks[0].id).and_then(|i| case.stands_for(i)).unwrap_or(0))
    ]);
    let rest = "nine in ten of those spawned in the first half of that time have not been polled lately";
    let spawned = tasks.iter().find_map(|task| task.spawned_at.clone());
    let spawner = spawned.map(|line| FoundPlace { function: name.clone(), line: Some(line) });
    let mut evidence = vec![sentence![rest], stands];
    evidence.extend(parent(case, kind));
    evidence.push(sentence!["whether they will end later is not known"]);
    Finding {
        lint: TaskLeak.name(),
        certainty: Certainty::Possible,
        tasks: tasks.iter().take(MAX_TASKS).map(|task| task.id).collect(),
        places: once_each([place].into_iter().chain(spawner)),
        resources: Vec::new(),
        message: sentence![
            "tasks ",
            name,
            " become more and more: ",
            Part::Count(births),
            " were spawned in ",
            Part::Span(watch.ns),
            ", and ",
            Part::Count(kind.ended),
            " ended"
        ],
        evidence,
        remedy: "give what they wait for a timeout, cancel them when nobody needs them any more (JoinSet, \
                 CancellationToken), or bound how many there may be",
    }
}

/// Who spawns them, if they were seen doing so.
fn parent(case: &Case<'_>, kind: &Kind<'_>) -> Option<Sentence> {
    let parents = kind.alive.iter().filter_map(|task| match task.parent {
        Some(Doer::Task(id)) => Some(id),
        _ => None,
    });
    let mut spawns = HashMap::new();
    parents.for_each(|id| *spawns.entry(id).or_insert(0_u64) += 1);
    let (id, count) = spawns.into_iter().max_by_key(|(id, count)| (*count, *id))?;
    let mut words = sentence![Part::Task(id)];
    if let Some(task) = case.task(id) {
        words.append(sentence![" ", &task.name]);
    }
    words.append(sentence![" spawned ", Part::Count(count), " of them"]);
    Some(words)
}
