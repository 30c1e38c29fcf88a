//! Tasks that do nothing but take turns, so many async fns deep.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Pending once, having woken itself.
#[derive(Default)]
pub struct Turn(bool);

impl Future for Turn {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// One await: a poll leaves the task where it found it.
async fn one_place() {
    loop {
        Turn::default().await;
    }
}

/// Two awaits in turn: each poll moves the task.
async fn two_places() {
    loop {
        Turn::default().await;
        Turn::default().await;
    }
}

pub const DEEPEST: u32 = 16;

/// Async fns, each around the one before, and a function that spawns the future of a depth.
macro_rules! nest {
    ($innermost:ident: $($name:ident $depth:literal $inner:ident),*) => {
        $(async fn $name() {
            $inner().await;
        })*

        pub fn spawn(depth: u32) {
            match depth {
                1 => crate::spawn("nested", $innermost()),
                $($depth => crate::spawn("nested", $name()),)*
                _ => panic!("1 to {} levels, not {depth}", super::DEEPEST),
            }
        }
    };
}

macro_rules! module {
    ($module:ident $innermost:ident) => {
        pub mod $module {
            use super::$innermost;
            nest!($innermost: level_2 2 $innermost, level_3 3 level_2, level_4 4 level_3, level_5 5 level_4,
                level_6 6 level_5, level_7 7 level_6, level_8 8 level_7, level_9 9 level_8, level_10 10 level_9,
                level_11 11 level_10, level_12 12 level_11, level_13 13 level_12, level_14 14 level_13,
                level_15 15 level_14, level_16 16 level_15);
        }
    };
}

module!(steady one_place);
module!(alternating two_places);
