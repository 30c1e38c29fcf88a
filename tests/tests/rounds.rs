//! Probes come and go, again and again, in one program at work: fifty times in CI, as often as `ATTACH_ROUNDS` says by hand.
//!
//! ```sh
//! ATTACH_ROUNDS=10000 cargo test -p e2e --test rounds -- --nocapture
//! ```

use async_inspect::decode::Inspector;
use async_inspect::target::Process;
use async_inspect::trace::{
    self, CausePlan, ProbeMode, SitePlan, TraceEvent, TracePlan, TraceTarget, Tracer, Wanted,
};
use e2e::{Program, Tokio, Variant, rights};
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

#[test]
fn probes_come_and_go_in_a_program_at_work() {
    if !rights::root_or_skip("probes_come_and_go_in_a_program_at_work") {
        return;
    }
    let rounds = std::env::var("ATTACH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(50u32);
    let executable = Variant::release(Tokio::Latest).build(&["busy"]).expect("builds").program("busy");
    let mut program = Program::start(&executable, &["paced"]).expect("starts");
    program.truth().expect("it says that it waits");
    let process = Process::open(program.pid()).expect("it runs");
    let inspector = Inspector::open(process, &[], Vec::new(), &|_, _| ()).expect("it is understood");
    let Inspector { image, model, ids, .. } = &inspector;
    let mut plan = trace::compile(&model.recipes, &model.sites, image, ids);
    plan.causes = CausePlan::find(Wanted::ALL, &model.files.main, None, image, &model.sites);
    assert!(!plan.causes.wakes.is_empty() && !plan.causes.spawns.is_empty());
    let target = TraceTarget { pid: program.pid(), exe: image.open_path.clone() };
    let before = first_bytes(program.pid(), &plan);
    // Perf events take long to go (a tenth of a second each), and `harmless` has them.
    let modes: Vec<ProbeMode> = trace::features()
        .expect("root may probe")
        .into_iter()
        .filter(|mode| *mode != ProbeMode::Perf)
        .collect();
    assert!(!modes.is_empty(), "this kernel has no probes that come and go quickly");
    let (mut attaching, mut detaching) = (Vec::new(), Vec::new());
    let (mut polls, mut quiet, mut descriptors) = (0u64, 0u32, 0);
    for round in 0..rounds {
        let mode = modes[round as usize % modes.len()];
        let begin = Instant::now();
        let mut tracer = Tracer::attach(&target, &plan, mode, round % 5 == 4 && mode == ProbeMode::Multi)
            .expect("it could a moment ago");
        attaching.push(begin.elapsed());
        // Now and then they go before anything was told, and now and then while a poll is under way.
        std::thread::sleep(Duration::from_micros(u64::from(round % 7) * 500));
        let mut events = Vec::new();
        tracer.finish(&mut events).expect("drains");
        let seen = counted(&events);
        polls += seen;
        quiet += u32::from(seen == 0);
        let begin = Instant::now();
        drop(tracer);
        detaching.push(begin.elapsed());
        match round {
            10 => descriptors = open_descriptors(),
            11.. => assert!(open_descriptors() <= descriptors, "round {round} left a descriptor behind"),
            _ => {}
        }
        assert!(program.is_running(), "it ended in round {round}");
    }
    assert_eq!(first_bytes(program.pid(), &plan), before, "the program's code is as it was");
    assert!(quiet < rounds / 2, "{quiet} of {rounds} rounds saw nothing");
    let status = program.finish().expect("it ends when it is told to");
    assert_eq!(status.code(), Some(0));
    let printed = program.printed.last().expect("it counts");
    println!("{rounds} rounds, {quiet} of them saw nothing; {polls} polls seen, {printed} in all");
    println!("attach {}; detach {}", told(&mut attaching), told(&mut detaching));
}

/// Of each poll function, where a probe stands while it is in.
fn first_bytes(pid: u32, plan: &TracePlan) -> Vec<u8> {
    let memory = std::fs::File::open(format!("/proc/{pid}/mem")).expect("root may read it");
    let byte = |site: &SitePlan| {
        let mut byte = [0];
        memory.read_exact_at(&mut byte, site.address.0).expect("its text is mapped");
        byte[0]
    };
    plan.sites.iter().map(byte).collect()
}

fn counted(events: &[TraceEvent]) -> u64 {
    let count = |event: &TraceEvent| if let TraceEvent::Poll { count, .. } = event { *count } else { 0 };
    events.iter().map(count).sum()
}

fn told(times: &mut [Duration]) -> String {
    times.sort_unstable();
    format!("{:?} as a rule, {:?} at most", times[times.len() / 2], times[times.len() - 1])
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("our own").count()
}
