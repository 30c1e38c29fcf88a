//! What the programs have in common: they count their own polls and requests, and tell them on demand.

mod counted;
mod nested;
pub mod peer;
pub mod sites;
pub mod tally;

pub use counted::Counted;
pub use nested::{DEEPEST, Turn, alternating, steady};

use std::future::Future;
use std::io::BufRead as _;

/// Two workers, as many as the machine has cores.
pub const WORKERS: usize = 2;

/// Spawns a task whose polls are counted, with the peer's instrumentation around it.
pub fn spawn<F>(name: &'static str, future: F)
where
    F: Future<Output = ()> + Send + 'static,
{
    peer::spawn(name, Counted::new(future));
}

/// Says `ready`, and then the sums so far for each line on stdin. Ends the process when stdin closes.
pub fn answer(ready: &serde_json::Value) -> ! {
    println!("{ready}");
    for line in std::io::stdin().lock().lines() {
        if line.is_err() {
            break;
        }
        println!("{}", serde_json::to_string(&tally::sums()).expect("numbers"));
    }
    // Not by dropping the runtime: a million tasks take their time.
    std::process::exit(0)
}
