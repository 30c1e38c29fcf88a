//! Rounds of damage done to what a target gives us, each by its seed, watched for panics, for hangs and for memory.
//!
//! `HOSTILE_SEED=N` begins with that round, `HOSTILE_ROUNDS=N` runs so many.

use std::ops::Range;
use std::process::Command;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Runs the test again in a process of its own, and says so: what others allocate is not to be counted, and no index of an older
/// build is to be found. True there.
pub fn alone(test: &str) -> bool {
    if std::env::var_os("ASYNC_INSPECT_NO_CACHE").is_some() {
        return true;
    }
    let mut again = Command::new(std::env::current_exe().expect("ourselves"));
    again.args(["--exact", test, "--nocapture"]).env("ASYNC_INSPECT_NO_CACHE", "1");
    assert!(again.status().expect("runs").success(), "see above");
    false
}

/// `run` is given the seeds, tells each before it begins with it, and in the end what was seen.
pub fn rounds(
    name: &str,
    rounds: u64,
    patience: Duration,
    run: impl FnOnce(Range<u64>, &Sender<u64>) -> String + Send + 'static,
) {
    let number =
        |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().expect("a number"));
    let (first, rounds) = (number("HOSTILE_SEED", 0), number("HOSTILE_ROUNDS", rounds));
    let (sender, began) = channel();
    let worker = std::thread::spawn(move || run(first..first + rounds, &sender));
    let mut last = None;
    loop {
        match began.recv_timeout(patience) {
            Ok(seed) => last = Some(seed),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                panic!("{name}: HOSTILE_SEED={last:?} takes longer than {patience:?}");
            }
        }
    }
    match worker.join() {
        Ok(told) => println!("{name}: {told}"),
        Err(_) => panic!("{name}: HOSTILE_SEED={last:?} panics, see above"),
    }
}
