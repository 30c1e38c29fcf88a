//! Polls that took long, kept by what held them up: also those that are over, and of tasks that have ended.

use super::AwaitPath;
use crate::decode::{SourceLine, TaskId};
use crate::trace::{CpuSamples, Doing, LongPoll, OffCpu};
use std::collections::HashMap;
use std::sync::Arc;

/// Tasks that are named of each.
const NAMED: usize = 100;

/// Long polls of tasks of one name, held up in one way at one place.
#[derive(Clone, Debug)]
pub struct LongPolls {
    pub name: Arc<str>,
    /// The longest one, as it was told first.
    pub poll: Arc<LongPoll>,
    /// Where its task stood when it began.
    pub at: Option<Arc<AwaitPath>>,
    pub longest: PollSpan,
    /// How many were told: there may be more.
    pub count: u64,
    /// Their sum, ns: as far as they were seen.
    pub total_ns: u64,
    /// Those whose polls they were; at most a hundred.
    pub tasks: Vec<TaskId>,
    /// What all of them computed, if that is what they did.
    pub cpu: CpuSamples,
}

/// From when until when a poll was seen to last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PollSpan {
    pub task: TaskId,
    pub tid: u32,
    /// CLOCK_MONOTONIC, ns.
    pub since_ns: u64,
    pub until_ns: u64,
    /// Part of it; None where it is not watched.
    pub off_cpu: Option<OffCpu>,
    pub over: bool,
}

impl PollSpan {
    pub fn ns(&self) -> u64 {
        self.until_ns.saturating_sub(self.since_ns)
    }

    /// How long its thread was on a CPU, ns. None where that is not watched.
    pub fn on_cpu_ns(&self) -> Option<u64> {
        self.off_cpu.map(|off_cpu| self.ns().saturating_sub(off_cpu.sum_ns()))
    }

    fn is(&self, other: &PollSpan) -> bool {
        (self.tid, self.since_ns) == (other.tid, other.since_ns)
    }
}

impl LongPolls {
    pub fn is_asleep(&self) -> bool {
        self.poll.doing == Doing::Asleep
    }

    /// What decides which one is the longest: how long it did what it was told for, as far as that is known.
    fn weight(&self, span: &PollSpan) -> u64 {
        match span.off_cpu {
            Some(off_cpu) if self.is_asleep() => off_cpu.blocked_ns,
            Some(_) => span.on_cpu_ns().unwrap_or(0),
            None => span.ns(),
        }
    }
}

/// What makes two long polls alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    name: Arc<str>,
    asleep: bool,
    system_call: Option<Arc<str>>,
    /// The innermost own code of its stack.
    own: Option<(Option<Arc<str>>, Option<SourceLine>)>,
    at: Option<crate::decode::FrameId>,
}

impl Key {
    fn of(name: &Arc<str>, poll: &LongPoll, at: Option<&AwaitPath>) -> Key {
        let own = poll.stack.iter().find(|frame| frame.own_code && frame.line.is_some());
        let own = own.map(|frame| (frame.function.clone(), frame.line.clone()));
        let at = at.filter(|_| own.is_none()).and_then(|at| at.place);
        let (asleep, system_call) = (poll.doing == Doing::Asleep, poll.system_call.clone());
        Key { name: name.clone(), asleep, system_call, own, at }
    }
}

/// The latest long poll of a thread. It may have been told twice: asleep, and running.
#[derive(Clone, Debug)]
struct Latest {
    span: PollSpan,
    rows: Vec<(usize, Arc<LongPoll>, Option<Arc<AwaitPath>>)>,
}

/// All of them, and those that are under way.
#[derive(Clone, Debug)]
pub(super) struct HeldUp {
    limit: usize,
    rows: Vec<LongPolls>,
    known: HashMap<Key, usize>,
    latest: HashMap<u32, Latest>,
}

impl HeldUp {
    pub fn new(limit: usize) -> HeldUp {
        HeldUp { limit, rows: Vec::new(), known: HashMap::new(), latest: HashMap::new() }
    }

    pub fn all(&self) -> &[LongPolls] {
        &self.rows
    }

    /// It is told that a poll takes long.
    pub fn begins(
        &mut self,
        t_ns: u64,
        (task, tid): (TaskId, u32),
        name: &Arc<str>,
        at: Option<Arc<AwaitPath>>,
        poll: &Arc<LongPoll>,
    ) {
        let (since_ns, off_cpu) = (poll.since_ns, poll.off_cpu);
        let span = PollSpan { task, tid, since_ns, until_ns: t_ns, off_cpu, over: false };
        let key = Key::of(name, poll, at.as_deref());
        let full = self.rows.len() >= self.limit || self.latest.len() >= self.limit;
        if full && !(self.known.contains_key(&key) && self.latest.contains_key(&tid)) {
            return;
        }
        let row = *self.known.entry(key).or_insert(self.rows.len());
        if row == self.rows.len() {
            let (name, poll, at) = (name.clone(), poll.clone(), at.clone());
            let (count, total_ns, tasks, cpu) = (0, 0, Vec::new(), CpuSamples::default());
            self.rows.push(LongPolls { name, poll, at, longest: span, count, total_ns, tasks, cpu });
        }
        let known = &mut self.rows[row];
        known.count += 1;
        known.total_ns = known.total_ns.saturating_add(span.ns());
        known.cpu.merge(&poll.cpu);
        if known.tasks.len() < NAMED && !known.tasks.contains(&task) {
            known.tasks.push(task);
        }
        let latest = self
            .latest
            .entry(tid)
            .and_modify(|latest| latest.goes_on(span))
            .or_insert_with(|| Latest::of(span));
        latest.rows.push((row, poll.clone(), at));
        self.stretch(tid);
    }

    /// What was told lasted at least until `t_ns`.
    pub fn lasts(
        &mut self,
        (tid, since_ns): (u32, u64),
        t_ns: u64,
        off_cpu: Option<OffCpu>,
        over: bool,
        cpu: &CpuSamples,
    ) {
        let Some(latest) = self.latest.get_mut(&tid).filter(|latest| latest.span.since_ns == since_ns) else {
            return;
        };
        let more_ns = t_ns.saturating_sub(latest.span.until_ns);
        let until_ns = latest.span.until_ns.max(t_ns);
        latest.span = PollSpan { until_ns, off_cpu: off_cpu.or(latest.span.off_cpu), over, ..latest.span };
        for (row, ..) in &latest.rows {
            let row = &mut self.rows[*row];
            row.total_ns = row.total_ns.saturating_add(more_ns);
            if !row.is_asleep() {
                row.cpu.merge(cpu);
            }
        }
        self.stretch(tid);
    }

    /// Makes it the longest of its rows, if it is.
    fn stretch(&mut self, tid: u32) {
        let Some(Latest { span, rows }) = self.latest.get(&tid) else { return };
        for (row, poll, at) in rows {
            let known = &mut self.rows[*row];
            if known.longest.is(span) || known.weight(span) > known.weight(&known.longest) {
                (known.longest, known.poll, known.at) = (*span, poll.clone(), at.clone());
            }
        }
    }
}

impl Latest {
    fn of(span: PollSpan) -> Latest {
        Latest { span, rows: Vec::new() }
    }

    /// The same one again, or the next.
    fn goes_on(&mut self, span: PollSpan) {
        let same = self.span.is(&span);
        let until_ns = span.until_ns.max(if same { self.span.until_ns } else { 0 });
        if !same {
            self.rows.clear();
        }
        self.span = PollSpan { until_ns, ..span };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::sample::{MS, SECOND, tokio};
    use crate::model::sample_long_poll;

    fn told(held_up: &mut HeldUp, tid: u32, task: u64, since_ns: u64, lasts_ms: u64) {
        let poll = Arc::new(sample_long_poll(since_ns));
        held_up.begins(since_ns + 12 * MS, (tokio(task), tid), &"shop::api::fetch_user".into(), None, &poll);
        let off_cpu = Some(OffCpu { blocked_ns: lasts_ms * MS, preempted_ns: 0 });
        held_up.lasts((tid, since_ns), since_ns + lasts_ms * MS, off_cpu, true, &CpuSamples::default());
    }

    #[test]
    fn the_same_place_is_one_row_with_its_longest_poll() {
        let mut held_up = HeldUp::new(10);
        told(&mut held_up, 7, 1, SECOND, 50);
        told(&mut held_up, 8, 2, SECOND, 300);
        told(&mut held_up, 7, 1, 2 * SECOND, 20);
        let [row] = held_up.all() else { panic!("{:?}", held_up.all()) };
        assert_eq!((row.count, row.total_ns, &row.tasks[..]), (3, 370 * MS, &[tokio(1), tokio(2)][..]));
        assert_eq!((row.longest.task, row.longest.ns(), row.longest.over), (tokio(2), 300 * MS, true));
        // What is told of a poll that is not the thread's latest is too late.
        held_up.lasts((7, SECOND), 9 * SECOND, None, true, &CpuSamples::default());
        assert_eq!(held_up.all()[0].longest.ns(), 300 * MS);
    }

    #[test]
    fn there_are_no_more_rows_than_allowed() {
        let mut held_up = HeldUp::new(2);
        for n in 0..5 {
            let poll = Arc::new(sample_long_poll(SECOND));
            held_up.begins(2 * SECOND, (tokio(n), n as u32), &format!("task {n}").into(), None, &poll);
        }
        assert_eq!((held_up.all().len(), held_up.latest.len()), (2, 2));
    }
}
