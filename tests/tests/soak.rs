//! Our memory does not grow with time: a few seconds in CI, as long as `SOAK_SECONDS` says by hand.
//!
//! ```sh
//! SOAK_SECONDS=3600 cargo test -p e2e --test soak -- --nocapture
//! ```

use e2e::{Program, Tokio, Variant, inspector, rights};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Until caches and tables are full.
const WARM: Duration = Duration::from_secs(8);

#[test]
fn memory_stays_flat() {
    if !rights::root_or_skip("a soak") {
        return;
    }
    let seconds = std::env::var("SOAK_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    let executable = Variant::release(Tokio::Latest).build(&["busy"]).expect("builds").program("busy");
    let mut program = Program::start(&executable, &["paced"]).expect("starts");
    program.truth().expect("it says that it waits");
    let mut command = inspector::command();
    command.args(["attach", "--json", "--max-overhead", "100"]).arg(program.pid().to_string());
    let mut tracer = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("starts");
    let started = Instant::now();
    let mut seen = Vec::new();
    while started.elapsed() < Duration::from_secs(seconds) {
        std::thread::sleep(Duration::from_millis(500));
        assert!(tracer.try_wait().expect("ours").is_none(), "it ended early");
        if started.elapsed() > WARM {
            seen.push(resident_mib(tracer.id()));
        }
    }
    let pid = rustix::process::Pid::from_child(&tracer);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it runs");
    assert!(tracer.wait().expect("ours").success());
    program.finish().expect("it ends when it is told to");
    println!("{} in {seconds} s", program.printed.last().expect("it counts"));
    let (first, last) = seen.split_at(seen.len() / 2);
    let (before, after) = (median(first), median(last));
    let most = seen.iter().copied().fold(0.0, f64::max);
    println!("resident: {before:.1} MiB in the first half, {after:.1} in the second, {most:.1} at most");
    assert!(after < before + 8.0, "{before} MiB became {after}: {seen:?}");
    assert!(most < 100.0, "{most} MiB");
}

fn resident_mib(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") / 1024.0
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
