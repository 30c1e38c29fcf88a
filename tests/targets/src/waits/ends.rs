//! Channels between two tasks: who waits at one end is told who has the other.

use super::channels::at_end;
use std::future::pending;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use truth::resources::{Claim, Wait, start};

pub fn start_all() {
    let (sender, mut receiver) = mpsc::channel::<u64>(1);
    let sends = start("a sender that never sends", |case| async move {
        case.has_end("mpsc", "sender", "silent");
        case.stands();
        pending::<()>().await;
        let _ = sender.send(1).await;
    });
    start("recv, from a sender that never sends", |case| async move {
        let wait = Wait::of("mpsc").channel("silent").held_by(&[sends], Claim::Possible);
        case.has_end("mpsc", "receiver", "silent").waits(wait);
        case.stands();
        receiver.recv().await;
    });

    let (sender, mut receiver) = mpsc::channel::<u64>(1);
    sender.try_send(1).expect("there is room for one");
    let receives = start("a receiver that never receives", |case| async move {
        case.has_end("mpsc", "receiver", "ignored");
        case.stands();
        pending::<()>().await;
        receiver.recv().await;
    });
    start("send, to a receiver that never receives", |case| async move {
        let wait = Wait::of("mpsc").channel("ignored").held_by(&[receives], Claim::Told);
        case.has_end("mpsc", "sender", "ignored").waits(wait);
        case.stands();
        let _ = sender.send(2).await;
    });

    let (sender, receiver) = oneshot::channel::<u64>();
    let answers = start("a oneshot's sender that never sends", |case| async move {
        case.has_end("oneshot", "sender", "owed");
        case.stands();
        pending::<()>().await;
        let _ = sender.send(1);
    });
    start("oneshot, from a sender that never sends", |case| async move {
        case.waits(Wait::of("oneshot").channel("owed").held_by(&[answers], Claim::Told));
        case.stands();
        let _ = receiver.await;
    });

    let (sender, receiver) = mpsc::unbounded_channel::<u64>();
    let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
    start("recv on a receiver that is shared behind a Mutex", |case| async move {
        let lock = receiver.clone();
        // Its local is named like what the block captured, and so has one place with it in debug information.
        case.takes("mutex", "exclusive", &*lock, Claim::Told);
        let mut receiver = receiver.lock().await;
        case.waits(Wait::of("mpsc").channel("shared"));
        case.stands();
        receiver.recv().await;
    });
    start("UnboundedSender::closed of that channel", |case| async move {
        at_end(case, "mpsc", "sender", "shared");
        case.stands();
        sender.closed().await;
    });
}
