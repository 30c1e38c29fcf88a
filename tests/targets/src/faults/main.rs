//! Programs with one fault each, and programs that look much like them and have none: `faults deadlock-ab-ba`.
//!
//! Each prints what is to be found in it, then `ready`, and goes on until its stdin ends.

mod blocking;
mod cancelled;
mod channel_filling;
mod channel_full;
mod computing;
mod deadlock;
mod futurelock;
mod large_future;
mod lock_across_await;
mod lock_convoy;
mod lost_wakeup;
mod no_timeout;
mod sequential_awaits;
mod starved;
mod stuck_shutdown;
mod task_leak;
mod told;

use std::io::Read as _;

/// Name and program; one that must not be complained of ends in `-not`.
type Case = (&'static str, fn());

fn cases() -> impl Iterator<Item = Case> {
    [
        blocking::CASES,
        cancelled::CASES,
        channel_filling::CASES,
        channel_full::CASES,
        computing::CASES,
        deadlock::CASES,
        futurelock::CASES,
        large_future::CASES,
        lock_across_await::CASES,
        lock_convoy::CASES,
        lost_wakeup::CASES,
        no_timeout::CASES,
        sequential_awaits::CASES,
        starved::CASES,
        stuck_shutdown::CASES,
        task_leak::CASES,
    ]
    .into_iter()
    .flatten()
    .copied()
}

fn main() {
    let Some(name) = std::env::args().nth(1) else {
        for (name, _) in cases() {
            println!("{name}");
        }
        return;
    };
    let Some((_, run)) = cases().find(|(case, _)| *case == name) else {
        eprintln!("no case {name}");
        std::process::exit(2);
    };
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    run();
    std::process::exit(0);
}
