//! Programs with so many poll functions: each task has a type of its own, and tokio makes two poll functions of a type, for
//! either of its schedulers.

use crate::Turn;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Each task takes one turn, and then waits for ever.
static QUIET: AtomicBool = AtomicBool::new(false);

async fn site<const N: u32>() {
    loop {
        // Else they are all the same code, which the compiler is free to fold.
        black_box(N);
        Turn::default().await;
        if QUIET.load(Relaxed) {
            std::future::pending::<()>().await;
        }
    }
}

pub fn spawn_site<const N: u32>() {
    crate::spawn("site", site::<N>());
}

#[macro_export]
macro_rules! types_5 {
    ($first:expr) => {
        $crate::types_5!($first, 0 1 2 3 4);
    };
    ($first:expr, $($nth:literal)*) => {
        $($crate::sites::spawn_site::<{ $first + $nth }>();)*
    };
}

#[macro_export]
macro_rules! types_50 {
    ($first:expr) => {
        $crate::types_50!($first, 0 5 10 15 20 25 30 35 40 45);
    };
    ($first:expr, $($nth:literal)*) => {
        $($crate::types_5!($first + $nth);)*
    };
}

#[macro_export]
macro_rules! types_500 {
    ($first:expr) => {
        $crate::types_500!($first, 0 50 100 150 200 250 300 350 400 450);
    };
    ($first:expr, $($nth:literal)*) => {
        $(
            // A function for each fifty: one of thousands of calls takes the compiler long.
            (|| { $crate::types_50!($first + $nth); })();
        )*
    };
}

/// Runs what `spawn` spawns: all the time, or with the argument `quiet` not for long.
pub fn run(spawn: impl FnOnce()) -> ! {
    QUIET.store(std::env::args().nth(1).as_deref() == Some("quiet"), Relaxed);
    let runtime = crate::peer::runtime();
    let _inside = runtime.enter();
    spawn();
    crate::answer(&serde_json::json!({ "ready": true }))
}
