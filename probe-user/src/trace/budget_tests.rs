use super::*;
use proptest::prelude::*;

const MS: u64 = 1_000_000;

/// A target of `cpus` busy processors whose probes cost `cost` of them (a fraction) while they are in; how much of the target's
/// CPU time they cost in `seconds`, how much of the time they were in, and how often they were put in.
fn run(percent: u8, cpus: f64, cost: f64, change_ms: u64, seconds: u64) -> (f64, f64, u32) {
    let mut now = Spending { change_ns: change_ms * MS, ..Spending::default() };
    let mut budget = Budget::new(percent, now);
    let (mut live, mut live_ns, mut times) = (true, 0, 0);
    while now.t_ns < seconds * 1_000_000_000 {
        let step = budget.next_look_ns();
        now.t_ns += step;
        now.target_ns += (step as f64 * cpus) as u64;
        if live {
            now.probes_ns += (step as f64 * cpus * cost) as u64;
            live_ns += step;
        }
        match budget.look(now) {
            Verdict::Stay => continue,
            verdict => live = verdict == Verdict::In,
        }
        // Changing them takes time as well.
        now.t_ns += change_ms * MS;
        times += u32::from(live);
    }
    (now.probes_ns as f64 / now.target_ns.max(1) as f64, live_ns as f64 / now.t_ns as f64, times)
}

#[test]
fn a_cheap_trace_is_never_interrupted() {
    let (cost, live, times) = run(2, 2.0, 0.015, 20, 60);
    assert_eq!((live, times), (1.0, 0));
    assert!((0.0149..0.0151).contains(&cost), "{cost}");
}

#[test]
fn an_idle_program_is_watched_all_the_time() {
    // Two thousandths of a processor are allowed, whatever it does itself.
    let (_, live, times) = run(2, 0.003, 0.6, 20, 60);
    assert_eq!((live, times), (1.0, 0));
}

#[test]
fn a_dear_trace_takes_its_share_and_no_more() {
    let (cost, live, times) = run(2, 2.0, 0.9, 30, 60);
    assert!((0.015..0.021).contains(&cost), "{cost}");
    assert!((0.01..0.03).contains(&live), "{live}");
    assert!(times > 5, "{times}");
}

#[test]
fn probes_that_are_slow_to_change_are_changed_seldom() {
    let (cost, _, times) = run(2, 2.0, 0.3, 2000, 120);
    assert!(cost < 0.03, "{cost}");
    assert!((1..=6).contains(&times), "{times}");
}

proptest! {
    #[test]
    fn the_share_is_kept(
        percent in 1u8..60,
        cpus in 0.01f64..64.0,
        cost in 0.001f64..0.95,
        change_ms in 1u64..200,
    ) {
        let (spent, ..) = run(percent, cpus, cost, change_ms, 60);
        // Beyond the share: the credit, the allowance of one who hardly runs, and the last look's overshoot.
        let ran_s = 60.0 * cpus;
        let allowed = f64::from(percent) / 100.0 + 0.002 / cpus + 0.02 / ran_s + 0.105 * cpus * cost / ran_s;
        prop_assert!(spent <= allowed + 0.001, "{spent} of {allowed}");
    }
}
