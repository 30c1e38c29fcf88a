//! Tasks that wait for each other in a circle.

use super::group::{Groups, MAX_TASKS, once_each, some};
use crate::analysis::keepers::{SelfBlocked, self_blocked};
use crate::analysis::stuck::{self, Circle, Edge};
use crate::analysis::{Answer, Case, Finding, FoundPlace, Lint, Part, Sentence, sentence};
use crate::decode::{Certainty, Hold, HoldRole, ResourceKind, Task, Wait};
use std::time::Duration;

pub struct Deadlock;

/// Long enough for a lock that changes hands to do so.
const AGAIN: Duration = Duration::from_millis(200);

impl Lint for Deadlock {
    fn name(&self) -> &'static str {
        "deadlock"
    }

    fn what(&self) -> &'static str {
        "tasks that wait for each other in a circle, over locks, semaphores, joins and channels"
    }

    fn needs_trees(&self) -> bool {
        true
    }

    fn look(&self, case: &Case<'_>) -> Answer {
        let mut circles = stuck::circles(case.snapshot);
        // What goes round over a future that nobody polls is a futurelock.
        circles.retain(|circle| !circle.edges.iter().any(|edge| is_unpolled(case, edge)));
        let self_blocked = self_blocked(case);
        // What was read once may never have been so: one edge was read before, another after somebody moved on.
        if !circles.is_empty() && !case.read_twice {
            return Answer::LookAgain(AGAIN);
        }
        let stands = |circle: &&Circle| members(circle).all(|i| case.unmoved_since(i).is_some());
        let (standing, moving): (Vec<&Circle>, Vec<&Circle>) = circles.iter().partition(stands);
        if standing.is_empty() && self_blocked.is_empty() && !moving.is_empty() {
            return Answer::LookAgain(AGAIN);
        }
        let of_threads = self_blocked.iter().map(|blocked| of_thread(case, blocked));
        Answer::of(once(case, &standing).into_iter().chain(of_threads).collect())
    }
}

/// Circles of the same places are the same bug. Those of several tasks come first: a task alone with itself is seen at once.
fn once(case: &Case<'_>, circles: &[&Circle]) -> Vec<Finding> {
    let mut groups = Groups::default();
    for circle in circles {
        let found = finding(case, circle);
        groups.add((circle.edges.len(), found.certainty, found.places.clone()), found);
    }
    let mut alike: Vec<(usize, Vec<Finding>)> =
        groups.into_iter().map(|((tasks, ..), found)| (tasks, found)).collect();
    alike.sort_by_key(|(tasks, _)| *tasks == 1);
    alike.into_iter().filter_map(|(_, found)| first_of(found)).collect()
}

/// The first, with the tasks of the others.
fn first_of(alike: Vec<Finding>) -> Option<Finding> {
    let mut alike = alike.into_iter();
    let mut first = alike.next()?;
    let others: Vec<Finding> = alike.collect();
    if others.is_empty() {
        return Some(first);
    }
    first.message.append(sentence!["; so it is ", others.len() as u64, " times more at the same places"]);
    let mut words = sentence!["alike:"];
    some(&others).for_each(|other| words.append(sentence![" ", other.tasks[0]]));
    if some(&others).count() < others.len() {
        words.add(" …");
    }
    first.evidence.push(words);
    let room = MAX_TASKS.saturating_sub(first.tasks.len());
    first.tasks.extend(others.into_iter().flat_map(|other| other.tasks).take(room));
    Some(first)
}

fn is_unpolled(case: &Case<'_>, edge: &Edge) -> bool {
    let tasks = &case.snapshot.tasks;
    let address = tasks[edge.waiter].waits[edge.wait].address;
    tasks[edge.holder].holds.iter().any(|hold| Some(hold.address) == address && hold.unpolled.is_some())
}

fn members(circle: &Circle) -> impl Iterator<Item = usize> + '_ {
    circle.edges.iter().map(|edge| edge.waiter)
}

fn finding(case: &Case<'_>, circle: &Circle) -> Finding {
    let tasks = &case.snapshot.tasks;
    let wait = |edge: &Edge| &tasks[edge.waiter].waits[edge.wait];
    let certainty = circle.edges.iter().map(|edge| stuck::certainty(wait(edge))).max();
    let ids = members(circle).chain(circle.others.iter().copied()).map(|i| tasks[i].id);
    let wanted = circle.edges.iter().map(|edge| case.place_of(&tasks[edge.waiter], wait(edge)));
    let held = circle.edges.iter().filter_map(|edge| held_at(case, wait(edge), &tasks[edge.holder]));
    let mut resources: Vec<_> = circle.edges.iter().filter_map(|edge| wait(edge).address).collect();
    resources.dedup();
    Finding {
        lint: Deadlock.name(),
        certainty: certainty.unwrap_or(Certainty::Possible),
        tasks: ids.collect(),
        places: once_each(wanted.chain(held)),
        resources,
        message: message(case, circle),
        evidence: circle.edges.iter().map(|edge| evidence(case, edge)).collect(),
        remedy: remedy(case, circle),
    }
}

/// A thread that sleeps for what only it could have released.
fn of_thread(case: &Case<'_>, blocked: &SelfBlocked<'_>) -> Finding {
    let SelfBlocked { held, keepers } = blocked;
    let mut tasks = vec![held.task.id];
    tasks.extend(keepers.iter().map(|keeper| keeper.task.id));
    tasks.dedup();
    let message = sentence![
        held.task.id,
        " keeps its thread asleep for a lock that ",
        keepers[0].task.id,
        " keeps, and no other thread polls that task: neither can ever go on, nor any other task there"
    ];
    let mut resources: Vec<_> = keepers.iter().map(|keeper| keeper.hold.address).collect();
    resources.dedup();
    let places = keepers.iter().flat_map(|keeper| keeper.places(case));
    Finding {
        lint: Deadlock.name(),
        certainty: keepers.iter().map(|keeper| keeper.hold.certainty).max().unwrap_or(Certainty::Possible),
        tasks,
        places: once_each([held.place.clone()].into_iter().chain(places)),
        resources,
        message,
        evidence: [held.how()].into_iter().chain(keepers.iter().map(|keeper| keeper.how(case))).collect(),
        remedy: "end the guard's scope before the await, or use tokio's lock",
    }
}

fn message(case: &Case<'_>, circle: &Circle) -> Sentence {
    let id = |i: usize| Part::Task(case.snapshot.tasks[i].id);
    let mut message = match circle.edges.as_slice() {
        [only] => sentence![id(only.waiter), " waits for what it holds itself, and can never go on"],
        [a, b] => {
            sentence![id(a.waiter), " and ", id(b.waiter), " wait for each other, and can never go on"]
        }
        edges => {
            let mut message = sentence![Part::Count(edges.len() as u64), " tasks wait in a circle, "];
            for edge in edges {
                message.append(sentence![id(edge.waiter), " → "]);
            }
            message.append(sentence![id(edges[0].waiter), ", and can never go on"]);
            message
        }
    };
    let behind = (circle.behind.len() + circle.others.len()) as u64;
    if behind > 0 {
        let waits = if behind == 1 { " more waits behind" } else { " more wait behind" };
        message.append(sentence!["; ", Part::Count(behind), waits]);
    }
    message
}

/// Who wants what and where, and where it is held.
fn evidence(case: &Case<'_>, edge: &Edge) -> Sentence {
    let (task, holder) = (&case.snapshot.tasks[edge.waiter], &case.snapshot.tasks[edge.holder]);
    let wait = &task.waits[edge.wait];
    let mut words = sentence![Part::Task(task.id), " ", &task.name];
    if wait.kind == ResourceKind::Join {
        words.append(sentence![" waits for the end of ", Part::Task(holder.id), " ", &holder.name]);
        at(&mut words, case, task, wait);
        return words;
    }
    match wait.address {
        Some(address) => words.append(sentence![" wants ", Part::Thing(wait.kind, address)]),
        None => words.append(sentence![" wants a ", wait.kind.as_str()]),
    }
    at(&mut words, case, task, wait);
    let keeps = match wait.kind {
        ResourceKind::Mutex | ResourceKind::RwLock | ResourceKind::OnceCell => " holds it",
        ResourceKind::Semaphore => " has permits of it",
        _ => " keeps its other end",
    };
    words.append(sentence![", ", Part::Task(holder.id), keeps]);
    if let Some(line) = held_at(case, wait, holder).and_then(|place| place.line) {
        words.append(sentence![" since ", &line]);
    }
    words
}

fn at(words: &mut Sentence, case: &Case<'_>, task: &Task, wait: &Wait) {
    if let Some(line) = case.place_of(task, wait).line {
        words.append(sentence![" at ", &line]);
    }
}

/// Where the holder took it, as far as debug information tells.
fn held_at(case: &Case<'_>, wait: &Wait, holder: &Task) -> Option<FoundPlace> {
    let hold: &Hold = holder.holds.iter().find(|hold| Some(hold.address) == wait.address)?;
    let frame = case.frames().get(hold.frame);
    let line = hold.acquired_at.clone().or_else(|| wait.acquired_at.clone())?;
    Some(FoundPlace { function: frame.function.clone(), line: Some(line) })
}

fn remedy(case: &Case<'_>, circle: &Circle) -> &'static str {
    use ResourceKind::{Broadcast, Join, Mpsc, Mutex, OnceCell, Oneshot, RwLock, Semaphore, Watch};
    let tasks = &case.snapshot.tasks;
    let kind = |edge: &Edge| tasks[edge.waiter].waits[edge.wait].kind;
    if let [only] = circle.edges.as_slice() {
        let wait = &tasks[only.waiter].waits[only.wait];
        let keeps = |role| {
            let holds = tasks[only.holder].holds.iter();
            holds.into_iter().any(|hold| Some(hold.address) == wait.address && hold.role == role)
        };
        return match wait.kind {
            Mpsc | Oneshot | Watch | Broadcast if keeps(HoldRole::Sender) => {
                "drop the Sender that this task keeps (or move it to who sends) before it receives: nobody else can send or \
                 end the channel"
            }
            Mpsc | Oneshot | Watch | Broadcast => {
                "receive in another task, or do not wait for a channel of which this task keeps the only Receiver"
            }
            Semaphore => {
                "take all permits that it needs at once (acquire_many), or give back the first before asking again"
            }
            Join => "a task cannot wait for its own end: drop that JoinHandle, or await it elsewhere",
            _ => "release the first guard (drop it, or end its scope) before asking again",
        };
    }
    let all = |kinds: &[ResourceKind]| circle.edges.iter().all(|edge| kinds.contains(&kind(edge)));
    match () {
        () if all(&[Semaphore]) => {
            "take the permits of all of these at once or in the same order everywhere, or give one back before waiting for the \
             next"
        }
        () if all(&[Mutex, RwLock, Semaphore]) => {
            "take these locks in the same order everywhere, or release one before waiting for the next"
        }
        () if all(&[Mpsc, Oneshot, Watch, Broadcast]) => {
            "let one side do both at once (select!, or a task each), use try_send, or drop the ends that are no longer used"
        }
        () if circle.edges.iter().any(|edge| kind(edge) == Join)
            && all(&[Join, Mutex, RwLock, Semaphore, OnceCell]) =>
        {
            "release what the joined task needs before waiting for its end"
        }
        () => {
            "release what the other side needs before waiting for it: drop the guard, or the end of the channel"
        }
    }
}
