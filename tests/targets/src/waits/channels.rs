//! Channels whose other end is out of sight.

use tokio::sync::{broadcast, mpsc, oneshot, watch};
use truth::resources::{Case, Wait, keep, start};

pub fn start_all() {
    receivers();
    senders();
    single();
    states();
    broadcasts();
}

/// It waits at one end of a channel that is called as its case.
pub fn at_end(case: Case, kind: &'static str, role: &'static str, name: &str) {
    case.has_end(kind, role, name).waits(Wait::of(kind).channel(name));
}

fn receivers() {
    let (sender, mut receiver) = mpsc::channel::<u64>(3);
    keep(sender);
    start("mpsc::Receiver::recv", |case| async move {
        at_end(case, "mpsc", "receiver", "recv");
        case.stands();
        receiver.recv().await;
    });
    let (sender, mut receiver) = mpsc::unbounded_channel::<u64>();
    keep(sender);
    start("mpsc::UnboundedReceiver::recv", |case| async move {
        at_end(case, "mpsc", "receiver", "unbounded recv");
        case.stands();
        receiver.recv().await;
    });
    let (sender, mut receiver) = mpsc::channel::<u64>(3);
    keep(sender);
    start("mpsc::Receiver::recv_many", |case| async move {
        let mut values = Vec::new();
        at_end(case, "mpsc", "receiver", "recv_many");
        case.stands();
        receiver.recv_many(&mut values, 8).await;
    });
    let (sender, mut receiver) = mpsc::unbounded_channel::<u64>();
    keep(sender);
    start("mpsc::UnboundedReceiver::recv_many", |case| async move {
        let mut values = Vec::new();
        at_end(case, "mpsc", "receiver", "unbounded recv_many");
        case.stands();
        receiver.recv_many(&mut values, 8).await;
    });
}

fn senders() {
    let (sender, receiver) = mpsc::channel::<u64>(1);
    sender.try_send(1).expect("there is room for one");
    keep(receiver);
    let same = sender.clone();
    start("mpsc::Sender::send", |case| async move {
        at_end(case, "mpsc", "sender", "full");
        case.stands();
        let _ = same.send(2).await;
    });
    let same = sender.clone();
    start("mpsc::Sender::reserve", |case| async move {
        at_end(case, "mpsc", "sender", "full");
        case.stands();
        let _ = same.reserve().await;
    });
    let same = sender.clone();
    start("mpsc::Sender::reserve_many", |case| async move {
        at_end(case, "mpsc", "sender", "full");
        case.stands();
        let _ = same.reserve_many(1).await;
    });
    let same = sender.clone();
    start("mpsc::Sender::reserve_owned", |case| async move {
        at_end(case, "mpsc", "sender", "full");
        case.stands();
        let _ = same.reserve_owned().await;
    });
    start("mpsc::Sender::closed", |case| async move {
        at_end(case, "mpsc", "sender", "full");
        case.stands();
        sender.closed().await;
    });
    let (sender, receiver) = mpsc::unbounded_channel::<u64>();
    keep(receiver);
    start("mpsc::UnboundedSender::closed", |case| async move {
        at_end(case, "mpsc", "sender", "unbounded closed");
        case.stands();
        sender.closed().await;
    });
}

fn single() {
    let (sender, receiver) = oneshot::channel::<u64>();
    keep(sender);
    start("oneshot::Receiver", |case| async move {
        case.waits(Wait::of("oneshot").channel("answer"));
        case.stands();
        let _ = receiver.await;
    });
    let (sender, mut receiver) = oneshot::channel::<u64>();
    keep(sender);
    start("&mut oneshot::Receiver", |case| async move {
        at_end(case, "oneshot", "receiver", "answer by reference");
        case.stands();
        let _ = (&mut receiver).await;
    });
    let (mut sender, receiver) = oneshot::channel::<u64>();
    keep(receiver);
    start("oneshot::Sender::closed", |case| async move {
        at_end(case, "oneshot", "sender", "unasked");
        case.stands();
        sender.closed().await;
    });
}

fn states() {
    let (sender, receiver) = watch::channel(0_u64);
    let mut same = receiver.clone();
    start("watch::Receiver::changed", |case| async move {
        at_end(case, "watch", "receiver", "state");
        case.stands();
        let _ = same.changed().await;
    });
    let mut same = receiver.clone();
    start("watch::Receiver::wait_for", |case| async move {
        at_end(case, "watch", "receiver", "state");
        case.stands();
        let _ = same.wait_for(|value| *value == 7).await;
    });
    keep(receiver);
    start("watch::Sender::closed", |case| async move {
        at_end(case, "watch", "sender", "state");
        case.stands();
        sender.closed().await;
    });
}

fn broadcasts() {
    let (sender, mut receiver) = broadcast::channel::<u64>(4);
    let mut other = sender.subscribe();
    start("broadcast::Receiver::recv", |case| async move {
        at_end(case, "broadcast", "receiver", "news");
        case.stands();
        let _ = receiver.recv().await;
    });
    start("broadcast::Receiver::recv, a second one", |case| async move {
        at_end(case, "broadcast", "receiver", "news");
        case.stands();
        let _ = other.recv().await;
    });
    #[cfg(feature = "recent")]
    {
        let sender = sender.clone();
        start("broadcast::Sender::closed", |case| async move {
            at_end(case, "broadcast", "sender", "news");
            case.stands();
            sender.closed().await;
        });
    }
    keep(sender);
}
