//! HTTP connections that nothing comes in on, and requests that are not answered.

use super::tower_and_util::pair;
use bytes::Bytes;
use http_body_util::Empty;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use truth::resources::{Case, Claim, Wait, keep, standing, start};

fn on(stream: &TcpStream) -> Wait {
    let (local, peer) = (stream.local_addr().expect("an end"), stream.peer_addr().expect("and a peer"));
    Wait::of("io").fd(stream).words(&[&"reads", &local, &peer])
}

/// Beside its connection it waits for whatever hyper has around it.
fn waits_on(case: Case, stream: &TcpStream) {
    case.waits(on(stream)).waits_for_more();
}

pub async fn start_all() {
    servers().await;
    answering().await;
    clients().await;
    h2().await;
    reqwest().await;
}

async fn servers() {
    let (ours, theirs) = pair().await;
    keep(theirs);
    start("hyper server connection, HTTP/1, idle", |case| async move {
        waits_on(case, &ours);
        let answer = service_fn(|_| async { Ok::<_, hyper::Error>(Response::new(Empty::<Bytes>::new())) });
        let connection =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(ours), answer);
        case.stands();
        let _ = connection.await;
    });
    let (ours, theirs) = pair().await;
    keep(theirs);
    start("hyper server connection, HTTP/2, idle", |case| async move {
        waits_on(case, &ours);
        let answer = service_fn(|_| async { Ok::<_, hyper::Error>(Response::new(Empty::<Bytes>::new())) });
        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let connection = builder.serve_connection(TokioIo::new(ours), answer);
        case.stands();
        let _ = connection.await;
    });
}

/// What they wait for is told of both: the connection is read while an answer is made.
async fn answering() {
    let (ours, theirs) = pair().await;
    theirs.writable().await.expect("nothing was written yet");
    theirs.try_write(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n").expect("there is room");
    keep(theirs);
    start("hyper server connection, HTTP/1, a request in flight", |case| async move {
        case.waits(on(&ours).or()).waits(Wait::of("notify").or());
        let answer = service_fn(move |_| async move {
            let never = tokio::sync::Notify::new();
            case.stands();
            never.notified().await;
            Ok::<_, hyper::Error>(Response::new(Empty::<Bytes>::new()))
        });
        let builder = hyper::server::conn::http1::Builder::new();
        let _ = builder.serve_connection(TokioIo::new(ours), answer).await;
    });
}

async fn clients() {
    let (ours, theirs) = pair().await;
    keep(theirs);
    let (to_request, connected) = tokio::sync::oneshot::channel();
    let connection = start("hyper client connection, HTTP/1", |case| async move {
        waits_on(case, &ours);
        let io = TokioIo::new(ours);
        let (sender, connection) =
            hyper::client::conn::http1::handshake(io).await.expect("no bytes are needed");
        let _ = to_request.send(sender);
        case.stands();
        let _ = connection.await;
    });
    standing(connection).await;
    start("hyper client send_request, HTTP/1", |case| async move {
        let mut sender = connected.await.expect("it is sent");
        let request = Request::get("/").body(Empty::<Bytes>::new()).expect("a plain request");
        case.waits(Wait::of("oneshot").held_by(&[connection], Claim::Any));
        case.stands();
        let _ = sender.send_request(request).await;
    });
}

async fn h2() {
    let (ours, theirs) = pair().await;
    keep(theirs);
    start("h2 client connection, idle", |case| async move {
        waits_on(case, &ours);
        let (requests, connection) = h2::client::handshake(ours).await.expect("no bytes are needed");
        keep(requests);
        case.stands();
        let _ = connection.await;
    });
}

async fn reqwest() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on loopback");
    let address = listener.local_addr().expect("the port's number");
    start("a server that never answers", |case| async move {
        let (stream, _) = listener.accept().await.expect("a client comes");
        keep(stream);
        case.waits(Wait::of("io").fd(&listener).words(&[&"accepts", &address]));
        case.stands();
        let _ = listener.accept().await;
    });
    start("reqwest send, waiting for the answer", |case| async move {
        let client = reqwest::Client::new();
        case.waits(Wait::of("oneshot")).waits_for_more();
        case.stands();
        let _ = client.get(format!("http://{address}/")).send().await;
    });
}
