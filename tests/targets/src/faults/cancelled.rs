//! Tasks that are aborted in the middle, and tasks that come to their end.

use super::Case;
use super::told::{Fault, may_be_told, ready, runtime, wait};
use std::time::Duration;

pub const CASES: &[Case] = &[("cancelled-abort", || aborts(true)), ("cancelled-abort-not", || aborts(false))];

async fn saves() {
    tokio::time::sleep(Duration::from_millis(1)).await;
    tokio::time::sleep(Duration::from_millis(40)).await;
}

/// Line of the await that they are aborted at.
const LINE: u32 = line!() - 4;

fn aborts(early: bool) {
    let runtime = runtime(2);
    if early {
        Fault::possible("cancelled-mid-await").lines([LINE]).is_here();
    }
    // One after the other it is.
    may_be_told("sequential-awaits");
    ready();
    runtime.block_on(async {
        // The watcher comes some time after.
        for _ in 0..100 {
            let task = tokio::spawn(saves());
            tokio::time::sleep(Duration::from_millis(20)).await;
            if early {
                task.abort();
            }
            let _ = task.await;
        }
    });
    wait()
}
