//! Sockets: what each is waited on for, and between which addresses.

use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use truth::resources::{Case, Wait, keep, start};

pub async fn start_all() {
    reading().await;
    writing().await;
    halves().await;
    listening().await;
    connecting().await;
    datagrams().await;
}

/// Two ends of a connection; the first is ours.
pub async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on loopback");
    let address = listener.local_addr().expect("the port's number");
    let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
    (client.expect("a connection to ourselves"), server.expect("the other end").0)
}

/// A connection whose other end says nothing, and reads nothing.
pub async fn quiet() -> TcpStream {
    let (ours, theirs) = pair().await;
    keep(theirs);
    ours
}

/// Waits on a connection: `reads fd 12, TCP 127.0.0.1:4000 → 127.0.0.1:5432`.
pub fn on(stream: &TcpStream, direction: &str) -> Wait {
    let local: SocketAddr = stream.local_addr().expect("a connection has an end here");
    let peer = stream.peer_addr().expect("and one there");
    Wait::of("io").fd(stream).words(&[&direction, &"TCP", &local, &peer])
}

/// Fills the buffers on the way, so that one more byte has to wait.
pub async fn fill(stream: &TcpStream) {
    let block = vec![0; 1 << 16];
    // What is on its way between two buffers leaves room for a moment.
    for _ in 0..5 {
        let _ = tokio::time::timeout(Duration::from_millis(20), stream.writable()).await;
        while stream.try_write(&block).is_ok() {}
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn reading() {
    let mut stream = quiet().await;
    start("TcpStream::read", |case| async move {
        let mut buffer = [0; 16];
        case.waits(on(&stream, "reads"));
        case.stands();
        let _ = stream.read(&mut buffer).await;
    });
    let mut stream = quiet().await;
    start("TcpStream::read_exact", |case| async move {
        let mut buffer = [0; 16];
        case.waits(on(&stream, "reads"));
        case.stands();
        let _ = stream.read_exact(&mut buffer).await;
    });
    let stream = quiet().await;
    start("TcpStream::peek", |case| async move {
        let mut buffer = [0; 16];
        case.waits(on(&stream, "reads"));
        case.stands();
        let _ = stream.peek(&mut buffer).await;
    });
    let stream = quiet().await;
    start("TcpStream::readable", |case| async move {
        case.waits(on(&stream, "reads"));
        case.stands();
        let _ = stream.readable().await;
    });
    let stream = quiet().await;
    start("TcpStream::ready, for both", |case| async move {
        fill(&stream).await;
        case.waits(on(&stream, "reads").words(&[&"writes"]));
        case.stands();
        let _ = stream.ready(Interest::READABLE | Interest::WRITABLE).await;
    });
}

async fn writing() {
    let mut stream = quiet().await;
    start("TcpStream::write, buffers full", |case| async move {
        fill(&stream).await;
        case.waits(on(&stream, "writes"));
        case.stands();
        let _ = stream.write(b"more").await;
    });
    let mut stream = quiet().await;
    start("TcpStream::write_all, buffers full", |case| async move {
        fill(&stream).await;
        case.waits(on(&stream, "writes"));
        case.stands();
        let _ = stream.write_all(b"more").await;
    });
    let stream = quiet().await;
    start("TcpStream::writable, buffers full", |case| async move {
        fill(&stream).await;
        case.waits(on(&stream, "writes"));
        case.stands();
        let _ = stream.writable().await;
    });
}

async fn halves() {
    let mut stream = quiet().await;
    start("tcp::ReadHalf::read", |case| async move {
        let mut buffer = [0; 16];
        case.waits(on(&stream, "reads"));
        let (mut reader, _writer) = stream.split();
        case.stands();
        let _ = reader.read(&mut buffer).await;
    });
    let stream = quiet().await;
    start("tcp::OwnedReadHalf::read", |case| async move {
        let mut buffer = [0; 16];
        case.waits(on(&stream, "reads"));
        let (mut reader, _writer) = stream.into_split();
        case.stands();
        let _ = reader.read(&mut buffer).await;
    });
    let stream = quiet().await;
    fill(&stream).await;
    start("tcp::OwnedWriteHalf::write", |case| async move {
        case.waits(on(&stream, "writes"));
        let (_reader, mut writer) = stream.into_split();
        case.stands();
        let _ = writer.write(b"more").await;
    });
    let stream = quiet().await;
    start("io::ReadHalf::read", |case| async move {
        let mut buffer = [0; 16];
        case.waits(on(&stream, "reads"));
        let (mut reader, _writer) = tokio::io::split(stream);
        case.stands();
        let _ = reader.read(&mut buffer).await;
    });
}

async fn listening() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on loopback");
    start("TcpListener::accept", |case| async move {
        let local = listener.local_addr().expect("the port's number");
        case.waits(Wait::of("io").fd(&listener).words(&[&"accepts", &"TCP", &local]));
        case.stands();
        let _ = listener.accept().await;
    });
}

/// One that listens and never accepts takes a few connections, then answers no more.
async fn connecting() {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port on loopback");
    let listener = socket.listen(1).expect("a short queue");
    let address = listener.local_addr().expect("the port's number");
    keep(listener);
    let patience = Duration::from_millis(300);
    while let Ok(connected) = tokio::time::timeout(patience, TcpStream::connect(address)).await {
        keep(connected.expect("a place in the queue"));
    }
    start("TcpStream::connect, their queue full", |case: Case| async move {
        case.waits(Wait::of("io").words(&[&"connects", &"TCP", &address]));
        case.stands();
        let _ = TcpStream::connect(address).await;
    });
}

async fn datagrams() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port on loopback");
    start("UdpSocket::recv_from", |case| async move {
        let local = socket.local_addr().expect("the port's number");
        let mut buffer = [0; 16];
        case.waits(Wait::of("io").fd(&socket).words(&[&"reads", &"UDP", &local]));
        case.stands();
        let _ = socket.recv_from(&mut buffer).await;
    });
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port on loopback");
    socket.connect("127.0.0.1:9").await.expect("datagrams need nobody there");
    start("UdpSocket::recv", |case| async move {
        let local = socket.local_addr().expect("the port's number");
        let mut buffer = [0; 16];
        case.waits(Wait::of("io").fd(&socket).words(&[&"reads", &"UDP", &local, &"127.0.0.1:9"]));
        case.stands();
        let _ = socket.recv(&mut buffer).await;
    });
}
