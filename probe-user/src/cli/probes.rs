//! Probes that are in, kept within their budget.

use super::Failure;
use super::clock::monotonic_ns;
use super::live::trace_failure;
use super::long_polls::LongPolls;
use super::source::EventStream;
use crate::model::{Cost, Mode};
use crate::sys::process_clock::process_cpu_ns;
use crate::trace::{self, Budget, Hits, Price, SAMPLE_NS, Spending, TICK_NS, TraceEvent, Tracer, Verdict};

/// What a record costs us from the ring to a view or a file, ns, about (docs/BENCHMARKS.md, ping-pong: the observer's own time for a
/// poll, with events and without). Where all CPUs are busy the target waits for it.
const RECORD_NS: u64 = 1_000;

/// What the target pays, ns; tried at start-up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prices {
    /// For all probes of one poll.
    poll: u64,
    /// For a wake or a spawn whose probe the kernel has to step over.
    dear: u64,
}

impl Prices {
    pub fn new(tried: Price) -> Prices {
        let Price { poll_ns: poll, dear_ns } = tried;
        // Where it was not tried there are none.
        Prices { poll, dear: dear_ns.unwrap_or(poll) }
    }

    /// One at a wake or a spawn writes a record each time: it costs about as much as both probes of a poll.
    fn of(self, hits: Hits, entry_only: bool) -> u64 {
        let Hits { entries, returns, causes, dear, ticks, samples, .. } = hits;
        let polls = entries.saturating_add(returns) / if entry_only { 1 } else { 2 };
        let cheap = polls.saturating_add(causes.saturating_sub(dear)).saturating_mul(self.poll);
        let clocks = ticks.saturating_mul(TICK_NS).saturating_add(samples.saturating_mul(SAMPLE_NS));
        cheap.saturating_add(dear.saturating_mul(self.dear)).saturating_add(clocks)
    }
}

/// A trace whose probes go out when they have cost enough, and in again.
pub(super) struct Probes {
    pid: u32,
    tracer: Tracer,
    prices: Option<Prices>,
    budget: Option<Budget>,
    /// CLOCK_MONOTONIC, ns.
    next_look_ns: u64,
    change_ns: u64,
    /// CPU time of the target when the probes went in first, and as last seen, ns.
    cpu_before_ns: u64,
    cpu_ns: u64,
    /// Since when the probes are out, CLOCK_MONOTONIC ns, and how long they were before that.
    out_since_ns: Option<u64>,
    out_ns: u64,
    long_polls: Option<LongPolls>,
    /// Told when they are out, and before they go in.
    turn: Option<Box<dyn FnMut(bool) + Send>>,
}

impl Probes {
    /// `max_overhead` in percent; 100 keeps the probes in whatever they cost.
    pub fn new(pid: u32, tracer: Tracer, prices: Option<Prices>, max_overhead: u8) -> Self {
        let mut probes = Probes {
            pid,
            tracer,
            prices,
            budget: None,
            next_look_ns: 0,
            change_ns: 0,
            cpu_before_ns: process_cpu_ns(pid).unwrap_or(0),
            cpu_ns: 0,
            out_since_ns: None,
            out_ns: 0,
            long_polls: None,
            turn: None,
        };
        if max_overhead < 100 && prices.is_some() {
            let start = probes.spending();
            probes.budget = Some(Budget::new(max_overhead, start));
        }
        probes
    }

    /// Tells also what these tell.
    pub fn with(self, long_polls: Option<LongPolls>) -> Self {
        Probes { long_polls, ..self }
    }

    fn hits(&self) -> u64 {
        let Hits { entries, returns, causes, .. } = self.tracer.hits();
        entries.saturating_add(returns).saturating_add(causes)
    }

    /// What all hits up to now cost the target, ns.
    fn cost_ns(&self) -> Option<u64> {
        self.prices.map(|prices| prices.of(self.tracer.hits(), self.tracer.entry_only()))
    }

    /// Of the target. It stands still where the target has ended.
    fn look_at_clock(&mut self) -> u64 {
        self.cpu_ns = process_cpu_ns(self.pid).unwrap_or(self.cpu_ns.max(self.cpu_before_ns));
        self.cpu_ns
    }

    fn spending(&mut self) -> Spending {
        let ours_ns = self.tracer.hits().records.saturating_mul(RECORD_NS);
        Spending {
            t_ns: monotonic_ns(),
            target_ns: self.look_at_clock(),
            probes_ns: self.cost_ns().unwrap_or(0).saturating_add(ours_ns),
            change_ns: self.change_ns,
        }
    }

    fn keep_budget(&mut self, out: &mut Vec<TraceEvent>) -> Result<(), Failure> {
        if self.budget.is_none() || monotonic_ns() < self.next_look_ns {
            return Ok(());
        }
        let spending = self.spending();
        let Some(budget) = &mut self.budget else { return Ok(()) };
        let verdict = budget.look(spending);
        self.next_look_ns = spending.t_ns.saturating_add(budget.next_look_ns());
        match verdict {
            Verdict::Stay => return Ok(()),
            Verdict::Out => {
                self.tracer.pause();
                let t_ns = monotonic_ns();
                self.out_since_ns = Some(t_ns);
                out.push(TraceEvent::Paused { t_ns });
                self.tell_turn(true);
            }
            Verdict::In => {
                self.tell_turn(false);
                self.tracer.resume().map_err(|error| trace_failure(&error, self.pid))?;
                let t_ns = monotonic_ns();
                self.out_ns += t_ns.saturating_sub(self.out_since_ns.take().unwrap_or(t_ns));
                out.push(TraceEvent::Resumed { t_ns });
            }
        }
        self.change_ns = monotonic_ns().saturating_sub(spending.t_ns);
        Ok(())
    }

    fn tell_turn(&mut self, out: bool) {
        if let Some(turn) = &mut self.turn {
            turn(out);
        }
    }

    fn failed(&self, error: &trace::TraceError) -> Failure {
        trace_failure(error, self.pid)
    }
}

impl EventStream for Probes {
    fn mode(&self) -> Mode {
        if self.tracer.entry_only() {
            return Mode::EntryOnly;
        }
        match self.tracer.mode() {
            trace::ProbeMode::Session => Mode::Session,
            trace::ProbeMode::Multi => Mode::Multi,
            trace::ProbeMode::Perf | trace::ProbeMode::Auto => Mode::PerfEvents,
        }
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = self.tracer.notes().to_vec();
        if self.prices.is_none() {
            notes.push("what a probe costs could not be tried: --max-overhead is not kept".to_owned());
        }
        if self.budget.is_some() && self.tracer.mode() == trace::ProbeMode::Perf {
            notes.push(
                "this kernel takes long to take probes out: --max-overhead is kept over minutes, not seconds"
                    .to_owned(),
            );
        }
        notes
    }

    fn is_quiet(&self) -> bool {
        self.out_since_ns.is_some()
    }

    fn when_turning(&mut self, turn: Box<dyn FnMut(bool) + Send>) {
        self.turn = Some(turn);
    }

    fn drain(&mut self, out: &mut Vec<TraceEvent>) -> Result<(), Failure> {
        self.tracer.drain(out).map_err(|error| self.failed(&error))?;
        self.long_polls.iter_mut().for_each(|polls| polls.drain(out));
        match self.keep_budget(out) {
            // The watcher will see that it has ended.
            Err(failure) if failure.exit == super::Exit::NoTarget => Ok(()),
            kept => kept,
        }
    }

    fn finish(&mut self, out: &mut Vec<TraceEvent>) -> Result<(), Failure> {
        self.tracer.finish(out).map_err(|error| self.failed(&error))?;
        self.long_polls.iter_mut().for_each(|polls| polls.finish(out));
        Ok(())
    }

    fn cost(&mut self) -> Option<Cost> {
        let hits = self.hits();
        let out_now = self.out_since_ns.map_or(0, |since| monotonic_ns().saturating_sub(since));
        Some(Cost {
            hits,
            target_ns: self.cost_ns(),
            cpu_ns: Some(self.look_at_clock().saturating_sub(self.cpu_before_ns)),
            out_ns: self.out_ns + out_now,
            own_ns: None,
        })
    }
}
