//! Tasks that wait for an answer over a connection, and such that something else ends the wait of, or the answer does.

use super::Case;
use super::told::{Fault, ready_soon_and_wait, runtime};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

pub const CASES: &[Case] = &[("no-timeout-silent", silent), ("no-timeout-guarded-not", guarded)];

/// Longer than anybody looks.
const LATER: Duration = Duration::from_secs(600);

/// Takes connections, and answers each byte so much later.
fn serve(runtime: &Runtime, after: Duration) -> SocketAddr {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.set_nonblocking(true).expect("a socket");
    let address = listener.local_addr().expect("an address");
    runtime.spawn(async move {
        let listener = TcpListener::from_std(listener).expect("within the runtime");
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answers(stream, after));
        }
    });
    address
}

/// It waits over connections that others made: the next question may come at any time.
async fn answers(mut stream: TcpStream, after: Duration) {
    let mut question = [0];
    while stream.read_exact(&mut question).await.is_ok() {
        if after < LATER {
            sleep(after).await;
            let _ = stream.write_all(&question).await;
        }
    }
}

async fn connected(server: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(server).await.expect("it listens");
    stream.write_all(b"?").await.expect("it reads");
    stream
}

async fn asks(server: SocketAddr) {
    let mut stream = connected(server).await;
    let mut answer = [0];
    stream.read_exact(&mut answer).await.expect("it answers");
}

/// The server reads the questions of two clients, and that is all.
fn silent() {
    let runtime = runtime(2);
    let server = serve(&runtime, LATER);
    let line = line!() - 7;
    let clients = [(); 2].map(|()| runtime.spawn(asks(server)).id());
    Fault::possible("no-timeout").tasks(clients).lines([line]).says("no timeout").is_here();
    ready_soon_and_wait()
}

/// The same, where a timer ends the wait in the end; and one that is answered in time, again and again.
fn guarded() {
    let runtime = runtime(2);
    let server = serve(&runtime, LATER);
    runtime.spawn(async move { timeout(LATER, asks(server)).await });
    runtime.spawn(async move {
        let mut stream = connected(server).await;
        let mut answer = [0];
        tokio::select! {
            read = stream.read_exact(&mut answer) => drop(read),
            () = sleep(LATER) => {}
        }
    });
    let server = serve(&runtime, Duration::from_millis(20));
    runtime.spawn(async move {
        loop {
            asks(server).await;
        }
    });
    ready_soon_and_wait()
}
