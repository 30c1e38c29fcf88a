//! Channels of futures, async-channel and flume, whose other end is out of sight.

use futures::{SinkExt as _, StreamExt as _};
use truth::resources::{Wait, keep, start};

pub fn start_all() {
    of_futures();
    of_async_channel();
    of_flume();
}

fn of_futures() {
    let (sender, mut receiver) = futures::channel::mpsc::channel::<u64>(1);
    keep(sender);
    start("futures mpsc::Receiver::next", |case| async move {
        case.waits(Wait::of("mpsc").channel("futures next"));
        case.stands();
        receiver.next().await;
    });
    let (sender, mut receiver) = futures::channel::mpsc::unbounded::<u64>();
    keep(sender);
    start("futures mpsc::UnboundedReceiver::next", |case| async move {
        case.waits(Wait::of("mpsc").channel("futures unbounded next"));
        case.stands();
        receiver.next().await;
    });
    let (mut sender, receiver) = futures::channel::mpsc::channel::<u64>(0);
    keep(receiver);
    start("futures mpsc::Sender::send", |case| async move {
        // Each sender has one place of its own.
        sender.try_send(1).expect("there is room for one");
        case.waits(Wait::of("mpsc").channel("futures send"));
        case.stands();
        let _ = sender.send(2).await;
    });
    let (sender, receiver) = futures::channel::oneshot::channel::<u64>();
    keep(sender);
    start("futures oneshot::Receiver", |case| async move {
        case.waits(Wait::of("oneshot").channel("futures oneshot"));
        case.stands();
        let _ = receiver.await;
    });
    let (mut sender, receiver) = futures::channel::oneshot::channel::<u64>();
    keep(receiver);
    start("futures oneshot::Sender::cancellation", |case| async move {
        case.waits(Wait::of("oneshot").channel("futures cancellation"));
        case.stands();
        sender.cancellation().await;
    });
}

fn of_async_channel() {
    let (sender, receiver) = async_channel::bounded::<u64>(1);
    let other = receiver.clone();
    keep(sender);
    start("async-channel recv", |case| async move {
        case.waits(Wait::of("mpsc").channel("async-channel recv"));
        case.stands();
        let _ = receiver.recv().await;
    });
    start("async-channel recv, a second one", |case| async move {
        case.waits(Wait::of("mpsc").channel("async-channel recv"));
        case.stands();
        let _ = other.recv().await;
    });
    let (sender, receiver) = async_channel::bounded::<u64>(1);
    keep(receiver);
    start("async-channel send", |case| async move {
        sender.try_send(1).expect("there is room for one");
        case.waits(Wait::of("mpsc").channel("async-channel send"));
        case.stands();
        let _ = sender.send(2).await;
    });
}

fn of_flume() {
    let (sender, receiver) = flume::bounded::<u64>(1);
    keep(sender);
    start("flume recv_async", |case| async move {
        case.waits(Wait::of("mpsc").channel("flume recv"));
        case.stands();
        let _ = receiver.recv_async().await;
    });
    let (sender, receiver) = flume::bounded::<u64>(1);
    keep(receiver);
    start("flume send_async", |case| async move {
        sender.try_send(1).expect("there is room for one");
        case.waits(Wait::of("mpsc").channel("flume send"));
        case.stands();
        let _ = sender.send_async(2).await;
    });
}
