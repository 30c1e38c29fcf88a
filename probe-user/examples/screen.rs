//! The live screen on a made-up shop server, to try it without a target:
//! `cargo run --example screen -- [TASKS] [--snapshots]`.

// The made-up server speaks of the crate's modules as its own.
use async_inspect::{decode, target};

#[expect(dead_code, reason = "the screen plays no deadlock")]
#[path = "../src/model/sample.rs"]
mod sample;

use async_inspect::model::{Cost, End, Limits, Mode, Model, Update};
use async_inspect::present::source::NoSource;
use async_inspect::trace::{Doer, PollEnd, TraceEvent};
use async_inspect::tui::{Screen, Target, run};
use sample::{MS, SECOND, Shop, tokio};
use std::time::{Duration, Instant};

/// Plays a server: most tasks wait, some come and go.
struct Play {
    shop: Shop,
    began: Instant,
    tasks: u64,
    traced: bool,
    step: u64,
    next_id: u64,
    snapshot: Instant,
}

impl Play {
    fn t_ns(&self) -> u64 {
        SECOND + self.began.elapsed().as_nanos() as u64
    }

    fn snapshot(&self) -> Update {
        let (reading, sleeping) = (self.shop.reading(), self.shop.sleeping());
        let mut snapshot = self.shop.busy_day(self.t_ns());
        snapshot.tasks.extend((100..100 + self.tasks).map(|id| {
            let path = if (id + self.step / 200).is_multiple_of(7) { &sleeping } else { &reading };
            self.shop.fetching(id, path)
        }));
        Update::Snapshot(Box::new(snapshot))
    }

    fn next(&mut self) -> Update {
        self.step += 1;
        let t_ns = self.t_ns();
        if self.snapshot.elapsed() >= Duration::from_secs(1) {
            self.snapshot = Instant::now();
            return self.snapshot();
        }
        if !self.traced {
            return Update::Tick(t_ns);
        }
        if self.step.is_multiple_of(50) {
            let hits = self.step;
            return Update::Cost(Cost {
                hits,
                target_ns: Some(hits * 9_000),
                own_ns: Some(t_ns / 90),
                ..Cost::default()
            });
        }
        let mut events = Vec::new();
        let poll = |t_ns, id, end| {
            let duration_ns = Some(2_000 + id % 97 * 1_000);
            TraceEvent::Poll { t_ns, task: tokio(id), tid: 7, count: 1, duration_ns, end, off_cpu: None }
        };
        let id = self.next_id;
        self.next_id += 1;
        let name = "shop::api::fetch_user".into();
        let (from, to) = (self.shop.unresumed().into(), self.shop.sleeping().into());
        events.push(TraceEvent::Spawn { t_ns, task: tokio(id), name, parent: Some(Doer::Task(tokio(1))) });
        events.push(poll(t_ns, id, PollEnd::Pending));
        events.push(TraceEvent::State { t_ns, task: tokio(id), from, to });
        if id > 1_000_050 {
            let end = if id.is_multiple_of(13) { PollEnd::Panicked } else { PollEnd::Complete };
            events.push(poll(t_ns + MS, id - 50, end));
        }
        for i in 0..20 {
            events.push(poll(t_ns, 100 + (self.step * 20 + i) % self.tasks.max(1), PollEnd::Pending));
        }
        Update::Trace(events)
    }
}

fn main() -> std::io::Result<()> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let snapshots =
        arguments.iter().position(|a| a == "--snapshots").map(|at| arguments.remove(at)).is_some();
    let tasks = arguments.first().and_then(|n| n.parse().ok()).unwrap_or(1_000);
    let mut play = Play {
        shop: Shop::new(),
        began: Instant::now(),
        tasks,
        traced: !snapshots,
        step: 0,
        next_id: 1_000_000,
        snapshot: Instant::now(),
    };
    let mode = if snapshots { Mode::Snapshots } else { Mode::Session };
    let mut model = Model::new(mode, play.shop.frames.clone(), SECOND, Limits::default());
    model.apply(play.snapshot(), &mut Vec::new());
    let because = snapshots.then(|| "CAP_BPF is missing".to_owned());
    let target = Target { pid: 4242, exe: "/srv/shop/target/release/shop".into(), because };
    let mut screen = Screen::new(target, model, Box::new(NoSource), std::env::var_os("NO_COLOR").is_none());
    let mut last = Instant::now();
    let (_, end) = run(&mut screen, &mut |_| {
        if last.elapsed() < Duration::from_millis(10) {
            return None;
        }
        last = Instant::now();
        Some(play.next())
    })?;
    debug_assert!(matches!(end, End::Left));
    Ok(())
}
