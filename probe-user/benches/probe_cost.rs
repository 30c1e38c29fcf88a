//! What probes cost the target, and how long they take to come and go: `cargo bench --bench probe_cost`.

#[path = "../tests/trace/toy.rs"]
#[expect(dead_code, reason = "the tests use the rest")]
mod toy;

use async_inspect::target::Avma;
use async_inspect::trace::{NONE, ProbeMode, SitePlan, TracePlan, Tracer};
use std::time::Instant;
use toy::Toy;

const POLLS: u32 = 300_000;
const SITES: usize = 256;

fn main() {
    let bare = cpu_per_poll(&mut Toy::start());
    println!("processor time of a poll without a probe: {bare:.0} ns");
    let modes = [
        (ProbeMode::Session, false),
        (ProbeMode::Multi, false),
        (ProbeMode::Perf, false),
        (ProbeMode::Multi, true),
        (ProbeMode::Perf, true),
    ];
    println!("mode     probes         a poll  attach, detach {SITES} sites  instructions verified");
    for (mode, entry_only) in modes {
        if let Err(why) = measure(mode, entry_only, bare) {
            println!("{mode:8} NOT MEASURED: {why}");
        }
    }
}

fn measure(mode: ProbeMode, entry_only: bool, bare: f64) -> Result<(), Box<dyn std::error::Error>> {
    let mut toy = Toy::start();
    let tracer = Tracer::attach(&toy.target(), &toy::plan(&toy), mode, entry_only)?;
    let best = (0..5).map(|_| cpu_per_poll(&mut toy)).fold(f64::MAX, f64::min);
    let verified = tracer.verified().to_vec();
    drop(tracer);

    let site = |nth: usize| SitePlan {
        offset: toy::nth_of_many(nth),
        // Never run.
        address: Avma(0),
        name: "many".into(),
        root: NONE,
        id_offset: NONE,
    };
    let plan = TracePlan { sites: (0..SITES).map(site).collect(), ..TracePlan::default() };
    let attach = Instant::now();
    let tracer = Tracer::attach(&toy.target(), &plan, mode, entry_only)?;
    let attach = attach.elapsed();
    let detach = Instant::now();
    drop(tracer);
    let detach = detach.elapsed();
    let probes = if entry_only { "entry" } else { "entry, return" };
    println!("{mode:8} {probes:13} +{:5.0} ns  {attach:8.0?}, {detach:8.0?}  {verified:?}", best - bare);
    Ok(())
}

fn cpu_per_poll(toy: &mut Toy) -> f64 {
    let start = toy.cpu_ns();
    toy.tell(&format!("polls 1 1 {POLLS}"));
    (toy.cpu_ns() - start) as f64 / f64::from(POLLS)
}
