//! Locks that were given to a future which its task keeps and does not poll: nobody gets them
//! (<https://rfd.shared.oxide.computer/rfd/0609>).

use super::group::{Groups, once_each, some};
use crate::analysis::stuck::{self, Circle};
use crate::analysis::{Answer, Case, Finding, FoundPlace, Lint, Part, Sentence, sentence};
use crate::decode::{Certainty, Frame, Hold, Node, ResourceKind, SourceLine, Task, TaskState};
use crate::target::Avma;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

pub struct Futurelock;

/// Long enough for a task that polls the future again to do so.
const AGAIN: Duration = Duration::from_millis(200);

impl Lint for Futurelock {
    fn name(&self) -> &'static str {
        "futurelock"
    }

    fn what(&self) -> &'static str {
        "locks that were given to a future which its task keeps and does not poll"
    }

    fn needs_trees(&self) -> bool {
        true
    }

    fn look(&self, case: &Case<'_>) -> Answer {
        let given = given(case);
        if given.is_empty() {
            return Answer::Fine;
        }
        if !case.read_twice {
            return Answer::LookAgain(AGAIN);
        }
        let mut groups = Groups::default();
        for one in given.iter().filter(|one| one.unmoved(case)) {
            groups.add(one.key(case), one);
        }
        if groups.is_empty() {
            return Answer::LookAgain(AGAIN);
        }
        Answer::of(groups.into_iter().map(|(key, ones)| finding(case, &key, &ones)).collect())
    }
}

/// A lock that nobody gets.
struct Given {
    /// The task that keeps the future.
    keeper: usize,
    hold: usize,
    /// Who waits for the lock.
    waiters: Rc<[usize]>,
    /// Where the keeper can go on only when it has got the lock itself.
    circle: Option<(Vec<usize>, Certainty)>,
}

#[derive(PartialEq, Eq, Hash)]
struct Key {
    certainty: Certainty,
    kind: ResourceKind,
    /// What the keeper does instead, and where.
    stands: FoundPlace,
    /// Where the kept future asked.
    asked: Option<FoundPlace>,
}

impl Given {
    fn of<'a>(&self, case: &Case<'a>) -> (&'a Task, &'a Hold) {
        let task = &case.snapshot.tasks[self.keeper];
        (task, &task.holds[self.hold])
    }

    fn unmoved(&self, case: &Case<'_>) -> bool {
        let circle = self.circle.iter().flat_map(|(members, _)| members);
        circle.chain([&self.keeper]).all(|i| case.unmoved_since(*i).is_some())
    }

    fn key(&self, case: &Case<'_>) -> Key {
        let (task, hold) = self.of(case);
        let certainty = self.circle.as_ref().map_or(Certainty::Possible, |(_, certainty)| *certainty);
        Key {
            certainty,
            kind: hold.kind,
            stands: stands_at(case, task, hold),
            asked: asked(case, task, hold),
        }
    }
}

/// All of them, in the order of their tasks.
fn given(case: &Case<'_>) -> Vec<Given> {
    let tasks = &case.snapshot.tasks;
    let mut given = Vec::new();
    for (keeper, task) in tasks.iter().enumerate().filter(|(_, task)| stands(task)) {
        let unpolled = |(hold, of): (usize, &Hold)| of.unpolled.map(|_| hold);
        for hold in task.holds.iter().enumerate().filter_map(unpolled) {
            given.push(Given { keeper, hold, waiters: Rc::from([]), circle: None });
        }
    }
    if given.is_empty() {
        return given;
    }
    let mut waiters: HashMap<Avma, Vec<usize>> =
        given.iter().map(|one| (one.of(case).1.address, Vec::new())).collect();
    for (number, task) in tasks.iter().enumerate() {
        for wait in task.waits.iter().filter(|wait| wait.kind != ResourceKind::Join) {
            if let Some(line) = wait.address.and_then(|address| waiters.get_mut(&address)) {
                line.push(number);
            }
        }
    }
    let waiters: HashMap<Avma, Rc<[usize]>> =
        waiters.into_iter().map(|(lock, line)| (lock, line.into())).collect();
    let circles = stuck::circles(case.snapshot);
    for one in &mut given {
        let (_, hold) = one.of(case);
        one.waiters.clone_from(&waiters[&hold.address]);
        one.circle = circles.iter().find_map(|circle| goes_through(case, circle, one));
    }
    given.retain(|one| !one.waiters.is_empty());
    given
}

fn stands(task: &Task) -> bool {
    task.state == TaskState::Idle && !task.stale
}

fn goes_through(case: &Case<'_>, circle: &Circle, one: &Given) -> Option<(Vec<usize>, Certainty)> {
    let (_, hold) = one.of(case);
    let wait = |edge: &stuck::Edge| &case.snapshot.tasks[edge.waiter].waits[edge.wait];
    circle.edges.iter().find(|edge| edge.holder == one.keeper && wait(edge).address == Some(hold.address))?;
    let certainty = circle.edges.iter().map(|edge| stuck::certainty(wait(edge))).max()?;
    Some((circle.edges.iter().map(|edge| edge.waiter).collect(), certainty))
}

/// The way from a task's future to one of the futures in it, awaited or kept, outermost first; and which of them is the first
/// that is not awaited.
fn way(node: &Node, to: Avma) -> Option<(Vec<&Node>, Option<usize>)> {
    fn below<'n>(node: &'n Node, to: Avma, way: &mut Vec<&'n Node>, kept: &mut Option<usize>) -> bool {
        way.push(node);
        // A future and the first one in it lie at one address.
        if node.address == to && node.awaiting.is_empty() {
            return true;
        }
        if node.awaiting.iter().any(|child| below(child, to, way, kept)) {
            return true;
        }
        let outer = *kept;
        *kept = outer.or(Some(way.len()));
        if node.held.iter().any(|child| below(child, to, way, kept)) {
            return true;
        }
        *kept = outer;
        way.pop();
        false
    }
    let (mut found, mut kept) = (Vec::new(), None);
    below(node, to, &mut found, &mut kept).then_some((found, kept))
}

/// Where the function that keeps the future awaits another one.
fn stands_at(case: &Case<'_>, task: &Task, hold: &Hold) -> FoundPlace {
    let way = task.tree.as_ref().zip(hold.unpolled).and_then(|(tree, leaf)| way(tree, leaf));
    let above = way.map(|(way, kept)| way[..kept.unwrap_or(0)].to_vec()).unwrap_or_default();
    let mut frames = above.iter().rev().map(|node| case.frames().get(node.frame));
    let keeper = frames.find(|frame| frame.own_code && frame.line.is_some());
    let of_frame =
        |frame: Arc<Frame>| FoundPlace { function: frame.function.clone(), line: frame.line.clone() };
    keeper.map_or_else(|| case.place(task), of_frame)
}

/// Where the kept future asked for the lock, in the user's own code.
fn asked(case: &Case<'_>, task: &Task, hold: &Hold) -> Option<FoundPlace> {
    let (way, kept) = way(task.tree.as_ref()?, hold.unpolled?)?;
    let frame = |node: &&Node| case.frames().get(node.frame);
    let own = |frame: &Arc<Frame>| frame.own_code && frame.line.is_some();
    let frame = way[kept?..].iter().rev().map(frame).find(own)?;
    Some(FoundPlace { function: frame.function.clone(), line: frame.line.clone() })
}

fn finding(case: &Case<'_>, key: &Key, ones: &[&Given]) -> Finding {
    let tasks = &case.snapshot.tasks;
    let mut known = HashSet::new();
    let keepers = ones.iter().map(|one| one.keeper);
    let circles = ones.iter().flat_map(|one| one.circle.iter().flat_map(|(members, _)| members)).copied();
    // Of one semaphore many may have got a permit, and all of those have the same line before them.
    let mut locks = HashSet::new();
    let of_each_lock = ones.iter().filter(|one| locks.insert(one.of(case).1.address));
    let waiters = of_each_lock.flat_map(|one| one.waiters.iter()).copied();
    let involved: Vec<usize> = keepers.chain(circles).chain(waiters).filter(|i| known.insert(*i)).collect();
    let wanted = some(&involved).map(|i| case.place(&tasks[*i]));
    let resources = match ones {
        [only] => vec![only.of(case).1.address],
        _ => Vec::new(),
    };
    Finding {
        lint: Futurelock.name(),
        certainty: key.certainty,
        tasks: involved.iter().map(|i| tasks[*i].id).take(super::group::MAX_TASKS).collect(),
        places: once_each([key.stands.clone()].into_iter().chain(key.asked.clone()).chain(wanted)),
        resources,
        message: message(case, key, ones),
        evidence: evidence(case, key, ones),
        remedy: "await nothing else while a future that was begun is kept: poll it in the same select! or join!, drop it \
                 first, or spawn it",
    }
}

fn message(case: &Case<'_>, key: &Key, ones: &[&Given]) -> Sentence {
    let (task, hold) = ones[0].of(case);
    let own = key.certainty == Certainty::Proven;
    if let [_, _, ..] = ones {
        let many = sentence![
            Part::Count(ones.len() as u64),
            " tasks ",
            &task.name,
            " keep a future each that was given a "
        ];
        return with(
            many,
            sentence![
                key.kind.as_str(),
                if own { ", do not poll it, and can never go on" } else { " and do not poll it" }
            ],
        );
    }
    let mut words = sentence![
        Part::Task(task.id),
        " keeps a future that was given ",
        Part::Thing(hold.kind, hold.address)
    ];
    words.add(if own { ", does not poll it, and can never go on" } else { ", and does not poll it" });
    let others = ones[0].waiters.iter().filter(|i| **i != ones[0].keeper).count() as u64;
    if others > 0 {
        let wait = if others == 1 { " other task waits for that" } else { " other tasks wait for that" };
        words.append(sentence!["; ", Part::Count(others), wait]);
    }
    words
}

fn with(mut words: Sentence, more: Sentence) -> Sentence {
    words.append(more);
    words
}

fn evidence(case: &Case<'_>, key: &Key, ones: &[&Given]) -> Vec<Sentence> {
    let one = ones[0];
    let (task, hold) = one.of(case);
    let mut given = sentence![
        "a future that ",
        Part::Task(task.id),
        " ",
        &task.name,
        " keeps was given ",
        Part::Thing(hold.kind, hold.address)
    ];
    if let Some(asked) = &key.asked {
        given.append(sentence![", for which it asked in ", &asked.function]);
        at(&mut given, asked.line.as_ref());
    }
    given.add(", and has not been polled since");
    let mut stands = sentence!["meanwhile ", Part::Task(task.id), " waits"];
    at(&mut stands, key.stands.line.as_ref());
    stands.add(match (one.waiters.contains(&one.keeper), one.circle.is_some()) {
        (true, true) => " for the same lock, and for nothing else",
        (false, true) => " for a task that needs that lock",
        (_, false) => ", and it is not known when it polls that future again",
    });
    let mut evidence = vec![given, stands];
    for i in one.waiters.iter().filter(|i| **i != one.keeper).take(4) {
        let waiter = &case.snapshot.tasks[*i];
        let mut wants = sentence![Part::Task(waiter.id), " ", &waiter.name, " wants it"];
        let wait = waiter.waits.iter().find(|wait| wait.address == Some(hold.address));
        let place = wait.map_or_else(|| case.place(waiter), |wait| case.place_of(waiter, wait));
        at(&mut wants, place.line.as_ref());
        evidence.push(wants);
    }
    evidence
}

fn at(words: &mut Sentence, line: Option<&SourceLine>) {
    if let Some(line) = line {
        words.append(sentence![" at ", line]);
    }
}
