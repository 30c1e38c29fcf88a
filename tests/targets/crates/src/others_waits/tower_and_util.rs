//! tokio-util and tower.

use futures::StreamExt as _;
use std::future::{Ready, pending, ready};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::codec::{FramedRead, LinesCodec};
use tokio_util::sync::{CancellationToken, PollSender, ReusableBoxFuture};
use tokio_util::task::TaskTracker;
use tokio_util::time::DelayQueue;
use tower::{Service, ServiceExt as _, buffer::Buffer};
use truth::resources::{Wait, keep, start};

/// Two ends of a connection; the first is ours.
pub async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on loopback");
    let address = listener.local_addr().expect("the port's number");
    let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
    (client.expect("a connection to ourselves"), server.expect("the other end").0)
}

pub async fn start_all() {
    tokens();
    queues().await;
    services();
}

fn tokens() {
    let token = CancellationToken::new();
    let child = token.child_token();
    start("CancellationToken::cancelled", |case| async move {
        case.waits(Wait::of("notify"));
        case.stands();
        token.cancelled().await;
    });
    start("CancellationToken::cancelled_owned, a child", |case| async move {
        case.waits(Wait::of("notify"));
        case.stands();
        child.cancelled_owned().await;
    });
    start("TaskTracker::wait", |case| async move {
        let tracker = TaskTracker::new();
        tracker.spawn(pending::<()>());
        tracker.close();
        case.waits(Wait::of("notify"));
        case.stands();
        tracker.wait().await;
    });
}

async fn queues() {
    let (sender, receiver) = mpsc::channel::<u64>(1);
    sender.try_send(1).expect("there is room for one");
    keep(receiver);
    start("PollSender, a full channel", |case| async move {
        let mut sender = PollSender::new(sender);
        case.waits(Wait::of("mpsc").channel("PollSender"));
        case.stands();
        let _ = std::future::poll_fn(|cx| sender.poll_reserve(cx)).await;
    });
    start("DelayQueue::next", |case| async move {
        let mut queue = DelayQueue::new();
        queue.insert(7_u64, Duration::from_secs(3600));
        case.waits(Wait::of("timer"));
        case.stands();
        queue.next().await;
    });
    start("ReusableBoxFuture", |case| async move {
        let (sender, mut receiver) = mpsc::channel::<u64>(1);
        keep(sender);
        let mut boxed = ReusableBoxFuture::new(async move {
            case.waits(Wait::of("mpsc").channel("ReusableBoxFuture"));
            case.stands();
            receiver.recv().await
        });
        (&mut boxed).await;
    });
    let (ours, theirs) = pair().await;
    keep(theirs);
    start("FramedRead::next, lines", |case| async move {
        let (local, peer) = (ours.local_addr().expect("an end"), ours.peer_addr().expect("and a peer"));
        case.waits(Wait::of("io").fd(&ours).words(&[&"reads", &local, &peer]));
        let mut lines = FramedRead::new(ours, LinesCodec::new());
        case.stands();
        lines.next().await;
    });
}

/// Is never ready, so that what is asked of it stays where it is.
struct NeverReady;

impl Service<u64> for NeverReady {
    type Response = u64;
    type Error = std::convert::Infallible;
    type Future = Ready<Result<u64, Self::Error>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Pending
    }

    fn call(&mut self, request: u64) -> Self::Future {
        ready(Ok(request))
    }
}

fn services() {
    let mut service = Buffer::new(NeverReady, 1);
    start("tower Buffer, waiting for the answer", |case| async move {
        let answer = service.ready().await.expect("there is room").call(1);
        // The buffer's worker has the other end.
        case.waits(Wait::of("oneshot")).waits_for_more();
        case.stands();
        let _ = answer.await;
    });
    start("tower Buffer::ready, a full buffer", |case| async move {
        let mut service = Buffer::new(NeverReady, 1);
        // One is with the worker, one in its queue.
        for _ in 0..2 {
            keep(service.ready().await.expect("there is room").call(1));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        case.waits(Wait::of("mpsc|semaphore")).waits_for_more();
        case.stands();
        let _ = service.ready().await;
    });
    start("tower ConcurrencyLimit::ready", |case| async move {
        let mut service = tower::limit::ConcurrencyLimit::new(AlwaysReady, 1);
        keep(service.ready().await.expect("there is room").call(1));
        case.waits(Wait::of("semaphore"));
        case.stands();
        let _ = service.ready().await;
    });
}

/// Answers never.
struct AlwaysReady;

impl Service<u64> for AlwaysReady {
    type Response = u64;
    type Error = std::convert::Infallible;
    type Future = std::future::Pending<Result<u64, Self::Error>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: u64) -> Self::Future {
        pending()
    }
}
