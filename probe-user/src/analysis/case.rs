//! What lints look at: a snapshot, what did not move since an earlier one, and what was seen over time.

use super::FoundPlace;
use crate::decode::{
    DebugInfoLevel, Frame, FrameId, Frames, Lasting, Node, RuntimeInfo, Snapshot, SourceLine, Task, TaskId,
    ThreadPoll, Wait,
};
use crate::model::{Model, TaskEntry};
use crate::target::Avma;
use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Answers that are still to come have come by then.
pub const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// The facts of a target at one moment.
pub struct Case<'a> {
    pub snapshot: &'a Snapshot,
    /// What was watched until then; None where there are snapshots alone.
    pub watched: Option<&'a Model>,
    /// By index of a task in the snapshot: since when it was read the same each time, CLOCK_MONOTONIC ns.
    /// None: it was read once, or it moved.
    unmoved: Vec<Option<u64>>,
    /// By index of a poll in the snapshot.
    lasting: Vec<Option<Lasting>>,
    /// Whether there was an earlier reading at all.
    pub read_twice: bool,
    /// By address: since when a runtime has been read as closed each time, CLOCK_MONOTONIC ns.
    closed: HashMap<Avma, u64>,
    /// An answer over a connection that takes longer is late.
    pub answers_within: Duration,
    indices: OnceCell<HashMap<TaskId, u32>>,
}

impl<'a> Case<'a> {
    /// Of what was read once. A snapshot is not atomic, so nothing that links two tasks is proven by it.
    pub fn of_one(snapshot: &'a Snapshot) -> Case<'a> {
        Case::new(snapshot, None, vec![None; snapshot.tasks.len()], Lasting::of(None, snapshot), false)
    }

    /// Of what was read twice, `before` first.
    pub fn of_two(before: &Snapshot, snapshot: &'a Snapshot) -> Case<'a> {
        let known: HashMap<TaskId, &Task> = before.tasks.iter().map(|task| (task.id, task)).collect();
        let since = before.t_ns.unwrap_or(0);
        let stood = |task: &Task| known.get(&task.id).is_some_and(|before| task.stands_as(before));
        let unmoved = snapshot.tasks.iter().map(|task| stood(task).then_some(since)).collect();
        let lasting = Lasting::of(Some((before, &[])), snapshot);
        let mut case = Case::new(snapshot, None, unmoved, lasting, true);
        let closed = before.runtimes.iter().filter(|runtime| runtime.closed == Some(true));
        case.closed = closed.map(|runtime| (runtime.address, since)).collect();
        case
    }

    /// Of a process that is or was watched. None before its first snapshot.
    pub fn of_model(model: &'a Model) -> Option<Case<'a>> {
        let snapshot = model.snapshot()?;
        let unmoved = snapshot.tasks.iter().map(|task| model.unmoved_since(task.id)).collect();
        let lasting = model.lasting().to_vec();
        Some(Case::new(snapshot, Some(model), unmoved, lasting, model.snapshots_taken() > 1))
    }

    /// Of a moment after the latest snapshot of a watch: `snapshot` is that one, with what the trace told since. Tasks that are
    /// `stale` by it have moved; else what all readings until then had the same still stands.
    pub fn of_moment(model: &Model, snapshot: &'a Snapshot) -> Case<'a> {
        let stands = |id: TaskId, stale: bool| model.unmoved_since(id).filter(|_| !stale);
        let unmoved = snapshot.tasks.iter().map(|task| stands(task.id, task.stale)).collect();
        let mut case = Case::new(snapshot, None, unmoved, Vec::new(), model.snapshots_taken() > 1);
        let under_way = |poll: &ThreadPoll| case.task(poll.task).is_some_and(|task| !task.stale);
        let polls = snapshot.polls.iter().flatten().zip(model.lasting());
        case.lasting = polls.map(|(poll, lasting)| lasting.filter(|_| under_way(poll))).collect();
        let closed = |runtime: &RuntimeInfo| Some((runtime.address, model.closed_since(runtime.address)?));
        case.closed = snapshot.runtimes.iter().filter_map(closed).collect();
        case
    }

    fn new(
        snapshot: &'a Snapshot,
        watched: Option<&'a Model>,
        unmoved: Vec<Option<u64>>,
        lasting: Vec<Option<Lasting>>,
        read_twice: bool,
    ) -> Case<'a> {
        let (closed, indices) = (HashMap::new(), OnceCell::new());
        let answers_within = ANSWERS_WITHIN;
        Case { snapshot, watched, unmoved, lasting, read_twice, closed, answers_within, indices }
    }

    pub fn frames(&self) -> &'a Frames {
        &self.snapshot.frames
    }

    /// Why nothing is known of what tasks await, if that is so.
    pub fn no_trees(&self) -> Option<&'static str> {
        let coverage = &self.snapshot.coverage;
        if self.snapshot.debuginfo == DebugInfoLevel::UnknownLayout {
            return Some("how this program's runtime lays out its tasks is not known");
        }
        // With types, tasks that have no tree may all be running.
        let has_types = self.snapshot.debuginfo == DebugInfoLevel::Full;
        (!has_types && coverage.tasks_found > 0 && coverage.tasks_decoded == 0).then_some(
            "what tasks await is not known: there is no debug information of their types (debug = 2)",
        )
    }

    /// CLOCK_MONOTONIC, ns; None of a core file.
    pub fn now_ns(&self) -> Option<u64> {
        self.watched.map(Model::now_ns).or(self.snapshot.t_ns)
    }

    pub fn index(&self, id: TaskId) -> Option<usize> {
        let number = |(index, task): (usize, &Task)| (task.id, index as u32);
        let indices =
            self.indices.get_or_init(|| self.snapshot.tasks.iter().enumerate().map(number).collect());
        indices.get(&id).map(|index| *index as usize)
    }

    pub fn task(&self, id: TaskId) -> Option<&'a Task> {
        self.snapshot.tasks.get(self.index(id)?)
    }

    /// What was seen of a task over time.
    pub fn entry(&self, id: TaskId) -> Option<&'a TaskEntry> {
        self.watched?.get(id)
    }

    /// Since when it was read the same each time, ns; see [`Task::stands_as`].
    pub fn unmoved_since(&self, index: usize) -> Option<u64> {
        self.unmoved.get(index).copied().flatten()
    }

    /// For how long a runtime has been closed, ns; at least. None where it is not, or was only seen once.
    pub fn closed_for(&self, runtime: &RuntimeInfo) -> Option<u64> {
        let closed = runtime.closed == Some(true);
        let watched = |model: &Model| model.closed_since(runtime.address);
        let since = self.watched.and_then(watched).or_else(|| self.closed.get(&runtime.address).copied());
        Some(self.now_ns()?.saturating_sub(since.filter(|_| closed)?))
    }

    /// What threads polled when the snapshot was taken, with how long that was seen to last.
    pub fn polls(&self) -> impl Iterator<Item = (&'a ThreadPoll, Option<Lasting>)> {
        let lasting = self.lasting.iter().copied().chain(std::iter::repeat(None));
        self.snapshot.polls.iter().flatten().zip(lasting)
    }

    /// How long a task has stood where it is: not been polled, as far as was seen, ns. At least so long.
    pub fn stands_for(&self, index: usize) -> Option<u64> {
        let now_ns = self.now_ns()?;
        let idle = self.entry(self.snapshot.tasks.get(index)?.id).and_then(|entry| entry.idle_for(now_ns));
        let read = self.unmoved_since(index).map(|since| now_ns.saturating_sub(since));
        idle.map(|(ns, _)| ns).max(read)
    }

    /// Where it awaits, in the user's own code.
    pub fn location(&self, task: &Task) -> Option<SourceLine> {
        task.location(self.frames())
    }

    /// The same with the function it is in; the task's own name where no code of the user's is.
    pub fn place(&self, task: &Task) -> FoundPlace {
        let innermost = task.tree.as_ref().and_then(|tree| innermost(tree, self.frames()));
        let of_frame =
            |frame: Arc<Frame>| FoundPlace { function: frame.function.clone(), line: frame.line.clone() };
        innermost.map_or_else(|| FoundPlace { function: task.name.clone(), line: None }, of_frame)
    }

    /// The await that waits for this, which in a `select!` or `join!` may be another than that of [`Case::place`].
    pub fn place_of(&self, task: &Task, wait: &Wait) -> FoundPlace {
        let own = wait.at.map(|at| self.frames().get(at)).filter(|frame| frame.own_code);
        own.map_or_else(
            || self.place(task),
            |frame| FoundPlace { function: frame.function.clone(), line: frame.line.clone() },
        )
    }

    /// The await of a frame; `name`: the task's, for one that is before its first await.
    pub fn place_at(&self, frame: Option<FrameId>, name: &Arc<str>) -> FoundPlace {
        let known = frame.map(|frame| self.frames().get(frame));
        known.map_or_else(
            || FoundPlace { function: name.clone(), line: None },
            |frame| FoundPlace { function: frame.function.clone(), line: frame.line.clone() },
        )
    }
}

/// As [`Task::location`].
fn innermost(node: &Node, frames: &Frames) -> Option<Arc<Frame>> {
    let deeper = node.awaiting.iter().find_map(|child| innermost(child, frames));
    deeper.or_else(|| Some(frames.get(node.frame)).filter(|frame| frame.own_code && frame.line.is_some()))
}
