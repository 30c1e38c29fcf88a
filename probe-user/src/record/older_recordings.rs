//! Files that older versions made are read. The kept file is never made anew but for a version that raises
//! [`VERSION`](super::VERSION), which then keeps one of its own beside it: `KEEP_RECORDING=v1 cargo test older_recordings`.

use super::tests::{day, head, record};
use super::*;
use crate::decode::TaskId;
use crate::model::sample::{MS, SECOND, Shop, tokio};
use crate::model::{Ending, Event, Limits, Mode, Model};
use std::path::PathBuf;

fn kept(version: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/recordings/{version}.rec"))
}

#[test]
fn version_1() {
    if std::env::var_os("KEEP_RECORDING").is_some_and(|version| version == "v1") {
        let shop = Shop::new();
        let updates = day(&shop);
        std::fs::write(kept("v1"), record(&shop.frames, &updates)).expect("writes");
    }
    let reader = Reader::open(std::fs::File::open(kept("v1")).expect("is kept")).expect("is read");
    let first = reader.head().clone();
    assert_eq!((first.pid, first.exe, first.mode, first.t_ns), (4242, head().exe, Mode::Session, SECOND));
    let frames = reader.frames().clone();
    let mut model = Model::new(Mode::Session, frames.clone(), SECOND, Limits::default());
    let mut events = Vec::new();
    let asides: Vec<_> = reader.filter_map(|update| model.apply(update, &mut events)).collect();
    assert_eq!(asides.len(), 3, "a note, a cost and the end, none of damage: {asides:?}");

    let totals = model.totals();
    assert_eq!(
        (totals.polls, totals.busy_ns, totals.transitions, totals.lost),
        (Some(4), Some(2 * MS), 2, 12)
    );
    assert_eq!((totals.panicked, model.now_ns()), (1, 4 * SECOND));
    let ended = |event: &Event| matches!(event, Event::Ended { task, how: Ending::Panicked, .. } if *task == tokio(9));
    assert!(events.iter().any(ended));
    let moved = |event: &Event| match event {
        Event::State { to, .. } => to.place.and_then(|place| frames.get(place).line.clone()),
        _ => None,
    };
    let lines: Vec<u32> = events.iter().filter_map(moved).map(|line| line.line).collect();
    assert_eq!(lines, [155, 171]);

    let snapshot = model.snapshot().expect("the second one");
    let find = |id: TaskId| snapshot.tasks.iter().find(|task| task.id == id).expect("is in it");
    assert_eq!((snapshot.tasks.len(), &*find(tokio(2)).name), (10, "shop::cart::checkout"));
    let wait = &find(tokio(2)).waits[0];
    assert_eq!((wait.kind.as_str(), &*wait.holders), ("mutex", &[tokio(3)][..]));
    assert_eq!(
        wait.acquired_at.as_ref().map(|line| (&*line.file, line.line)),
        Some(("/srv/shop/src/stock.rs", 7))
    );
    assert_eq!(find(tokio(3)).location(&frames).map(|line| line.line), Some(9));
}
